//! Keeps a list of who is online in the whole cluster, and prints who comes and goes:
//! `cargo run -p tengen-bus --example online -- nats://127.0.0.1:4222`
use anyhow::Context as _;
use tengen_bus::presence::Follow;
use tengen_bus::{Bus, NatsOptions};
use tengen_protocol::subject::Subjects;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .context("usage: online <nats url>")?;
    let bus = Bus::nats(NatsOptions::new(url)).await?;
    let mut online = Follow::start(&bus, &Subjects::default()).await?;
    while let Some(change) = online.next().await {
        for uid in &change.opens {
            println!("+ {uid}");
        }
        for uid in &change.closes {
            println!("- {uid}");
        }
        let state = if online.is_whole() {
            ""
        } else {
            ", as last heard"
        };
        println!("{} online{state}", online.len());
    }
    Ok(())
}
