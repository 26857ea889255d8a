// The face of the socket, against a server in the same process.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { TengenError, connect } from "./package.js";
import { start, until } from "./server.js";

test("f92_importing_it_does_nothing", async () => {
  const entry = new URL("../pkg/tengen.js", import.meta.url);
  // A process that ends by itself has no timer and no listener; one that touched a window would fail.
  const script = `await import(${JSON.stringify(entry.href)}); process.stdout.write("quiet");`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  assert.equal(stdout, "quiet");
});

test("f35_the_hello_comes_first_and_opens_the_socket", async () => {
  const { server, socket } = await start({ clientId: "tab-1", params: { room: 7 } });
  assert.equal(socket.state.open, false);
  await until(() => socket.state.open);
  assert.deepEqual(server.frames[0], [0, { client: "tab-1", attempt: 1, params: { room: 7 } }]);
  assert.deepEqual(server.line.protocols, ["tengen.v1.json"]);
  assert.equal(server.line.url, "ws://server.test/chsk");
  assert.equal(socket.state.node, "n1");
  socket.close();
});

test("f83_the_scheme_of_the_page_decides_and_the_host_may_be_another", async () => {
  for (const [path, host, url] of [
    ["https://page.test/chsk", undefined, "wss://page.test/chsk"],
    ["http://page.test:8080/app/chsk?x=1#y", undefined, "ws://page.test:8080/app/chsk?x=1"],
    ["wss://page.test/chsk", "other.test:99", "wss://other.test:99/chsk"],
  ]) {
    const made = [];
    const socket = await connect(path, { host, WebSocket: class { constructor(to) { made.push(to); } close() {} } });
    await until(() => made.length > 0);
    assert.equal(made[0], url);
    socket.close();
  }
  await assert.rejects(connect("/chsk"), /absolute address/);
});

test("f05_a_request_gets_its_reply_and_f20_null_is_one", async () => {
  const { socket } = await start();
  assert.deepEqual(await socket.request("example/echo", { a: [1, new Uint8Array([2])] }), { a: [1, new Uint8Array([2])] });
  assert.equal(await socket.request("example/echo", null), null);
  assert.equal(await socket.request("example/echo", false), false);
  socket.close();
});

test("failures_are_typed_objects_that_say_whether_anything_was_sent", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  server.answer = () => [9, "nobody is there"];
  const missing = await socket.request("example/none").catch((error) => error);
  assert.ok(missing instanceof TengenError && missing instanceof Error);
  assert.deepEqual([missing.kind, missing.code, missing.sent], ["no-handler", 9, true]);
  server.answer = () => [1007, "sold out"];
  const own = await socket.request("shop/buy").catch((error) => error);
  assert.deepEqual([own.kind, own.code, own.message], ["application", 1007, "sold out"]);
  server.answer = () => undefined;
  const late = await socket.request("example/slow", null, { timeout: 30 }).catch((error) => error);
  assert.deepEqual([late.kind, late.sent], ["timeout", true]);
  socket.disconnect();
  const unsent = await socket.request("example/echo", 1, { buffered: false }).catch((error) => error);
  assert.deepEqual([unsent.kind, unsent.sent], ["closed", false]);
  const event = await socket.send("example/note", 1, { buffered: false });
  assert.deepEqual([event.ok, event.sent, event.error.kind], [false, false, "closed"]);
  socket.close();
});

test("f08_a_bad_id_is_refused_before_anything_is_sent", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  for (const [id, code] of [["nothing", 3], ["a/b/c", 2], ["a/ü", 2], ["chsk/state", 4]]) {
    const error = await socket.request(id, 1).catch((error) => error);
    assert.deepEqual([error.kind, error.code, error.sent], ["error", code, false], id);
  }
  await assert.rejects(socket.send("a/b", () => 1), TypeError);
  assert.equal(server.items(1).length + server.items(2).length, 0);
  socket.close();
});

test("f21_every_deadline_is_defined", async () => {
  const { socket } = await start();
  for (const timeout of [0, -1, NaN, "soon", null]) {
    await assert.rejects(socket.request("example/echo", 1, { timeout }), RangeError, String(timeout));
  }
  for (const timeout of [undefined, 0.5e3, 1e12, Infinity]) {
    assert.equal(await socket.request("example/echo", 1, { timeout }), 1, String(timeout));
  }
  socket.close();
});

