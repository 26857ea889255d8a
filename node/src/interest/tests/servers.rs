//! Which servers are to prove themselves, and whom they are asked through, in virtual time.

use super::super::servers::{Neighbour, Servers, Step};
use super::*;

fn at(node: &str, server: &str, heard_at: u64) -> Neighbour {
    Neighbour {
        node: NodeId::parse(node).expect("valid"),
        me: node == "me",
        server: server.into(),
        heard_at: Millis(heard_at),
    }
}

fn ask(of: &[(&str, &str)]) -> Step {
    let asked = of.iter().map(|(server, node)| {
        let node = NodeId::parse(node).expect("valid");
        (Arc::from(*server), node)
    });
    Step::Ask(asked.collect())
}

/// Begun at 10,000, the second own beat back at 11,500.
fn after_two_beats(others: &[Neighbour]) -> (Servers, Vec<Neighbour>) {
    let mut servers = Servers::new("s1".into(), Millis(10_000));
    let mut nodes = others.to_vec();
    nodes.push(at("me", "s1", 10_500));
    assert_eq!(servers.look(&nodes, Millis(11_000)), Step::Wait);
    nodes.pop();
    nodes.push(at("me", "s1", 11_500));
    (servers, nodes)
}

#[test]
fn without_other_servers_the_own_second_beat_is_enough() {
    let mut servers = Servers::new("s1".into(), Millis(10_000));
    // A beat of before this confirmation does not count, nor does one that is seen twice.
    assert_eq!(servers.look(&[], Millis(10_000)), Step::Wait);
    for (heard, now, step) in [
        (9_900, 10_010, Step::Wait),
        (10_000, 10_020, Step::Wait),
        (10_900, 10_950, Step::Wait),
        (10_900, 11_000, Step::Wait),
        (11_900, 11_950, Step::Confirmed),
    ] {
        let nodes = [at("me", "s1", heard), at("b", "s1", heard)];
        assert_eq!(servers.look(&nodes, Millis(now)), step, "{now}");
    }
}

#[test]
fn every_other_server_is_asked_through_the_node_heard_last_and_all_have_to_answer() {
    let others = [
        at("b", "s2", 11_200),
        at("c", "s2", 11_300),
        at("d", "s3", 11_000),
        at("e", "s1", 11_400),
    ];
    let (mut servers, nodes) = after_two_beats(&others);
    let asked = servers.look(&nodes, Millis(11_600));
    assert_eq!(asked, ask(&[("s2", "c"), ("s3", "d")]));
    assert_eq!(servers.look(&nodes, Millis(11_650)), Step::Wait);
    servers.answered("s3");
    // A server that nobody asked about changes nothing.
    servers.answered("s9");
    assert_eq!(servers.look(&nodes, Millis(11_700)), Step::Wait);
    servers.answered("s2");
    assert_eq!(servers.look(&nodes, Millis(11_701)), Step::Confirmed);
}

#[test]
fn who_has_not_answered_after_half_a_second_is_left_for_another_node_of_its_server() {
    let others = [at("b", "s2", 11_200), at("c", "s2", 11_300)];
    let (mut servers, mut nodes) = after_two_beats(&others);
    assert_eq!(servers.look(&nodes, Millis(11_600)), ask(&[("s2", "c")]));
    assert_eq!(servers.look(&nodes, Millis(12_099)), Step::Wait);
    assert_eq!(servers.look(&nodes, Millis(12_100)), ask(&[("s2", "b")]));
    // Both silent: from the start, for as long as the server is heard.
    for node in &mut nodes {
        node.heard_at = Millis(12_600);
    }
    let Step::Ask(again) = servers.look(&nodes, Millis(12_600)) else {
        panic!("somebody is asked again")
    };
    assert_eq!(again.len(), 1);
}

#[test]
fn a_server_silent_for_three_seconds_is_gone_and_one_not_heard_of_late_was_never_there() {
    let others = [at("b", "s2", 11_200), at("old", "s3", 8_900)];
    let (mut servers, mut nodes) = after_two_beats(&others);
    // Of s3 nothing was heard for two seconds when this began.
    assert_eq!(servers.look(&nodes, Millis(11_600)), ask(&[("s2", "b")]));
    nodes[0].heard_at = Millis(12_000);
    let mut now = 11_600;
    loop {
        now += 50;
        match servers.look(&nodes, Millis(now)) {
            Step::Confirmed => break,
            Step::Ask(_) | Step::Wait => assert!(now < 15_000, "b was last heard at 12,000"),
        }
    }
    assert_eq!(now, 15_000);
}

#[test]
fn a_server_that_turns_up_meanwhile_is_to_be_proven_too() {
    let (mut servers, mut nodes) = after_two_beats(&[at("b", "s2", 11_200)]);
    assert_eq!(servers.look(&nodes, Millis(11_600)), ask(&[("s2", "b")]));
    nodes.push(at("d", "s4", 11_650));
    assert_eq!(servers.look(&nodes, Millis(11_660)), ask(&[("s4", "d")]));
    servers.answered("s2");
    assert_eq!(servers.look(&nodes, Millis(11_670)), Step::Wait);
    servers.answered("s4");
    assert_eq!(servers.look(&nodes, Millis(11_680)), Step::Confirmed);
}
