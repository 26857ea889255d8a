//! What a takeover asks of the ingest of a busy node: everything applied lately that concerns one user.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tengen_protocol::takeover::{Identity, Journal};
use tengen_protocol::{Millis, Target, Uid};

/// As many of each kind as a journal remembers.
const EACH: u128 = 65_536;
const PUBLISHERS: u128 = 4_096;
/// Users who are pushed to, one after another.
const USERS: u128 = 10_000;

fn user(n: u128) -> Target {
    Target::Uid(Uid::parse(&format!("user-{n:031}")).expect("a uid"))
}

fn full() -> Journal {
    let (mut journal, now) = (Journal::new(), Millis(100_000));
    for n in 0..EACH {
        let target = user(n % USERS);
        journal.note(&target, &Identity::Message(n), now);
        journal.note(&target, &Identity::Content(n), now);
    }
    for publisher in 0..PUBLISHERS {
        let identity = Identity::Batched {
            publisher,
            seq: 7,
            index: 0,
            message: 0,
        };
        journal.note(&Target::All, &identity, now);
    }
    journal
}

fn journal(c: &mut Criterion) {
    let (journal, now) = (full(), Millis(105_000));
    let Target::Uid(alice) = user(42) else { return };
    c.bench_function("journal, full: what concerns one user", |b| {
        b.iter(|| journal.extract(black_box(Some(&alice)), now));
    });
    c.bench_function("journal, full: note a push", |b| {
        let mut journal = full();
        let target = user(42);
        let mut n = EACH;
        b.iter(|| {
            n += 1;
            journal.note(black_box(&target), &Identity::Message(n), now);
        });
    });
}

criterion_group!(benches, journal);
criterion_main!(benches);
