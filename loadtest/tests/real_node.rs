//! The built load test against the built node, small: every figure, every way to push, and refusals.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tengen_bus::testing::NatsServer;

/// The node that `cargo xtask test` names, else the one built beside this load test.
fn node() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_tengen-loadtest")).with_file_name("tengen-node");
    let node = std::env::var_os("TENGEN_NODE_BIN").map_or(beside, PathBuf::from);
    assert!(
        node.is_file(),
        "no node at {}: cargo build -p tengen-node, or set TENGEN_NODE_BIN",
        node.display()
    );
    node
}

/// Runs the load test off the runtime: it blocks.
async fn loadtest(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tengen-loadtest"));
    command.arg("--json").args(arguments);
    let running = tokio::task::spawn_blocking(move || command.output());
    running
        .await
        .expect("the wait does not panic")
        .expect("the binary was built")
}

/// Runs a figure that must be clean, and returns its report.
async fn figure(arguments: &[&str]) -> Value {
    let node = node();
    let node = node.to_str().expect("a path in UTF-8");
    let output = loadtest(&[&["--node-binary", node], arguments].concat()).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?}: {:?} {told}",
        output.status
    );
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

fn number(report: &Value, pointer: &str) -> f64 {
    report
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{pointer} of {report}"))
}

#[tokio::test]
async fn idle_measures_connections_that_all_live() {
    for clients in [
        &["--codec", "cbor"][..],
        &["--full-clients", "--codec", "json"],
    ] {
        let report =
            figure(&[&["idle", "--connections", "100", "--anonymous"], clients].concat()).await;
        assert_eq!(report["ledger"]["in_order"], 100, "{report}");
        let kib = number(&report, "/kib_per_connection");
        // With so few connections a page here or there counts; a connection of hundreds of KiB
        // would show all the same.
        assert!((0.0..60.0).contains(&kib), "{kib} KiB");
    }
}

#[tokio::test]
async fn fanout_over_the_admin_port_delivers_every_push_to_every_client() {
    let report = figure(&[
        "fanout",
        "--clients",
        "30",
        "--pushes",
        "20",
        "--rounds",
        "3",
    ])
    .await;
    assert_eq!(report["via"], "http");
    assert_eq!(report["ledger"]["in_order"], 30 * 20 * 3, "{report}");
    assert!(number(&report, "/floor_per_second") > 0.0);
    assert!(number(&report, "/node_cpu_micros") >= 0.0);
}

#[tokio::test]
async fn f59_throughput_over_nats_delivers_in_order_in_every_codec_and_way() {
    let nats = NatsServer::start().await;
    for (via, codec) in [
        ("batch", "cbor"),
        ("batch", "json"),
        ("plain", "cbor"),
        ("plain", "json"),
    ] {
        let prefix = format!("load-{via}-{codec}");
        let report = figure(
            &[
                &[
                    "--nats-url",
                    &nats.url(),
                    "--prefix",
                    &prefix,
                    "--via",
                    via,
                    "--codec",
                    codec,
                ][..],
                &["throughput", "--users", "40", "--rounds", "10"],
            ]
            .concat(),
        )
        .await;
        assert_eq!(report["via"], via);
        assert_eq!(report["ledger"]["in_order"], 400, "{report}");
        assert_eq!(report["told"], serde_json::json!({}), "{report}");
    }
}

#[tokio::test]
async fn b1_a_burst_to_many_clients_keeps_its_order_over_nats() {
    let nats = NatsServer::start().await;
    let report = figure(
        &[
            &["--nats-url", &nats.url(), "--readers", "2"][..],
            &[
                "fanout",
                "--clients",
                "50",
                "--pushes",
                "500",
                "--rounds",
                "2",
            ],
        ]
        .concat(),
    )
    .await;
    assert_eq!(report["ledger"]["in_order"], 50 * 500 * 2, "{report}");
}

#[tokio::test]
async fn a_missed_budget_fails_only_where_it_is_enforced() {
    // One client leaves nothing to share: six times the floor is out of reach.
    let node = node();
    let node = node.to_str().expect("a path in UTF-8");
    let arguments = ["fanout", "--clients", "1", "--pushes", "1", "--rounds", "3"];
    let report = figure(&arguments).await;
    assert_eq!(report["budget_met"], false, "{report}");
    let strict = loadtest(&[&["--enforce", "--node-binary", node], &arguments[..]].concat()).await;
    assert_eq!(strict.status.code(), Some(1));
}