test("f14c_early_pushes_are_kept_and_a_late_watcher_gets_the_state", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  server.push("news/first", 1);
  server.push("news/second", 2);
  const seen = [];
  socket.on("news/*", ({ id, data, source }) => seen.push([id, data, source]));
  assert.deepEqual(seen, [["news/first", 1, "push"], ["news/second", 2, "push"]]);
  const states = [];
  socket.onState((state) => states.push(state.open));
  assert.deepEqual(states, [true]);
  socket.close();
});

test("f14b_the_most_exact_handler_wins_and_off_ends_it_at_once", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  const seen = [];
  const off = socket.on("news/first", ({ data }) => seen.push(["exact", data]));
  socket.onAny(({ id, data }) => id.startsWith("news/") && seen.push(["any", data]));
  server.push("news/first", 1);
  off();
  off();
  server.push("news/first", 2);
  assert.deepEqual(seen, [["exact", 1], ["any", 2]]);
  assert.throws(() => socket.on("no id", () => {}), TengenError);
  socket.close();
});

test("f15_a_handler_that_throws_stops_no_other_and_f11_it_gets_what_it_needs", async (context) => {
  const reported = context.mock.method(console, "error", () => {});
  const { server, socket } = await start();
  await until(() => socket.state.open);
  const seen = [];
  socket.on("news/first", () => {
    throw new Error("on purpose");
  });
  socket.on("news/first", (event) => seen.push([event.id, event.data, event.state.open, event.socket === socket]));
  server.push("news/first", 1);
  assert.deepEqual(seen, [["news/first", 1, true, true]]);
  assert.equal(reported.mock.callCount(), 1);
  assert.equal(reported.mock.calls[0].arguments[0].message, "on purpose");
  socket.close();
});

test("a_handler_may_send_and_close_from_within", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  let answer;
  socket.on("news/first", ({ socket }) => {
    answer = socket.request("example/echo", "from within");
  });
  socket.on("news/last", ({ socket }) => socket.close());
  server.push("news/first", 1);
  assert.equal(await answer, "from within");
  server.push("news/last", 1);
  assert.equal(server.line.over, true);
});

test("f33_closing_from_within_a_handler_says_goodbye_and_calls_nobody_after", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  let second = 0;
  socket.on("news/last", ({ socket }) => socket.close());
  socket.on("news/last", () => (second += 1));
  const closed = new Promise((resolve) => {
    const close = server.line.close;
    server.line.close = function (code, reason) {
      resolve(code);
      close.call(this, code, reason);
    };
  });
  server.push("news/last", 1);
  assert.equal(await closed, 1000);
  assert.equal(second, 0);
  await until(() => server.items(7).length === 1, "a bye");
  const after = [];
  for await (const event of socket.events()) after.push(event);
  assert.deepEqual(after, [], "the stream of a closed socket has ended");
});

test("f14b_a_handler_ended_by_an_earlier_one_is_not_called_for_the_same_event", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  const called = [];
  let off;
  socket.on("news/item", () => {
    called.push("first");
    off();
  });
  off = socket.on("news/item", () => called.push("second"));
  server.push("news/item", 1);
  await until(() => called.length > 0);
  assert.deepEqual(called, ["first"]);
  socket.close();
});

test("f14c_an_early_push_stands_once_in_the_stream", async () => {
  const { server, socket } = await start();
  const stream = socket.events();
  await until(() => socket.state.open);
  server.push("news/early", 1);
  const got = [];
  socket.on("news/early", ({ data }) => got.push(data));
  socket.inject("page/end", null);
  const seen = [];
  for await (const { id } of stream) {
    if (id === "page/end") break;
    seen.push(id);
  }
  assert.deepEqual(got, [1]);
  assert.equal(seen.filter((id) => id === "news/early").length, 1);
  socket.close();
});

test("f15_an_async_handler_that_rejects_is_reported_and_ends_nothing", async (context) => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  const reported = context.mock.method(console, "error", () => {});
  socket.on("news/item", async () => {
    throw new Error("later");
  });
  server.push("news/item", 1);
  await until(() => reported.mock.callCount() > 0);
  assert.equal(await socket.request("example/echo", "still here"), "still here");
  socket.close();
});

test("f14_the_stream_tells_everything_and_where_it_comes_from", async () => {
  const { server, socket } = await start();
  const seen = [];
  const reading = (async () => {
    for await (const { id, source } of socket.events()) seen.push(`${id} ${source}`);
  })();
  await until(() => socket.state.open);
  server.push("news/first", 1);
  socket.inject("page/idea", { bright: true });
  await until(() => seen.includes("page/idea injected"));
  assert.ok(seen.includes("news/first push"));
  assert.ok(seen.includes("chsk/state library"));
  socket.close();
  await reading;
});

