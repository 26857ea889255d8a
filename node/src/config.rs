//! Every setting of a node: one table makes the flag, the environment variable, the TOML key, the help text and the README row.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

mod parse;
mod sources;
#[cfg(test)]
mod tests;

use parse::Parse;
pub use sources::{ConfigError, Sources};

use crate::identity::cookie::CookieKey;

/// What the outside sees of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As in the TOML file; the flag is the same with dashes, the variable `TENGEN_` and upper case.
    pub name: &'static str,
    /// What it is and what it trades.
    pub doc: &'static str,
    /// The default as one would write it; empty = none.
    pub default: &'static str,
    /// What a value looks like, for help and errors: `ADDR`, `DURATION`, `BYTES`, …
    pub kind: &'static str,
    /// The accepted range in words; empty = any value of the kind.
    pub range: &'static str,
    /// Never printed; also read from the file named by `<VARIABLE>_FILE`.
    pub secret: bool,
}

impl Key {
    /// The command-line flag without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("TENGEN_{}", self.name.to_uppercase())
    }
}

/// Makes [`Config`], its reader and [`KEYS`] from one list.
macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal $(in $low:literal..=$high:literal)? $(; $secret:ident)?; )+) => {
        /// The settings of a node, read and checked.
        #[derive(Debug, Clone)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $name: $type, )+
        }

        /// All settings, in the order of the documentation.
        pub const KEYS: &[Key] = &[
            $( Key {
                name: stringify!($name),
                doc: concat!($($doc, "\n"),+),
                default: $default,
                kind: <$type as Parse>::KIND,
                range: settings!(@range $($low, $high)?),
                secret: settings!(@secret $($secret)?),
            }, )+
        ];

        impl Config {
            fn read(sources: &Sources) -> Result<Self, ConfigError> {
                Ok(Config {
                    $( $name: sources.value::<$type>(
                        stringify!($name),
                        settings!(@bounds $($low, $high)?),
                    )?, )+
                })
            }

            /// Every setting as text, secrets left out.
            pub fn lines(&self) -> Vec<(&'static Key, String)> {
                let mut keys = KEYS.iter();
                let mut lines = Vec::new();
                $( if let Some(key) = keys.next() {
                    lines.push((key, if key.secret { self.$name.secret_text() } else { self.$name.text() }));
                } )+
                lines
            }
        }
    };
    (@range $low:literal, $high:literal) => { concat!($low, " to ", $high) };
    (@range) => { "" };
    (@bounds $low:literal, $high:literal) => { Some(($low, $high)) };
    (@bounds) => { None };
    (@secret secret) => { true };
    (@secret) => { false };
}

settings! {
    /// Where clients connect: WebSocket, page, browser client.
    listen: SocketAddr = "0.0.0.0:8080";
    /// Where operators and services of this machine connect: health, metrics, HTTP pushes. It asks for no password: keep it on loopback or behind a policy.
    admin_listen: SocketAddr = "127.0.0.1:9090";
    /// `nats://host:4222[,…]`; unset = the embedded bus, for one node alone.
    nats_url: Option<String> = "";
    /// 1–40 of `a–z 0–9 -`; unset = random at every start. Two live nodes must never share one.
    node_id: Option<String> = "";
    /// What every subject begins with: one per environment on a shared NATS.
    prefix: String = "tengen";
    /// Seals the session cookie: at least 32 characters, the same on all nodes, for instance from `openssl rand -base64 48`. Needed with `nats_url`; on the embedded bus a random one is made, with a warning.
    cookie_key: Option<CookieKey> = ""; secret;
    /// The one path of the channel socket.
    path: String = "/chsk";
    /// Serve the example page, its login without a password, and its handlers. Not for production.
    demo: bool = "false";
    /// A connection to which nothing was written for this long gets a ping; one from which nothing came for twice as long and 5 s is closed. Keep it below the idle timeout of every proxy in front (nginx 60 s, Heroku 55 s).
    ping: Duration = "15s" in "1s"..="60s";
    /// A connection that has not said hello by then is closed (4408).
    hello_timeout: Duration = "5s" in "100ms"..="60s";
    /// How long a poll that has nothing to tell is held before it is answered empty. Keep it below the idle timeout of every proxy in front (nginx 60 s, Heroku 55 s).
    poll_timeout: Duration = "20s" in "100ms"..="59s";
    /// How long pushes to a WebSocket wait for further ones, to leave in one write. 0s = not at all: under load they gather by themselves. A push may say that it does not wait (`flush`).
    ws_window: Duration = "0s" in "0s"..="1s";
    /// The same for a held poll, whose answer is a request of its own for the client.
    poll_window: Duration = "10ms" in "0s"..="1s";
    /// Bodies of POSTs that are being taken at once, all together; beyond it a POST is refused (429).
    post_bytes: Bytes = "64MiB" in "1MiB"..="1TiB";
    /// Largest item in either direction. The bus's own limit less 64 KiB caps it.
    max_bytes: Bytes = "512KiB" in "1KiB"..="64MiB";
    /// Waiting and unacknowledged bytes of one session; beyond it the client is a slow consumer and is closed (4001).
    max_queue_bytes: Bytes = "2MiB" in "64KiB"..="1GiB";
    /// The same for all sessions of the node together; over it detached sessions go by age, then the largest.
    node_queue_bytes: Bytes = "512MiB" in "1MiB"..="1TiB";
    /// What the bus may bring faster than the node takes it; beyond it pushes are shed, counted and told as gaps.
    ingest_queue_bytes: Bytes = "64MiB" in "64KiB"..="16GiB";
    /// Sessions on this node, attached or not; beyond it a hello is refused (503).
    max_sessions: Count = "1000000" in "1"..="100000000";
    /// Sessions that may be on their way here from other nodes at once; beyond it a hello that names another node's session is refused (503).
    max_arriving: Count = "4096" in "1"..="1000000";
    /// How long a session without a connection waits for its client to come back.
    session_ttl: Duration = "60s" in "1s"..="1h";
    /// An event handler that runs longer is given up: counted, and the session's next item starts.
    handler_timeout: Duration = "30s" in "10ms"..="1h";
    /// A request without a deadline of its own gets this one.
    request_timeout: Duration = "30s" in "10ms"..="1h";
    /// A publish that NATS has not taken by then fails with bus-down.
    publish_timeout: Duration = "2s" in "10ms"..="60s";
    /// Connections that may be in their HTTP handshake at once; the rest wait in the kernel.
    max_handshakes: Count = "1024" in "1"..="1000000";
    /// Lifetime of the session cookie.
    cookie_max_age: Duration = "30d" in "1m"..="400d";
    /// Mark the session cookie Secure even where the request does not show https.
    cookie_secure: bool = "false";
    /// Give a visitor without a session cookie a random uid instead of none.
    random_uid: bool = "false";
    /// What is logged, as in `info,tengen_node=debug`.
    log: String = "info";
    /// `text` for people, `json` for collectors.
    log_format: LogFormat = "text";
}

