//! Long-polling against a server that misbehaves: lost answers, refusals, pages of proxies; nothing is lost, repeated or left hanging.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tengen_client::{
    Builder, Client, CloseReason, Codec, ConnectError, FailureKind, Transport, TransportChoice,
};
use tokio::runtime::Handle;

use crate::{
    http_server::{Asked, HttpServer},
    server::{soon, until},
};

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
const SESSION: &str = "test.AAAAAAAAAAAAAAAAAAAAAA";

/// A client that polls in JSON, and tries again soon.
fn polling(server: &HttpServer) -> Builder {
    let builder = server.client().transport(TransportChoice::Poll);
    brisk(builder)
}

fn brisk(builder: Builder) -> Builder {
    builder.codec(Codec::Json).options(|options| {
        options.backoff_base_ms = 10;
        options.backoff_cap_ms = 50;
        options.spread_ms = 10;
    })
}

/// The frames of a body.
fn frames(asked: &Asked) -> Vec<Value> {
    let text = std::str::from_utf8(&asked.body).expect("JSON is text");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("a frame a line")
}

/// Answers a hello; `counts` are whether it is resumed and what was received.
fn greet(asked: Asked, resumed: bool, received: u64) -> Value {
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/chsk")
    );
    let [hello] = frames(&asked).try_into().expect("a hello alone");
    assert_eq!(hello[0], 0);
    let answer = json!([0, {
        "session": SESSION, "resumed": resumed, "gap": false, "received": received,
        "uid": "ann", "data": null, "ping_ms": 15_000, "max_bytes": 524_288, "node": "test",
    }]);
    say(asked, &[answer]);
    hello[1].clone()
}

fn say(asked: Asked, frames: &[Value]) {
    let body: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
    asked.answer(200, &[NDJSON], body.as_bytes());
}

/// A client that is open, and its first GET.
async fn open(server: &mut HttpServer, change: impl FnOnce(Builder) -> Builder) -> (Client, Asked) {
    let client = change(polling(server))
        .spawn()
        .expect("the settings are right");
    let hello = server.next().await;
    assert!(!hello.headers.contains_key("tengen-session"));
    greet(hello, false, 0);
    until(&client, |state| state.open).await;
    (client, get(server).await)
}

/// The next GET; POSTs that carry no items are answered on the way.
async fn get(server: &mut HttpServer) -> Asked {
    loop {
        let asked = server.next().await;
        if asked.method == "GET" {
            return asked;
        }
        assert!(
            frames(&asked).iter().all(|it| it[0] == 4),
            "{:?}",
            asked.body
        );
        say(asked, &[json!([4, 0])]);
    }
}

async fn post(server: &mut HttpServer) -> Asked {
    let asked = server.next().await;
    assert_eq!(asked.method, "POST");
    asked
}

#[tokio::test]
async fn f23_f35_hello_get_and_post_follow_the_specification_and_nothing_upgrades() {
    let mut server = HttpServer::start().await;
    let builder = polling(&server)
        .client_id("tab-1")
        .params(&7)
        .cookie("a", "1");
    let client = builder.spawn().unwrap();
    let asked = server.next().await;
    assert!(!asked.is_upgrade());
    assert_eq!(asked.headers["content-type"], "application/x-ndjson");
    assert_eq!(asked.headers["cookie"], "a=1");
    assert!(!client.state().borrow().open, "not before the hello");
    let hello = greet(asked, false, 0);
    assert_eq!(hello, json!({"client": "tab-1", "attempt": 1, "params": 7}));
    let state = until(&client, |state| state.open).await;
    assert_eq!(state.transport, Some(Transport::Poll));

    let first = get(&mut server).await;
    assert_eq!(first.headers["tengen-session"], SESSION);
    assert_eq!(first.headers["tengen-attempt"], "1");
    assert_eq!((&*first.query["received"], &*first.query["n"]), ("0", "1"));
    let over = first.connection;
    let mut events = client.events();
    say(first, &[json!([1, "a/b", 1]), json!([1, "a/b", 2])]);
    for n in [1, 2] {
        let event = soon(events.recv()).await.unwrap();
        assert_eq!(event.data.to::<u32>().unwrap(), n);
    }
    let second = get(&mut server).await;
    assert_eq!(
        (&*second.query["received"], &*second.query["n"]),
        ("2", "2")
    );
    assert_eq!(second.connection, over, "the connection is kept");

    let sent = client.send("x/y", &true).queue().await.unwrap();
    let posted = post(&mut server).await;
    assert_eq!(posted.query["first"], "1");
    assert!(frames(&posted).contains(&json!([1, "x/y", true])));
    say(posted, &[json!([4, 1])]);
    soon(sent).await.unwrap();
    drop(second);
}

