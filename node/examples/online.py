"""Keeps a copy of who is online in the whole cluster, with nothing but Python's standard library:

    python3 online.py nats://127.0.0.1:4222 [prefix]

Writes a line of JSON for every change of the copy: {"opens", "closes", "online", "whole"}.
`Online` is the part to take over into a service of yours, with any NATS library; `Nats` is the few
lines of NATS's text protocol that it needs here.
"""

import json
import random
import socket
import sys
import time
from urllib.parse import unquote, urlsplit

ASK_SECONDS = 1.0  # An answer is late after this.
SECOND_TELLER_SECONDS = 3.0  # Two tellers at a time are over by then.
SILENCE_SECONDS = 16.0  # Three marks, one every 5 s, that did not come.
MAX_KEPT = 200_000  # Users in messages that wait for the base; beyond it the base is loaded anew.


class Online:
    """The copy, and the rules that keep it right."""

    def __init__(self):
        self.uids = set()
        self.changes = {}  # What has changed since `take_changes`: who came (True) or went.
        self.stream = None  # Whose numbers: (teller, epoch).
        self.n = 0  # Everything of the stream up to this number is in the copy.
        self.restart(0)

    def restart(self, delay):
        """The base is loaded (again), `delay` seconds from now."""
        self.whole = False
        self.pages = []  # The users of the pages so far.
        self.base = None  # Stream and number of the first page: the lowest number of all.
        self.after = None  # The last user that was told; the next page is behind it.
        self.awaited = None  # The reply subject of the page that was asked for.
        self.kept = []  # What the feed says meanwhile.
        self.kept_users = 0
        self.ask_at = time.monotonic() + delay
        self.second_at = None
        self.heard_at = time.monotonic()

    def hear(self, message):
        """A message of the feed."""
        if message.get("version", 1) != 1:
            return
        stream, n = (message["teller"], message["epoch"]), message["n"]
        if not self.whole:
            self.kept.append(message)
            self.kept_users += len(message.get("opens", ())) + len(message.get("closes", ()))
            if self.kept_users > MAX_KEPT or len(self.kept) > MAX_KEPT:
                self.restart(1 + random.random())
            return
        if stream != self.stream:
            if message.get("reload"):
                # Also under a lower epoch: the teller came again, and its clock had stepped back.
                return self.restart(random.random() / 2)
            if stream[0] == self.stream[0] and stream[1] < self.stream[1]:
                return  # Something late of an earlier life of the same node.
            # It may be right: take it, and look again when there is one teller.
            self.second_at = self.second_at or time.monotonic() + SECOND_TELLER_SECONDS
            return self.apply(message)
        self.heard_at = time.monotonic()
        if n <= self.n:
            return  # A mark that fits, or something old.
        if n > self.n + 1 or message.get("reload") or "opens" not in message:
            return self.restart(random.random() / 2)  # Something is missing.
        self.n = n
        self.apply(message)

    def apply(self, message):
        for uid in message.get("opens", ()):
            self.set(uid, True)
        for uid in message.get("closes", ()):
            self.set(uid, False)

    def set(self, uid, there):
        if (uid in self.uids) == there:
            return
        if there:
            self.uids.add(uid)
        else:
            self.uids.remove(uid)
        if self.changes.pop(uid, None) is None:
            self.changes[uid] = there

    def take_changes(self):
        changes, self.changes = self.changes, {}
        return changes

    def land(self, page):
        """The page that was asked for."""
        stream, n = (page["teller"], page["epoch"]), page["n"]
        self.base = self.base or (stream, n)
        if stream != self.base[0]:
            return self.restart(1)
        self.pages.extend(page["uids"])
        self.after = page.get("next")
        self.ask_at = time.monotonic()
        if self.after is not None:
            return
        kept = self.kept
        (self.stream, self.n), there = self.base, set(self.pages)
        for uid in self.uids - there:
            self.set(uid, False)
        for uid in there:
            self.set(uid, True)
        self.pages, self.kept, self.whole = [], [], True
        self.heard_at = time.monotonic()
        for message in kept:
            self.hear(message)

    def tick(self):
        now = time.monotonic()
        silent = self.whole and now > self.heard_at + SILENCE_SECONDS
        if silent or (self.second_at is not None and now > self.second_at):
            self.restart(random.random() / 2)


