//! Tests of instants and of equality.

use super::{Time, Value};

#[test]
fn instants_are_those_of_rfc_3339() {
    for good in [
        "2026-11-21T03:21:42Z",
        "2026-11-21t03:21:42z",
        "2026-11-21T03:21:42.1Z",
        "2026-11-21T03:21:42.123456789012Z",
        "2024-02-29T00:00:00Z",
        "2000-02-29T23:59:59+23:59",
        "1990-12-31T23:59:60Z",
        "0000-01-01T00:00:00-00:00",
    ] {
        assert_eq!(Time::parse(good).expect(good).as_str(), good);
    }
    for bad in [
        "",
        "2026-11-21",
        "2026-11-21T03:21:42",
        "2026-11-21 03:21:42Z",
        "2026-11-21T03:21:42.Z",
        "2026-13-21T03:21:42Z",
        "2026-00-21T03:21:42Z",
        "2026-11-31T03:21:42Z",
        "2026-02-29T03:21:42Z",
        "1900-02-29T03:21:42Z",
        "2026-11-00T03:21:42Z",
        "2026-11-21T24:21:42Z",
        "2026-11-21T03:60:42Z",
        "2026-11-21T03:21:61Z",
        "2026-11-21T03:21:42+24:00",
        "2026-11-21T03:21:42+0100",
        "2026-11-21T03:21:42ZZ",
        "2026-11-21T03:21:4éZ",
        "+026-11-21T03:21:42Z",
        "2026-11-21T03:21:42Z\n",
    ] {
        assert_eq!(Time::parse(bad), None, "{bad}");
    }
}

#[test]
fn equality_is_sameness_on_the_wire() {
    assert_eq!(Value::Float(f64::NAN), Value::Float(-f64::NAN));
    assert_ne!(Value::Float(0.0), Value::Float(-0.0));
    assert_ne!(Value::Float(1.0), Value::Int(1));
    assert_ne!(Value::Text(String::new()), Value::Null);
}
