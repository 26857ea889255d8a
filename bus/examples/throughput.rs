//! Measures a bus on this machine: single messages, and pushes in batches, from one publisher to one subscription.
//! `cargo run --release -p tengen-bus --example throughput -- [nats://127.0.0.1:4222]`
use std::time::Instant;

use bytes::Bytes;
use tengen_bus::{
    Bus, Delivery, NatsOptions, Publish, Subscribe, Subscription,
    push::{Arrived, Publisher, Push, Sequences, Target, TryPushError, decode},
};
use tengen_protocol::{Codec, Millis, Uid, subject::Subjects};

const COUNT: usize = 2_000_000;
const USERS: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (a, b, kind) = match std::env::args().nth(1) {
        Some(url) => {
            let options = NatsOptions::new(url);
            (
                Bus::nats(options.clone()).await?,
                Bus::nats(options).await?,
                "nats",
            )
        }
        None => {
            let net = tengen_bus::LocalNet::new();
            (net.bus(), net.bus(), "local")
        }
    };
    for bus in [&a, &b] {
        bus.health().wait_for(|health| health.is_up()).await?;
    }
    let subjects = Subjects::default();
    // Room for everything: measured is the way, not what is shed when one end is slower.
    let options = Subscribe::default().max_queue_bytes(2 << 30);

    let heard = b
        .subscribe(&subjects.send_to_wildcard(), options.clone())
        .await?;
    let uids = (0..USERS)
        .map(|user| Uid::parse(&format!("user-{user}")))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = uids.iter().map(|uid| subjects.send_to_uid(uid)).collect();
    let body = Bytes::from(vec![b'x'; 128]);
    let begun = Instant::now();
    let receiving = tokio::spawn(receive_messages(heard));
    for number in 0..COUNT {
        a.publish(Publish::new(names[number % USERS].as_str(), body.clone()))
            .await?;
    }
    let sent = begun.elapsed();
    receiving.await??;
    report(kind, "128-byte messages published", sent.as_secs_f64());
    report(
        kind,
        "128-byte messages received",
        begun.elapsed().as_secs_f64(),
    );

    let heard = b.subscribe(&subjects.send_to_wildcard(), options).await?;
    let publisher = Publisher::start(a.clone(), &subjects);
    let pushes: Vec<Push> = uids
        .into_iter()
        .map(|uid| Push::new(Target::Uid(uid), Codec::Json, body.clone()))
        .collect();
    let begun = Instant::now();
    let receiving = tokio::spawn(receive_pushes(heard, subjects));
    for number in 0..COUNT {
        let push = &pushes[number % USERS];
        match publisher.try_push(push) {
            Ok(()) => {}
            Err(TryPushError::Full) => publisher.push(push).await?,
            Err(error) => return Err(error.into()),
        }
    }
    let batches = receiving.await??;
    report(
        kind,
        "pushes in batches, decoded",
        begun.elapsed().as_secs_f64(),
    );
    println!(
        "{kind}: {:.0} pushes a batch",
        COUNT as f64 / batches as f64
    );
    Ok(())
}

fn report(kind: &str, what: &str, seconds: f64) {
    println!("{kind}: {what}: {:.0}/s", COUNT as f64 / seconds);
}

async fn receive_messages(mut heard: Subscription) -> anyhow::Result<()> {
    let (mut left, mut out) = (COUNT, Vec::new());
    while left > 0 {
        left -= heard.recv_many(&mut out, 1024).await;
        for delivery in out.drain(..) {
            anyhow::ensure!(matches!(delivery, Delivery::Message(_)), "{delivery:?}");
        }
    }
    Ok(())
}

async fn receive_pushes(mut heard: Subscription, subjects: Subjects) -> anyhow::Result<usize> {
    let (mut left, mut batches) = (COUNT, 0);
    let (mut out, mut arrived) = (Vec::new(), Vec::new());
    let mut sequences = Sequences::new(Millis(0));
    while left > 0 {
        heard.recv_many(&mut out, 64).await;
        for delivery in out.drain(..) {
            let Delivery::Message(message) = delivery else {
                anyhow::bail!("{delivery:?}")
            };
            batches += 1;
            decode(&subjects, message, &mut sequences, &mut arrived);
            for one in arrived.drain(..) {
                anyhow::ensure!(matches!(one, Arrived::Push(..)), "{one:?}");
                left -= 1;
            }
        }
    }
    Ok(batches)
}