test("f38_each_change_is_told_once_and_one_has_first_open", async () => {
  const { server, socket } = await start();
  const opens = [];
  socket.onState((state) => state.first_open && opens.push(state));
  await until(() => socket.state.open);
  server.line.end(1006, "", false);
  await until(() => server.lines.length === 2 && socket.state.open);
  assert.equal(opens.length, 1);
  assert.equal(socket.state.ever_opened, true);
  assert.equal(socket.state.last_close.reason, "unexpected");
  assert.equal(socket.state.last_ws_close.code, 1006);
  assert.ok(Math.abs(socket.state.last_close.at - Date.now()) < 60000);
  socket.close();
});

test("f33_disconnect_stays_away_until_told_otherwise", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  socket.disconnect();
  assert.equal(socket.state.last_close.reason, "requested-disconnect");
  assert.equal(socket.state.next_reconnect_at, null);
  assert.equal(server.line.over, true);
  const failed = await socket.request("example/echo", 1).catch((error) => error);
  assert.deepEqual([failed.kind, failed.sent], ["closed", false]);
  socket.connect();
  assert.equal(await socket.request("example/echo", "kept in line"), "kept in line");
  assert.equal(server.lines.length, 2);
  socket.close();
});

test("f34_a_connection_broken_on_purpose_comes_back", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  socket.breakConnection(true);
  await until(() => server.lines.length === 2 && socket.state.open);
  assert.equal(await socket.request("example/echo", 1), 1);
  socket.close();
});

test("f79_the_token_is_asked_for_at_each_connect_and_never_in_the_address", async () => {
  let asked = 0;
  const { server, socket } = await start({ csrf: async () => `token ${(asked += 1)}`, bearer: () => "secret" });
  await until(() => socket.state.open);
  socket.reconnect();
  await until(() => server.lines.length === 2 && socket.state.open);
  const base64url = (text) => Buffer.from(text).toString("base64url");
  for (const [number, line] of server.lines.entries()) {
    const wanted = ["tengen.v1.json", `csrf.${base64url(`token ${number + 1}`)}`, `bearer.${base64url("secret")}`];
    assert.deepEqual(line.protocols, wanted);
    assert.ok(!line.url.includes("token") && !line.url.includes("secret"));
  }
  socket.close();
});

test("f30_a_refusal_of_ours_is_final_and_a_proxys_is_not", async () => {
  let status = 403;
  const headers = new Headers({ "Tengen-Error": "4503" });
  const fetch = async () => new Response(null, { status, headers });
  const { server, socket } = await start({ fetch });
  server.accept = false;
  socket.reconnect();
  await until(() => socket.state.last_error?.http_status === 403);
  assert.equal(socket.state.next_reconnect_at, null);

  headers.delete("Tengen-Error");
  socket.connect();
  const before = server.lines.length;
  await until(() => server.lines.length >= before + 2, "tries again after the 403 of a proxy");
  server.accept = true;
  await until(() => socket.state.open);
  socket.close();
});

test("f28_a_page_that_is_seen_again_probes_at_once_and_one_that_is_hidden_does_not", async (context) => {
  const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  globalThis.document = document;
  context.after(() => delete globalThis.document);
  const { server, socket } = await start();
  await until(() => socket.state.open);
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(server.items(5).length, 0);
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(server.items(5).length, 1);
  await socket.request("example/echo", 1);
  socket.close();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(server.items(5).length, 1);
});

test("f94_two_sockets_share_nothing", async () => {
  const [one, two] = await Promise.all([start(), start()]);
  const seen = [];
  one.socket.on("news/first", ({ data }) => seen.push(["one", data]));
  two.socket.on("news/first", ({ data }) => seen.push(["two", data]));
  await until(() => one.socket.state.open && two.socket.state.open);
  one.server.push("news/first", 1);
  one.socket.close();
  two.server.push("news/first", 2);
  assert.deepEqual(seen, [["one", 1], ["two", 2]]);
  two.socket.close();
});

test("f95_close_settles_everything_and_leaves_nothing_behind", async () => {
  const { server, socket } = await start();
  await until(() => socket.state.open);
  server.answer = () => undefined;
  const pending = socket.request("example/slow").catch((error) => error);
  socket.close();
  assert.deepEqual([(await pending).kind, (await pending).sent], ["closed", true]);
  assert.equal(server.line.over, true);
  assert.ok(!server.line.onmessage);
  const after = await socket.send("example/note", 1);
  assert.equal(after.ok, false);
  socket.close();
});
