//! Tests of saturation: a clock that jumps must not end a session.

use std::time::Duration;

use super::Millis;

#[test]
fn arithmetic_saturates_both_ways() {
    assert_eq!(Millis(5) - Millis(7), Duration::ZERO);
    assert_eq!(Millis(7).since(Millis(5)), Duration::from_millis(2));
    assert_eq!(Millis::MAX + Duration::from_secs(1), Millis::MAX);
    assert_eq!(Millis(1) + Duration::MAX, Millis::MAX);
    assert_eq!(Millis(1) - Duration::MAX, Millis(0));
    assert_eq!(Millis(1) + Duration::from_micros(1999), Millis(2));
}