class Nats:
    """One connection: subscribe, publish, and read what comes."""

    def __init__(self, url):
        at = urlsplit(url)
        self.socket = socket.create_connection((at.hostname, at.port or 4222), timeout=5)
        self.received = b""
        options = {"verbose": False, "headers": True, "no_responders": True, "lang": "python"}
        if at.username:
            options |= {"user": unquote(at.username), "pass": unquote(at.password or "")}
        self.send(f"CONNECT {json.dumps(options)}\r\nPING\r\n")
        self.heard_at = self.pinged_at = time.monotonic()

    def send(self, text):
        self.socket.settimeout(5)
        self.socket.sendall(text.encode())

    def subscribe(self, subject, number):
        self.send(f"SUB {subject} {number}\r\n")

    def publish(self, subject, reply, body):
        self.send(f"PUB {subject} {reply} {len(body.encode())}\r\n{body}\r\n")

    def next(self, seconds):
        """(subject, body), or None after a while. A body of None: nobody answers."""
        until = time.monotonic() + seconds
        while True:
            line, separator, rest = self.received.partition(b"\r\n")
            words = line.decode(errors="replace").split()
            if separator and words and words[0] in ("MSG", "HMSG"):
                length = int(words[-1])
                if len(rest) >= length + 2:
                    self.received = rest[length + 2 :]
                    if words[0] == "MSG":
                        return words[1], rest[:length]
                    head = int(words[-2])
                    nobody = rest[:head].startswith(b"NATS/1.0 503")
                    return words[1], None if nobody else rest[head:length]
            elif separator:
                self.received = rest
                if words and words[0] == "PING":
                    self.send("PONG\r\n")
                if words and words[0] == "-ERR":
                    raise ConnectionError(" ".join(words[1:]))
                continue
            left = until - time.monotonic()
            if left <= 0:
                return self.check()
            self.read(left)

    def check(self):
        now = time.monotonic()
        if now > self.heard_at + 15:
            raise ConnectionError("the server is silent")
        if now > self.pinged_at + 5:
            self.pinged_at = now
            self.send("PING\r\n")

    def read(self, seconds):
        self.socket.settimeout(seconds)
        try:
            read = self.socket.recv(1 << 16)
        except socket.timeout:
            return
        if not read:
            raise ConnectionError("the server closed")
        self.received += read
        self.heard_at = time.monotonic()


def follow(nats, prefix, online, tell):
    """Follows the feed until the connection breaks."""
    changes, told = f"{prefix}.presence.changes", f"{prefix}.presence.told"
    inbox, asked = f"_INBOX.{random.getrandbits(96):024x}", 0
    # First the feed, then the base: what is told in between is in the one or the other.
    nats.subscribe(changes, 1)
    nats.subscribe(f"{inbox}.*", 2)
    online.restart(0)
    while True:
        online.tick()
        now = time.monotonic()
        if not online.whole and now >= online.ask_at:
            asked += 1
            after = "" if online.after is None else json.dumps({"after": online.after})
            online.awaited = f"{inbox}.{asked}"
            nats.publish(told, online.awaited, after)
            online.ask_at = now + ASK_SECONDS + random.random()
        message = nats.next(0.2)
        if message is not None:
            take(online, message, changes)
        tell(online)


def take(online, message, changes):
    subject, body = message
    try:
        if subject == changes:
            online.hear(json.loads(body))
        elif subject == online.awaited and body is not None and not online.whole:
            online.land(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"ignored what cannot be read: {error!r}", file=sys.stderr)


def main(url, prefix="tengen"):
    online, was_whole = Online(), None

    def tell(online):
        nonlocal was_whole
        changes = online.take_changes()
        if changes or online.whole != was_whole:
            was_whole = online.whole
            opens = sorted(uid for uid, came in changes.items() if came)
            closes = sorted(uid for uid, came in changes.items() if not came)
            line = {"opens": opens, "closes": closes, "online": len(online.uids)}
            print(json.dumps(line | {"whole": online.whole}), flush=True)

    while True:
        try:
            follow(Nats(url), prefix, online, tell)
        except OSError as error:
            online.whole = False
            tell(online)
            print(f"not connected: {error}", file=sys.stderr)
            time.sleep(0.2 + random.random() / 2)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
