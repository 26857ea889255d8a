//! Rows of behaviour that take their time, each for every transport side by side: silence, outages, staying away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tengen_bus::testing::{Admission, Proxy, Whom};
use tengen_client::{Client, CloseReason};

use crate::pace::Pace;
use crate::process::NodeProcess;
use crate::visitors::{By, EVERY_WAY};
use crate::world::{eventually, scratch, within};

/// What a busy machine may take for what should happen at once.
const SLACK: Duration = Duration::from_secs(2);
/// A connection that has been quiet for so long is dead to the node.
const QUIET: Duration = Duration::from_secs(35);

/// One node on its embedded bus, and one client of it for each transport, each through a proxy of its own.
pub(crate) struct Stage {
    pace: Pace,
    node: NodeProcess,
    _folder: TempDir,
}

/// A client of the stage.
pub(crate) struct Guest {
    pub by: By,
    pub client: Client,
    pub proxy: Proxy,
}

impl Stage {
    pub(crate) async fn start() -> Stage {
        let pace = Pace::of_this_run();
        let folder = scratch();
        let node = NodeProcess::start("n0", folder.path(), &pace.settings());
        node.ready().await;
        Stage {
            pace,
            node,
            _folder: folder,
        }
    }

    async fn guest(&self, by: By) -> Guest {
        let proxy = Proxy::start(&[self.node.address]).await;
        let url = format!("ws://{}/chsk", proxy.address());
        let cookie = self.node.log_in(by.name()).await;
        let builder = self.pace.client(&url).header("cookie", &cookie);
        let client = by.of(builder).connect().await.expect("it connects");
        Guest { by, client, proxy }
    }

    pub(crate) async fn guests(&self) -> Vec<Guest> {
        join_all(EVERY_WAY.iter().map(|by| self.guest(*by))).await
    }

    pub(crate) async fn push(&self, uid: &str, data: &str) {
        let url = format!("http://{}/v1/send-to-uid/{uid}", self.node.admin);
        let event = json!(["t/large", data]).to_string();
        let answer = reqwest::Client::new().post(url).body(event).send().await;
        let status = answer.expect("the admin port answers").status();
        assert!(status.is_success(), "{status}");
    }
}

impl Guest {
    /// From now on nothing gets through in either direction, of new connections neither.
    fn vanish(&self) {
        self.proxy.admit(Whom::Everybody, Admission::Swallow);
        for link in self.proxy.links() {
            link.blackhole();
        }
    }

    fn is_open(&self) -> bool {
        self.client.state().borrow().open
    }

