//! A takeover, and what becomes of it when a message of it is lost, a node dies, or somebody else is quicker.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tengen_bus::LocalNet;
use tengen_protocol::CloseCode;
use tengen_protocol::server::Standing;

use super::fixture::{Losing, Node, Tab, eventually, hello, node};
use crate::hub::HelloRefused;

/// Alice's session at `a`, with one push that she has not acknowledged.
async fn with_a_push(net: &LocalNet) -> (Node, Node, Tab) {
    let (a, b) = (node(net, "a").await, node(net, "b").await);
    let mut tab = a.begin().await;
    a.push(1).await;
    tab.until(1).await;
    (a, b, tab)
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_over_with_what_its_client_lacks() {
    let net = LocalNet::new();
    let (a, b, mut old) = with_a_push(&net).await;
    let id = old.id();
    let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    assert!(tab.resumed() && !tab.gap());
    a.push(2).await;
    tab.until(2).await;
    assert_eq!(tab.events, ["t/n 1", "t/n 2"]);
    assert_eq!(old.look(), Some(CloseCode::SUPERSEDED));
    let port = a.port(&id).expect("it still forwards");
    let standing = port.with(|inner| inner.session.standing());
    assert_eq!(standing, Standing::Moved);
    assert_eq!(a.metrics.takeover.given.value(), 1);
    assert_eq!(b.metrics.takeover.taken.value(), 1);
    assert_eq!(b.metrics.takeover.arriving.value(), 0);
    // Not for ever: what is left of it at the old node goes after the session's time.
    drop(port);
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert!(a.port(&id).is_none(), "it is forgotten");
    assert_eq!(a.hub.counts().sessions, 0);
    assert_eq!(a.hub.counts().queue_bytes, 0);
}

/// Loses messages that contain `subject`, and says whether the session came whole, and with which
/// events.
async fn losing(
    whose: impl FnOnce(&Node, &Node) -> Option<tengen_bus::Bus>,
    subject: &str,
    count: usize,
) -> (bool, Vec<String>) {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    let from = whose(&a, &b).and_then(|bus| net.id(&bus));
    faults.lose(from, subject, count);
    let attachment = b.hello(2, Some(&id)).await.expect("a session of some kind");
    faults.lose(None, "nothing", 0);
    assert!(faults.lost.load(Ordering::SeqCst) > 0, "{subject} is sent");
    let mut tab = b.tab(attachment);
    let whole = tab.resumed();
    assert_eq!(whole, !tab.gap(), "what is not whole says so");
    assert_eq!(whole, tab.id() == id);
    // Whatever became of it: from now on everything arrives, once.
    b.push(2).await;
    eventually_has(&mut tab, "t/n 2").await;
    (whole, tab.events)
}

async fn eventually_has(tab: &mut Tab, event: &str) {
    for _ in 0..5_000 {
        tab.look();
        if tab.events.iter().any(|got| got == event) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{event} expected, got {:?}", tab.events);
}

#[tokio::test(start_paused = true)]
async fn a_question_or_answer_lost_once_is_asked_again() {
    let (question, answer) = (".node.a.takeover", "_INBOX");
    for (subject, of_holder) in [(question, false), (answer, true)] {
        let whose = |a: &Node, _: &Node| of_holder.then(|| a.bus.clone());
        let (whole, events) = losing(whose, subject, 1).await;
        assert!(whole, "{subject}");
        assert_eq!(events, ["t/n 1", "t/n 2"], "{subject}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_be_heard_costs_the_session_and_is_told() {
    for (subject, of_holder) in [(".node.a.takeover", false), ("_INBOX", true)] {
        let whose = |a: &Node, _: &Node| of_holder.then(|| a.bus.clone());
        let (whole, events) = losing(whose, subject, usize::MAX).await;
        assert!(!whole, "{subject}");
        assert_eq!(events, ["t/n 2"], "{subject}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_done_or_its_yes_lost_once_is_said_again() {
    // The second message each way: the release and its one part come first.
    for second in ["question", "answer"] {
        let net = LocalNet::new();
        let faults = Losing::on(&net);
        let (a, b, old) = with_a_push(&net).await;
        let id = old.id();
        let (from, subject) = match second {
            "question" => (None, ".node.a.takeover"),
            _ => (net.id(&a.bus), "_INBOX"),
        };
        faults.lose_after(1, from, subject, 1);
        let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
        assert!(tab.resumed(), "{second}");
        assert_eq!(faults.lost.load(Ordering::SeqCst), 1, "{second}");
        b.push(2).await;
        tab.until(2).await;
        assert_eq!(tab.events, ["t/n 1", "t/n 2"], "{second}");
        assert_eq!(a.metrics.takeover.given.value(), 1, "given once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_does_not_come_back_is_told_as_a_gap() {
    let whose = |a: &Node, _: &Node| Some(a.bus.clone());
    let (whole, events) = losing(whose, "send-to.fence.a", usize::MAX).await;
    assert!(whole);
    assert_eq!(events[0], "t/n 1");
    assert!(events[1].starts_with("chsk/gap"), "{events:?}");
    assert_eq!(events[2..], ["t/n 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_gone_before_done_costs_the_session_and_is_told() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    // Its part arrives, and nothing of it after that: it may be dead, or only cut off.
    faults.lose_after(1, None, ".node.a.takeover", 1);
    let dies = async {
        eventually("the done is lost", || {
            faults.lost.load(Ordering::SeqCst) == 1
        })
        .await;
        drop(a);
    };
    let (attachment, ()) = tokio::join!(b.hello(2, Some(&id)), dies);
    let mut tab = b.tab(attachment.expect("a fresh one"));
    assert!(!tab.resumed());
    assert!(b.port(&id).is_none(), "nothing of it is left");
    b.push(2).await;
    eventually_has(&mut tab, "t/n 2").await;
    assert_eq!(tab.events, ["t/n 2"]);
    assert_eq!(b.metrics.takeover.fresh.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hello_at_the_holder_voids_the_takeover() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    // The client gave up on b and went back to a, by a higher attempt, before b was done.
    faults.lose_after(1, None, ".node.a.takeover", 1);
    let back = async {
        eventually("the done is lost", || {
            faults.lost.load(Ordering::SeqCst) == 1
        })
        .await;
        a.hello(3, Some(&id)).await
    };
    let (at_b, at_a) = tokio::join!(b.hello(2, Some(&id)), back);
    assert_eq!(at_b.err(), Some(HelloRefused::Superseded));
    let mut tab = a.tab(at_a.expect("resumed"));
    assert!(tab.resumed());
    a.push(2).await;
    tab.until(2).await;
    assert_eq!(tab.events, ["t/n 1", "t/n 2"]);
    assert!(b.port(&id).is_none(), "nothing of it is left at b");
    assert_eq!(b.hub.counts().sessions, 0);
    assert_eq!(a.metrics.takeover.void.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_moves_on_while_its_session_arrives_goes_on_with_it() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b, old) = with_a_push(&net).await;
    let c = node(&net, "c").await;
    let id = old.id();
    let tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    // On its way back to a, the yes of b is lost: until a has asked once more, it is nobody's.
    faults.lose_after(1, net.id(&b.bus), "_INBOX", 1);
    let moves_on = async {
        eventually("the yes is lost", || {
            faults.lost.load(Ordering::SeqCst) == 1
        })
        .await;
        c.hello(4, Some(&id)).await
    };
    let (_, at_c) = tokio::join!(a.hello(3, Some(&id)), moves_on);
    let mut at_c = c.tab(at_c.expect("a session"));
    assert!(at_c.resumed(), "the question to everybody waits for a");
    drop(tab);
    b.push(2).await;
    at_c.until(2).await;
    assert_eq!(at_c.events, ["t/n 1", "t/n 2"]);
}

#[tokio::test(start_paused = true)]
async fn two_hellos_at_one_node_share_a_takeover_and_the_higher_attempt_wins() {
    let net = LocalNet::new();
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    let (low, high) = tokio::join!(b.hello(2, Some(&id)), b.hello(3, Some(&id)));
    let mut tab = b.tab(high.expect("resumed"));
    assert!(tab.resumed());
    // The lower one was first and has been superseded, or came second and was refused.
    if let Ok(low) = low {
        let standing = low.port.with(|inner| inner.session.link());
        assert_ne!(standing, Some(low.link));
    }
    b.push(2).await;
    tab.until(2).await;
    assert_eq!(tab.events, ["t/n 1", "t/n 2"]);
    assert_eq!(a.metrics.takeover.given.value(), 1);
    assert_eq!(b.metrics.takeover.begun.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lower_attempt_takes_nothing_away() {
    let net = LocalNet::new();
    let (a, b) = (node(&net, "a").await, node(&net, "b").await);
    let first = a.tab(a.hello(5, None).await.expect("a session"));
    let id = first.id();
    let late = b.greet(hello("tab", 4, Some(&id))).await;
    assert_eq!(late.err(), Some(HelloRefused::Superseded));
    let port = a.port(&id).expect("it is there");
    assert_eq!(port.with(|inner| inner.session.standing()), Standing::Home);
    assert_eq!(b.hub.counts().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_owes_is_closed_when_its_node_is_gone() {
    let net = LocalNet::new();
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    old.sends(r#"[2,7,"t/ask"]"#);
    let port = a.port(&id).expect("it is there");
    assert!(port.with(|inner| inner.session.next_item()).is_some());
    let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    drop((a, port, old));
    eventually_has(&mut tab, "reply 7 12").await;
    assert_eq!(b.metrics.takeover.debts_given_up.value(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_live_node_is_trusted_to_pay_what_it_owes() {
    let net = LocalNet::new();
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    old.sends(r#"[2,7,"t/ask"]"#);
    let port = a.port(&id).expect("it is there");
    assert!(port.with(|inner| inner.session.next_item()).is_some());
    let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    tab.look();
    assert_eq!(tab.events, ["t/n 1"], "it is still being handled");
    assert_eq!(b.metrics.takeover.debts_given_up.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_only_the_old_node_hears_is_forwarded() {
    let net = LocalNet::new();
    let faults = Losing::on(&net);
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    let c = node(&net, "c").await;
    c.push(2).await;
    tab.until(2).await;
    // Between two servers of a cluster, say, b is cut off for one message.
    faults.lose_on_the_way_to(net.id(&b.bus), "send-to.", 1);
    let plain = tengen_bus::Publish::new("tengen.send-to.uid.alice", r#"["t/plain",3]"#);
    c.bus.publish(plain).await.expect("up");
    eventually_has(&mut tab, "t/plain 3").await;
    assert_eq!(faults.lost.load(Ordering::SeqCst), 1);
    assert_eq!(
        b.metrics.takeover.forwards_taken.value(),
        a.metrics.takeover.forwarded.value()
    );
    // It was held for a moment in case its own copy came, and stands behind a gap, because nobody
    // knows what else may be missing before it.
    let held = [
        "t/n 1",
        "t/n 2",
        "chsk/gap {\"reason\":\"takeover\"}",
        "t/plain 3",
    ];
    assert_eq!(tab.events, held);
    c.push(4).await;
    tab.until(5).await;
    assert_eq!(tab.events[4], "t/n 4");
}

#[tokio::test(start_paused = true)]
async fn what_both_nodes_hear_comes_once() {
    let net = LocalNet::new();
    let (a, b, old) = with_a_push(&net).await;
    let id = old.id();
    let mut tab = b.tab(b.hello(2, Some(&id)).await.expect("taken"));
    for number in 2..50 {
        a.push(number).await;
        let body = format!(r#"["t/plain",{number}]"#);
        let plain = tengen_bus::Publish::new("tengen.send-to.uid.alice", body);
        b.bus.publish(plain).await.expect("up");
    }
    // Until every forward that is held has been let out or dropped.
    tokio::time::sleep(Duration::from_secs(5)).await;
    tab.look();
    assert_eq!(tab.events.len(), 1 + 2 * 48);
    assert!(a.metrics.takeover.forwarded.value() > 0);
}
