//! The page over long-poll, chosen or because something on the way lets no WebSocket through.

use std::time::Duration;

use tengen_bus::testing::{Admission, Proxy, Whom};

use crate::demo::Demo;
use crate::page::{Browser, Tab};

/// Pushes to everyone what the page is told to count, as any program would.
struct Pusher {
    url: String,
    http: reqwest::Client,
    pushed: u64,
}

impl Pusher {
    fn new(demo: &Demo) -> Pusher {
        Pusher {
            url: format!("{}/v1/send-to-all", demo.admin_url()),
            http: reqwest::Client::new(),
            pushed: 0,
        }
    }

    /// One after another, so that some are always on their way.
    async fn push(&mut self, count: u64) {
        for _ in 0..count {
            let event = format!(r#"["test/number", {}]"#, self.pushed);
            let answer = self.http.post(&self.url).body(event).send().await;
            assert!(answer.unwrap().status().is_success());
            self.pushed += 1;
        }
    }
}

/// Has the page keep the numbers that arrive in `numbers`.
async fn count_numbers(browser: &Browser, tab: &Tab) {
    let script = "window.numbers = []; socket.on('test/number', ({ data }) => numbers.push(data));";
    browser.run(tab, script).await;
}

/// Opens a socket of its own in the page and tells how it opened: transport, milliseconds, reason.
const TRY: &str = "(async () => {
    const { connect } = await import('/tengen/tengen.js');
    const began = performance.now();
    const socket = await connect('/chsk');
    const state = await new Promise((open) => socket.onState((state) => state.open && open(state)));
    const took = performance.now() - began;
    const echo = await socket.request('example/echo', 'through').catch(String);
    socket.close();
    return [state.transport, took < 5000, Boolean(state.downgrade?.reason), echo, took];
})()";

