// A server in the same process: what a node says on a WebSocket and to long-polling, in the JSON codec, under a test's control.

import { connect } from "./package.js";

const PING_MS = 15000;

/** Opens a socket to a server of its own. */
export async function start({ address = "ws://server.test/chsk", ...options } = {}) {
  const server = new Server();
  const socket = await connect(address, {
    transport: "ws",
    codec: "json",
    WebSocket: server.webSocket(),
    fetch: server.polling.fetch,
    ...options,
  });
  return { server, socket };
}

/** Waits for a condition, as long as a busy machine may need. */
export async function until(condition, what) {
  const deadline = Date.now() + 10000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what ?? condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

class Server {
  /** Every WebSocket that was ever made, oldest first. */
  lines = [];
  /** Every frame that a client sent, hello and control included. */
  frames = [];
  /** What a test may change: the hello, whether to accept, how to answer a request. */
  hello = {};
  accept = true;
  answer = (id, data) => [0, data];

  polling = new Polling(this);

  get line() {
    return this.lines.at(-1);
  }

  items(kind) {
    return this.frames.filter((frame) => frame[0] === kind);
  }

  push(id, data) {
    this.line.say([1, id, data]);
  }

  greeting() {
    return [
      0,
      {
        session: "n1.AAAAAAAAAAAAAAAAAAAAAA", resumed: false, gap: false, received: 0, uid: null, data: null,
        ping_ms: PING_MS, max_bytes: 524288, node: "n1", ...this.hello,
      },
    ];
  }

  webSocket() {
    const server = this;
    return class WebSocket {
      constructor(url, protocols) {
        Object.assign(this, { url, protocols, received: 0, sent: 0, open: false, over: false });
        server.lines.push(this);
        queueMicrotask(() => {
          if (!server.accept) return this.end(1006, "", false);
          this.open = true;
          this.onopen?.({});
        });
      }

      say(frame) {
        // Events and replies have a position; the client checks our count against its own.
        if (frame[0] === 1 || frame[0] === 3) this.sent += 1;
        this.onmessage?.({ data: JSON.stringify(frame) });
      }

      send(text) {
        const frame = JSON.parse(text);
        server.frames.push(frame);
        queueMicrotask(() => this.hear(frame));
      }

      hear([kind, ref, id, data]) {
        if (this.over) return;
        if (kind === 5) this.say([6]);
        if (kind === 0) this.say(server.greeting());
        else if (kind === 1 || kind === 2) {
          this.received += 1;
          const answer = kind === 2 ? server.answer(id, data) : undefined;
          if (answer) this.say([3, ref, ...answer]);
          this.say([4, this.received, this.sent]);
        }
      }

      close(code = 1000, reason = "") {
        this.end(code, reason, true);
      }

      end(code, reason, wasClean) {
        if (this.over) return;
        this.over = true;
        this.onclose?.({ code, reason, wasClean });
      }
    };
  }
}

/** The same server, asked by long-polling: one session at a time, every item kept until it is acknowledged. */
class Polling {
  #server;
  /** Every request, oldest first: `{ method, query, headers, frames, signal, keepalive }`. */
  requests = [];
  /** A test may answer in its place: a function of such a request that gives a Response, or nothing. */
  instead = () => undefined;
  /** Or let the answer to such a request get lost. */
  lose = () => false;
  items = [];
  acked = 0;
  received = 0;
  #parked;

  constructor(server) {
    this.#server = server;
  }

  get gets() {
    return this.requests.filter(({ method, query }) => method === "GET" && query.has("n"));
  }

  get posts() {
    return this.requests.filter(({ method }) => method === "POST");
  }

  push(id, data) {
    this.#say([1, id, data]);
  }

  #say(item) {
    this.items.push(item);
    this.#parked?.();
  }

  fetch = async (url, { method, headers = {}, body, signal, keepalive } = {}) => {
    const frames = body ? new TextDecoder().decode(body).trim().split("\n").map((line) => JSON.parse(line)) : [];
    const request = { method, query: new URL(url).searchParams, headers, frames, signal, keepalive };
    this.requests.push(request);
    this.#server.frames.push(...frames);
    await Promise.resolve();
    const answer = this.instead(request) ?? (method === "POST" ? this.#post(request) : await this.#get(request));
    signal.throwIfAborted();
    if (this.lose(request)) throw new TypeError("the network is gone");
    return answer;
  };

  #post({ headers, frames, query }) {
    if (!headers["Tengen-Session"]) {
      Object.assign(this, { items: [], acked: 0, received: 0 });
      return answered([this.#server.greeting()]);
    }
    let position = Number(query.get("first")) - 1;
    for (const [kind, ref, id, data] of frames) {
      if (kind !== 1 && kind !== 2) continue;
      position += 1;
      // Seen before: its answer was lost.
      if (position <= this.received) continue;
      this.received = position;
      const answer = kind === 2 ? this.#server.answer(id, data) : undefined;
      if (answer) queueMicrotask(() => this.#say([3, ref, ...answer]));
    }
    return answered([[4, this.received]]);
  }

  async #get({ query, signal }) {
    // Asked why a WebSocket failed: all is well here.
    if (!query.has("n")) return new Response(null, { status: 204 });
    const received = Number(query.get("received"));
    this.items.splice(0, received - this.acked);
    this.acked = received;
    if (this.items.length === 0) {
      signal.throwIfAborted();
      await new Promise((ready, abort) => {
        this.#parked = ready;
        signal.addEventListener("abort", () => abort(signal.reason));
      });
    }
    return answered([...this.items, [4, this.received, this.acked + this.items.length]]);
  }
}

function answered(frames) {
  const body = frames.map((frame) => `${JSON.stringify(frame)}\n`).join("");
  return new Response(body, { status: 200, headers: { "Content-Type": "application/x-ndjson" } });
}
