//! A Chromium with tabs on the example page, and what a person does and sees there.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// As long as a busy machine of two cores may need for anything a person would wait for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The port that a driver chooses may be somebody else's before it listens there: then it ends.
const START_TRIES: usize = 5;

/// One browser with a profile of its own: one person.
pub(crate) struct Browser {
    client: Client,
    driver: Child,
    _profile: TempDir,
}

/// One tab of it.
#[derive(Clone)]
pub(crate) struct Tab(WindowHandle);

impl Tab {
    pub(crate) fn is(&self, other: &Tab) -> bool {
        self.0 == other.0
    }
}

/// A driver that listens, what it says, and its port. `None` = it has ended.
fn listening(program: &str) -> Option<(Child, BufReader<ChildStdout>, String)> {
    let mut driver = Command::new(program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test` installs it"));
    let mut lines = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim().trim_end_matches('.').to_owned();
            return Some((driver, lines, port));
        }
        line.clear();
    }
    driver.wait().unwrap();
    None
}

impl Browser {
    /// Starts a driver on a port of its choice, and a Chromium under it.
    pub(crate) async fn start() -> Browser {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let started = (0..START_TRIES).find_map(|_| listening(&program));
        let (driver, mut lines, port) = started.expect("chromedriver listens");
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));

        let profile = tempfile::tempdir().unwrap();
        let mut options = json!({
            "args": [
                "--headless=new",
                // A container has neither a GPU, nor a sandbox for root, nor much shared memory.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                // For the test that looks for what a page leaves behind.
                "--js-flags=--expose-gc",
                "--enable-precise-memory-info",
                "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ]
        });
        if let Ok(chromium) = std::env::var("CHROMIUM") {
            options["binary"] = Value::from(chromium);
        }
        let capabilities = [("goog:chromeOptions".to_owned(), options)];
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.into_iter().collect())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Browser {
            client,
            driver,
            _profile: profile,
        }
    }

    /// The tab it has from the start.
    pub(crate) async fn first_tab(&self, url: &str) -> Tab {
        self.client.goto(url).await.unwrap();
        let tab = Tab(self.client.window().await.unwrap());
        self.opened(&tab).await;
        tab
    }

    /// Opens any address in the present tab.
    pub(crate) async fn visit(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Puts another page in the place of the present one, at its address.
    pub(crate) async fn write(&self, html: &str) {
        let script = "document.open(); document.write(arguments[0]); document.close();";
        self.client
            .execute(script, vec![json!(html)])
            .await
            .unwrap();
    }

    /// Waits until the present tab makes `condition` true.
    pub(crate) async fn shows(&self, condition: &str) {
        let tab = Tab(self.client.window().await.unwrap());
        self.until(&tab, condition).await;
    }

    /// One more tab.
    pub(crate) async fn new_tab(&self, url: &str) -> Tab {
        let tab = Tab(self.client.new_window(true).await.unwrap().handle);
        self.look_at(&tab).await;
        self.client.goto(url).await.unwrap();
        self.opened(&tab).await;
        tab
    }

    pub(crate) async fn look_at(&self, tab: &Tab) {
        self.client.switch_to_window(tab.0.clone()).await.unwrap();
    }

    /// Logs in by the form, as a person does, and waits until the page says so.
    pub(crate) async fn log_in(&self, tab: &Tab, uid: &str) {
        self.look_at(tab).await;
        let field = self.client.find(Locator::Id("login-uid")).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(uid).await.unwrap();
        self.client
            .find(Locator::Css("#login .main"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        self.until(tab, &format!("text('uid') === '{uid}' && open()"))
            .await;
    }

    pub(crate) async fn click(&self, tab: &Tab, id: &str) {
        self.look_at(tab).await;
        self.client
            .find(Locator::Id(id))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    /// Chooses `value` in a list, as a person does.
    pub(crate) async fn choose(&self, tab: &Tab, id: &str, value: &str) {
        self.look_at(tab).await;
        let list = self.client.find(Locator::Id(id)).await.unwrap();
        list.select_by_value(value).await.unwrap();
    }

    /// The page before this one.
    pub(crate) async fn go_back(&self, tab: &Tab) {
        self.look_at(tab).await;
        self.client.back().await.unwrap();
    }

    /// A tab that the page itself opens, as "duplicate tab" does: with a copy of what the page has stored.
    pub(crate) async fn duplicate(&self, tab: &Tab) -> Tab {
        self.look_at(tab).await;
        let before = self.client.windows().await.unwrap();
        self.run(tab, "window.open(location.href)").await;
        let after = self.client.windows().await.unwrap();
        let new = after.into_iter().find(|window| !before.contains(window));
        let duplicate = Tab(new.unwrap());
        self.opened(&duplicate).await;
        duplicate
    }

    /// Runs a script for what it does.
    pub(crate) async fn run(&self, tab: &Tab, script: &str) {
        self.look_at(tab).await;
        self.client.execute(script, vec![]).await.unwrap();
    }

    /// What the promise of an expression comes to.
    pub(crate) async fn awaited(&self, tab: &Tab, expression: &str) -> Value {
        self.look_at(tab).await;
        let script = format!(
            "const done = arguments[0];
             Promise.resolve({expression}).then(done, (error) => done(`failed: ${{error}}`));"
        );
        self.client.execute_async(&script, vec![]).await.unwrap()
    }

    /// Waits until the page is connected.
    pub(crate) async fn opened(&self, tab: &Tab) {
        self.until(tab, "open()").await;
    }

    /// The node that the page is connected to.
    pub(crate) async fn node(&self, tab: &Tab) -> String {
        self.ask(tab, "text('node')")
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// How many rows of the log are of this kind and contain this text.
    pub(crate) async fn rows(&self, tab: &Tab, kind: &str, text: &str) -> u64 {
        self.ask(tab, &format!("rows('{kind}', '{text}')"))
            .await
            .as_u64()
            .unwrap()
    }

    /// Waits for such a row.
    pub(crate) async fn sees(&self, tab: &Tab, kind: &str, text: &str) {
        self.until(tab, &format!("rows('{kind}', '{text}') > 0"))
            .await;
    }

    /// Reconnects until the front has given the tab a node other than `avoided`.
    pub(crate) async fn leave(&self, tab: &Tab, avoided: &str) {
        for _ in 0..20 {
            if self.node(tab).await != avoided {
                return;
            }
            // The session goes along; that it was closed once more is what tells.
            let closed = self.ask(tab, "socket.state.last_close?.at ?? 0").await;
            self.click(tab, "reconnect").await;
            self.until(
                tab,
                &format!("open() && (socket.state.last_close?.at ?? 0) !== {closed}"),
            )
            .await;
        }
        panic!("the front gives the tab no node but {avoided}");
    }

    pub(crate) async fn screenshot(&self, tab: &Tab) -> Vec<u8> {
        self.look_at(tab).await;
        self.client.screenshot().await.unwrap()
    }

    /// The value of an expression over what the page shows.
    pub(crate) async fn ask(&self, tab: &Tab, expression: &str) -> Value {
        self.look_at(tab).await;
        let script = format!(
            "const text = (id) => document.getElementById(id)?.textContent;
             const open = () => document.getElementById('status')?.dataset.open === 'true';
             const rows = (kind, part) => [...document.querySelectorAll('#log .' + kind)]
                 .filter((row) => row.textContent.includes(part)).length;
             return {expression};"
        );
        self.client.execute(&script, vec![]).await.unwrap()
    }

    /// Waits until an expression over what the page shows is true.
    pub(crate) async fn until(&self, tab: &Tab, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(tab, condition).await != Value::Bool(true) {
            if Instant::now() > deadline {
                let log = self.ask(tab, "document.body.innerText").await;
                panic!(
                    "never true: {condition}\n{}",
                    log.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium too, also after a failed test.
        let _ended = self.driver.kill();
        let _status = self.driver.wait();
    }
}
