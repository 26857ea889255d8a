// HTTP by the page's fetch: the exchanges of a long-poll, and whatever else a page asks of its server.

import { TengenError } from "./values.js";

/** Milliseconds that `http` waits for a whole answer, unless told otherwise. */
const PATIENCE = 30000;

/** Made once: an error keeps alive whatever is on the stack when it is made, and whoever keeps a signal keeps its reason. */
const GIVEN_UP = new TengenError("closed", true, undefined, "given up");

/** One request and its answer. `abort()` ends it unanswered; nothing of it stays behind. */
class Exchange {
  #controller = new AbortController();
  #progress;

  /** Resolves with `{ status, headers, body }`, the body as bytes; rejects with an error that says why not. */
  answer;

  /** `timeout` milliseconds are the most between two signs of life, each of which calls `progress`. */
  constructor(fetch, url, init, timeout, progress) {
    this.#progress = progress;
    this.answer = this.#run(fetch ?? globalThis.fetch, url, init, timeout);
  }

  async #run(fetch, url, init, timeout) {
    // No AbortSignal.timeout: that one cannot be taken back, and would outlive a thousand short requests.
    const late = () => this.#controller.abort(new TengenError("timeout", true, undefined, "no answer in time"));
    let timer = setTimeout(late, timeout);
    try {
      const answer = await fetch(url, { cache: "no-store", ...init, signal: this.#controller.signal });
      const parts = [];
      const reader = answer.body?.getReader();
      for (let read; reader && !(read = await reader.read()).done; ) {
        parts.push(read.value);
        if (this.#progress) {
          clearTimeout(timer);
          timer = setTimeout(late, timeout);
          this.#progress();
        }
      }
      return { status: answer.status, headers: answer.headers, body: joined(parts) };
    } finally {
      clearTimeout(timer);
    }
  }

  abort() {
    this.#progress = undefined;
    this.#controller.abort(GIVEN_UP);
  }
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Begins an exchange of the channel socket. Its answer resolves with
 * `[status, our error code or "", seconds to wait or "", body]`.
 */
export function exchange(fetch, url, method, headers, body, timeout, keepalive, progress) {
  // As a WebSocket does, which carries the cookies of its address wherever the page is from.
  const init = { method, headers, credentials: "include", keepalive };
  if (body !== undefined) init.body = body;
  const begun = new Exchange(fetch, url, init, timeout, progress);
  return {
    answer: begun.answer.then(({ status, headers, body }) => [
      status,
      headers.get("Tengen-Error") ?? "",
      headers.get("Retry-After") ?? "",
      body,
    ]),
    abort: () => begun.abort(),
  };
}

/** What proves who we are, as headers: functions are asked, promises waited for. */
export async function proofs(csrf, bearer) {
  const headers = {};
  const [token, key] = [await current(csrf), await current(bearer)];
  if (token) headers["X-CSRF-Token"] = token;
  if (key) headers.Authorization = `Bearer ${key}`;
  return headers;
}

async function current(secret) {
  const given = typeof secret === "function" ? await secret() : secret;
  return typeof given === "string" ? given : undefined;
}

/**
 * Asks the server of the socket at `address` for `path`. Never rejects: `{ status, content, error }`,
 * with status 0 when there was no answer.
 */
export async function http(fetch, address, csrf, bearer, path, options = {}) {
  let status = 0;
  try {
    const { method = "GET", params = {}, headers = {}, timeout = PATIENCE } = options;
    const url = new URL(path, address);
    const init = { method: method.toUpperCase(), headers: new Headers(headers), credentials: "same-origin" };
    if (url.origin === new URL(address).origin) {
      // Another host of ours needs its cookies too; nobody else gets any, and no token.
      init.credentials = "include";
      for (const [name, value] of Object.entries(await proofs(csrf, bearer))) init.headers.set(name, value);
    }
    const form = new URLSearchParams(params);
    if (init.method === "GET" || init.method === "HEAD") {
      for (const [name, value] of form) url.searchParams.append(name, value);
    } else {
      init.body = form;
    }
    const answer = await new Exchange(fetch, url.href, init, timeout).answer;
    status = answer.status;
    const content = read(answer);
    return { status, content, error: status < 400 ? null : refused(answer) };
  } catch (error) {
    return { status, content: null, error: failed(error) };
  }
}

/** The content as what it says it is: JSON's value, text, or bytes; null when there is none. */
function read({ headers, body }) {
  if (body.length === 0) return null;
  const type = headers.get("Content-Type") ?? "";
  const text = () => new TextDecoder().decode(body);
  if (/[/+]json\b/.test(type)) return JSON.parse(text());
  return type.startsWith("text/") ? text() : body;
}

function refused({ status, headers }) {
  const code = headers.get("Tengen-Error");
  return new TengenError("error", true, code ? Number(code) : undefined, `status ${status}`);
}

function failed(error) {
  if (error instanceof TengenError) return error;
  return new TengenError("error", true, undefined, error?.message ?? String(error));
}
