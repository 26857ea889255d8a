// The example page: everything it does goes through `connect` of the client package.

import { connect } from "/tengen/tengen.js";

/** The log keeps this many rows. */
const ROWS = 300;

const $ = (id) => document.getElementById(id);
let socket;

// --- who am I -----------------------------------------------------------------------------------

/** Who the cookie says we are, and the token that proves that this page asks. */
async function session() {
  const answer = await fetch("/session", { cache: "no-store" });
  return answer.json();
}

/** The socket keeps the identity it was opened with: a login opens a new connection. */
async function identify(path, params) {
  const { status, error } = await socket.http(path, { method: "POST", params });
  if (error) row("failed", path, status ? `answered ${status}` : error.message);
  else socket.reconnect();
}

// --- the socket ---------------------------------------------------------------------------------

/** Transport and codec are chosen once for a socket: another choice is another socket. */
async function open() {
  socket?.close();
  socket = await connect("/chsk", {
    transport: $("transport-choice").value,
    codec: $("codec").value,
    csrf: async () => (await session()).csrf,
  });
  socket.onState(showState);
  socket.on("chsk/handshake", ({ data }) => row("library", "chsk/handshake", data));
  socket.on("chsk/gap", ({ data }) => row("failed", "chsk/gap", data));
  socket.on("chsk/error", ({ data }) => row("failed", "chsk/error", data));
  socket.on("chsk/state", () => {});
  socket.on("example/broadcast", ({ data }) => countBroadcast(data));
  socket.on("example/online", ({ data }) => showOnline(data));
  socket.on("example/loop", ({ data, state }) => {
    row("push", "example/loop", data);
    // Each node has a loop of its own.
    if (data.node === state.node) $("loop").setAttribute("aria-pressed", String(data.running));
  });
  socket.onAny(({ id, data }) => row("push", id, data));
  socket.setBadConnectionRate(Number($("bad").value));
  // For the curious, in the console.
  globalThis.socket = socket;
}

async function request(id, data, options) {
  const began = performance.now();
  row("sent", id, data);
  try {
    const answer = await socket.request(id, data, options);
    row("reply", `${id} · ${Math.round(performance.now() - began)} ms`, answer);
  } catch (error) {
    row("failed", `${id} · ${error.kind ?? error.name}`, `${error.message}${error.sent ? "" : " (not sent)"}`);
  }
}

async function send(id, data) {
  row("sent", id, data);
  const result = await socket.send(id, data);
  if (!result.ok) row("failed", `${id} · ${result.error.kind}`, result.error.message);
}

// --- who is online ------------------------------------------------------------------------------

/** Every user shown, and on which nodes by which transports. */
const online = new Map();

/** The node that shows us who is online does so as long as our session is there: elsewhere we ask again. */
let shownBy;
async function follow({ open, node, session }) {
  const here = `${node} ${session}`;
  if (!open || shownBy === here) return;
  shownBy = here;
  const { ok } = await socket.send("example/who-is-online", null);
  if (!ok && shownBy === here) shownBy = undefined;
}

/** A list at first, then those who have changed; one who is on no node has gone. */
function showOnline({ reset, listed, ready, count, users }) {
  if (reset) online.clear();
  for (const { uid, nodes } of users) {
    if (nodes.length) online.set(uid, nodes);
    else online.delete(uid);
  }
  const byName = [...online].sort(([a], [b]) => (a < b ? -1 : 1));
  $("online").replaceChildren(...byName.map(([uid, nodes]) => userRow(uid, nodes)));
  const anonymous = count.anonymous.ws + count.anonymous.poll;
  $("counts").textContent = [
    `${count.any} user${count.any === 1 ? "" : "s"}${listed ? "" : ", too many to list"}`,
    `${count.ws} by WebSocket`,
    `${count.poll} by long-poll`,
    `${anonymous} client${anonymous === 1 ? "" : "s"} without a name`,
    ...(ready ? [] : ["the node does not hear the cluster"]),
  ].join(" · ");
}

function userRow(uid, nodes) {
  const item = document.createElement("li");
  item.dataset.uid = uid;
  const name = document.createElement("b");
  name.textContent = name.title = uid;
  name.classList.toggle("me", uid === socket.state.uid);
  item.append(name);
  for (const { node, ws, poll } of nodes) {
    const place = document.createElement("span");
    place.textContent = `${node} · ${[ws && "ws", poll && "poll"].filter(Boolean).join(" + ")}`;
    item.append(place);
  }
  return item;
}

// --- what is shown ------------------------------------------------------------------------------

