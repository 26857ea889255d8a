//! What a frame costs: writing and reading each kind in each codec, checking a push, framing it.
//!
//! `cargo bench -p tengen-protocol` measures. `cargo test -p tengen-protocol --benches` runs every
//! body once, which is how the suite keeps them working.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tengen_protocol::{
    ClientFrame, ClientHello, CloseCode, Codec, Data, ErrorCode, EventId, Limits, OutFrame,
    RawEvent, Refusal, ServerFrame, ServerHello, Value,
};

/// A chat message of about 128 bytes.
fn small(codec: Codec) -> Data {
    let pairs = [
        ("from", Value::from("alice@example.com")),
        (
            "text",
            Value::from("shall we meet at the harbour at seven, as last time?"),
        ),
        ("at", Value::Int(1_795_231_302_500)),
        (
            "likes",
            Value::Array(vec![Value::Int(1), Value::Float(2.5), Value::Null]),
        ),
    ];
    let map = Value::Map(
        pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    );
    Data::from_value(codec, &map).expect("not deep")
}

/// About 64 KiB: a thousand times the same in one array.
fn large(codec: Codec) -> Data {
    let one = small(Codec::Cbor).value().expect("well-formed");
    Data::from_value(codec, &Value::Array(vec![one; 500])).expect("not deep")
}

fn id() -> EventId {
    EventId::parse("chat/said").expect("event id")
}

fn client_frames(codec: Codec) -> Vec<(&'static str, ClientFrame)> {
    let hello = ClientHello {
        client: "tab-1".try_into().expect("client id"),
        attempt: 3,
        session: Some("n1.AAAAAAAAAAAAAAAAAAAAAA".try_into().expect("session id")),
        received: Some(42),
        params: Some(small(codec)),
    };
    let request = ClientFrame::Request {
        request: 7,
        id: id(),
        data: small(codec),
        timeout_ms: 5000,
    };
    vec![
        ("hello", ClientFrame::Hello(hello)),
        (
            "event",
            ClientFrame::Event {
                id: id(),
                data: small(codec),
            },
        ),
        (
            "event 64 KiB",
            ClientFrame::Event {
                id: id(),
                data: large(codec),
            },
        ),
        ("request", request),
        (
            "ack",
            ClientFrame::Ack {
                received: 1_000_000,
            },
        ),
        ("ping", ClientFrame::Ping { ahead: None }),
        (
            "bye",
            ClientFrame::Bye {
                code: CloseCode(1000),
                reason: "page closed".into(),
            },
        ),
    ]
}

fn server_frames(codec: Codec) -> Vec<(&'static str, ServerFrame)> {
    let hello = ServerHello {
        session: "n1.AAAAAAAAAAAAAAAAAAAAAA".try_into().expect("session id"),
        resumed: true,
        gap: false,
        received: 42,
        uid: Some("alice@example.com".try_into().expect("uid")),
        data: small(codec),
        ping_ms: 15_000,
        max_bytes: 524_288,
        node: "n1".try_into().expect("node id"),
    };
    let refused = Err(Refusal::new(
        ErrorCode::NO_HANDLER,
        "nobody answers chat/history",
    ));
    vec![
        ("hello", ServerFrame::Hello(hello)),
        (
            "event",
            ServerFrame::Event {
                id: id(),
                data: small(codec),
            },
        ),
        (
            "event 64 KiB",
            ServerFrame::Event {
                id: id(),
                data: large(codec),
            },
        ),
        (
            "reply",
            ServerFrame::Reply {
                request: 7,
                outcome: Ok(small(codec)),
            },
        ),
        (
            "reply, refused",
            ServerFrame::Reply {
                request: 7,
                outcome: refused,
            },
        ),
        (
            "ack",
            ServerFrame::Ack {
                received: 1_000_000,
                sent: Some(1_000_000),
            },
        ),
        ("ping", ServerFrame::Ping { ahead: None }),
    ]
}

fn frames(c: &mut Criterion) {
    let limits = Limits::from_server(512 * 1024);
    for codec in Codec::ALL {
        let mut group = c.benchmark_group(format!("client {codec:?}"));
        for (name, frame) in client_frames(codec) {
            let bytes = frame.encode(codec);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(BenchmarkId::new("encode", name), |b| {
                b.iter(|| black_box(&frame).encode(codec));
            });
            group.bench_function(BenchmarkId::new("decode", name), |b| {
                b.iter(|| {
                    ClientFrame::decode(codec, black_box(&bytes).clone(), &limits).expect("golden")
                });
            });
        }
        group.finish();
        let mut group = c.benchmark_group(format!("server {codec:?}"));
        for (name, frame) in server_frames(codec) {
            let bytes = frame.encode(codec);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(BenchmarkId::new("encode", name), |b| {
                b.iter(|| OutFrame::from(black_box(&frame), codec));
            });
            group.bench_function(BenchmarkId::new("decode", name), |b| {
                b.iter(|| {
                    ServerFrame::decode(codec, black_box(&bytes).clone(), &limits).expect("golden")
                });
            });
        }
        group.finish();
    }
}

fn pushes(c: &mut Criterion) {
    let limits = Limits::default();
    for codec in Codec::ALL {
        for (size, data) in [("128 B", small(codec)), ("64 KiB", large(codec))] {
            let mut group = c.benchmark_group(format!("push {codec:?} {size}"));
            let event = RawEvent::new(codec, &id(), &data).expect("not deep");
            // A buffer that is already shared, as one from the bus is.
            let body: Bytes = event.body().clone();
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function("check", |b| {
                b.iter(|| {
                    RawEvent::check(codec, black_box(&body).clone(), &limits).expect("an event")
                });
            });
            for to in Codec::ALL {
                let name = if to == codec {
                    "frame, same codec"
                } else {
                    "frame, transcoded"
                };
                group.bench_function(name, |b| {
                    b.iter(|| black_box(&event).to_frame(to).expect("not deep"));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, frames, pushes);
criterion_main!(benches);
