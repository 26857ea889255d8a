//! The closing lines of the runners are read as they are written.

use super::Count;

#[track_caller]
fn check(lines: &[&str], passed: usize, failed: usize) {
    let mut count = Count::default();
    for line in lines {
        count.see(line);
    }
    assert_eq!(count, Count { passed, failed });
}

#[test]
fn results_of_several_test_programs_add_up() {
    check(
        &[
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.25s",
        ],
        13,
        2,
    );
}

#[test]
fn results_of_node_are_read() {
    check(&["# tests 5", "# pass 4", "# fail 1", "# skipped 0"], 4, 1);
}

#[test]
fn benches_that_run_small_are_counted() {
    check(
        &[
            "Testing decode/event",
            "Success",
            "",
            "Testing decode/hello",
            "Success",
        ],
        2,
        0,
    );
}
