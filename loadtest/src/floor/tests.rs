//! The floor at a small size.

use super::*;

#[test]
fn the_floor_counts_one_write_per_socket_and_round() {
    let floor = measure(50, 160, 4).unwrap();
    assert_eq!(floor.writes, 200);
    assert!(
        floor.seconds > 0.0 && floor.per_second() > 1_000.0,
        "{floor:?}"
    );
}
