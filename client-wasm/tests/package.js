// Loads the built package, as Node must: from a file instead of an address.

import { readFile } from "node:fs/promises";

import { init } from "../pkg/tengen.js";

await init(await readFile(new URL("../pkg/core_bg.wasm", import.meta.url)));

export * from "../pkg/tengen.js";
