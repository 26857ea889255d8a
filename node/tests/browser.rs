//! The whole of it as a person sees it: the demo with three nodes, used by a real browser.
//!
//! `cargo xtask test browser` runs it; plain `cargo test` leaves it out, because it needs Chromium.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

#[path = "browser/demo.rs"]
mod demo;
#[path = "browser/lives.rs"]
mod lives;
#[path = "browser/narrow.rs"]
mod narrow;
#[path = "browser/page.rs"]
mod page;
#[path = "browser/readme.rs"]
mod readme;
#[path = "browser/story.rs"]
mod story;
#[path = "browser/transports.rs"]
mod transports;
