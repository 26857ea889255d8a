//! The floor at a small size.

use super::*;

#[test]
fn the_floor_counts_one_write_per_socket_and_round() {
    let floor = measure(50, 160, 4).unwrap();
    assert_eq!(floor.writes, 200);
    assert!(
        floor.cpu_seconds > 0.0 && floor.cpu_seconds <= floor.seconds * 1.5,
        "{floor:?}"
    );
    assert!(
        floor.seconds > 0.0 && floor.per_second() > 1_000.0,
        "{floor:?}"
    );
}
