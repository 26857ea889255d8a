/** A UUID: travels as one, not as text. */
export class Uuid {
  /** @throws TypeError when `text` is none. */
  constructor(text: string);
  /** A new random one (version 4). */
  static random(): Uuid;
  equals(other: unknown): boolean;
  toString(): string;
  toJSON(): string;
}

/** A value under a CBOR tag that has no type of its own here. */
export class Tag {
  constructor(tag: number | bigint, value: Value);
  readonly tag: number | bigint;
  readonly value: Value;
}

/**
 * What can be sent and what arrives. A number with an integer value is an integer; `bigint` serves
 * beyond 2^53. An object is a map with text keys, a `Map` one with keys of any kind.
 */
export type Value =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | Uuid
  | Tag
  | Value[]
  | Map<Value, Value>
  | { [key: string]: Value };

/** How values are written on the wire. */
export type Codec = "cbor" | "json";

/** What the application can do next. */
export type FailureKind = "timeout" | "closed" | "error" | "no-handler" | "application";

/** Why a send or a request failed. */
export class TengenError extends Error {
  constructor(kind: FailureKind, sent: boolean, code: number | undefined, message: string);
  readonly kind: FailureKind;
  /** False: nobody saw it, it is safe to repeat. */
  readonly sent: boolean;
  /** The number of the error, if one was given; 1000 and above are the application's. */
  readonly code: number | undefined;
}
