//! A page behind a narrow link: what is large takes long, and nobody takes that for silence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tengen_bus::testing::{Proxy, Shape};

use crate::demo::Demo;
use crate::page::{Browser, Tab};

/// As large as an item may be, with what stands around it. 32 s of the link's time: three times what a
/// page allows for silence here, which is 1 s for the ping and 10 s of grace.
const ITEM_BYTES: usize = (512 << 10) - 128;
/// 128 kbit/s.
const BYTES_PER_SECOND: u32 = 16 << 10;
/// For an item that goes up and comes back, on a machine that has other things to do too.
const PATIENCE: Duration = Duration::from_secs(240);

/// A socket for each transport, which keeps what it hears and how often it was not open.
const SOCKETS: &str = "(async () => {
    const { connect } = await import('/tengen/tengen.js');
    window.guests = await Promise.all(['ws', 'poll'].map(async (transport) => {
        const socket = await connect('/chsk', { transport });
        await socket.request('example/echo', 'before');
        const guest = { socket, transport, closes: 0, pushed: [], echoed: [] };
        socket.onState((state) => { guest.closes += state.open ? 0 : 1; });
        socket.on('t/large', ({ data }) => guest.pushed.push(data));
        return guest;
    }));
    return guests.map(({ socket }) => [socket.state.transport, socket.state.uid]);
})()";

/// What each of them has: the length of every push and of every echo, and whether it is as sent.
const FOUND: &str = "guests.map(({ transport, closes, pushed, echoed }) => {
    const told = (all) => all.map((text) => text === large ? text.length : `other: ${text.length} ${text}`.slice(0, 200));
    return [transport, closes, told(pushed), told(echoed)];
})";

/// The number of a metric of the only node.
async fn metric(demo: &Demo, name: &str) -> u64 {
    let url = format!("{}/metrics", demo.admin_url());
    let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap().parse().unwrap()
}

/// Waits until each transport has `found`, and says what it has instead when that takes too long.
async fn have(browser: &Browser, tab: &Tab, found: &Value) {
    let began = Instant::now();
    loop {
        let now = browser.ask(tab, FOUND).await;
        if now == *found {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{now}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_a_large_item_over_a_narrow_link_closes_no_page_in_either_direction_and_arrives_once() {
    let demo = Demo::alone_with(&[("TENGEN_PING", "1s"), ("TENGEN_POLL_TIMEOUT", "2s")]);
    let proxy = Proxy::start(&[demo.address()]).await;
    let page = format!("http://{}/", proxy.address());
    let browser = Browser::start().await;
    let tab = browser.first_tab(&page).await;
    browser.log_in(&tab, "alice").await;
    // The example page would show what is pushed; here only the package runs.
    browser.visit(&format!("{page}session")).await;
    assert_eq!(
        browser.awaited(&tab, SOCKETS).await,
        json!([["ws", "alice"], ["poll", "alice"]])
    );
    let large = format!("window.large = 'x'.repeat({ITEM_BYTES})");
    browser.run(&tab, &large).await;
    let silent = metric(&demo, "tengen_hub_sessions_silent_total").await;

    proxy.shape(Shape::slow(BYTES_PER_SECOND));
    let up = "for (const guest of guests) {
        guest.socket.request('example/echo', large, { timeout: 240000 })
            .then((text) => guest.echoed.push(text), (error) => guest.echoed.push(String(error)));
    }";
    let began = Instant::now();
    browser.run(&tab, up).await;
    let (none, one) = (json!([]), json!([ITEM_BYTES]));
    have(
        &browser,
        &tab,
        &json!([["ws", 0, none, one], ["poll", 0, none, one]]),
    )
    .await;
    let least = Duration::from_secs(2 * 30);
    assert!(began.elapsed() > least, "the link is not narrow");

    let url = format!("{}/v1/send-to-uid/alice", demo.admin_url());
    let event = json!(["t/large", "x".repeat(ITEM_BYTES)]).to_string();
    let answer = reqwest::Client::new().post(url).body(event).send().await;
    assert!(answer.unwrap().status().is_success());
    let all = json!([["ws", 0, one, one], ["poll", 0, one, one]]);
    have(&browser, &tab, &all).await;

    // Whatever came a second time would be there by the time of an answer.
    let after = "Promise.all(guests.map(({ socket }) => socket.request('example/echo', 'after')))";
    assert_eq!(
        browser.awaited(&tab, after).await,
        json!(["after", "after"])
    );
    assert_eq!(browser.ask(&tab, FOUND).await, all);
    assert_eq!(
        metric(&demo, "tengen_hub_sessions_silent_total").await,
        silent
    );
    browser.close().await;
}