#[tokio::test]
async fn f26_a_hundred_events_in_a_tight_loop_leave_in_at_most_two_posts() {
    let mut server = HttpServer::start().await;
    let (client, _get) = open(&mut server, |builder| builder).await;
    let mut sent = Vec::new();
    for n in 0..100 {
        sent.push(client.send("x/y", &n).queue().await.unwrap());
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        let posted = post(&mut server).await;
        seen.extend(frames(&posted).into_iter().filter(|frame| frame[0] == 1));
        say(posted, &[json!([4, seen.len()])]);
        if seen.len() == 100 {
            break;
        }
    }
    let expected: Vec<Value> = (0..100).map(|n| json!([1, "x/y", n])).collect();
    assert_eq!(seen, expected);
    for sent in sent {
        soon(sent).await.unwrap();
    }
}

#[tokio::test]
async fn answers_that_are_lost_or_cut_are_asked_for_again_with_the_same_numbers() {
    let mut server = HttpServer::start().await;
    let (client, asked) = open(&mut server, |builder| builder).await;
    let mut events = client.events();
    assert_eq!(asked.query["received"], "0");
    asked.cut(200, &[NDJSON], b"[1,\"a/b\",1]\n");
    let again = get(&mut server).await;
    assert_eq!(again.query["received"], "0", "half an answer is none");
    assert_ne!(again.query["n"], "1", "each GET has a number of its own");
    again.lose();
    let again = get(&mut server).await;
    assert_eq!(again.query["received"], "0");
    say(again, &[json!([1, "a/b", 1])]);
    let event = soon(events.recv()).await.unwrap();
    assert_eq!(event.data.to::<u32>().unwrap(), 1);
    let waiting = get(&mut server).await;

    let sent = client.send("x/y", &1).queue().await.unwrap();
    post(&mut server).await.lose();
    let again = post(&mut server).await;
    assert_eq!(again.query["first"], "1");
    assert!(frames(&again).contains(&json!([1, "x/y", 1])));
    say(again, &[json!([4, 1])]);
    soon(sent).await.unwrap();
    assert!(client.state().borrow().open);
    assert_eq!(client.state().borrow().last_close, None);
    drop(waiting);
}

