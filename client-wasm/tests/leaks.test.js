// What is opened and closed, attached and detached, over and over, leaves nothing behind.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import load from "../pkg/core.js";
import { start, until } from "./server.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");
const MIB = 1024 * 1024;

/** Bytes in use by JavaScript and by the core, after everything unreachable has gone. */
async function used() {
  // Twice: what the first frees on the JavaScript side lets go of memory in the core.
  for (let round = 0; round < 2; round += 1) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { memory } = await load();
  return { page: process.memoryUsage().heapUsed, core: memory.buffer.byteLength };
}

/** Fails when `cycle`, done `times` times, keeps more than a mebibyte on either side. */
async function leavesNothing(times, cycle) {
  const some = async (count) => {
    for (let done = 0; done < count; done += 1) {
      await cycle();
      // A page has pauses in which its memory is collected; a tight loop has none.
      if (done % 100 === 99) await used();
    }
  };
  await some(100);
  const before = await used();
  await some(times);
  const after = await used();
  assert.ok(after.core - before.core <= MIB, `core: ${after.core - before.core} bytes more`);
  assert.ok(after.page - before.page <= MIB, `page: ${after.page - before.page} bytes more`);
}

for (const transport of ["ws", "poll"]) {
  test(`f95_a_thousand_sockets_opened_and_closed_leave_nothing_behind_over_${transport}`, async () => {
    await leavesNothing(1000, async () => {
      const { socket } = await start({ transport });
      socket.on("news/first", () => {});
      socket.onState(() => {});
      await until(() => socket.state.open);
      await socket.request("example/echo", { some: "value" });
      socket.close();
    });
  });
}

test("f14b_ten_thousand_handlers_attached_and_detached_leave_nothing_behind", async () => {
  const { socket } = await start();
  await until(() => socket.state.open);
  await leavesNothing(10000, () => {
    socket.on("news/first", () => {})();
    socket.onState(() => {})();
  });
  socket.close();
});
