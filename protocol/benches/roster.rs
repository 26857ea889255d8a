//! What a million users cost: memory in the roster, snapshots, lookups, changes, the end of a node.
//!
//! `cargo xtask bench roster` prints the table (`cargo bench -p tengen-protocol --bench roster`);
//! `cargo test -p tengen-protocol --benches` runs the same with a few thousand users, as a check.
//! Times are of one run on whatever machine this is; what the process holds is read from the kernel.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use tengen_protocol::presence::{
    Beat, Delta, Epoch, Heard, Kinds, Message, Options, Roster, Snapshot, SyncAnswer, Users,
    digest_of,
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
    for ((_, few), (what, many)) in few.iter().zip(&many) {
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
    let untold = resident().saturating_sub(before);
    // The feed has told them all, as it will have soon.
    for uid in &uids {
        roster.set_told(&known(uid), true, now);
    }
    assert_eq!(roster.differing().count(), 0);
    assert_eq!(roster.counts().any, users);
    settle(users);
    let held = resident().saturating_sub(before);
    if users >= 100_000 {
        // Of few the process's own pages are the most.
        table.push((
            "memory a user while none is told yet (B)",
            each(untold as f64, users),
        ));
        table.push((
            "memory a user, its 36 bytes included (B)",
            each(held as f64, users),
        ));
    } else {
        table.extend(["", ""].map(|what| (what, "-".to_owned())));
    }
    let mut parts = Vec::new();
    let encode = best(|| parts = snapshot(n2, &all, 9));
    table.push(("snapshot of all: parts", parts.len().to_string()));
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    table.push(("snapshot of all: bytes", bytes.to_string()));
    table.push(("snapshot of all: encode (ms)", millis(encode)));
    let decode = best(|| {
        for part in &parts {
            black_box(SyncAnswer::decode(part).expect("a part"));
        }
    });
    table.push(("snapshot of all: decode (ms)", millis(decode)));

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
    let online = best(|| {
        for uid in &some {
            assert!(!black_box(roster.kinds(uid)).is_none());
        }
    });
    table.push(("is a user online, and how (ns)", nanos(online, some.len())));
    let again = best(|| {
        for uid in some.iter().take(50).cycle().take(some.len()) {
            assert!(!black_box(roster.kinds(uid)).is_none());
        }
    });
    table.push((
        "the same for fifty users, over and over (ns)",
        nanos(again, some.len()),
    ));
    let places = best(|| {
        for uid in &some {
            black_box(roster.uid(uid).count());
        }
    });
    table.push(("on which nodes (ns)", nanos(places, some.len())));
    let counts = best(|| {
        for _ in 0..10_000 {
            black_box(black_box(roster).counts());
        }
    });
    table.push(("counts (ns)", nanos(counts, 10_000)));
    let page = best(|| {
        for uid in some.iter().take(1_000) {
            black_box(roster.page(Some(uid), 100, None));
        }
    });
    table.push(("a page of 100 (µs)", each(page * 1e6, 1_000)));
}

/// A thousand deltas from `first` on: fifty users come with one, and go with the next; `groups` such
/// groups in turn.
fn deltas(node: &NodeId, first: u64, groups: u64) -> Vec<Bytes> {
    let delta = |seq: u64| {
        let kinds = if seq.is_multiple_of(2) {
            Kinds::WS
        } else {
            Kinds::NONE
        };
        let group = seq / 2 % groups + 1;
        let names = (0..50).map(|n| known(&uid(n, group * 1_000_003)));
        let delta = Delta {
            node: node.clone(),
            epoch: Epoch(5),
            seq,
            changes: names.map(|uid| (uid, kinds)).collect(),
        };
        Message::Delta(delta).encode()
    };
    (first..first + 1_000).map(delta).collect()
}

