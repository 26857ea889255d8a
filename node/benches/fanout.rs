//! What one push costs until it stands in 1, 100 and 10,000 queues; and 10,000 pushes to as many users.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tengen_node::bench::FanOut;
use tengen_protocol::Codec;

/// 128 bytes of event, as in the other measurements.
fn event() -> Bytes {
    Bytes::from(format!(r#"["bench/push","{}"]"#, "x".repeat(112)))
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    for clients in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(clients as u64));
        group.bench_function(format!("one push to {clients} queues"), |bencher| {
            let mut fan_out = FanOut::new(1, clients, &Codec::ALL).expect("names");
            bencher.iter_custom(|pushes| timed(&mut fan_out, pushes, 1));
        });
    }
    let users = 10_000;
    group.throughput(Throughput::Elements(users as u64));
    group.bench_function(format!("{users} pushes to as many users"), |bencher| {
        let mut fan_out = FanOut::new(users, 1, &Codec::ALL).expect("names");
        bencher.iter_custom(|rounds| timed(&mut fan_out, rounds, users));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one push to a stranger", |bencher| {
        let mut fan_out = FanOut::new(10_000, 1, &Codec::ALL).expect("names");
        let event = event();
        bencher.iter(|| black_box(fan_out.push("stranger", &event)));
    });
    group.finish();
}

/// The time of `rounds` rounds of one push per user; what the clients do in between is not counted.
fn timed(fan_out: &mut FanOut, rounds: u64, users: usize) -> Duration {
    let event = event();
    let names: Vec<_> = (0..users).map(|user| format!("user{user}")).collect();
    let mut total = Duration::ZERO;
    for round in 0..rounds {
        let begun = Instant::now();
        for name in &names {
            black_box(fan_out.put(name, &event)).expect("an event");
        }
        fan_out.settle();
        total += begun.elapsed();
        // Far below max_queue_bytes: the queues are drained before they would be too long.
        if round % 1_000 == 999 || users > 1 || rounds < 1_000 {
            fan_out.drain();
        }
    }
    fan_out.drain();
    total
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
