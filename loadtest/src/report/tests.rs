//! The arithmetic of a report and what its two forms show.

use super::*;

fn floor(writes: u64, seconds: f64) -> Floor {
    Floor {
        sockets: 10,
        frame_bytes: 140,
        writes,
        seconds,
        cpu_seconds: seconds / 2.0,
    }
}

fn report(ledger: Verdict) -> Report {
    let rounds = [(1_000, 0.01), (1_000, 0.02), (1_000, 0.1)];
    let speed = Speed::new(
        &rounds,
        [floor(100, 0.01), floor(300, 0.01)],
        0.85,
        Some(0.006),
    );
    Report {
        figure: "throughput",
        connections: 10,
        connects_per_second: 1_000.0,
        via: Via::Batch,
        budget_met: speed.share_of_floor >= speed.budget_share,
        result: Outcome::Speed(speed),
        ledger,
        told: BTreeMap::from([("bye 4001".to_owned(), 2)]),
        clean: false,
    }
}

#[test]
fn the_median_round_is_put_next_to_the_mean_floor() {
    let report = report(Verdict::default());
    let Outcome::Speed(speed) = &report.result else {
        unreachable!()
    };
    assert_eq!(speed.deliveries, 3_000);
    assert!((speed.per_second - 50_000.0).abs() < 1e-6);
    assert!((speed.floor_per_second - 20_000.0).abs() < 1e-6);
    assert!((speed.share_of_floor - 2.5).abs() < 1e-9);
    assert!((speed.node_cpu_micros.unwrap() - 2.0).abs() < 1e-9);
    assert!(report.budget_met);
}

#[test]
fn both_forms_show_losses_and_what_was_told() {
    let report = report(Verdict {
        in_order: 1,
        lost: 2,
        repeated: 3,
        reordered: 4,
    });
    let table = report.to_string();
    for part in [
        "1 in order, 2 lost, 3 repeated, 4 reordered",
        "2 × bye 4001",
        "NOT CLEAN",
    ] {
        assert!(table.contains(part), "{table}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["ledger"]["lost"], 2);
    assert_eq!(json["told"]["bye 4001"], 2);
    assert_eq!(json["via"], "batch");
    assert_eq!(json["deliveries"], 3_000);
}
