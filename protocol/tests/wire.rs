//! What this crate reads and writes, held against the golden files under `protocol/wire/`.

#[path = "wire/feed.rs"]
mod feed;
#[path = "wire/frames.rs"]
mod frames;
#[path = "wire/golden.rs"]
mod golden;
#[path = "wire/presence.rs"]
mod presence;
#[path = "wire/relay.rs"]
mod relay;
#[path = "wire/report.rs"]
mod report;
#[path = "wire/specification.rs"]
mod specification;
#[path = "wire/takeover.rs"]
mod takeover;
#[path = "wire/values.rs"]
mod values;
#[path = "wire/who.rs"]
mod who;