function showState(state) {
  const { open, downgrade } = state;
  follow(state);
  $("status").dataset.open = String(open);
  showStatus();
  $("uid").textContent = state.uid ?? "anonymous";
  $("node").textContent = open ? state.node : "–";
  $("session").textContent = state.session ?? "–";
  $("session").title = state.session ?? "";
  $("transport").textContent = open ? `${state.transport} · ${$("codec").selectedOptions[0].text}` : "–";
  $("downgrade").hidden = !downgrade;
  if (downgrade) {
    const until = new Date(downgrade.until).toLocaleTimeString("en-GB");
    $("downgrade").textContent = `No WebSocket: ${downgrade.reason}. Long-polling until one works.`;
    $("downgrade").title = `New connections poll at once until ${until}.`;
  }
  $("state").textContent = JSON.stringify(state, null, 2);
  document.title = state.uid ? `${state.uid} · Tengen` : "Tengen";
  const how = state.resumed ? "resumed" : "open";
  row("library", "chsk/state", open ? `${how} · ${state.transport}` : whyClosed(state));
}

/** The next attempt is a time: until then the seconds are counted down. */
let countdown;
function showStatus() {
  clearTimeout(countdown);
  const { open, next_reconnect_at: next } = socket.state;
  const seconds = Math.max(0, Math.ceil((next - Date.now()) / 1000));
  if (open) $("status").textContent = "open";
  else if (!next) $("status").textContent = whyClosed(socket.state).split(" · ")[0];
  else {
    $("status").textContent = seconds ? `again in ${seconds} s` : "reconnecting";
    countdown = setTimeout(showStatus, 250);
  }
}

function whyClosed({ last_close, last_error }) {
  // An error belongs to this close if it is not older.
  const error = last_error && last_error.at >= (last_close?.at ?? 0) ? last_error.text : undefined;
  if (!last_close && !error) return "connecting";
  return ["closed", last_close?.reason, error].filter(Boolean).join(" · ");
}

function row(kind, title, data) {
  const item = document.createElement("li");
  item.className = kind;
  item.dataset.title = title;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const name = document.createElement("b");
  name.textContent = title;
  item.append(time, name);
  if (data !== undefined && data !== null) {
    const text = document.createElement("code");
    text.textContent = typeof data === "string" ? data : shown(data);
    item.append(text);
  }
  $("log").prepend(item);
  while ($("log").childElementCount > ROWS) $("log").lastElementChild.remove();
  return item;
}

/** JSON, as far as it goes; the types it lacks by their own text. */
function shown(data) {
  return JSON.stringify(data, (_, value) => {
    if (typeof value === "bigint") return `${value}n`;
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (value instanceof Map) return [...value];
    return value;
  });
}

/** A hundred rows would hide everything else: one row counts a whole broadcast and checks its order. */
let broadcast;
function countBroadcast({ round, number, of }) {
  if (broadcast?.round !== round) broadcast = { round, next: 1, ordered: true, row: row("push", "example/broadcast", "") };
  broadcast.ordered &&= number === broadcast.next;
  broadcast.next = number + 1;
  broadcast.row.querySelector("code").textContent = `${number} of ${of}, ${broadcast.ordered ? "in order" : "OUT OF ORDER"}`;
}

// --- controls -----------------------------------------------------------------------------------

const click = (id, action) => $(id).addEventListener("click", action);

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  identify("/login", { uid: $("login-uid").value });
});
click("logout", () => identify("/logout", {}));
click("logins", () => {
  for (let number = 0; number < 10; number += 1) {
    setTimeout(() => identify("/login", { uid: $("login-uid").value || "alice" }), number * 100);
  }
});

click("print-uids", () => request("example/connected-uids", null));

click("echo", () => request("example/echo", { text: $("text").value, at: new Date() }));
click("note", () => send("example/note", { text: $("text").value }));
click("slow", () => request("example/slow", null, { timeout: 2000 }));
click("broadcast", () => send("example/broadcast", null));
click("loop", () => send("example/toggle-loop", null));

click("reconnect", () => socket.reconnect());
click("disconnect", () => socket.disconnect());
click("connect", () => socket.connect());
click("break", () => socket.breakConnection(true));
click("break-silent", () => socket.breakConnection(false));
$("bad").addEventListener("change", () => socket.setBadConnectionRate(Number($("bad").value)));
$("codec").addEventListener("change", open);
$("transport-choice").addEventListener("change", open);

click("clear", () => $("log").replaceChildren());
$("node-level").addEventListener("change", () => $("node-level").value && request("example/log-level", $("node-level").value));
$("level").addEventListener("change", () => ($("log").dataset.level = $("level").value));

await open();
