//! The TypeScript types of what has no Rust type to generate them from.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
import type { Codec, TengenError, Value } from "./values.js";

/** Where and how to connect. */
export interface Options {
  /**
   * What carries the connection. "auto" (the default): a WebSocket where that works, else long-polling, and back
   * as soon as it does. Applications need not know which.
   */
  transport?: "auto" | "ws" | "poll";
  /** How values are written on the wire; "cbor" by default. */
  codec?: Codec;
  /** Names this tab or device, 1–64 of A–Z a–z 0–9 _ -; random by default. */
  clientId?: string;
  /** What handlers on the server shall know about this client. */
  params?: Value;
  /** Another host than the page's, with its port. */
  host?: string;
  /** The CSRF token, or a function that is asked for it at each connect. */
  csrf?: string | (() => string | null | undefined | Promise<string | null | undefined>);
  /** A bearer token, likewise. */
  bearer?: string | (() => string | null | undefined | Promise<string | null | undefined>);
  /** Instead of the global one. */
  WebSocket?: typeof WebSocket;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/** One event of the stream. */
export interface Event {
  readonly id: string;
  readonly data: any;
  /** Pushed by the cluster, told by the library (`chsk/…`), or put there by the page. */
  readonly source: "push" | "library" | "injected";
  readonly socket: Socket;
  readonly state: State;
}

/** Everything that arrives. A loop that is too slow loses the oldest, counted. */
export interface EventStream extends AsyncIterableIterator<Event> {
  readonly dropped: number;
}

export interface SendOptions {
  /** Wait in line while there is no connection (default); else fail at once, unsent. */
  buffered?: boolean;
  /** Milliseconds, above 0. A request waits 30 s by default, an event for ever. */
  timeout?: number;
}

export type RequestOptions = SendOptions;

/** What became of an event. */
export type SendResult =
  | { readonly ok: true; readonly sent: true }
  | { readonly ok: false; readonly sent: boolean; readonly error: TengenError };

/** How `socket.http` asks. */
export interface HttpOptions {
  /** "GET" by default. */
  method?: string;
  /** In the address of a GET, else a form in the body. */
  params?: Record<string, string> | [string, string][] | URLSearchParams;
  headers?: Record<string, string>;
  /** Milliseconds for the whole answer, 30 s by default. */
  timeout?: number;
}

/** What the server answered. */
export interface HttpAnswer {
  /** 0 when there was no answer. */
  readonly status: number;
  /** JSON's value, text, or a `Uint8Array`, as its type says; null when empty. */
  readonly content: any;
  /** Null for a status below 400. */
  readonly error: TengenError | null;
}

/** Times are milliseconds since 1970. */
export interface State {
  readonly transport: "ws" | "poll" | null;
  readonly open: boolean;
  readonly ever_opened: boolean;
  readonly first_open: boolean;
  readonly uid: string | null;
  readonly session: string | null;
  readonly resumed: boolean;
  readonly gap: boolean;
  readonly handshake_data: any;
  readonly node: string | null;
  readonly last_close: { readonly at: number; readonly reason: string } | null;
  readonly last_ws_close: {
    readonly at: number;
    readonly clean: boolean;
    readonly code: number | null;
    readonly reason: string;
  } | null;
  readonly last_error: {
    readonly at: number;
    readonly kind: string;
    readonly http_status: number | null;
    readonly text: string;
  } | null;
  readonly next_reconnect_at: number | null;
  /** Why long-polling stands in for a WebSocket, and until when new connections keep to it. */
  readonly downgrade: { readonly reason: string; readonly until: number } | null;
}
"#;
