// A server in the same process: what a node says on a WebSocket, in the JSON codec, under a test's control.

import { connect } from "./package.js";

const PING_MS = 15000;

/** Opens a socket to a server of its own. */
export async function start({ address = "ws://server.test/chsk", ...options } = {}) {
  const server = new Server();
  const socket = await connect(address, {
    codec: "json",
    WebSocket: server.webSocket(),
    fetch: async () => ({ status: 204, headers: new Headers() }),
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

  get line() {
    return this.lines.at(-1);
  }

  items(kind) {
    return this.frames.filter((frame) => frame[0] === kind);
  }

  push(id, data) {
    this.line.say([1, id, data]);
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
        if (kind === 0) {
          this.say([
            0,
            {
              session: "n1.AAAAAAAAAAAAAAAAAAAAAA", resumed: false, gap: false, received: 0, uid: null, data: null,
              ping_ms: PING_MS, max_bytes: 524288, node: "n1", ...server.hello,
            },
          ]);
        } else if (kind === 1 || kind === 2) {
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