#[tokio::test]
async fn targets_outside_this_machine_are_refused_before_anything_is_sent() {
    for arguments in [
        &["--url", "ws://192.0.2.1:80/chsk", "idle"][..],
        &[
            "--url",
            "ws://10.0.0.1/chsk",
            "--admin",
            "127.0.0.1:1",
            "throughput",
        ],
        &[
            "--url",
            "ws://127.0.0.1:1/chsk",
            "--admin",
            "192.0.2.1:9090",
            "fanout",
        ],
        &[
            "--url",
            "ws://127.0.0.1:1/chsk",
            "--nats-url",
            "nats://192.0.2.1:4222",
            "fanout",
        ],
    ] {
        let output = loadtest(arguments).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains("127.0.0.0/8"), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn counts_beyond_the_bounds_are_refused() {
    for arguments in [
        &["idle", "--connections", "0"][..],
        &["idle", "--connections", "100000"],
        &["fanout", "--pushes", "1000000000"],
        &["throughput", "--rounds", "1000000000"],
        &["--item-bytes", "3", "throughput"],
    ] {
        let output = loadtest(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn parked_polls_are_measured_while_all_of_them_live() {
    for codec in ["cbor", "json"] {
        let arguments = ["idle", "--connections", "100", "--poll", "--codec", codec];
        let report = figure(&arguments).await;
        assert_eq!(report["ledger"]["in_order"], 100, "{report}");
        assert_eq!(number(&report, "/budget_kib"), 12.0);
        let kib = number(&report, "/kib_per_connection");
        assert!((0.0..120.0).contains(&kib), "{kib} KiB");
    }
}

#[tokio::test]
async fn f106_a_burst_costs_little_more_than_its_payload_on_both_transports() {
    for codec in ["cbor", "json"] {
        let report = figure(&["transports", "--rounds", "5", "--codec", codec]).await;
        for row in 0..4 {
            assert_eq!(number(&report, &format!("/rows/{row}/count")), 5.0);
            assert!(number(&report, &format!("/rows/{row}/ratio")) > 0.0);
        }
        for transport in 0..2 {
            let ratio = number(&report, &format!("/volumes/{transport}/ratio"));
            assert!((1.0..=1.2).contains(&ratio), "{ratio}: {report}");
        }
        assert_eq!(report["budget_met"], true, "{report}");
    }
}

#[tokio::test]
async fn f62_ways_back_to_the_same_node_and_to_another_are_measured_and_lose_nothing() {
    let arguments = ["resume", "--rounds", "5", "--items", "3"];
    let report = figure(&arguments).await;
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["ledger"]["in_order"], 5 * 3, "{report}");

    let nats = NatsServer::start().await;
    let report = figure(&[&["--nats-url", &nats.url()][..], &arguments].concat()).await;
    assert_eq!(report["rows"][2]["name"], "takeover, other node");
    assert_eq!(report["rows"][2]["count"], 5);
    assert_eq!(report["ledger"]["in_order"], 5 * 3 * 2, "{report}");
}

#[tokio::test]
async fn watchers_of_who_is_online_are_all_told_and_measured() {
    let nats = NatsServer::start().await;
    let url = nats.url();
    let arguments = [
        "--nats-url",
        &url,
        "watchers",
        "--watchers",
        "3",
        "--announcements",
        "20",
    ];
    let report = figure(&arguments).await;
    assert_eq!(report["ledger"]["in_order"], 3 * 20, "{report}");
    assert!(report["kib_per_watcher"].is_number(), "{report}");
}

#[tokio::test]
async fn who_is_online_is_measured_on_nodes_that_agree() {
    let nats = NatsServer::start().await;
    let url = nats.url();
    let arguments = [
        "presence",
        "--nodes",
        "3",
        "--users",
        "40",
        "--rounds",
        "1",
        "--idle-seconds",
        "3",
    ];
    let report = figure(&[&["--nats-url", &url][..], &arguments].concat()).await;
    // One beat a second, whatever else there is.
    let idle = number(&report, "/idle_messages_per_minute");
    assert!((30.0..90.0).contains(&idle), "{report}");
    for (index, around) in [0, 40].into_iter().enumerate() {
        let change = &report["changes"][index];
        assert_eq!(change["users_around"], around, "{report}");
        assert_eq!(change["changes"], 80, "{report}");
        assert!(number(change, "/bytes") > 0.0, "{report}");
    }
}

#[tokio::test]
async fn f63_delivery_reports_are_measured_next_to_plain_pushes_and_are_right() {
    let nats = NatsServer::start().await;
    let arguments = ["reports", "--rounds", "10", "--pushes", "1"];
    let report = figure(&[&["--nats-url", &nats.url()][..], &arguments].concat()).await;
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(3), "{report}");
    for cost in report["costs"].as_array().expect("costs") {
        // It measures at least one turn of each.
        assert_eq!(cost["pushes"], 10_000, "{cost}");
    }
    // Without a second node there is nothing to ask.
    let output = loadtest(&["--node-binary", node().to_str().expect("a path"), "reports"]).await;
    assert_eq!(output.status.code(), Some(2));
}
