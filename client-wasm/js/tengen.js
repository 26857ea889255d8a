// The entry of the package: loads the core once, then opens sockets.

import load, * as core from "./core.js";

export { Tag, TengenError, Uuid } from "./values.js";

let loading;

/**
 * Loads the compiled core. `connect` does it by itself; call it first only to say where the core is.
 */
export function init(source) {
  // A failed load is forgotten, so that the next try starts afresh (a phone that was offline).
  loading ??= load(source === undefined ? undefined : { module_or_path: source }).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading.then(() => undefined);
}

/** Opens a channel socket. Does not wait for the connection: sends are kept until it is there. */
export async function connect(path = "/chsk", options = {}) {
  await init();
  return core.connect(path, options);
}

/** The bytes of one value, as they stand on the wire. */
export async function encode(value, codec = "cbor") {
  await init();
  return core.encode(value, codec);
}

/** The value of such bytes. */
export async function decode(bytes, codec = "cbor") {
  await init();
  return core.decode(bytes, codec);
}
