//! Tests of the metrics' names and sums.

use std::collections::HashSet;

use super::*;

#[test]
fn names_are_unique_and_tell_their_kind() {
    let mut names = HashSet::new();
    for sample in Metrics::default().samples() {
        assert!(names.insert(sample.name), "{} twice", sample.name);
        assert!(sample.name.starts_with("tengen_"), "{}", sample.name);
        assert_eq!(
            sample.name.ends_with("_total"),
            sample.kind == Kind::Counter,
            "{}",
            sample.name
        );
        assert!(
            sample.help.ends_with('.'),
            "{}: {}",
            sample.name,
            sample.help
        );
    }
    assert!(names.len() > 20);
}

#[test]
fn a_sample_carries_what_was_counted() {
    let metrics = Metrics::default();
    metrics.hub.slow.add(2);
    metrics.hub.slow.increment();
    metrics.hub.sessions.set(7);
    metrics.hub.sessions.set(5);
    let value = |name: &str| {
        metrics
            .samples()
            .iter()
            .find(|s| s.name == name)
            .map(|s| s.value)
    };
    assert_eq!(value("tengen_hub_sessions_slow_total"), Some(3));
    assert_eq!(value("tengen_hub_sessions"), Some(5));
}

#[test]
fn a_value_is_found_by_its_index() {
    let metrics = Metrics::default();
    metrics.ingest.shed.add(9);
    let samples = metrics.samples();
    let index = samples
        .iter()
        .position(|s| s.name == "tengen_ingest_shed_total")
        .expect("listed");
    assert_eq!(metrics.value_at(index), 9);
    assert_eq!(metrics.value_at(samples.len()), 0);
}
