//! Pushes one event to every client of a user:
//! `cargo run -p tengen-bus --example push -- nats://127.0.0.1:4222 alice chat/msg '{"text":"hi"}'`
use std::time::Duration;

use anyhow::Context as _;
use tengen_bus::{Bus, NatsOptions, Publish};
use tengen_protocol::{Uid, subject::Subjects};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, uid, id, data] = arguments.as_slice() else {
        anyhow::bail!("usage: push <nats url> <uid> <namespace/name> <json>");
    };
    let bus = Bus::nats(NatsOptions::new(url)).await?;
    let mut health = bus.health();
    let connected = health.wait_for(|health| health.is_up());
    tokio::time::timeout(Duration::from_secs(5), connected)
        .await
        .context("no NATS there")??;

    let event = serde_json::to_vec(&(id, serde_json::from_str::<serde_json::Value>(data)?))?;
    let subject = Subjects::default().send_to_uid(&Uid::parse(uid)?);
    bus.publish(Publish::new(subject, event)).await?;
    bus.drain().await;
    Ok(())
}
