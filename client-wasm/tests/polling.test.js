// The socket over long-polling, against a server in the same process.

import assert from "node:assert/strict";
import { test } from "node:test";

import { start, until } from "./server.js";

const poll = (options) => start({ transport: "poll", ...options });

test("f23_poll_never_upgrades_and_f03_the_same_calls_work", async () => {
  const { server, socket } = await poll({ clientId: "tab-1", params: { room: 7 } });
  assert.equal(await socket.request("example/echo", "over poll"), "over poll");
  assert.equal(socket.state.transport, "poll");
  const seen = [];
  socket.on("news/*", ({ id, data }) => seen.push([id, data]));
  server.polling.push("news/first", 1);
  server.polling.push("news/second", 2);
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [["news/first", 1], ["news/second", 2]]);
  assert.deepEqual(await socket.send("example/note", 1), { ok: true, sent: true });
  assert.equal(server.lines.length, 0);

  const [hello, ...posts] = server.polling.posts;
  assert.deepEqual(hello.frames, [[0, { client: "tab-1", attempt: 1, params: { room: 7 } }]]);
  assert.equal(hello.headers["Content-Type"], "application/x-ndjson");
  for (const { headers, query } of [...posts, ...server.polling.gets]) {
    assert.deepEqual([headers["Tengen-Session"], headers["Tengen-Attempt"]], ["n1.AAAAAAAAAAAAAAAAAAAAAA", "1"]);
    assert.ok(query.has("first") || query.has("n"));
  }
  // Each GET asks from what had arrived, under a rising number.
  const gets = server.polling.gets.map(({ query }) => [Number(query.get("n")), Number(query.get("received"))]);
  assert.deepEqual(gets.map(([n]) => n), gets.map((_, at) => at + 1));
  assert.equal(gets.at(-1)[1], 3);
  socket.close();
});

test("f23_ws_never_polls", async () => {
  const { server, socket } = await start({ transport: "ws" });
  await until(() => socket.state.open);
  server.accept = false;
  server.line.end(1006, "", false);
  await until(() => server.lines.length >= 4);
  assert.equal(server.polling.posts.length, 0);
  socket.close();
});

test("f26_a_hundred_events_in_a_loop_take_at_most_two_posts", async () => {
  const { server, socket } = await poll();
  await until(() => socket.state.open);
  const before = server.polling.posts.length;
  await Promise.all(Array.from({ length: 100 }, (_, number) => socket.send("example/note", number)));
  assert.deepEqual(server.items(1).map(([, , number]) => number), Array.from({ length: 100 }, (_, number) => number));
  assert.ok(server.polling.posts.length - before <= 2, `${server.polling.posts.length - before} posts`);
  socket.close();
});

test("f79_the_token_is_asked_for_once_for_each_connection", async () => {
  let asked = 0;
  const { server, socket } = await poll({ csrf: async () => `token ${(asked += 1)}`, bearer: () => "secret" });
  await socket.request("example/echo", 1);
  socket.reconnect();
  await until(() => socket.state.open && server.polling.posts.length > 2);
  await socket.request("example/echo", 2);
  assert.equal(asked, 2);
  for (const { headers } of server.polling.requests) {
    assert.match(headers["X-CSRF-Token"], headers["Tengen-Attempt"] === "2" ? /^token 2$/ : /^token [12]$/);
    assert.equal(headers.Authorization, "Bearer secret");
  }
  socket.close();
});

test("f30_a_refusal_of_ours_ends_polling_for_good_and_a_proxys_does_not", async () => {
  const { server, socket } = await poll();
  await until(() => socket.state.open);
  const headers = new Headers({ "Tengen-Error": "4503" });
  server.polling.instead = () => new Response("no", { status: 403, headers });
  socket.reconnect();
  await until(() => socket.state.last_error?.http_status === 403);
  assert.equal(socket.state.next_reconnect_at, null);
  headers.delete("Tengen-Error");
  socket.connect();
  const before = server.polling.requests.length;
  await until(() => server.polling.requests.length >= before + 2, "tries again after the 403 of a proxy");
  server.polling.instead = () => undefined;
  await until(() => socket.state.open);
  socket.close();
});

test("f62_an_answer_that_was_lost_is_asked_for_again", async () => {
  const { server, socket } = await poll();
  await until(() => socket.state.open && server.polling.gets.length === 1);
  // The server has answered, and nobody gets it: twice a GET, once a POST.
  let lost = 0;
  server.polling.lose = ({ query }) => (query.has("n") || query.has("first")) && (lost += 1) <= 3;
  const seen = [];
  socket.on("news/item", ({ data }) => seen.push(data));
  for (let number = 0; number < 5; number += 1) server.polling.push("news/item", number);
  assert.equal(await socket.request("example/echo", "once"), "once");
  await until(() => seen.length >= 5);
  assert.ok(lost >= 3);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  assert.ok(server.items(2).length > 1);
  assert.equal(server.polling.received, 1);
  assert.equal(socket.state.last_close, null);
  socket.close();
});

test("f22_auto_falls_back_to_polling_and_says_why", async () => {
  const began = Date.now();
  const { server: blocked, socket } = await start({ transport: "auto", WebSocket: closing() });
  await until(() => socket.state.open);
  assert.ok(Date.now() - began < 5000);
  assert.equal(socket.state.transport, "poll");
  assert.match(socket.state.downgrade.reason, /not accepted/);
  assert.ok(socket.state.downgrade.until > Date.now());
  assert.equal(await socket.request("example/echo", "still"), "still");
  assert.ok(blocked.polling.requests.some(({ method, query }) => method === "GET" && !query.has("n")));
  socket.close();
});

test("f22_where_there_is_no_websocket_at_all_polling_serves", async () => {
  const { socket } = await start({ transport: "auto", WebSocket: function none() { throw new Error("forbidden here"); } });
  assert.equal(await socket.request("example/echo", 1), 1);
  assert.equal(socket.state.transport, "poll");
  socket.close();
});

test("f31_close_says_goodbye_in_one_last_post_and_leaves_no_request_behind", async () => {
  const { server, socket } = await poll();
  await until(() => socket.state.open && server.polling.gets.length === 1);
  const [get] = server.polling.gets;
  socket.close();
  assert.equal(get.signal.aborted, true);
  const goodbye = server.polling.posts.at(-1);
  assert.equal(goodbye.frames.at(-1)[0], 7);
  assert.equal(goodbye.keepalive, true);
  assert.equal(goodbye.headers["Tengen-Session"], "n1.AAAAAAAAAAAAAAAAAAAAAA");
  const after = server.polling.requests.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(server.polling.requests.length, after);
});

test("the_transport_is_one_of_three", async () => {
  await assert.rejects(start({ transport: "carrier pigeon" }), /transport: wanted/);
});

/** A WebSocket that something on the way refuses. */
function closing() {
  return class WebSocket {
    constructor() {
      queueMicrotask(() => this.onclose?.({ code: 1006, reason: "", wasClean: false }));
    }
    close() {}
  };
}
