//! What a million users cost: memory in the roster, snapshots, lookups, changes, the end of a node.
//!
//! `cargo xtask bench roster` prints the table (`cargo bench -p tengen-protocol --bench roster`);
//! `cargo test -p tengen-protocol --benches` runs the same with a few thousand users, as a check.
//! Times are of one run on whatever machine this is; what the process holds is read from the kernel.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use tengen_protocol::presence::{
    Beat, Delta, Epoch, Kinds, Message, Options, Roster, Snapshot, SyncAnswer, Users, digest_of,
};
use tengen_protocol::{Millis, NodeId, Uid};

// As in the node's program: what a user costs depends on who hands out the memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A part is cut at so many bytes, as a node does.
const PART_BYTES: usize = 256 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|filter| !"roster".contains(filter.as_str())) {
        return;
    }
    let users = if full { 1_000_000 } else { 5_000 };
    println!("Testing roster, {users} users of 36 characters on 3 nodes");
    let few = measure(users / 100, "few");
    let many = measure(users, "many");
    println!("{:<46} {:>12} {:>12}", "", users / 100, users);
    for ((what, few), (_, many)) in few.iter().zip(&many) {
        println!("{what:<46} {few:>12} {many:>12}");
    }
    println!("Success");
}

type Table = Vec<(&'static str, String)>;

/// A uid like a UUID, in an order of their own that has nothing to do with `n`.
fn uid(n: usize, salt: u64) -> String {
    let mut z = (n as u64)
        .wrapping_add(salt)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let low = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let (a, b, c) = (z >> 32, (z >> 16) & 0xffff, z & 0xffff);
    format!(
        "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}",
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// The users of one node, encoded as a snapshot in parts.
fn snapshot(node: &NodeId, uids: &[String], after: usize) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut rest = uids.iter().peekable();
    while rest.peek().is_some() {
        let mut users = Users::default();
        while users.bytes() < PART_BYTES
            && let Some(uid) = rest.next()
        {
            assert!(users.push(uid, Kinds::WS));
        }
        let part = parts.len() as u32;
        let answer = SyncAnswer::Part(Snapshot {
            node: node.clone(),
            epoch: Epoch(5),
            seq: after as u64,
            part,
            of: part + 1 + u32::from(rest.peek().is_some()),
            users,
            bans: Vec::new(),
        });
        parts.push(answer.encode());
    }
    parts
}

fn beat(node: &NodeId, seq: u64, uids: &[String]) -> Beat {
    Beat {
        node: node.clone(),
        epoch: Epoch(5),
        seq,
        digest: uids
            .iter()
            .fold(0, |sum, uid| sum ^ digest_of(uid, Kinds::WS)),
        users: uids.len() as u64,
        anonymous: [0; 2],
        ready: true,
        server_id: "s".into(),
        key_fingerprint: 0,
        at: Millis(0),
    }
}

/// Takes a snapshot in, as the driver hands it over.
fn sync(roster: &mut Roster, node: &NodeId, parts: &[Bytes], now: Millis) {
    for part in parts {
        let asks = roster.take_asks(now.plus(100));
        assert_eq!(asks.len(), 1);
        let answer = SyncAnswer::decode(part).expect("a part");
        roster.answered(node, Ok(answer), now);
        black_box(roster.take_diffs());
    }
}

fn measure(users: usize, salt: &str) -> Table {
    let mut table = Table::new();
    let nodes = ["n1", "n2", "n3"].map(|id| NodeId::parse(id).expect("an id"));
    let [me, n2, n3] = &nodes;
    let mut uids: Vec<String> = (0..users).map(|n| uid(n, salt.len() as u64)).collect();
    let all = {
        let mut sorted = uids.clone();
        sorted.sort_unstable();
        sorted
    };
    let third = users / 3;
    for share in [
        &mut (0..third),
        &mut (third..2 * third),
        &mut (2 * third..users),
    ] {
        uids[share.clone()].sort_unstable();
    }
    let (own, others) = uids.split_at(third);
    let (second, last) = others.split_at(third);
    let parts = [snapshot(n2, second, 1), snapshot(n3, last, 1)];

    let now = Millis(1_000);
    let before = resident();
    let mut roster = Roster::new(me.clone(), &Options::new(me.clone()), 1, now);
    roster.begin(Epoch(5), now);
    for (seq, some) in own.chunks(100).enumerate() {
        let changes: Vec<_> = some.iter().map(|uid| (known(uid), Kinds::WS)).collect();
        roster.own(Epoch(5), seq as u64 + 1, &changes, [0; 2], now);
        drop(roster.take_diffs());
    }
    for ((node, uids), parts) in [(n2, second), (n3, last)].into_iter().zip(&parts) {
        roster.hear(Message::Beat(beat(node, 1, uids)), now);
        sync(&mut roster, node, parts, now);
    }
    // The feed has told them all, as it will have soon.
    for uid in &uids {
        roster.set_told(&known(uid), true, now);
    }
    assert_eq!(roster.differing().count(), 0);
    assert_eq!(roster.counts().any, users);
    let held = resident().saturating_sub(before);
    table.push((
        "memory a user, its 36 bytes included (B)",
        each(held as f64, users),
    ));

    let started = Instant::now();
    let parts = snapshot(n2, &all, 9);
    table.push(("snapshot of all: parts", parts.len().to_string()));
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    table.push(("snapshot of all: bytes", bytes.to_string()));
    table.push(("snapshot of all: encode (ms)", millis(started)));
    let started = Instant::now();
    for part in &parts {
        black_box(SyncAnswer::decode(part).expect("a part"));
    }
    table.push(("snapshot of all: decode (ms)", millis(started)));

    lookups(&mut table, &roster, &uids, users);
    changes(&mut table, &mut roster, n3, now);
    end_of_a_node(&mut table, &all, &parts);
    table
}

fn lookups(table: &mut Table, roster: &Roster, uids: &[String], users: usize) {
    // In an order of their own, so that no two of them are neighbours.
    let some: Vec<Uid> = (0..100_000)
        .map(|n| known(&uids[n * 7_919 % users]))
        .collect();
    let started = Instant::now();
    for uid in &some {
        assert!(!black_box(roster.kinds(uid)).is_none());
    }
    table.push(("is a user online, and how (ns)", nanos(started, some.len())));
    let started = Instant::now();
    for uid in &some {
        black_box(roster.uid(uid).count());
    }
    table.push(("on which nodes (ns)", nanos(started, some.len())));
    let started = Instant::now();
    for _ in 0..10_000 {
        black_box(black_box(roster).counts());
    }
    table.push(("counts (ns)", nanos(started, 10_000)));
    let started = Instant::now();
    for uid in some.iter().take(1_000) {
        black_box(roster.page(Some(uid), 100, None));
    }
    table.push(("a page of 100 (µs)", micros(started, 1_000)));
}

/// What a beat and a change of a user cost, decoding included.
fn changes(table: &mut Table, roster: &mut Roster, node: &NodeId, now: Millis) {
    let mut deltas = Vec::new();
    for seq in 2u64..1_002 {
        // Fifty come, and go with the next delta.
        let kinds = if seq % 2 == 0 { Kinds::WS } else { Kinds::NONE };
        let names = (0..50).map(|n| known(&uid(n, seq / 2 * 1_000_003)));
        let delta = Delta {
            node: node.clone(),
            epoch: Epoch(5),
            seq,
            changes: names.map(|uid| (uid, kinds)).collect(),
        };
        deltas.push(Message::Delta(delta).encode());
    }
    let bytes: usize = deltas.iter().map(Bytes::len).sum();
    table.push((
        "a change on the bus, 50 a delta (B)",
        each(bytes as f64, 50_000),
    ));
    let started = Instant::now();
    for delta in &deltas {
        roster.hear(Message::decode(delta).expect("a delta"), now);
        black_box(roster.take_diffs());
    }
    table.push((
        "a change at a node, 50 a delta (ns)",
        nanos(started, 50_000),
    ));
    let same = beat(node, 1, &[]);
    let bytes = Message::Beat(same).encode();
    table.push(("a beat (B)", bytes.len().to_string()));
    let started = Instant::now();
    for _ in 0..10_000 {
        roster.hear(Message::decode(&bytes).expect("a beat"), now);
    }
    table.push(("a beat at a node (ns)", nanos(started, 10_000)));
}

/// All users on one node: taken in, then gone with it.
fn end_of_a_node(table: &mut Table, all: &[String], parts: &[Bytes]) {
    let [me, large] = ["n1", "n2"].map(|id| NodeId::parse(id).expect("an id"));
    let now = Millis(1_000);
    let mut roster = Roster::new(me.clone(), &Options::new(me), 1, now);
    roster.begin(Epoch(5), now);
    roster.hear(Message::Beat(beat(&large, 9, all)), now);
    let started = Instant::now();
    sync(&mut roster, &large, parts, now);
    table.push(("snapshot of all: decode and take in (ms)", millis(started)));
    assert_eq!(roster.counts().any, all.len());
    let bye = Message::Bye {
        node: large,
        epoch: Epoch(5),
    };
    roster.hear(bye, now);
    let mut now = now.plus(5_500);
    let (mut longest, mut sum) = (0.0f64, 0.0);
    while roster.counts().any > 0 {
        let started = Instant::now();
        roster.tick(now);
        black_box(roster.take_diffs());
        let took = started.elapsed().as_secs_f64() * 1e3;
        (longest, sum) = (longest.max(took), sum + took);
        now = now.plus(5);
    }
    table.push(("end of a node with all: work (ms)", format!("{sum:.1}")));
    table.push((
        "end of a node with all: longest step (ms)",
        format!("{longest:.2}"),
    ));
}

fn known(uid: &str) -> Uid {
    Uid::parse(uid).expect("a uid")
}

fn each(sum: f64, of: usize) -> String {
    format!("{:.1}", sum / of as f64)
}

fn millis(since: Instant) -> String {
    format!("{:.1}", since.elapsed().as_secs_f64() * 1e3)
}

fn micros(since: Instant, of: usize) -> String {
    each(since.elapsed().as_secs_f64() * 1e6, of)
}

fn nanos(since: Instant, of: usize) -> String {
    format!("{:.0}", since.elapsed().as_secs_f64() * 1e9 / of as f64)
}

/// Resident bytes of this process; 0 where the kernel does not say.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
