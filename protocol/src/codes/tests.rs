//! Tests of the tables: the numbers are the contract.

use super::{CloseCode, ErrorCode, Refusal};

#[test]
fn errors_have_the_numbers_of_the_specification() {
    let table: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| (code.0, code.name()))
        .collect();
    let names = [
        "bad-event",
        "bad-id",
        "no-namespace",
        "reserved",
        "undecodable",
        "too-large",
        "too-deep",
        "rate",
        "no-handler",
        "handler-failed",
        "timeout",
        "closed",
        "bus-down",
    ];
    assert_eq!(table, (1..).zip(names).collect::<Vec<_>>());
    let retryable: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| code.retryable())
        .collect();
    assert_eq!(retryable, [&ErrorCode::RATE, &ErrorCode::BUS_DOWN]);
    assert!(ErrorCode(1000).is_application() && !ErrorCode(999).is_application());
    assert_eq!(
        (ErrorCode(1000).name(), ErrorCode(999).name()),
        ("application", "unknown")
    );
    assert_eq!(
        Refusal::new(ErrorCode::RATE, "slow down").to_string(),
        "slow down (8 rate)"
    );
}

#[test]
fn close_codes_say_whether_to_come_back() {
    let table: Vec<_> = CloseCode::ALL
        .iter()
        .map(|code| (code.0, code.name(), code.comes_back()))
        .collect();
    assert_eq!(
        table,
        [
            (1001, "going-away", true),
            (1012, "service-restart", true),
            (4000, "move", true),
            (4001, "slow", true),
            (4002, "ping-timeout", true),
            (4003, "restarting", true),
            (4408, "no-hello", true),
            (4500, "protocol", false),
            (4501, "unauthorized", false),
            (4503, "forbidden", false),
            (4504, "kicked", false),
            (4505, "superseded", false),
            (4506, "too-many-errors", false),
            (4507, "version", false),
        ]
    );
    for (code, comes_back) in [
        (1000, true),
        (1006, true),
        (4499, true),
        (4999, false),
        (5000, true),
    ] {
        assert_eq!(CloseCode(code).comes_back(), comes_back, "{code}");
    }
}
