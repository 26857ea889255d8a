//! Tests of what the hub tells presence: who came, went, switched, came back, was handed over.

use tengen_protocol::Transport::{Poll, Ws};
use tengen_protocol::server::{PollTurn, Released};
use tengen_protocol::takeover::{Answer, Applied, Release};

use super::*;
use crate::hub::attendance::Change;

/// A hub whose line is taken.
fn attended() -> Arc<Hub> {
    let hub = hub();
    hub.line().open();
    hub
}

/// What presence would be told now, later than it is by so much.
fn told_after(hub: &Hub, millis: u64) -> Vec<Change> {
    let now = hub.now().plus(millis);
    let ports = hub.line().take();
    ports.iter().flat_map(|port| port.attendance(now)).collect()
}

fn told(hub: &Hub) -> Vec<Change> {
    told_after(hub, 0)
}

/// Says hello by polling, which may name a session.
fn polls(hub: &Arc<Hub>, hello: &ClientHello) -> Attachment {
    let attachment = hub
        .hello(hello, Some(uid("alice")), Codec::Json, Poll, hub.now())
        .expect("a session");
    let Attachment {
        port,
        attached,
        link,
        ..
    } = &attachment;
    let greeting = ServerHello {
        session: port.id.clone(),
        resumed: attached.resumed,
        gap: attached.gap,
        received: attached.received,
        uid: port.uid.clone(),
        data: Data::null(port.codec),
        ping_ms: 15_000,
        max_bytes: 1 << 19,
        node: node(),
    };
    let greeted = port.with(|inner| {
        inner.session.hello(*link, &greeting) && inner.session.poll_hello(*link, &mut Vec::new())
    });
    assert!(greeted);
    attachment
}

fn get(hub: &Hub, port: &Port, attempt: u64, n: u64) -> PollTurn {
    let now = hub.now();
    port.change(|session| session.poll(attempt, n, 0, now))
        .expect("its turn")
}

fn sweep_after(hub: &Hub, millis: u64) {
    let now = hub.now().plus(millis);
    for shard in 0..Crowd::SHARDS {
        hub.sweep(shard, now, &mut Default::default());
    }
}

