//! What people do with the page, and what must come of it.

use crate::demo::{Demo, paste};
use crate::page::Browser;

/// Publishes as any program would that knows nothing of Tengen but a subject.
async fn publish(demo: &Demo, subject: &str, event: &str) {
    let bus = async_nats::connect(demo.nats_url()).await.unwrap();
    bus.publish(subject.to_owned(), event.to_owned().into())
        .await
        .unwrap();
    bus.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_one_push_reaches_both_tabs_of_a_user_on_different_nodes_and_no_other_user() {
    let demo = Demo::start();
    let (alice, bob) = tokio::join!(Browser::start(), Browser::start());
    let one = alice.first_tab(demo.url()).await;
    alice.log_in(&one, "alice").await;
    let two = alice.new_tab(demo.url()).await;
    let other = bob.first_tab(demo.url()).await;
    bob.log_in(&other, "bob").await;

    let node = alice.node(&one).await;
    alice.leave(&two, &node).await;
    assert_ne!(alice.node(&one).await, alice.node(&two).await);

    publish(
        &demo,
        "tengen.send-to.uid.alice",
        r#"["example/note", {"text": "only for alice"}]"#,
    )
    .await;
    alice.sees(&one, "push", "only for alice").await;
    alice.sees(&two, "push", "only for alice").await;
    // What is sent to everyone afterwards arrives afterwards: then bob's tab has seen all there was.
    publish(
        &demo,
        "tengen.send-to.all",
        r#"["example/note", {"text": "for everyone"}]"#,
    )
    .await;
    bob.sees(&other, "push", "for everyone").await;
    assert_eq!(bob.rows(&other, "push", "only for alice").await, 0);
    for tab in [&one, &two] {
        alice.sees(tab, "push", "for everyone").await;
        assert_eq!(alice.rows(tab, "push", "only for alice").await, 1);
    }

    alice.click(&one, "echo").await;
    alice.sees(&one, "reply", "example/echo").await;
    alice.click(&one, "slow").await;
    alice.sees(&one, "failed", "example/slow · timeout").await;
    alice.click(&two, "note").await;
    alice.sees(&one, "push", "hello").await;
    alice.click(&one, "broadcast").await;
    bob.sees(&other, "push", "100 of 100, in order").await;
    alice.sees(&two, "push", "100 of 100, in order").await;

    if let Some(path) = std::env::var_os("TENGEN_SCREENSHOT") {
        std::fs::write(path, alice.screenshot(&one).await).unwrap();
    }
    alice.close().await;
    bob.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_tab_whose_node_is_killed_comes_back_on_another_and_gets_the_next_push() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    browser.log_in(&tab, "alice").await;
    let dead = browser.node(&tab).await;
    demo.kill(&dead);
    // A connection that dies so young may as well be a WebSocket that something on the way cannot
    // stand: the page may poll for a moment.
    browser
        .until(&tab, &format!("open() && text('node') !== '{dead}'"))
        .await;

    publish(
        &demo,
        "tengen.send-to.uid.alice",
        r#"["example/note", {"text": "still there?"}]"#,
    )
    .await;
    browser.sees(&tab, "push", "still there?").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_the_commands_that_the_demo_prints_light_up_the_page_as_they_stand() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    browser.log_in(&tab, "alice").await;
    paste(demo.command("Push to everyone over HTTP:"));
    browser.sees(&tab, "push", "hello from curl").await;
    paste(demo.command("The same from Python:"));
    browser.sees(&tab, "push", "hello from python").await;
    // The command of NATS may be missing: then what it would publish is published for it.
    let command = demo.command("Push to every tab of alice over NATS");
    let words: Vec<&str> = command.splitn(6, ' ').collect();
    assert_eq!([words[0], words[1], words[3]], ["nats", "-s", "pub"]);
    publish(&demo, words[4], words[5].trim_matches('\'')).await;
    browser.sees(&tab, "push", "hello from nats").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_broken_connection_and_a_requested_close_are_shown_and_undone() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    let tab = browser.first_tab(demo.url()).await;
    browser.click(&tab, "disconnect").await;
    browser.sees(&tab, "library", "requested-disconnect").await;
    browser.click(&tab, "connect").await;
    browser.opened(&tab).await;
    browser.click(&tab, "break").await;
    browser.sees(&tab, "library", "unexpected").await;
    browser.opened(&tab).await;
    // The other codec, over the same page.
    browser.ask(&tab, "(document.getElementById('codec').value = 'json', document.getElementById('codec').dispatchEvent(new Event('change')))").await;
    browser.sees(&tab, "library", "open").await;
    browser.opened(&tab).await;
    browser.click(&tab, "echo").await;
    browser.sees(&tab, "reply", "example/echo").await;
    browser.close().await;
}

/// True on a page that lists `uid` at these places, such as `a · ws`, and at no other.
fn lists(uid: &str, places: &[String]) -> String {
    let places = serde_json::json!(places);
    format!(
        "JSON.stringify([...document.querySelectorAll('#online li')]
             .filter((row) => row.dataset.uid === '{uid}')
             .flatMap((row) => [...row.querySelectorAll('span')].map((place) => place.textContent)))
         === '{places}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn f51_the_page_lists_who_is_online_where_and_by_what_as_they_come_and_go() {
    let demo = Demo::start();
    let (alice, bob) = tokio::join!(Browser::start(), Browser::start());
    let hers = alice.first_tab(demo.url()).await;
    alice.log_in(&hers, "alice").await;
    let his = bob.first_tab(demo.url()).await;
    bob.log_in(&his, "bob").await;
    let here = [format!("{} · ws", alice.node(&hers).await)];
    let there = [format!("{} · ws", bob.node(&his).await)];
    for (uid, places) in [("alice", &here), ("bob", &there)] {
        alice.until(&hers, &lists(uid, places)).await;
        bob.until(&his, &lists(uid, places)).await;
    }

    bob.choose(&his, "transport-choice", "poll").await;
    bob.until(&his, "open() && text('transport').startsWith('poll')")
        .await;
    let there = [format!("{} · poll", bob.node(&his).await)];
    alice.until(&hers, &lists("bob", &there)).await;
    bob.until(&his, &lists("bob", &there)).await;
    bob.until(&his, &lists("alice", &here)).await;
    alice.click(&hers, "print-uids").await;
    alice.sees(&hers, "reply", "\"poll\":[\"bob\"]").await;

    bob.click(&his, "logout").await;
    alice.until(&hers, &lists("bob", &[])).await;
    let counts = "1 user · 1 by WebSocket · 0 by long-poll · 1 client without a name";
    alice
        .until(&hers, &format!("text('counts') === '{counts}'"))
        .await;
    if let Some(path) = std::env::var_os("TENGEN_SCREENSHOT_ONLINE") {
        std::fs::write(path, alice.screenshot(&hers).await).unwrap();
    }
    alice.close().await;
    bob.close().await;
}
