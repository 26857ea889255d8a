// The package as a stranger gets it: packed by npm, installed elsewhere, typed, bundled.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const pkg = fileURLToPath(new URL("../pkg/", import.meta.url));

/** A page's program that touches every part of the face. */
const PROGRAM = `
import { connect, TengenError, Uuid, type Event, type SendResult, type State } from "tengen";

export async function main(): Promise<string> {
  const socket = await connect("/chsk", { codec: "json", params: { tab: 1 }, csrf: async () => "token" });
  const off: () => void = socket.on("example/note", (event: Event) => console.log(event.id, event.data, event.source));
  socket.onAny(({ id }) => console.log(id));
  socket.onState((state: State) => console.log(state.open, state.uid, state.last_close?.reason));
  const sent: SendResult = await socket.send("example/note", { text: "hi", id: Uuid.random(), at: new Date() });
  if (!sent.ok) console.log(sent.error.kind, sent.sent);
  try {
    await socket.request("example/echo", [1, 2n, new Uint8Array(2), new Map([[1, null]])], { timeout: 1000 });
  } catch (error) {
    if (error instanceof TengenError && error.kind === "timeout") console.log(error.code);
  }
  for await (const event of socket.events()) {
    if (event.id === "example/last") break;
  }
  const login = await socket.http("/login", { method: "POST", params: { uid: "alice" }, timeout: 5000 });
  if (login.error) console.log(login.status, login.error.kind);
  off();
  socket.close();
  return socket.state.session ?? "none";
}
`;

let project;

before(async () => {
  project = await mkdtemp(join(tmpdir(), "tengen-package-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project], { cwd: pkg });
  const [{ filename }] = JSON.parse(stdout);
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], { cwd: project });
  await writeFile(join(project, "main.ts"), PROGRAM);
});

after(() => rm(project, { recursive: true, force: true }));

test("c6_a_typescript_program_checks_against_the_packed_typings", async () => {
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
  const checked = await run(tool("tsc"), [...options, "--lib", "es2022,dom,dom.asynciterable", "main.ts"], { cwd: project }).catch((error) => error);
  assert.equal(checked.stdout, "");
  await writeFile(join(project, "wrong.ts"), 'import { connect } from "tengen";\n(await connect(7)).send(1);\n');
  const wrong = await run(tool("tsc"), [...options, "wrong.ts"], { cwd: project }).catch((error) => error);
  assert.match(wrong.stdout, /wrong\.ts.*not assignable/);
});

test("c6_a_bundler_takes_the_package_in_and_leaves_the_core_to_load", async () => {
  await run(tool("esbuild"), ["main.ts", "--bundle", "--format=esm", "--outfile=out/main.js"], { cwd: project });
  const bundled = await readFile(join(project, "out/main.js"), "utf8");
  assert.match(bundled, /core_bg\.wasm/);
  assert.ok(!/from "tengen"/.test(bundled));
});

test("the_package_has_what_it_needs_and_its_core_is_small", async () => {
  const installed = join(project, "node_modules/tengen");
  for (const file of ["tengen.js", "tengen.d.ts", "core.js", "core.d.ts", "core_bg.wasm", "values.js", "values.d.ts", "http.js", "README.md"]) {
    assert.ok((await stat(join(installed, file))).size > 0, file);
  }
  const { stdout } = await run("sh", ["-c", 'gzip -9 -c "$0" | wc -c', join(installed, "core_bg.wasm")]);
  assert.ok(Number(stdout) <= 150 * 1024, `${stdout.trim()} bytes gzipped`);
});

/** Where `cargo xtask test` put a tool, else the one in the path. */
function tool(name) {
  return process.env[`TENGEN_${name.toUpperCase()}`] ?? name;
}
