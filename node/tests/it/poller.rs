//! A long-poll client made of plain HTTP requests: it sends what a test writes, right or wrong, to whichever node.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::cluster::Cluster;

pub(crate) const NDJSON: &str = "application/x-ndjson";

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The frames of a 200 in JSON.
    pub(crate) fn frames(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        self.not_stored();
        let lines = self.text().lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a frame a line"))
            .collect()
    }

    /// What is expected of every refusal: status and number, a text, and `Retry-After` where the
    /// client should come back.
    pub(crate) fn is_refusal(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("tengen-error"), Some(code), "{}", self.text());
        assert!(!self.text().is_empty());
        let comes_back = matches!(status, 429 | 503);
        assert_eq!(self.header("retry-after").is_some(), comes_back);
        self.not_stored();
    }

    fn not_stored(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }
}

/// One tab that polls, in JSON, at whichever of its nodes a test names.
#[derive(Clone)]
pub(crate) struct Poller {
    http: reqwest::Client,
    urls: Vec<String>,
    pub uid: Option<String>,
    pub client: String,
    pub session: String,
    pub attempt: u64,
    pub n: u64,
    /// Items counted.
    pub received: u64,
    /// Items posted and acknowledged.
    pub posted: u64,
}

impl Poller {
    /// A client of all nodes of `cluster`; it has not said hello.
    pub(crate) fn new(cluster: &Cluster, uid: Option<&str>) -> Poller {
        let urls = (0..cluster.size()).map(|number| cluster.node(number).http_url());
        Poller {
            http: reqwest::Client::new(),
            urls: urls.collect(),
            uid: uid.map(str::to_owned),
            client: "tab".to_owned(),
            session: String::new(),
            attempt: 0,
            n: 0,
            received: 0,
            posted: 0,
        }
    }

    /// One that has said hello at a node.
    pub(crate) async fn open(cluster: &Cluster, node: usize, uid: Option<&str>) -> Poller {
        let mut poller = Poller::new(cluster, uid);
        let hello = poller.hello(node).await;
        assert_eq!(hello["resumed"], false);
        poller
    }

    /// The same tab behind another address of this machine, with sockets of its own.
    pub(crate) fn on_address(&self, address: [u8; 4]) -> Poller {
        let http = reqwest::Client::builder().local_address(Some(address.into()));
        Poller {
            http: http.build().expect("a client"),
            ..self.clone()
        }
    }

    /// Says hello, naming the session if there is one, and returns the server's.
    pub(crate) async fn hello(&mut self, node: usize) -> Value {
        self.attempt += 1;
        self.n = 0;
        let answer = self.say_hello(node, json!({})).await;
        let frames = answer.frames();
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0][0], 0);
        let hello = frames[0][1].clone();
        self.session = hello["session"].as_str().expect("an id").to_owned();
        if hello["resumed"] == false {
            self.received = 0;
        }
        self.posted = hello["received"].as_u64().expect("a count");
        hello
    }

    /// The POST of a hello with these further keys.
    pub(crate) async fn say_hello(&self, node: usize, more: Value) -> Answer {
        let mut hello = json!({"client": self.client, "attempt": self.attempt});
        if !self.session.is_empty() {
            hello["session"] = json!(self.session);
            hello["received"] = json!(self.received);
        }
        for (key, value) in more.as_object().expect("a map") {
            hello[key] = value.clone();
        }
        let body = format!("{}\n", json!([0, hello]));
        self.send(node, "POST", "", &[("content-type", NDJSON)], body.into())
            .await
    }

    /// The next GET, not yet counted: see [`Poller::take`].
    pub(crate) async fn get(&mut self, node: usize) -> Answer {
        self.n += 1;
        let query = format!("?received={}&n={}", self.received, self.n);
        self.request(node, "GET", &query, &[], Vec::new()).await
    }

    /// GETs until there is something, and counts the items.
    pub(crate) async fn take(&mut self, node: usize) -> Vec<Value> {
        loop {
            let frames = self.get(node).await.frames();
            let items: Vec<_> = frames
                .into_iter()
                .filter(|frame| matches!(frame[0].as_u64(), Some(1..=3)))
                .collect();
            self.received += items.len() as u64;
            if !items.is_empty() {
                return items;
            }
        }
    }

    /// GETs at the nodes in turn until `count` items have come.
    pub(crate) async fn take_many(&mut self, count: usize) -> Vec<Value> {
        let (mut items, mut node) = (Vec::new(), 0);
        while items.len() < count {
            items.extend(self.take(node).await);
            node = (node + 1) % self.urls.len();
        }
        items
    }

    /// Posts these frames as the next items and counts what was taken.
    pub(crate) async fn post(&mut self, node: usize, frames: &[Value]) -> u64 {
        let answer = self.post_at(node, self.posted + 1, &lines(frames)).await;
        let frames = answer.frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0][0], 4);
        self.posted = frames[0][1].as_u64().expect("a count");
        self.posted
    }

    /// The POST of a body at a position.
    pub(crate) async fn post_at(&self, node: usize, first: u64, body: &str) -> Answer {
        let query = format!("?first={first}");
        let headers = [("content-type", NDJSON)];
        self.request(node, "POST", &query, &headers, body.into())
            .await
    }

    /// A request with the headers of the session.
    pub(crate) async fn request(
        &self,
        node: usize,
        method: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let attempt = self.attempt.to_string();
        let mut all = vec![
            ("tengen-session", self.session.as_str()),
            ("tengen-attempt", &attempt),
        ];
        all.extend(headers);
        self.send(node, method, query, &all, body).await
    }

    /// A request with these headers and the user's.
    pub(crate) async fn send(
        &self,
        node: usize,
        method: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self
            .http
            .request(method, format!("{}{query}", self.urls[node]))
            .body(body);
        if let Some(uid) = &self.uid {
            request = request.header("x-uid", uid);
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request = request.header(name, HeaderValue::from_str(value).expect("a value"));
        }
        let response = request.send().await.expect("an answer");
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a body").to_vec(),
        }
    }
}

/// Frames as a body.
pub(crate) fn lines(frames: &[Value]) -> String {
    frames.iter().map(|frame| format!("{frame}\n")).collect()
}
