//! Which addresses are used and which are allowed.

use super::*;

#[test]
fn source_addresses_begin_at_127_0_0_2_and_change_every_eight_thousand() {
    let mut sources = Sources::default();
    let all: Vec<_> = (0..16_001).map(|_| sources.next()).collect();
    assert_eq!(all[0], Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(all[7_999], Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(all[8_000], Ipv4Addr::new(127, 0, 0, 3));
    assert_eq!(all[16_000], Ipv4Addr::new(127, 0, 0, 4));
}

#[test]
fn only_loopback_targets_are_allowed() {
    for (address, allowed) in [
        ("127.0.0.1", true),
        ("127.255.0.9", true),
        ("126.255.255.255", false),
        ("10.0.0.1", false),
        ("0.0.0.0", false),
        ("192.0.2.1", false),
        ("::1", false),
        ("::ffff:192.0.2.1", false),
    ] {
        assert_eq!(
            is_allowed_target(address.parse().unwrap()),
            allowed,
            "{address}"
        );
    }
}
