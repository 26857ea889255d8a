//! Percentiles and ratios.

use super::*;

fn way(name: &'static str, against: &'static str, micros: impl Iterator<Item = u64>) -> Way {
    let mut way = Way::new(name, against);
    micros.for_each(|micros| way.took(Duration::from_micros(micros)));
    way
}

#[test]
fn a_median_is_put_next_to_the_median_of_the_other_way() {
    let rows = rows(&[
        way("plain", "plain", (1..=101).rev()),
        way("resume", "plain", (1..=101).map(|micros| micros * 2)),
    ]);
    assert_eq!((rows[0].p50_micros, rows[0].p99_micros), (51.0, 100.0));
    assert_eq!((rows[0].ratio, rows[1].ratio), (1.0, 2.0));
    assert_eq!(rows[1].count, 101);
}

#[test]
fn a_volume_is_told_as_a_multiple_of_its_payload() {
    assert_eq!(Volume::new("ws", 100, 1_000, 1_100).ratio, 1.1);
}