#[tokio::test(flavor = "multi_thread")]
async fn f22_whatever_stops_websockets_polling_takes_over_within_five_seconds() {
    let demo = Demo::alone();
    let proxy = Proxy::start(&[demo.address()]).await;
    let browser = Browser::start().await;
    let tab = browser
        .first_tab(&format!("http://{}/", proxy.address()))
        .await;
    for obstacle in [
        Admission::status(200),
        Admission::status(403),
        Admission::status(500),
        Admission::Reset,
        Admission::Swallow,
    ] {
        proxy.admit(Whom::Upgrades, obstacle.clone());
        let tried = browser.awaited(&tab, TRY).await;
        assert_eq!(
            tried.as_array().map(|tried| &tried[..4]),
            Some(&["poll".into(), true.into(), true.into(), "through".into()][..]),
            "{obstacle:?}: {tried}"
        );
    }
    proxy.admit(Whom::Upgrades, Admission::Pass);
    let tried = browser.awaited(&tab, TRY).await;
    assert_eq!(tried[0], "ws", "{tried}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f22b_a_page_on_long_poll_moves_up_when_websockets_work_again_and_misses_and_repeats_nothing()
 {
    let demo = Demo::start();
    let proxy = Proxy::start(&[demo.address()]).await;
    proxy.admit(Whom::Upgrades, Admission::status(403));
    let browser = Browser::start().await;
    let tab = browser
        .first_tab(&format!("http://{}/", proxy.address()))
        .await;
    browser
        .until(&tab, "text('transport').startsWith('poll')")
        .await;
    browser
        .until(
            &tab,
            "!document.getElementById('downgrade').hidden && text('downgrade').includes('No WebSocket')",
        )
        .await;
    browser.log_in(&tab, "alice").await;
    // The login itself was one: the session of nobody could not go on as alice's.
    browser.click(&tab, "clear").await;
    count_numbers(&browser, &tab).await;

    let mut pusher = Pusher::new(&demo);
    pusher.push(100).await;
    browser.until(&tab, "numbers.length === 100").await;
    browser.click(&tab, "echo").await;
    browser.sees(&tab, "reply", "example/echo").await;
    if let Some(path) = std::env::var_os("TENGEN_SCREENSHOT_POLL") {
        std::fs::write(path, browser.screenshot(&tab).await).unwrap();
    }

    proxy.admit(Whom::Upgrades, Admission::Pass);
    let began = tokio::time::Instant::now();
    while browser
        .ask(&tab, "text('transport').startsWith('ws')")
        .await
        != true
    {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it stays on long-poll"
        );
        pusher.push(20).await;
    }
    pusher.push(100).await;
    let all = pusher.pushed;
    browser
        .until(&tab, &format!("numbers.length >= {all}"))
        .await;
    let in_order =
        format!("numbers.length === {all} && numbers.every((number, place) => number === place)");
    assert_eq!(
        browser.ask(&tab, &in_order).await,
        true,
        "{}",
        browser.ask(&tab, "JSON.stringify(numbers)").await
    );
    assert_eq!(
        browser.rows(&tab, "failed", "chsk/gap").await,
        0,
        "{}",
        browser.ask(&tab, "document.body.innerText").await
    );
    assert_eq!(
        browser
            .ask(&tab, "document.getElementById('downgrade').hidden")
            .await,
        true
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f98_every_control_of_the_page_works_on_each_transport_and_codec() {
    let demo = Demo::start();
    let proxy = Proxy::start(&[demo.address()]).await;
    let (browser, other) = tokio::join!(Browser::start(), Browser::start());
    let url = format!("http://{}/", proxy.address());
    let tab = browser.first_tab(&url).await;
    let stranger = other.first_tab(demo.url()).await;
    let (blocked, free) = (Admission::status(403), Admission::Pass);
    for (choice, upgrades, transport, codec, level) in [
        ("poll", &free, "poll", "cbor", "warn"),
        // The page need not know that something on the way lets no WebSocket through.
        ("auto", &blocked, "poll", "json", "debug"),
        ("ws", &free, "ws", "json", "info"),
    ] {
        proxy.admit(Whom::Upgrades, upgrades.clone());
        browser.choose(&tab, "transport-choice", choice).await;
        browser.choose(&tab, "codec", codec).await;
        let shown = format!("{transport} · {}", codec.to_uppercase());
        browser
            .until(&tab, &format!("open() && text('transport') === '{shown}'"))
            .await;
        let uid = format!("alice-{transport}-{codec}");
        browser.log_in(&tab, &uid).await;
        browser.click(&tab, "clear").await;

        browser.click(&tab, "echo").await;
        browser.sees(&tab, "reply", "example/echo").await;
        browser.click(&tab, "slow").await;
        browser.sees(&tab, "failed", "example/slow · timeout").await;
        other.click(&stranger, "clear").await;
        browser.click(&tab, "broadcast").await;
        browser.sees(&tab, "push", "100 of 100, in order").await;
        other.sees(&stranger, "push", "100 of 100, in order").await;
        browser.click(&tab, "loop").await;
        browser.sees(&tab, "push", "example/tick").await;
        browser.click(&tab, "loop").await;
        browser
            .until(
                &tab,
                "document.getElementById('loop').getAttribute('aria-pressed') === 'false'",
            )
            .await;

        browser.click(&tab, "disconnect").await;
        browser.sees(&tab, "library", "requested-disconnect").await;
        browser.click(&tab, "connect").await;
        browser.opened(&tab).await;
        browser.click(&tab, "reconnect").await;
        browser.sees(&tab, "library", "requested-reconnect").await;
        browser.opened(&tab).await;
        browser.click(&tab, "break").await;
        browser.sees(&tab, "library", "unexpected").await;
        browser.opened(&tab).await;

        browser.click(&tab, "clear").await;
        browser.choose(&tab, "node-level", level).await;
        browser.sees(&tab, "reply", "example/log-level").await;

        // Ten logins in a second, and what comes of them is one user.
        browser.click(&tab, "logins").await;
        browser.run(&tab, "window.after = performance.now()").await;
        browser
            .until(
                &tab,
                &format!("performance.now() - after > 1500 && open() && text('uid') === '{uid}'"),
            )
            .await;
        browser.click(&tab, "logout").await;
        browser
            .until(&tab, "open() && text('uid') === 'anonymous'")
            .await;
    }
    browser.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f99_over_a_bad_connection_everything_still_arrives_once_and_in_order() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    for transport in ["poll", "ws"] {
        browser.choose(&tab, "transport-choice", transport).await;
        browser
            .until(
                &tab,
                &format!("open() && text('transport').startsWith('{transport}')"),
            )
            .await;
        browser.choose(&tab, "bad", "0.3").await;
        let echoes = browser
            .awaited(
                &tab,
                "(async () => {
                    const wanted = Array.from({ length: 30 }, (_, number) => number);
                    const echo = (number) => socket.request('example/echo', number, { timeout: 25000 });
                    return Promise.all(wanted.map((number) => echo(number).catch((error) => error.kind)));
                })()",
            )
            .await;
        let wanted: Vec<u64> = (0..30).collect();
        assert_eq!(echoes, serde_json::json!(wanted), "{transport}");
        browser.choose(&tab, "bad", "0").await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_silent_break_is_found_out_by_the_keep_alive_on_long_poll_too() {
    let demo = Demo::alone();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    browser.choose(&tab, "transport-choice", "poll").await;
    browser
        .until(&tab, "open() && text('transport').startsWith('poll')")
        .await;
    browser.click(&tab, "break-silent").await;
    // Nobody says anything: the browser's word that the network is back makes the page ask.
    browser
        .run(&tab, "window.dispatchEvent(new Event('online'))")
        .await;
    browser.sees(&tab, "library", "ping-timeout").await;
    browser.opened(&tab).await;
    browser.click(&tab, "echo").await;
    browser.sees(&tab, "reply", "example/echo").await;
    browser.close().await;
}
