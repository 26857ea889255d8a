// The values that JavaScript has no type of its own for, and what a failure looks like.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A UUID: travels as one, not as text. */
export class Uuid {
  #text;

  constructor(text) {
    this.#text = String(text).toLowerCase();
    if (!UUID.test(this.#text)) throw new TypeError(`not a UUID: ${text}`);
  }

  /** A new random one (version 4). */
  static random() {
    // Not crypto.randomUUID, which plain http pages lack.
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return new Uuid(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"));
  }

  equals(other) {
    return other instanceof Uuid && other.#text === this.#text;
  }

  toString() {
    return this.#text;
  }

  toJSON() {
    return this.#text;
  }
}

/** A value under a CBOR tag that has no type of its own here. */
export class Tag {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

/** Why a send or a request failed; `sent` false means that it is safe to repeat. */
export class TengenError extends Error {
  constructor(kind, sent, code, message) {
    super(message);
    this.name = "TengenError";
    this.kind = kind;
    this.sent = sent;
    this.code = code;
  }
}

/** Everything that arrives, in order, for one `for await` loop. */
export class Events {
  #waiting = [];
  #reader;
  #ended = false;
  #end;
  #bound;
  /** How many the reader was too slow for. */
  dropped = 0;

  constructor(bound, end) {
    this.#bound = bound;
    this.#end = end;
  }

  push(event) {
    if (this.#ended) return;
    if (this.#reader) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader({ value: event, done: false });
    } else if (this.#waiting.push(event) > this.#bound) {
      this.#waiting.shift();
      this.dropped += 1;
    }
  }

  /** What waits may still be read; nothing new comes. */
  finish() {
    if (this.#ended) return;
    this.#ended = true;
    this.#end();
    this.#reader?.({ value: undefined, done: true });
    this.#reader = undefined;
  }

  next() {
    if (this.#waiting.length > 0) return Promise.resolve({ value: this.#waiting.shift(), done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    if (this.#reader) return Promise.reject(new Error("one reader at a time"));
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  return() {
    this.#waiting = [];
    this.finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
