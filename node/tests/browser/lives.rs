//! What happens to a page: it is duplicated, left, come back to; its user logs in and out; it works in a worker.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::demo::Demo;
use crate::page::{Browser, Tab};

/// Pushes to a user over the first node's admin port.
async fn push(demo: &Demo, uid: &str, text: &str) {
    let url = format!("{}/v1/send-to-uid/{uid}", demo.admin_url());
    let event = json!(["example/note", { "text": text }]).to_string();
    let answer = reqwest::Client::new().post(url).body(event).send().await;
    assert!(answer.unwrap().status().is_success());
}

/// Waits until the only node holds so many sessions; long before their time to live is over.
async fn sessions(demo: &Demo, wanted: &str) {
    let url = format!("{}/metrics", demo.admin_url());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let mut lines = text.lines();
        let gauge = lines.find_map(|line| line.strip_prefix("tengen_hub_sessions "));
        if gauge == Some(wanted) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "never {wanted} sessions:\n{text}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_after_a_login_or_logout_the_tab_is_somebody_else_and_sees_nothing_meant_for_the_one_before()
 {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    for transport in ["ws", "poll"] {
        browser.choose(&tab, "transport-choice", transport).await;
        browser
            .until(
                &tab,
                &format!("open() && text('transport').startsWith('{transport}')"),
            )
            .await;
        browser.log_in(&tab, "alice").await;
        push(&demo, "alice", "alice, as alice").await;
        browser.sees(&tab, "push", "alice, as alice").await;
        browser.click(&tab, "clear").await;

        browser.click(&tab, "logout").await;
        browser
            .until(&tab, "open() && text('uid') === 'anonymous'")
            .await;
        push(&demo, "alice", "alice, who has left").await;
        browser.log_in(&tab, "bob").await;
        push(&demo, "alice", "alice, still away").await;
        push(&demo, "bob", "bob, as bob").await;
        browser.sees(&tab, "push", "bob, as bob").await;
        assert_eq!(browser.rows(&tab, "push", "alice").await, 0, "{transport}");
        browser.click(&tab, "clear").await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicated_tab_is_a_client_of_its_own_and_both_stay() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    browser.log_in(&tab, "alice").await;
    let twin = browser.duplicate(&tab).await;
    let session = browser.ask(&tab, "socket.state.session").await;
    assert_ne!(browser.ask(&twin, "socket.state.session").await, session);
    push(&demo, "alice", "to both").await;
    for tab in [&tab, &twin] {
        browser.sees(tab, "push", "to both").await;
        assert_eq!(browser.rows(tab, "push", "to both").await, 1);
        assert_eq!(browser.ask(tab, "socket.state.last_close?.reason").await, {
            // The first has closed once, for its login.
            match tab.is(&twin) {
                true => json!(null),
                false => json!("requested-reconnect"),
            }
        });
    }
    assert_eq!(browser.ask(&tab, "socket.state.session").await, session);
    browser.close().await;
}

/// A page that was left, and is shown again out of the browser's memory.
///
/// A browser may forget what it keeps there at any moment, as it does when the machine is short of
/// memory, and load the page anew: then that was another page, and one is left once more.
async fn left_and_come_back_to(demo: &Demo, browser: &Browser, transport: &str) -> Tab {
    let mut forgotten = Vec::new();
    for _ in 0..10 {
        let tab = browser.first_tab(demo.url()).await;
        browser.choose(&tab, "transport-choice", transport).await;
        let chosen = format!("open() && text('transport').startsWith('{transport}')");
        browser.until(&tab, &chosen).await;
        sessions(demo, "1").await;
        browser.run(&tab, "window.remembered = true").await;
        browser.visit(&format!("{}session", demo.url())).await;
        sessions(demo, "0").await;

        browser.go_back(&tab).await;
        browser.opened(&tab).await;
        if browser.ask(&tab, "window.remembered").await == true {
            return tab;
        }
        let why = "performance.getEntriesByType('navigation')[0].notRestoredReasons?.reasons";
        forgotten.push(browser.ask(&tab, why).await);
    }
    panic!("{transport}: the browser never keeps the page: {forgotten:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_page_that_is_left_says_goodbye_and_one_that_is_come_back_to_connects_again() {
    let demo = Demo::alone();
    let browser = Browser::start().await;
    for transport in ["ws", "poll"] {
        let tab = left_and_come_back_to(&demo, &browser, transport).await;
        // What was pushed meanwhile is lost, and the page is told.
        browser.sees(&tab, "failed", "page-left").await;
        browser.click(&tab, "clear").await;
        browser.click(&tab, "echo").await;
        browser.sees(&tab, "reply", "example/echo").await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f92_the_package_runs_in_a_web_worker() {
    let demo = Demo::alone();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    for transport in ["ws", "poll", "auto"] {
        let script = format!(
            "new Promise((done, failed) => {{
                const program = `
                    import {{ connect }} from '${{location.origin}}/tengen/tengen.js';
                    const socket = await connect('${{location.origin}}/chsk', {{ transport: '{transport}' }});
                    const answer = await socket.request('example/echo', [typeof window, 'from a worker']);
                    postMessage([...answer, socket.state.transport]);
                    socket.close();
                    close();`;
                const address = URL.createObjectURL(new Blob([program], {{ type: 'text/javascript' }}));
                const worker = new Worker(address, {{ type: 'module' }});
                worker.onmessage = ({{ data }}) => done(data);
                worker.onerror = (error) => failed(error.message);
            }})"
        );
        let used = if transport == "poll" { "poll" } else { "ws" };
        assert_eq!(
            browser.awaited(&tab, &script).await,
            json!(["undefined", "from a worker", used])
        );
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f95_a_thousand_sockets_opened_and_closed_in_a_page_stay_within_a_megabyte() {
    let demo = Demo::alone();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    // Scripts end after 30 s: a hundred at a time.
    let some = |transport: &str| {
        format!(
            "(async () => {{
                const {{ connect }} = await import('/tengen/tengen.js');
                const {{ default: load }} = await import('/tengen/core.js');
                for (let count = 0; count < 100; count += 1) {{
                    const socket = await connect('/chsk', {{ transport: '{transport}' }});
                    socket.on('test/nothing', () => {{}});
                    await socket.request('example/echo', count);
                    socket.close();
                }}
                for (let round = 0; round < 3; round += 1) {{
                    gc();
                    await new Promise((resolve) => setTimeout(resolve, 20));
                }}
                return performance.memory.usedJSHeapSize + (await load()).memory.buffer.byteLength;
            }})()"
        )
    };
    for transport in ["ws", "poll"] {
        let script = some(transport);
        let mut used = Vec::new();
        for _ in 0..11 {
            let bytes = browser.awaited(&tab, &script).await;
            used.push(bytes.as_f64().unwrap_or_else(|| panic!("{bytes}")));
        }
        let grown = used[10] - used[0];
        assert!(grown <= 1_048_576.0, "{transport}: {grown} bytes, {used:?}");
    }
    browser.close().await;
}
