//! Who is online as server-sent events: the snapshot, each change, and a watcher that comes back.

use serde_json::{Value, json};
use tengen_client::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::cluster::{Cluster, Kind, eventually, metric, soon};

crate::each_bus!(
    f51_a_stream_tells_everybody_and_then_each_change,
    a_watcher_that_comes_back_gets_what_it_missed_and_elsewhere_everything,
);

/// A connection to the stream of a node.
pub(crate) struct Stream {
    source: Source,
    text: String,
    /// Bytes of events read so far.
    pub read: usize,
}

enum Source {
    Http(reqwest::Response),
    /// Behind the head of an answer of HTTP/1.0, which goes on to the end of the connection.
    Socket(TcpStream),
}

#[derive(Debug)]
pub(crate) struct Told {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Told {
    /// `[[uid, ws, poll], …]`.
    fn uids(&self) -> Value {
        let uids = self.data["uids"].as_array().expect("a list").iter();
        uids.map(|user| json!([user["uid"], user["ws"], user["poll"]]))
            .collect()
    }
}

impl Stream {
    pub(crate) async fn of(cluster: &Cluster, node: usize, last: Option<&str>) -> Stream {
        let url = format!(
            "http://{}/v1/connected-uids/watch",
            cluster.node(node).admin
        );
        let mut request = reqwest::Client::new().get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.expect("the admin port answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Stream::from(Source::Http(response))
    }

    /// The same over a socket with hardly a buffer of its own: what is not read stays at the node.
    pub(crate) async fn over_a_narrow_socket(cluster: &Cluster, node: usize) -> Stream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("settable");
        let connected = socket.connect(cluster.node(node).admin).await;
        let mut socket = connected.expect("the admin port answers");
        let asked = b"GET /v1/connected-uids/watch HTTP/1.0\r\n\r\n";
        socket.write_all(asked).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("the head", socket.read_u8()).await.expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.0 200"));
        Stream::from(Source::Socket(socket))
    }

    fn from(source: Source) -> Stream {
        Stream {
            source,
            text: String::new(),
            read: 0,
        }
    }

    /// `None` = the node has ended it.
    async fn chunk(&mut self) -> Option<String> {
        let chunk = match &mut self.source {
            Source::Http(response) => response.chunk().await.expect("readable")?.to_vec(),
            Source::Socket(socket) => {
                let mut some = Vec::with_capacity(64 << 10);
                let length = socket.read_buf(&mut some).await.expect("readable");
                (length > 0).then_some(some)?
            }
        };
        Some(String::from_utf8(chunk).expect("text"))
    }

    /// The next event that is not about the node's own fitness.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            let told = soon("the next event", self.event()).await;
            if told.name != "standing" {
                return told;
            }
        }
    }

    async fn event(&mut self) -> Told {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read += event.len() + 2;
                self.text = rest;
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
                };
                // A comment is no event.
                if let Some(data) = field("data:") {
                    return Told {
                        name: field("event:").expect("a name"),
                        id: field("id:"),
                        data: serde_json::from_str(&data).expect("json"),
                    };
                }
                continue;
            }
            let chunk = self.chunk().await.expect("the stream goes on");
            self.text.push_str(&chunk);
        }
    }
}

/// Waits until a node knows somebody.
async fn knows(cluster: &Cluster, node: usize, uid: &str) {
    let handle = cluster.node(node).handle();
    eventually("the user is known", async || handle.is_online(uid)).await;
}

async fn comes(cluster: &Cluster, node: usize, uid: &str) -> Client {
    let client = cluster.client(node, Some(uid)).await;
    for node in 0..cluster.size() {
        knows(cluster, node, uid).await;
    }
    client
}

async fn f51_a_stream_tells_everybody_and_then_each_change(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let _alice = comes(&cluster, 0, "alice").await;
    let _bob = comes(&cluster, 1, "bob").await;
    let mut stream = Stream::of(&cluster, 1, None).await;
    let first = stream.next().await;
    assert_eq!(first.name, "snapshot");
    assert_eq!(first.data["reset"], true);
    assert_eq!(first.data["more"], false);
    assert_eq!(first.data["node"], "n1");
    assert_eq!(
        first.uids(),
        json!([["alice", true, false], ["bob", true, false]])
    );
    assert!(first.id.is_some());
    assert_eq!(metric(&cluster, 1, "tengen_online_streams ").await, 1);

    let carol = comes(&cluster, 0, "carol").await;
    let came = stream.next().await;
    assert_eq!(came.name, "changes");
    assert_eq!(came.uids(), json!([["carol", true, false]]));
    drop(carol);
    let went = stream.next().await;
    assert_eq!(went.uids(), json!([["carol", false, false]]));
    assert_eq!(
        went.data["n"].as_u64(),
        came.data["n"].as_u64().map(|n| n + 1)
    );

    drop(stream);
    eventually("the stream's place is free", async || {
        metric(&cluster, 1, "tengen_online_streams ").await == 0
    })
    .await;
}

async fn a_watcher_that_comes_back_gets_what_it_missed_and_elsewhere_everything(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let _alice = comes(&cluster, 0, "alice").await;
    let mut stream = Stream::of(&cluster, 0, None).await;
    let seen = stream.next().await.id.expect("a snapshot has an id");
    drop(stream);

    let _bob = comes(&cluster, 1, "bob").await;
    let mut resumed = Stream::of(&cluster, 0, Some(&seen)).await;
    // First how the node is: it may have become another while nobody was there to be told.
    let standing = soon("the first event", resumed.event()).await;
    assert_eq!(standing.name, "standing");
    assert_eq!(standing.id, None);
    assert!(standing.data["ready"].is_boolean());
    let missed = resumed.next().await;
    assert_eq!(missed.name, "changes");
    assert_eq!(missed.uids(), json!([["bob", true, false]]));

    let both = json!([["alice", true, false], ["bob", true, false]]);
    let (rest, n) = seen.rsplit_once('.').expect("node, start, number");
    let future = format!("{rest}.{}", n.parse::<u64>().expect("a number") + 1_000);
    let other_start = format!("n0.0.{n}");
    for (node, last) in [
        (1, seen.as_str()),
        (0, future.as_str()),
        (0, other_start.as_str()),
        (0, "n0"),
        (0, "…"),
        (0, ""),
        (0, "n0.0.99999999999999999999999"),
    ] {
        let mut stream = Stream::of(&cluster, node, Some(last)).await;
        let everything = stream.next().await;
        assert_eq!(everything.name, "snapshot", "{last}");
        assert_eq!(everything.data["reset"], true, "{last}");
        assert_eq!(everything.uids(), both, "{last}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_for_so_many_watchers_and_further_ones_are_refused() {
    let cluster = Cluster::start(Kind::Local, 1).await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(Stream::of(&cluster, 0, None).await);
    }
    let url = format!("http://{}/v1/connected-uids/watch", cluster.node(0).admin);
    let refused = reqwest::get(&url).await.expect("the admin port answers");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["tengen-error"], "8");
    assert!(refused.headers().contains_key("retry-after"));
    streams.pop();
    eventually("there is room again", async || {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_watchers_stops_all_the_same() {
    let mut cluster = Cluster::start(Kind::Local, 1).await;
    let mut stream = Stream::of(&cluster, 0, None).await;
    assert_eq!(stream.next().await.name, "snapshot");
    let stopped = tokio::spawn(cluster.take(0).stop());
    while soon("the end of the stream", stream.chunk())
        .await
        .is_some()
    {}
    soon("the node's end", stopped).await.expect("no panic");
}
