//! The command line: which figure, of which node, how large.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tengen_protocol::Codec;

/// Loads a Tengen node on this machine and measures it next to a raw floor in the same run.
///
/// Exits with 1 when an item was lost, repeated or reordered, and with `--enforce` also when a
/// budget is missed; with 2 when nothing could be measured.
#[derive(Debug, Parser)]
#[command(name = "tengen-loadtest", version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(flatten)]
    pub(crate) items: ItemOptions,
    /// One JSON object on standard output instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// A missed budget is a failure too.
    #[arg(long, global = true)]
    pub(crate) enforce: bool,
    #[command(subcommand)]
    pub(crate) figure: Figure,
}

/// A node to start, or one that runs.
#[derive(Debug, Args)]
pub(crate) struct NodeOptions {
    /// Start this `tengen-node`, with its demo login, on ports of its own. Default: the one that
    /// the environment variable TENGEN_NODE_BIN names.
    #[arg(long, global = true, conflicts_with = "url")]
    pub(crate) node_binary: Option<PathBuf>,
    /// Load a node that runs already (with `--demo`): ws://127.0.0.1:8080/chsk.
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// Its admin port, for `--via http` and to wait until it is ready.
    #[arg(long, global = true, requires = "url")]
    pub(crate) admin: Option<String>,
    /// Its process id, for memory and processor time.
    #[arg(long, global = true, requires = "url")]
    pub(crate) pid: Option<u32>,
    /// The NATS server of the node; without it pushes go through the admin port.
    #[arg(long, global = true)]
    pub(crate) nats_url: Option<String>,
    /// The first token of all subjects.
    #[arg(long, global = true, default_value = "tengen")]
    pub(crate) prefix: String,
}

impl NodeOptions {
    /// The node to start, unless one that runs was named.
    pub(crate) fn binary(&self) -> Option<PathBuf> {
        let named = || std::env::var_os("TENGEN_NODE_BIN").map(PathBuf::from);
        self.node_binary
            .clone()
            .or_else(|| self.url.is_none().then(named).flatten())
    }
}

/// What is pushed, and how.
#[derive(Debug, Args)]
pub(crate) struct ItemOptions {
    /// How pushes reach the node. Default: batch with --nats-url, else http.
    #[arg(long, global = true)]
    pub(crate) via: Option<Via>,
    /// The codec of the clients and of the pushes.
    #[arg(long, global = true, default_value = "cbor")]
    pub(crate) codec: CodecName,
    /// Bytes of one event on the bus.
    #[arg(long, global = true, default_value_t = 128, value_parser = clap::value_parser!(u32).range(40..=100_000))]
    pub(crate) item_bytes: u32,
    /// Threads that read the connections.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) readers: u16,
    /// Give up when nothing arrived for so many seconds.
    #[arg(long, global = true, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub(crate) stall_seconds: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// Numbered batches over NATS, as nodes and busy services push.
    Batch,
    /// One NATS message a push, as `nats pub` does.
    Plain,
    /// The HTTP API on the admin port, one request a push.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecName {
    Cbor,
    Json,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Codec {
        match name {
            CodecName::Cbor => Codec::Cbor,
            CodecName::Json => Codec::Json,
        }
    }
}

/// 20,000 open files a process is a common hard limit; the floor needs two for each connection.
const MAX_CONNECTIONS: i64 = 9_900;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Figure {
    /// Resident memory of the node per idle connection.
    Idle {
        /// Connections, each of a user of its own.
        #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..=MAX_CONNECTIONS))]
        connections: u32,
        /// Connect without logging in: no users, no demo login needed.
        #[arg(long)]
        anonymous: bool,
        /// Use the full Rust client for every connection instead of the lean reader.
        #[arg(long)]
        full_clients: bool,
        /// Long-poll instead of WebSockets: every connection is a parked poll.
        #[arg(long, conflicts_with = "full_clients")]
        poll: bool,
    },
    /// The same round trip, push and burst over a WebSocket and over long-poll, in turn.
    Transports {
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        /// Pushes of the burst whose bytes are counted.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        burst: u32,
    },
    /// How soon a client is back: with a new session, on the same node, and, with NATS, on another node, in turn.
    Resume {
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        /// Items that wait for it each time.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
        items: u32,
    },
    /// What it costs to ask whom a push reached, next to a plain push; needs NATS, and nodes of its own.
    Reports {
        /// Requests whose time is taken, for each way.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        /// Pushes whose processor time is taken, for each way.
        #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        pushes: u32,
    },
    /// What one costs the node who follows over HTTP who is online; needs NATS, to announce users of no node.
    Watchers {
        /// Watchers that are counted, beside one that is not.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=250))]
        watchers: u32,
        /// Announcements of 50 users each that all of them are told, one after another.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        announcements: u32,
    },
    /// What who-is-online costs real nodes, idle and for each change; needs NATS, and nodes of its own.
    Presence {
        /// Nodes: the users come and go at the first, more stay at the last, those between are measured.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=9))]
        nodes: u8,
        /// Users who come and go, and, the second time, as many who stay.
        #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=MAX_CONNECTIONS / 2))]
        users: u32,
        /// How often they come and go.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rounds: u32,
        /// How long nothing happens.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3_600))]
        idle_seconds: u16,
    },
    /// One user with many clients: each push reaches all of them.
    Fanout {
        #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..=MAX_CONNECTIONS))]
        clients: u32,
        /// Pushes made at once in one round.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        pushes: u32,
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rounds: u32,
    },
    /// Many users with one client each: one push to every one of them a round.
    Throughput {
        #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..=MAX_CONNECTIONS))]
        users: u32,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rounds: u32,
    },
}
