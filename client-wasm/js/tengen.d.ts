import type { Codec, Value } from "./values.js";
import type { Options, Socket } from "./core.js";

export { Tag, TengenError, Uuid } from "./values.js";
export type { Codec, FailureKind, Value } from "./values.js";
export type { Event, EventStream, Options, SendOptions, SendResult, RequestOptions, Socket, State } from "./core.js";

/** Loads the compiled core. `connect` does it by itself; call it first only to say where the core is. */
export function init(source?: RequestInfo | URL | Response | BufferSource | WebAssembly.Module): Promise<void>;

/** Opens a channel socket. Does not wait for the connection: sends are kept until it is there. */
export function connect(path?: string, options?: Options): Promise<Socket>;

/** The bytes of one value, as they stand on the wire. */
export function encode(value: Value, codec?: Codec): Promise<Uint8Array>;

/** The value of such bytes. */
export function decode(bytes: Uint8Array, codec?: Codec): Promise<Value>;