#[tokio::test]
async fn a_session_that_is_gone_is_named_in_the_next_hello() {
    let mut server = HttpServer::start().await;
    let (client, asked) = open(&mut server, |builder| builder).await;
    let pending = client.request::<()>("x/y", &()).queue().await.unwrap();
    say(post(&mut server).await, &[json!([4, 1])]);
    asked.answer(410, &[("Tengen-Error", "12")], b"");
    let hello = server.next().await;
    let hello = greet(hello, false, 0);
    assert_eq!(
        (&hello["session"], &hello["attempt"]),
        (&json!(SESSION), &json!(2))
    );
    let failure = soon(pending).await.unwrap_err();
    assert_eq!((failure.kind, failure.sent), (FailureKind::Closed, true));
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f40_a_client_that_is_superseded_begins_a_session_of_its_own_under_another_id() {
    let mut server = HttpServer::start().await;
    let (client, asked) = open(&mut server, |builder| builder.client_id("tab-1")).await;
    asked.answer(409, &[("Tengen-Error", "4505")], b"");
    let hello = greet(server.next().await, false, 0);
    assert_eq!(hello.get("session"), None);
    assert_ne!(hello["client"], "tab-1");
    let state = until(&client, |state| state.open).await;
    let close = state.last_close.as_ref().unwrap();
    assert_eq!(close.reason, CloseReason::Superseded);
}

#[tokio::test]
async fn f30_a_busy_node_says_when_to_come_back_and_is_left_alone_until_then() {
    let mut server = HttpServer::start().await;
    let client = polling(&server).spawn().unwrap();
    let asked = server.next().await;
    let begun = Instant::now();
    asked.answer(503, &[("Retry-After", "1"), ("Tengen-Error", "13")], b"");
    let state = until(&client, |state| state.next_reconnect_at.is_some()).await;
    assert_eq!(state.last_error.as_ref().unwrap().http_status, Some(503));
    greet(server.next().await, false, 0);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f30_a_refusal_of_ours_is_terminal_and_a_proxys_is_not() {
    for status in [401, 403] {
        let mut server = HttpServer::start().await;
        let connecting = soon(polling(&server).connect());
        let refuse = async {
            let asked = server.next().await;
            asked.answer(
                status,
                &[("Content-Type", "text/html")],
                b"<h1>a proxy</h1>",
            );
            let asked = server.next().await;
            asked.answer(status, &[("Tengen-Error", "1001")], b"");
        };
        let (connected, ()) = tokio::join!(connecting, refuse);
        let Err(ConnectError::Refused(state)) = connected else {
            panic!("{connected:?}")
        };
        let error = state.last_error.as_ref().unwrap();
        assert_eq!(error.http_status, Some(status));
        assert!(error.text.contains("1001"), "{}", error.text);
        assert_eq!(state.next_reconnect_at, None);
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer_of_a_node() {
    let mut server = HttpServer::start().await;
    let client = polling(&server).spawn().unwrap();
    let html = ("Content-Type", "text/html");
    server
        .next()
        .await
        .answer(200, &[html], b"<h1>log in to the hotel</h1>");
    greet(server.next().await, false, 0);
    until(&client, |state| state.open).await;
    let mut events = client.events();
    get(&mut server)
        .await
        .answer(200, &[html], b"<h1>hotel</h1>");
    // By the same connection or a new hello: what matters is that nothing of it is an event.
    loop {
        let asked = server.next().await;
        if asked.method == "GET" {
            say(asked, &[json!([1, "a/b", 1])]);
            break;
        }
        greet(asked, true, 0);
    }
    loop {
        let event = soon(events.recv()).await.unwrap();
        if !event.id.as_str().starts_with("chsk/") {
            assert_eq!(event.data.to::<u32>().unwrap(), 1);
            break;
        }
    }
}

#[tokio::test]
async fn f48b_a_cookie_of_the_first_contact_goes_with_every_later_request() {
    let mut server = HttpServer::start().await;
    let client = polling(&server).spawn().unwrap();
    let asked = server.next().await;
    assert!(!asked.headers.contains_key("cookie"));
    asked.answer(503, &[("Set-Cookie", "tengen=abc; Path=/; HttpOnly")], b"");
    let asked = server.next().await;
    assert_eq!(asked.headers["cookie"], "tengen=abc");
    greet(asked, false, 0);
    let asked = get(&mut server).await;
    assert_eq!(asked.headers["cookie"], "tengen=abc");
    until(&client, |state| state.open).await;
}

#[tokio::test]
async fn f95_close_says_goodbye_by_a_last_post_and_leaves_no_task_or_socket() {
    let mut server = HttpServer::start().await;
    let before = Handle::current().metrics().num_alive_tasks();
    let (client, waiting) = open(&mut server, |builder| builder).await;
    let pending = client.request::<()>("x/y", &()).queue().await.unwrap();
    say(post(&mut server).await, &[json!([4, 1])]);
    let closing = tokio::spawn(client.close());
    let goodbye = post(&mut server).await;
    let said = frames(&goodbye);
    let bye = said.last().expect("a frame");
    assert_eq!((&bye[0], &bye[1]), (&json!(7), &json!(1000)), "{said:?}");
    say(goodbye, &[json!([4, 1])]);
    soon(closing).await.unwrap();
    soon(waiting.gone)
        .await
        .expect("the GET that waited is dropped");
    let failure = soon(pending).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Closed);
    // The server's own tasks end as their connections do.
    let begun = Instant::now();
    while Handle::current().metrics().num_alive_tasks() > before {
        assert!(begun.elapsed() < Duration::from_secs(5), "tasks are left");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn f95_close_does_not_wait_for_a_server_that_does_not_answer() {
    let mut server = HttpServer::start().await;
    let (client, _waiting) = open(&mut server, |builder| builder).await;
    let begun = Instant::now();
    let closing = tokio::spawn(client.close());
    let _goodbye = post(&mut server).await;
    soon(closing).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn f34_break_connection_drops_every_socket_or_goes_silent_on_all_of_them() {
    let mut server = HttpServer::start().await;
    let builder = polling(&server).options(|options| options.grace_ms = 100);
    let client = builder.spawn().unwrap();
    greet(server.next().await, false, 0);
    let waiting = get(&mut server).await;
    client.break_connection(true).await.unwrap();
    soon(waiting.gone).await.expect("it is dropped");
    let hello = greet_with_pings(server.next().await);
    assert_eq!(hello["session"], SESSION);
    let _waiting = get(&mut server).await;
    client.break_connection(false).await.unwrap();
    let state = until(&client, |state| {
        let close = state.last_close.as_ref();
        close.is_some_and(|close| close.reason == CloseReason::PingTimeout)
    });
    state.await;
    greet(server.next().await, true, 0);
    until(&client, |state| state.open).await;
}

/// As [`greet`], resumed, with pings of a tenth of a second.
fn greet_with_pings(asked: Asked) -> Value {
    let [hello] = frames(&asked).try_into().expect("a hello alone");
    let answer = json!([0, {
        "session": SESSION, "resumed": true, "gap": false, "received": 0, "uid": "ann",
        "data": null, "ping_ms": 100, "max_bytes": 524_288, "node": "test",
    }]);
    say(asked, &[answer]);
    hello[1].clone()
}

/// What a server does with an upgrade.
type Hinder = fn(Asked);

#[tokio::test]
async fn f22_an_upgrade_that_fails_leads_to_long_poll_and_the_reason_is_in_the_state() {
    let hindrances: [(&str, Hinder); 4] = [
        ("200", |asked| asked.answer(200, &[], b"a page")),
        ("403", |asked| asked.answer(403, &[], b"a page")),
        ("500", |asked| asked.answer(500, &[], b"a page")),
        ("reset", Asked::lose),
    ];
    for (name, hinder) in hindrances {
        let mut server = HttpServer::start().await;
        let begun = Instant::now();
        let client = brisk(server.client()).spawn().unwrap();
        // A plain GET asks what the upgrade did not tell: the node has nothing against it.
        let hello = soon(async {
            loop {
                let asked = server.next().await;
                match (asked.is_upgrade(), asked.method.as_str()) {
                    (true, _) => hinder(asked),
                    (false, "GET") => asked.answer(204, &[], b""),
                    _ => break asked,
                }
            }
        })
        .await;
        greet(hello, false, 0);
        let state = until(&client, |state| state.open).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        assert_eq!(state.transport, Some(Transport::Poll), "{name}");
        let downgrade = state.downgrade.as_ref().expect(name);
        assert!(!downgrade.reason.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn f22_a_refusal_of_ours_is_no_reason_to_fall_back() {
    // Seen in the answer to the upgrade, or told to the plain GET after a failure without a word.
    let seen: Hinder = |asked| asked.answer(403, &[("Tengen-Error", "4503")], b"");
    for hinder in [seen, Asked::lose] {
        let mut server = HttpServer::start().await;
        let connecting = soon(brisk(server.client()).connect());
        let refuse = async {
            loop {
                let asked = server.next().await;
                assert_eq!(asked.method, "GET", "it does not poll");
                if asked.is_upgrade() {
                    hinder(asked);
                } else {
                    asked.answer(403, &[("Tengen-Error", "4503")], b"");
                }
            }
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            () = refuse => unreachable!("it goes on"),
        };
        let Err(ConnectError::Refused(state)) = connected else {
            panic!("{connected:?}")
        };
        let error = state.last_error.as_ref().unwrap();
        assert_eq!(error.http_status, Some(403));
        assert!(error.text.contains("4503"), "{}", error.text);
    }
}