/// What a beat and a change of a user cost, decoding included.
fn changes(table: &mut Table, roster: &mut Roster, node: &NodeId, now: Millis) {
    let all = deltas(node, 2, 500);
    let bytes: usize = all.iter().map(Bytes::len).sum();
    table.push((
        "a change on the bus, 50 a delta (B)",
        each(bytes as f64, 50_000),
    ));
    let mut take_in = |all: &[Bytes]| {
        timed(|| {
            for delta in all {
                let heard = roster.hear(Message::decode(delta).expect("a delta"), now);
                assert_eq!(heard, Heard::Applied);
                black_box(roster.take_diffs());
            }
        })
    };
    let took = take_in(&all);
    table.push(("a change at a node, 50 a delta (ns)", nanos(took, 50_000)));
    let took = take_in(&deltas(node, 1_002, 1));
    table.push((
        "the same for fifty users, over and over (ns)",
        nanos(took, 50_000),
    ));
    let same = beat(node, 1, &[]);
    let bytes = Message::Beat(same).encode();
    let beats = best(|| {
        for _ in 0..10_000 {
            roster.hear(Message::decode(&bytes).expect("a beat"), now);
        }
    });
    table.push(("a beat at a node (ns)", nanos(beats, 10_000)));
}

/// All users on one node: taken in, then gone with it.
fn end_of_a_node(table: &mut Table, all: &[String], parts: &[Bytes]) {
    let [me, large] = ["n1", "n2"].map(|id| NodeId::parse(id).expect("an id"));
    let now = Millis(1_000);
    let mut roster = Roster::new(me.clone(), &Options::new(me), 1, now);
    roster.begin(Epoch(5), now);
    roster.hear(Message::Beat(beat(&large, 9, all)), now);
    let took = timed(|| sync(&mut roster, &large, parts, now));
    table.push(("snapshot of all: decode and take in (ms)", millis(took)));
    assert_eq!(roster.counts().any, all.len());
    let bye = Message::Bye {
        node: large,
        epoch: Epoch(5),
    };
    roster.hear(bye, now);
    let mut now = now.plus(5_500);
    let mut longest = 0.0f64;
    let work = timed(|| {
        while roster.counts().any > 0 {
            let started = Instant::now();
            roster.tick(now);
            black_box(roster.take_diffs());
            longest = longest.max(started.elapsed().as_secs_f64());
            now = now.plus(5);
        }
    });
    table.push(("end of a node with all: work (ms)", millis(work)));
    table.push(("end of a node with all: longest step (ms)", millis(longest)));
}

fn known(uid: &str) -> Uid {
    Uid::parse(uid).expect("a uid")
}

fn each(sum: f64, of: usize) -> String {
    format!("{:.1}", sum / of as f64)
}

/// Seconds of work of the fastest of five: others run on this machine too.
fn best(mut work: impl FnMut()) -> f64 {
    (0..5).map(|_| timed(&mut work)).fold(f64::MAX, f64::min)
}

/// Seconds of work: what the kernel says this thread has had, else what has passed.
fn timed(work: impl FnOnce()) -> f64 {
    let (started, had) = (Instant::now(), had());
    work();
    let passed = started.elapsed().as_secs_f64();
    match (had, self::had()) {
        // The kernel counts at its ticks: what is short is timed by the clock.
        (Some(before), Some(after)) if passed > 0.02 => after - before,
        _ => passed,
    }
}

/// Seconds that this thread has run.
fn had() -> Option<f64> {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: f64 = said.split(' ').next()?.parse().ok()?;
    Some(nanos / 1e9)
}

fn millis(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e3)
}

fn nanos(seconds: f64, of: usize) -> String {
    format!("{:.0}", seconds * 1e9 / of as f64)
}

/// Gives the allocator the time it takes, ten seconds, to hand back what it keeps for later.
fn settle(users: usize) {
    if users >= 100_000 {
        let started = Instant::now();
        while started.elapsed().as_secs() < 13 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            black_box(vec![0u8; 1 << 14]);
        }
    }
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