#[test]
fn a_client_that_came_and_went_is_told_of_each_time_and_only_then() {
    let hub = attended();
    let tab = open(&hub, Some("alice"), "a");
    assert_eq!(told(&hub), [Change::Opened(Ws)]);
    push_now(&hub, Target::Uid(uid("alice")), r#"["t/n"]"#);
    tab.write();
    sweep_after(&hub, 1_000);
    assert_eq!(told(&hub), []);
    drop(tab);
    assert_eq!(told(&hub), [Change::Closed(Ws)]);
    sweep_after(&hub, 100_000);
    assert_eq!(told(&hub), []);
}

#[test]
fn what_changed_back_before_it_was_looked_at_is_told_to_nobody() {
    let hub = attended();
    let tab = open(&hub, Some("alice"), "a");
    told(&hub);
    let tab = tab.resumed(2, 0);
    let port = Arc::clone(tab.port());
    drop(tab);
    let again = hub
        .hello(
            &naming("a", 3, &port),
            Some(uid("alice")),
            Codec::Json,
            Ws,
            hub.now(),
        )
        .expect("resumed");
    assert_eq!(told(&hub), []);
    drop(again);
    assert_eq!(told(&hub), [Change::Closed(Ws)]);
}

#[test]
fn who_was_there_for_a_moment_is_told_of_all_the_same() {
    let hub = attended();
    drop(open(&hub, Some("alice"), "a"));
    assert_eq!(told(&hub), [Change::Opened(Ws), Change::Closed(Ws)]);
    assert_eq!(told(&hub), []);
}

#[test]
fn a_kicked_client_has_gone_before_its_connection_ends() {
    let hub = attended();
    let tab = open(&hub, Some("alice"), "a");
    told(&hub);
    hub.kick(&uid("alice"), "enough");
    assert_eq!(told(&hub), [Change::Closed(Ws)]);
    drop(tab);
    assert_eq!(told(&hub), []);
}

#[test]
fn f50_a_session_that_changes_its_transport_switches_and_one_that_had_gone_returns() {
    let hub = attended();
    let tab = open(&hub, Some("alice"), "a");
    told(&hub);
    let port = Arc::clone(tab.port());
    let poll = polls(&hub, &naming("a", 2, &port));
    assert_eq!(told(&hub), [Change::Switched { from: Ws, to: Poll }]);
    drop(tab);
    assert_eq!(told(&hub), [], "the old connection was not it any more");
    drop(poll);
    assert_eq!(told(&hub), [Change::Closed(Poll)]);
    let ws = hub.hello(
        &naming("a", 3, &port),
        Some(uid("alice")),
        Codec::Json,
        Ws,
        hub.now(),
    );
    assert_eq!(told(&hub), [Change::Returned { was: Poll, by: Ws }]);
    drop(ws);
    told(&hub);
    let late = polls(&hub, &naming("a", 4, &port));
    assert_eq!(told_after(&hub, 6_000), [Change::Opened(Poll)]);
    drop(late);
}

#[test]
fn f55_a_polling_client_is_there_between_two_gets_and_gone_soon_after_the_last() {
    let hub = attended();
    let attachment = polls(&hub, &hello("a", 1));
    let port = Arc::clone(&attachment.port);
    attachment.keep();
    assert_eq!(told(&hub), [Change::Opened(Poll)]);
    for n in 1..5 {
        let turn = get(&hub, &port, 1, n);
        // However long it is held.
        sweep_after(&hub, 20_000);
        let now = hub.now();
        port.with(|inner| {
            let bounds = hub.bounds();
            inner
                .session
                .poll_write(turn, &mut Vec::new(), 1_000, now, bounds)
        });
        sweep_after(&hub, 900);
        assert_eq!(told(&hub), []);
    }
    sweep_after(&hub, 1_100);
    assert_eq!(told(&hub), [Change::Closed(Poll)]);
    get(&hub, &port, 1, 5);
    let back = Change::Returned {
        was: Poll,
        by: Poll,
    };
    assert_eq!(told(&hub), [back]);
}

#[test]
fn f27_a_polling_client_whose_get_was_dropped_has_gone_at_once() {
    let hub = attended();
    let attachment = polls(&hub, &hello("a", 1));
    let port = Arc::clone(&attachment.port);
    attachment.keep();
    told(&hub);
    let turn = get(&hub, &port, 1, 1);
    let newer = get(&hub, &port, 1, 2);
    port.with(|inner| inner.leave_poll(turn));
    assert_eq!(told(&hub), [], "a newer one is held");
    port.with(|inner| inner.leave_poll(newer));
    assert_eq!(told(&hub), [Change::Closed(Poll)]);
}

#[test]
fn a_session_that_was_given_away_is_told_with_the_node_that_has_it() {
    let hub = attended();
    let tab = open(&hub, Some("alice"), "a");
    told(&hub);
    let b = NodeId::parse("n2").expect("valid");
    let release = Release {
        session: tab.port().id.clone(),
        take: 1,
        attempt: 2,
        received: 0,
        uid: Some(uid("alice")),
        client: tab.port().client.clone(),
        codec: Codec::Json,
        by: b.clone(),
        part: 0,
    };
    let (now, bounds) = (hub.now(), hub.bounds());
    let released = tab.port().change(|session| session.release(&release, now));
    assert!(matches!(released, Released::Fence));
    assert_eq!(told(&hub), [Change::Closed(Ws)]);
    let granted = tab.port().change(|session| {
        session.cut(1, true, Applied::default(), now, bounds);
        session.done(1, now)
    });
    assert_eq!(granted, Answer::Granted);
    let handed = Change::HandedOver {
        transport: Ws,
        to: b,
    };
    assert_eq!(told(&hub), [handed]);
    drop(tab);
    assert_eq!(told(&hub), []);
}

#[test]
fn a_session_stands_in_line_once_and_nobody_does_when_none_takes_it() {
    let hub = hub();
    let early = open(&hub, Some("alice"), "a");
    assert_eq!(hub.line().take().len(), 0);
    hub.line().open();
    let mut tab = open(&hub, Some("bob"), "b");
    for attempt in 2..100 {
        tab = tab.resumed(attempt, 0);
    }
    drop(tab);
    assert_eq!(hub.line().take().len(), 1);
    hub.line().close();
    drop(early);
    assert_eq!(hub.line().take().len(), 0);
}
