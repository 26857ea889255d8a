//! The parts of the NATS bus that need no server.

use std::time::Duration;

use super::{NatsOptions, convert, supervisor::addresses};
use crate::{Bus, Health, Publish, Subscribe};

#[test]
fn several_addresses_are_separated_by_commas() {
    let hosts = |url| {
        let addresses = addresses(url).expect("addresses");
        addresses
            .iter()
            .map(|a| format!("{}:{}", a.host(), a.port()))
            .collect::<Vec<_>>()
    };
    assert_eq!(hosts("127.0.0.1"), ["127.0.0.1:4222"]);
    assert_eq!(hosts("nats://a:1, tls://u:p@[::1]:2"), ["a:1", "::1:2"]);
}

#[test]
fn options_show_no_password() {
    let options = NatsOptions::new("nats://u:secret@127.0.0.1").name("n");
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn a_header_that_slipped_through_the_check_costs_itself_alone() {
    let message = Publish::new("x", "body")
        .header("A", "x\r\ny")
        .header("B", "fine");
    let headers = convert::outbound(message).headers.expect("headers");
    assert!(headers.get("A").is_none());
    assert_eq!(headers.get("B").map(|value| value.as_str()), Some("fine"));
}

#[tokio::test]
async fn without_a_server_everything_returns_at_once() {
    // Port 1 on loopback: nobody listens there.
    let bus = Bus::nats(NatsOptions::new("nats://127.0.0.1:1"))
        .await
        .expect("a good url");
    let quick = Duration::from_secs(5);
    let subscribed = tokio::time::timeout(quick, bus.subscribe("x", Subscribe::default())).await;
    assert!(subscribed.expect("at once").is_ok());
    let drained = tokio::time::timeout(quick, bus.drain()).await;
    assert!(drained.is_ok());
    assert!(matches!(&*bus.health().borrow(), Health::Down { .. }));
}
