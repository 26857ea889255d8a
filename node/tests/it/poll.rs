//! Long-poll at the home node, request by request: what is held, what is answered, and that nothing is lost between.

mod homes;
mod refusals;
mod relay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tengen_node::{Answer, Event, NodeBuilder, Payload};
use tengen_protocol::Uid;
use tokio::sync::{Notify, mpsc};

use crate::cluster::{Cluster, Kind, eventually, metric, soon};
use crate::each_bus;
use crate::poller::{Poller, lines};

fn echo(builder: NodeBuilder) -> NodeBuilder {
    builder.on("a/echo", async |Payload(value): Payload<Value>| {
        Answer(value)
    })
}

fn uid(name: &str) -> Uid {
    Uid::parse(name).expect("a uid")
}

async fn push(cluster: &Cluster, node: usize, name: &str, value: Value) {
    let handle = cluster.node(node).handle();
    let pushed = handle.send_to_uid(uid(name), "x/y", &value).await;
    pushed.expect("pushed");
}

each_bus!(
    f05_a_request_by_post_is_answered_by_get,
    f59_a_hundred_pushes_leave_in_one_answer_in_order,
    f62_what_is_pushed_between_two_gets_is_kept_and_a_lost_answer_comes_again,
);

async fn f05_a_request_by_post_is_answered_by_get(kind: Kind) {
    let cluster = Cluster::with(kind, 1, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let asked = [
        json!([2, 1, "a/echo", {"n": 1}, 5000]),
        json!([2, 2, "a/echo", null, 5000]),
    ];
    assert_eq!(tab.post(0, &asked).await, 2);
    let mut answers = tab.take(0).await;
    if answers.len() < 2 {
        answers.extend(tab.take(0).await);
    }
    assert_eq!(
        answers,
        [json!([3, 1, 0, {"n": 1}]), json!([3, 2, 0, null])]
    );
}

async fn f59_a_hundred_pushes_leave_in_one_answer_in_order(kind: Kind) {
    let cluster = Cluster::with(kind, 1, |builder| {
        // Long enough for the slowest machine; the pushes themselves take a few milliseconds.
        builder.settings(|config| config.poll_window = Duration::from_secs(1))
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let getting = tokio::spawn(async move {
        let items = tab.take(0).await;
        (tab, items)
    });
    eventually("the GET is held", async || {
        metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;
    for number in 0..100 {
        push(&cluster, 0, "alice", json!(number)).await;
    }
    let (tab, items) = soon("the answer", getting).await.expect("no panic");
    let expected: Vec<_> = (0..100).map(|number| json!([1, "x/y", number])).collect();
    assert_eq!(items, expected);
    assert_eq!(tab.n, 1, "one poll");
}

async fn f62_what_is_pushed_between_two_gets_is_kept_and_a_lost_answer_comes_again(kind: Kind) {
    let cluster = Cluster::start(kind, 1).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    push(&cluster, 0, "alice", json!(1)).await;
    push(&cluster, 0, "alice", json!(2)).await;
    let expected = [json!([1, "x/y", 1]), json!([1, "x/y", 2])];
    let first = {
        // Nobody counts this answer: as if it had been lost on its way.
        let mut lost = tab.clone();
        lost.take_many(2).await
    };
    assert_eq!(first, expected);
    tab.n = 10;
    assert_eq!(tab.take_many(2).await, expected);
    push(&cluster, 0, "alice", json!(3)).await;
    assert_eq!(tab.take(0).await, [json!([1, "x/y", 3])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_a_post_returns_before_its_handler_ends() {
    let gate = Arc::new(Notify::new());
    let (began, mut begun) = mpsc::unbounded_channel();
    let held = Arc::clone(&gate);
    let cluster = Cluster::with(Kind::Local, 1, move |builder| {
        let (held, began) = (Arc::clone(&held), began.clone());
        builder.on("a/slow", move |event: Event| {
            let (held, began) = (Arc::clone(&held), began.clone());
            async move {
                began
                    .send(event.wants_reply())
                    .expect("the test still listens");
                held.notified().await;
            }
        })
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    assert_eq!(tab.post(0, &[json!([1, "a/slow"])]).await, 1);
    assert_eq!(soon("the handler", begun.recv()).await, Some(false));
    gate.notify_one();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_hundred_events_in_one_post_reach_the_handler_in_order() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let cluster = Cluster::with(Kind::Local, 1, move |builder| {
        let told = told.clone();
        builder.on("a/n", move |Payload(number): Payload<u64>| {
            let told = told.clone();
            async move { told.send(number).expect("the test still listens") }
        })
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let events: Vec<_> = (0..100).map(|number| json!([1, "a/n", number])).collect();
    assert_eq!(tab.post(0, &events).await, 100);
    for number in 0..100 {
        assert_eq!(soon("an event", heard.recv()).await, Some(number));
    }
    // The same body again, as a proxy repeats it: counted, and nothing is handled twice.
    let again = tab.post_at(0, 1, &lines(&events)).await.frames();
    assert_eq!(again[0][1], 100);
    assert_eq!(tab.post(0, &[json!([1, "a/n", 100])]).await, 101);
    assert_eq!(soon("an event", heard.recv()).await, Some(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_f85_a_posts_items_see_its_own_headers_and_the_hellos_params() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let cluster = Cluster::with(Kind::Local, 1, move |builder| {
        let told = told.clone();
        builder
            .handshake_data(async |_, _| Ok("welcome"))
            .on("a/who", move |event: Event| {
                let told = told.clone();
                async move {
                    let parts = event.parts();
                    let header = |name: &str| {
                        let value = parts.headers.get(name)?;
                        value.to_str().ok().map(str::to_owned)
                    };
                    let params: Value = event.params().to().expect("params");
                    let data: String = event.handshake().to().expect("handshake data");
                    let seen = json!({
                        "method": parts.method.as_str(),
                        "uri": parts.uri.to_string(),
                        "x": header("x-post"),
                        "params": params,
                        "data": data,
                        "transport": event.transport().name(),
                        "loopback": event.peer().ip().is_loopback(),
                    });
                    told.send(seen).expect("the test still listens");
                }
            })
    })
    .await;
    let mut tab = Poller::new(&cluster, None);
    tab.attempt = 1;
    let hello = tab.say_hello(0, json!({"params": {"room": 7}})).await;
    let hello = &hello.frames()[0][1];
    assert_eq!(hello["data"], "welcome");
    tab.session = hello["session"].as_str().expect("an id").to_owned();
    for number in 1..=2 {
        let x = format!("post {number}");
        let headers = [("content-type", "application/x-ndjson"), ("x-post", &x)];
        let query = format!("?first={number}");
        let body = lines(&[json!([1, "a/who"])]);
        let posted = tab.request(0, "POST", &query, &headers, body.into()).await;
        assert_eq!(posted.frames()[0][1], number);
        let seen = soon("the event", heard.recv()).await.expect("open");
        let expected = json!({
            "method": "POST", "uri": format!("/chsk?first={number}"), "x": x,
            "params": {"room": 7}, "data": "welcome", "transport": "poll", "loopback": true,
        });
        assert_eq!(seen, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f56_an_idle_poll_is_answered_empty_in_time_and_asked_again() {
    let timeout = Duration::from_millis(700);
    let cluster = Cluster::with(Kind::Local, 1, |builder| {
        builder.settings(|config| config.poll_timeout = timeout)
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = tab.get(0).await;
        assert_eq!(answer.frames(), Vec::<Value>::new());
        assert_eq!(answer.body, b"");
        let held = begun.elapsed();
        assert!(held >= timeout, "{held:?}");
        assert!(held < timeout + Duration::from_secs(3), "{held:?}");
    }
    push(&cluster, 0, "alice", json!(1)).await;
    assert_eq!(tab.take(0).await, [json!([1, "x/y", 1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_n_replaces_a_held_get_and_a_lower_one_is_refused() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let held = |mut tab: Poller| tokio::spawn(async move { tab.get(0).await });
    let is_held = async |count: u64| {
        eventually("held", async || {
            metric(&cluster, 0, "tengen_poll_parked").await == 1
                && metric(&cluster, 0, "tengen_poll_replaced_total").await == count
        })
        .await;
    };
    tab.n = 4;
    let first = held(tab.clone());
    is_held(0).await;
    // The same GET once more, as a proxy repeats it: the first is answered with nothing.
    let second = held(tab.clone());
    let first = soon("the first", first).await.expect("no panic");
    assert_eq!(first.frames(), Vec::<Value>::new());
    is_held(1).await;
    // One of before, that comes late: it changes nothing.
    tab.n = 2;
    tab.get(0).await.is_refusal(409, "4505");
    push(&cluster, 0, "alice", json!(1)).await;
    let second = soon("the second", second).await.expect("no panic");
    assert_eq!(second.frames()[0], json!([1, "x/y", 1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_drops_its_get_leaves_nothing_held() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let mut dropped = tab.clone();
    let getting = tokio::spawn(async move { dropped.get(0).await });
    let parked = async || metric(&cluster, 0, "tengen_poll_parked").await;
    eventually("held", async || parked().await == 1).await;
    getting.abort();
    eventually("let go", async || parked().await == 0).await;
    assert_eq!(metric(&cluster, 0, "tengen_poll_abandoned_total").await, 1);
    push(&cluster, 0, "alice", json!(1)).await;
    tab.n = 1;
    assert_eq!(tab.take(0).await, [json!([1, "x/y", 1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_goes_from_poll_to_a_websocket_and_back() {
    let cluster = Cluster::with(Kind::Local, 1, echo).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    assert_eq!(tab.post(0, &[json!([2, 1, "a/echo", 1, 5000])]).await, 1);
    assert_eq!(tab.take(0).await, [json!([3, 1, 0, 1])]);
    let mut waiting = tab.clone();
    let held = tokio::spawn(async move { waiting.get(0).await });
    eventually("held", async || {
        metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;

    let mut ws = crate::bad_input::open_as(&cluster, "alice").await;
    let hello = json!([0, {"client": "tab", "attempt": 2, "session": tab.session, "received": 1}]);
    ws.send(&hello.to_string()).await;
    let hello: Value = serde_json::from_str(&ws.text().await).expect("json");
    assert_eq!(hello[1]["resumed"], true);
    assert_eq!(hello[1]["received"], 1);
    // Whatever still comes or waits on the older connection is refused, and changes nothing.
    let held = soon("the held GET", held).await.expect("no panic");
    held.is_refusal(409, "4505");
    tab.get(0).await.is_refusal(409, "4505");
    let late = tab.post_at(0, 2, "[2,9,\"a/echo\",9,5000]\n").await;
    late.is_refusal(409, "4505");
    ws.send(r#"[2,2,"a/echo",2,5000]"#).await;
    assert_eq!(ws.text_that_begins("[3,").await, "[3,2,0,2]");

    tab.attempt = 2;
    tab.received = 1;
    let hello = tab.hello(0).await;
    assert_eq!(hello["resumed"], true);
    assert_eq!(hello["received"], 2);
    assert_eq!(tab.take(0).await, [json!([3, 2, 0, 2])], "not yet counted");
    ws.refused(4505).await;
    assert_eq!(tab.post(0, &[json!([2, 3, "a/echo", 3, 5000])]).await, 3);
    assert_eq!(tab.take(0).await, [json!([3, 3, 0, 3])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f64_a_kicked_client_that_polls_is_told_by_its_next_get() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let mut held = Poller::open(&cluster, 0, Some("alice")).await;
    let mut between = Poller::new(&cluster, Some("alice"));
    between.client = "other".to_owned();
    between.hello(0).await;
    push(&cluster, 0, "alice", json!("before")).await;
    let first = tokio::spawn(async move {
        let mut frames = held.get(0).await.frames();
        held.received += 1;
        frames.extend(held.get(0).await.frames());
        frames
    });
    eventually("the first has the push and is held again", async || {
        metric(&cluster, 0, "tengen_poll_answered_total").await == 1
            && metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;
    let kicked = cluster.node(0).handle().kick(&uid("alice"), "out").await;
    kicked.expect("kicked");
    let before = json!([1, "x/y", "before"]);
    let bye = |frame: &Value| frame[0] == 7 && frame[1] == 4504 && frame[2] == "out";
    let told = soon("the held one", first).await.expect("no panic");
    assert_eq!(told[0], before);
    assert!(bye(told.last().expect("a bye")), "{told:?}");
    let told = between.get(0).await.frames();
    assert_eq!(told[0], before);
    assert!(bye(told.last().expect("a bye")), "{told:?}");
    between.get(0).await.is_refusal(410, "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_answers_held_polls_first() {
    let mut cluster = Cluster::start(Kind::Local, 1).await;
    let mut tab = Poller::open(&cluster, 0, Some("alice")).await;
    let held = tokio::spawn(async move { tab.get(0).await });
    eventually("held", async || {
        metric(&cluster, 0, "tengen_poll_parked").await == 1
    })
    .await;
    soon("the node stops", cluster.take(0).stop()).await;
    let frames = soon("the answer", held).await.expect("no panic").frames();
    assert_eq!(frames[0][0], 7);
    assert_eq!(frames[0][1], 4003);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_waits_for_room_and_nothing_is_lost_or_repeated() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (told, mut heard) = mpsc::unbounded_channel();
    let held = Arc::clone(&gate);
    let cluster = Cluster::with(Kind::Local, 1, move |builder| {
        let (held, told) = (Arc::clone(&held), told.clone());
        builder.on("a/n", move |Payload(number): Payload<u64>| {
            let (held, told) = (Arc::clone(&held), told.clone());
            async move {
                held.acquire().await.expect("open").forget();
                told.send(number).expect("the test still listens");
            }
        })
    })
    .await;
    let mut tab = Poller::open(&cluster, 0, None).await;
    let events: Vec<_> = (0..600).map(|number| json!([1, "a/n", number])).collect();
    let taken = tab.post(0, &events).await;
    assert!((256..600).contains(&taken), "{taken} of 600");
    let rest = events[taken as usize..].to_vec();
    let mut waiting = tab.clone();
    let posting = tokio::spawn(async move {
        waiting.post(0, &rest).await;
        waiting
    });
    gate.add_permits(600);
    let mut tab = soon("room", posting).await.expect("no panic");
    while tab.posted < 600 {
        let rest = events[tab.posted as usize..].to_vec();
        tab.post(0, &rest).await;
    }
    for number in 0..600 {
        assert_eq!(soon("an event", heard.recv()).await, Some(number));
    }
    assert!(heard.try_recv().is_err());
}
