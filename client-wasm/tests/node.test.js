// The client in Node.js, with its own WebSocket and fetch, against a real node: each transport in each codec.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { connect } from "./package.js";
import { until } from "./server.js";

const WAYS = ["ws", "poll", "auto"].flatMap((transport) => ["cbor", "json"].map((codec) => ({ transport, codec })));

let node;
let logged = "";
let address;
let admin;

before(async () => {
  const binary = process.env.TENGEN_NODE_BIN;
  assert.ok(binary, "TENGEN_NODE_BIN names a tengen-node; `cargo xtask test javascript` sets it");
  const options = ["--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "warn"];
  node = spawn(binary, options, { stdio: ["ignore", "pipe", "pipe"] });
  node.stderr.setEncoding("utf8").on("data", (text) => (logged += text));
  for await (const line of createInterface({ input: node.stdout })) {
    const found = line.match(/^listening public=(\S+) admin=(\S+)$/);
    if (!found) continue;
    [, address, admin] = [line, `http://${found[1]}/chsk`, `http://${found[2]}`];
    break;
  }
});

after(async () => {
  const ended = new Promise((end) => node.once("exit", end));
  node.kill();
  await ended;
});

/** Pushes as an operator would. */
async function push(event) {
  const answer = await fetch(`${admin}/v1/send-to-all`, { method: "POST", body: JSON.stringify(event) });
  assert.ok(answer.ok);
}

for (const { transport, codec } of WAYS) {
  const way = `over_${transport}_in_${codec}`;
  const open = () => connect(address, { transport, codec });

  test(`f92_f05_requests_get_their_replies_${way}`, async () => {
    const socket = await open();
    const value = { list: [1, -2.5, true, null], bytes: new Uint8Array([0, 255]), big: 2n ** 60n, text: "Zoë 🦀" };
    assert.deepEqual(await socket.request("example/echo", value), value);
    assert.equal(socket.state.transport, transport === "poll" ? "poll" : "ws");
    const refused = await socket.request("example/square-root", -1).catch((error) => error);
    assert.deepEqual([refused.kind, refused.code], ["application", 1000]);
    const nobody = await socket.request("example/nobody").catch((error) => error);
    assert.deepEqual([nobody.kind, nobody.sent], ["no-handler", true]);
    const late = await socket.request("example/slow", null, { timeout: 100 }).catch((error) => error);
    assert.deepEqual([late.kind, late.sent], ["timeout", true]);
    socket.close();
  });

  test(`f59_pushes_arrive_in_order_and_f34_through_breaks_${way}`, async () => {
    const socket = await open();
    const seen = [];
    socket.on("test/number", ({ data }) => seen.push(data));
    await until(() => socket.state.open);
    const { session } = socket.state;
    for (let number = 0; number < 60; number += 1) {
      await push(["test/number", number]);
      if (number % 20 === 10) socket.breakConnection(true);
    }
    await until(() => seen.length >= 60);
    assert.deepEqual(seen, Array.from({ length: 60 }, (_, number) => number));
    assert.deepEqual([socket.state.session, socket.state.gap], [session, false]);
    socket.close();
  });

  test(`f26_events_in_a_loop_are_all_taken_and_f33_a_disconnect_is_undone_${way}`, async () => {
    const socket = await open();
    const sent = Array.from({ length: 100 }, () => socket.send("example/toggle-nothing", null));
    assert.ok((await Promise.all(sent)).every(({ sent }) => sent));
    socket.disconnect();
    assert.equal(socket.state.last_close.reason, "requested-disconnect");
    socket.connect();
    assert.equal(await socket.request("example/echo", "back"), "back");
    socket.close();
  });

  test(`f95_a_process_whose_sockets_are_closed_ends_by_itself_${way}`, async () => {
    const script = `
      import { connect } from ${JSON.stringify(new URL("./package.js", import.meta.url).href)};
      const socket = await connect(${JSON.stringify(address)}, ${JSON.stringify({ transport, codec })});
      process.stdout.write(await socket.request("example/echo", "ends"));
      socket.close();`;
    const options = ["--input-type=module", "-e", script];
    const { stdout } = await promisify(execFile)(process.execPath, options, { timeout: 60000 });
    assert.equal(stdout, "ends");
  });
}

test("f98_the_page_turns_the_nodes_log_up_and_down", async () => {
  const socket = await connect(address);
  await until(() => socket.state.open);
  assert.doesNotMatch(logged, /DEBUG/);
  assert.equal(await socket.request("example/log-level", "debug"), null);
  await until(() => {
    socket.reconnect();
    return /DEBUG/.test(logged);
  });
  const unknown = await socket.request("example/log-level", "loud").catch((error) => error);
  assert.deepEqual([unknown.kind, unknown.code], ["application", 1003]);
  assert.equal(await socket.request("example/log-level", "warn"), null);
  socket.close();
});