    pub(crate) async fn echo(&self) {
        let echo = self.client.request::<u64>("example/echo", &1);
        assert_eq!(within(SLACK * 5, "an echo", echo).await, Ok(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_an_idle_client_sees_no_change_and_no_silence_longer_than_the_keep_alive() {
    let stage = Stage::start().await;
    let guests = stage.guests().await;
    let watched = guests.iter().map(async |guest| {
        let mut state = guest.client.state();
        state.mark_unchanged();
        let longest = match guest.by.transport() {
            "poll" => stage.pace.poll,
            _ => stage.pace.ping,
        };
        let begun = Instant::now();
        let (mut passed, mut heard) = (guest.proxy.passed().1, Instant::now());
        while begun.elapsed() < stage.pace.idle {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = guest.proxy.passed().1;
            if now != passed {
                (passed, heard) = (now, Instant::now());
            }
            // The sweep that looks for whom to ping comes once a second.
            let silence = heard.elapsed();
            assert!(silence < longest + SLACK, "{:?}: {silence:?}", guest.by);
        }
        assert!(!state.has_changed().expect("it lives"), "{:?}", guest.by);
        guest.echo().await;
    });
    join_all(watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_f27_a_client_that_vanished_is_given_up_although_it_is_pushed_to() {
    let stage = Stage::start().await;
    let guests = stage.guests().await;
    let before = stage.node.metric("tengen_hub_sessions_silent_total").await;
    for guest in &guests {
        guest.vanish();
    }
    let begun = Instant::now();
    let expected = before + guests.len() as u64;
    while stage.node.metric("tengen_hub_sessions_silent_total").await < expected {
        // Within 40 s at the defaults; what the node writes is no sign of life of the client.
        let waited = begun.elapsed();
        assert!(waited < QUIET + Duration::from_secs(5), "{waited:?}");
        for guest in &guests {
            stage.push(guest.by.name(), "is anybody there?").await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_f28_a_server_that_vanished_is_given_up_although_it_is_sent_to() {
    let stage = Stage::start().await;
    let guests = stage.guests().await;
    let given_up = guests.iter().map(async |guest| {
        guest.vanish();
        let begun = Instant::now();
        // 25 s at the defaults.
        let limit = stage.pace.ping + stage.pace.grace;
        while guest.is_open() {
            let waited = begun.elapsed();
            assert!(waited < limit + SLACK, "{:?}: {waited:?}", guest.by);
            // What the client writes is no sign of life of the server.
            let sent = guest.client.send("example/note", "hello?").queue().await;
            drop(sent.expect("it runs"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let close = guest.client.state().borrow().last_close.clone();
        let reason = close.expect("it was open").reason;
        assert_eq!(reason, CloseReason::PingTimeout, "{:?}", guest.by);
    });
    join_all(given_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f29_every_client_is_back_after_its_server_was_away() {
    let mut stage = Stage::start().await;
    let mut guests = Vec::new();
    for _ in 0..8 {
        guests.extend(stage.guests().await);
    }
    stage.node.kill();
    tokio::time::sleep(stage.pace.outage).await;
    assert!(!guests.iter().any(Guest::is_open));
    stage.node.start_again();
    stage.node.ready().await;
    let back = async {
        for guest in &guests {
            let mut state = guest.client.state();
            let open = state.wait_for(|state| state.open);
            drop(open.await.expect("it lives"));
        }
    };
    within(stage.pace.backoff_cap + SLACK * 2, "all are back", back).await;
    join_all(guests.iter().map(Guest::echo)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f31_a_client_that_was_told_to_disconnect_stays_away_its_pending_retry_too() {
    let mut stage = Stage::start().await;
    let told = stage.guests().await;
    let retrying = stage.guests().await;
    for guest in &told {
        guest.client.disconnect().await.expect("it runs");
    }
    stage.node.kill();
    for guest in &retrying {
        let mut state = guest.client.state();
        let waiting = state.wait_for(|state| state.next_reconnect_at.is_some());
        let waiting = within(SLACK * 5, "a retry is pending", waiting).await;
        drop(waiting.expect("it lives"));
        guest.client.disconnect().await.expect("it runs");
        eventually("it stands still", async || {
            let state = guest.client.state().borrow().clone();
            !state.open && state.next_reconnect_at.is_none()
        })
        .await;
    }
    stage.node.start_again();
    stage.node.ready().await;
    for guest in told.iter().chain(&retrying) {
        eventually("it has left", async || guest.proxy.is_idle()).await;
    }
    let all = || told.iter().chain(&retrying);
    let before: Vec<_> = all().map(|guest| guest.proxy.accepted()).collect();
    tokio::time::sleep(stage.pace.away).await;
    let after: Vec<_> = all().map(|guest| guest.proxy.accepted()).collect();
    assert_eq!(before, after);

    // They can still come when they are told to (F33).
    for guest in all() {
        guest.client.connect().await.expect("it runs");
        eventually("it is open", async || guest.is_open()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f56_an_idle_poll_is_answered_after_its_time_and_the_client_polls_again_at_once() {
    let stage = Stage::start().await;
    let guest = stage.guest(By::Poll).await;
    let held = stage.pace.poll;
    let name = "tengen_poll_empty_total";
    let parked = || stage.node.metric("tengen_poll_parked");
    // From the end of one idle poll to the end of the next.
    let mut ends = Vec::new();
    let mut count = stage.node.metric(name).await;
    while ends.len() < 3 {
        let now = stage.node.metric(name).await;
        if now > count {
            assert_eq!(now, count + 1, "one poll at a time");
            (count, _) = (now, ends.push(Instant::now()));
            eventually("it polls again", async || parked().await == 1).await;
            let gap = ends[ends.len() - 1].elapsed();
            assert!(gap < SLACK, "at once, not after {gap:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for pair in ends.windows(2) {
        let took = pair[1] - pair[0];
        let off = took.abs_diff(held);
        // 20 % or 250 ms; and what a busy machine takes.
        let allowed = held.mul_f64(0.2).max(Duration::from_millis(250)) + SLACK / 4;
        assert!(off < allowed, "{took:?} instead of {held:?}");
    }
    assert!(guest.is_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_says_again_of_an_older_connection_changes_nothing() {
    let stage = Stage::start().await;
    let guests = stage.guests().await;
    let repeated = guests.iter().map(async |guest| {
        // Its second connection names the session; the third supersedes it.
        let mut second = None;
        for _ in 0..2 {
            second = guest.proxy.links().last().cloned();
            let before = guest.proxy.accepted();
            guest.client.reconnect().await.expect("it runs");
            eventually("it is back", async || {
                guest.proxy.accepted() > before && guest.is_open()
            })
            .await;
            guest.echo().await;
        }
        let session = guest.client.state().borrow().session.clone();
        let mut state = guest.client.state();
        state.mark_unchanged();
        let second = second.expect("it was connected");
        assert!(!second.first_bytes().is_empty(), "{:?}", guest.by);
        let mut again = second.replay().await.expect("the node listens");
        // Whatever the node has to say to it.
        let mut answer = [0; 64];
        let read = tokio::io::AsyncReadExt::read(&mut again, &mut answer);
        let read = within(SLACK * 5, "an answer", read).await;
        assert!(read.is_ok_and(|bytes| bytes > 0), "{:?}", guest.by);
        guest.echo().await;
        assert!(!state.has_changed().expect("it lives"), "{:?}", guest.by);
        assert_eq!(guest.client.state().borrow().session, session);
    });
    join_all(repeated).await;
}