/// A number of bytes, written as `2MiB`, `512KiB` or plain `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

/// A plain whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub usize);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFormat {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
}

impl Config {
    /// The defaults alone.
    ///
    /// # Panics
    /// Never: the test `defaults_are_valid` reads them.
    pub fn defaults() -> Config {
        Config::read(&Sources::default()).expect("defaults are valid")
    }

    /// Reads `sources` and checks what no single value can show.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, the value, where it came from and the range.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let config = Config::read(sources)?;
        let wrong = |key: &'static str, value: &str, expect: &str| {
            Err(ConfigError::Value {
                key,
                value: value.to_owned(),
                from: sources.origin(key),
                expect: expect.to_owned(),
            })
        };
        if let Some(id) = &config.node_id
            && tengen_protocol::NodeId::try_from(id.as_str()).is_err()
        {
            return wrong("node_id", id, "1 to 40 of a-z 0-9 -");
        }
        if tengen_protocol::subject::Subjects::new(&config.prefix).is_err() {
            return wrong(
                "prefix",
                &config.prefix,
                "tokens of A-Z a-z 0-9 _ - joined by dots, at most 64 bytes",
            );
        }
        if !config.path.starts_with('/')
            || config.path.len() < 2
            || config.path.contains(['{', '}', '*', '?', '#'])
        {
            return wrong("path", &config.path, "a path such as /chsk");
        }
        if config.nats_url.is_some() && config.cookie_key.is_none() {
            return Err(ConfigError::CookieKeyMissing);
        }
        if config.max_queue_bytes.0 < config.max_bytes.0 {
            return wrong(
                "max_queue_bytes",
                &config.max_queue_bytes.text(),
                "at least max_bytes",
            );
        }
        Ok(config)
    }

    /// The sources in the usual order: defaults, then `file`, then the environment, then `flags`.
    ///
    /// # Errors
    /// As [`Config::load`]; also a file that cannot be read, is no TOML or has unknown keys.
    pub fn from(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut sources = Sources::default();
        if let Some(file) = file {
            sources.add_file(file)?;
        }
        sources.add_environment(environment)?;
        sources.add_flags(flags)?;
        Config::load(&sources)
    }
}

/// The JSON Schema of the TOML file, for editors and for reviews of a deployment.
pub fn schema() -> serde_json::Value {
    let properties: serde_json::Map<String, serde_json::Value> = KEYS
        .iter()
        .map(|key| {
            let mut property = serde_json::json!({
                "description": key.doc.trim(),
                "type": match key.kind { "true|false" => "boolean", _ => "string" },
                "x-flag": format!("--{}", key.flag()),
                "x-variable": key.variable(),
            });
            if !key.default.is_empty() {
                property["default"] = key.default.into();
            }
            if !key.range.is_empty() {
                property["x-range"] = key.range.into();
            }
            if key.kind == "COUNT" || key.kind == "BYTES" {
                property["type"] = serde_json::json!(["string", "integer"]);
            }
            (key.name.to_owned(), property)
        })
        .collect();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tengen-node",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}
