// HTTP beside the socket: a login, a large transfer.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { TengenError } from "./package.js";
import { start } from "./server.js";

/** Answers by path and keeps what it was asked; `/slow` never answers. */
const asked = [];
const server = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  asked.push({ method: request.method, url: request.url, headers: request.headers, body });
  const answers = {
    "/json": [200, { "Content-Type": "application/json; charset=utf-8" }, '{"uid":"alice"}'],
    "/broken": [200, { "Content-Type": "application/json" }, '{"uid":'],
    "/text": [200, { "Content-Type": "text/plain" }, "hello"],
    "/bytes": [200, { "Content-Type": "application/octet-stream" }, Buffer.from([1, 2, 3])],
    "/refused": [403, { "Tengen-Error": "4503", "Content-Type": "text/plain" }, "go away"],
  };
  const path = request.url.split("?")[0];
  if (path === "/slow") return;
  const [status, headers, content] = answers[path] ?? [204, {}, ""];
  response.writeHead(status, headers).end(content);
});

let origin;
before(async () => {
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  origin = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** A socket of that server; its WebSocket is none, so that only HTTP is at work. */
const open = async (options) => (await start({ address: `${origin}/app/chsk`, fetch: undefined, ...options })).socket;

test("f87_a_form_goes_in_the_body_or_the_address_with_the_token_of_the_moment", async () => {
  let token = 0;
  const socket = await open({ csrf: async () => `token ${(token += 1)}`, bearer: "key" });
  const before = token;
  const posted = await socket.http("/login", { method: "post", params: { uid: "Zoë & co" }, headers: { "X-Own": "1" } });
  assert.deepEqual(posted, { status: 204, content: null, error: null });
  const post = asked.at(-1);
  assert.deepEqual([post.method, post.url, post.body], ["POST", "/login", "uid=Zo%C3%AB+%26+co"]);
  assert.match(post.headers["content-type"], /^application\/x-www-form-urlencoded/);
  assert.deepEqual([post.headers["x-own"], post.headers.authorization], ["1", "Bearer key"]);
  assert.equal(post.headers["x-csrf-token"], `token ${before + 1}`);

  // Relative to the socket's own address.
  await socket.http("file?kind=large", { params: { number: 7 } });
  assert.deepEqual([asked.at(-1).method, asked.at(-1).url], ["GET", "/app/file?kind=large&number=7"]);
  assert.equal(asked.at(-1).headers["x-csrf-token"], `token ${before + 2}`);
  socket.close();
});

test("f87_the_content_is_what_its_type_says", async () => {
  const socket = await open();
  assert.deepEqual(await socket.http("/json"), { status: 200, content: { uid: "alice" }, error: null });
  assert.equal((await socket.http("/text")).content, "hello");
  assert.deepEqual((await socket.http("/bytes")).content, new Uint8Array([1, 2, 3]));
  const broken = await socket.http("/broken");
  assert.deepEqual([broken.status, broken.content, broken.error.kind], [200, null, "error"]);
  socket.close();
});

test("f87_what_fails_is_told_and_never_thrown", async () => {
  const socket = await open();
  const refused = await socket.http("/refused");
  assert.deepEqual([refused.status, refused.content, refused.error.code], [403, "go away", 4503]);
  assert.ok(refused.error instanceof TengenError);
  const late = await socket.http("/slow", { timeout: 50 });
  assert.deepEqual([late.status, late.content, late.error.kind], [0, null, "timeout"]);
  const nobody = await socket.http("http://127.0.0.1:1/");
  assert.deepEqual([nobody.status, nobody.error.kind], [0, "error"]);
  const throwing = await open({ csrf: () => { throw new Error("no token today"); } });
  assert.equal((await throwing.http("/text")).error.message, "no token today");
  throwing.close();
  socket.close();
});

test("f78_another_server_gets_no_token", async () => {
  const socket = await open({ csrf: "token", bearer: "key" });
  await socket.http(`${origin.replace("127.0.0.1", "localhost")}/text`);
  const { headers } = asked.at(-1);
  assert.deepEqual([headers["x-csrf-token"], headers.authorization], [undefined, undefined]);
  socket.close();
});
