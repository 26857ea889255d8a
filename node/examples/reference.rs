//! A whole server to copy: nine handlers, pushes to users and to everyone, a login, and the example page.
//!
//! `cargo run --example reference`, then open the address it prints in two tabs.
//! Set `TENGEN_NATS_URL` (and one `TENGEN_COOKIE_KEY` for all) to run several of them as one cluster.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Form, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tengen_node::config::{Config, Sources};
use tengen_node::{Answer, AppError, Event, Handle, Identity, LogLevel, Node, NodeBuilder};
use tengen_node::{Payload, Reply, Telemetry, assets};
use tengen_protocol::{ClientId, Data, NodeId, Uid};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tower_cookies::{CookieManagerLayer, Cookies};

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Sources::default();
    settings.add_environment(std::env::vars())?;
    let config = Config::load(&settings)?;
    // Before the async runtime starts: it may export traces from a thread of its own.
    let telemetry = Telemetry::install(&config)?;
    let served = tokio::runtime::Runtime::new()?.block_on(serve(config, telemetry.log_level()));
    telemetry.shutdown();
    served
}

async fn serve(config: Config, log: LogLevel) -> Result<(), Box<dyn Error>> {
    let node = handlers(Node::builder().config(config), log)
        .build()
        .await?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("open http://{}/", listener.local_addr()?);
    node.serve(listener, node.router().merge(pages(&node)))
        .await;
    Ok(())
}

// --- what clients may send ----------------------------------------------------------------------

/// Registers every event of the example page.
pub fn handlers(builder: NodeBuilder, log: LogLevel) -> NodeBuilder {
    let ticker = Ticker::default();
    builder
        .on("example/echo", echo)
        .on("example/note", note)
        .on("example/square-root", square_root)
        .on("example/broadcast", broadcast)
        .on("example/who-is-online", who_is_online)
        .on("example/connected-uids", connected_uids)
        .on(
            "example/toggle-loop",
            move |handle: Handle, node: NodeId| {
                let ticker = ticker.clone();
                async move { ticker.toggle(handle, node).await }
            },
        )
        .on(
            "example/log-level",
            move |Payload(level): Payload<String>| {
                let log = log.clone();
                async move { log_level(&log, &level) }
            },
        )
        // May overlap: while one waits, the other events of its session go on.
        .concurrent("example/slow", slow)
}

/// A request with a reply: what a handler returns is the answer. [`Data`] is any value, as it came.
async fn echo(data: Data) -> Data {
    data
}

/// A request whose value is a type of ours, and which may fail with an error of ours.
async fn square_root(Payload(number): Payload<f64>) -> Result<Answer<f64>, AppError> {
    if number < 0.0 {
        return Err(AppError::new(1000, "a negative number has no real root"));
    }
    Ok(Answer(number.sqrt()))
}

/// What a person wrote in one tab.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
}

/// An event without a reply: shown in the sender's other tabs and devices, on whatever node they are.
async fn note(
    Payload(note): Payload<Note>,
    uid: Option<Uid>,
    client: ClientId,
    handle: Handle,
) -> Result<(), AppError> {
    match uid {
        Some(uid) => handle
            .send_to_uid(&uid, "example/note", &note)
            .except(&client)
            .await
            .map_err(not_pushed),
        None => Err(AppError::new(
            1001,
            "log in first: a note goes to your other tabs",
        )),
    }
}

/// A hundred pushes to everyone, handed over at once: they travel as one batch and arrive in order.
async fn broadcast(client: ClientId, handle: Handle) -> Result<(), AppError> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let round = format!("{client} {}", since.as_micros());
    for number in 1..=100 {
        let push = json!({ "round": round, "number": number, "of": 100 });
        handle
            .send_to_all("example/broadcast", &push)
            .try_send()
            .map_err(not_pushed)?;
    }
    Ok(())
}

/// From now on the client is shown who is online, and where. Here anybody may see it: a server for
/// more than a demo asks who it is.
async fn who_is_online(event: Event, handle: Handle) -> Result<(), AppError> {
    handle
        .watch_for(&event, "example/online")
        .map_err(|refusal| AppError::new(1004, refusal.message))
}

/// Prints who is online into the node's log, and into the page of whoever asks.
async fn connected_uids(handle: Handle, node: NodeId) -> Answer<serde_json::Value> {
    let online = handle.connected_uids();
    let print = |uids: &BTreeSet<Uid>| -> Vec<String> {
        uids.iter().take(100).map(ToString::to_string).collect()
    };
    let answer = json!({
        "ws": print(&online.ws),
        "poll": print(&online.poll),
        "any": print(&online.any),
    });
    tracing::info!(%node, connected_uids = %answer, "who is online");
    Answer(answer)
}

/// The reply may be given later, or by another task; here it comes after many a caller has given up.
async fn slow(reply: Reply) {
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Fails when the caller no longer waits: it was told `timeout`.
    let _too_late = reply.answer("at last");
}

/// How much the node logs. Anybody may turn it here; a server for more than a demo asks who it is.
fn log_level(log: &LogLevel, level: &str) -> Result<Answer<()>, AppError> {
    let known: Result<tracing::Level, _> = level.parse();
    let level = known.map_err(|error| AppError::new(1003, error.to_string()))?;
    log.set(level.as_str())
        .map(Answer)
        .map_err(|error| AppError::new(1003, error.to_string()))
}

fn not_pushed(error: impl std::fmt::Display) -> AppError {
    AppError::new(1002, error.to_string())
}

/// Pushes to everyone every ten seconds, until it is toggled again on the same node.
#[derive(Clone, Default)]
struct Ticker {
    running: Arc<Mutex<Option<AbortHandle>>>,
}

impl Ticker {
    async fn toggle(&self, handle: Handle, node: NodeId) -> Result<(), AppError> {
        let running = self.flip(&handle, &node);
        let state = json!({ "node": node.as_str(), "running": running });
        handle
            .send_to_all("example/loop", &state)
            .await
            .map_err(not_pushed)
    }

    fn flip(&self, handle: &Handle, node: &NodeId) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = running.take() {
            old.abort();
            return false;
        }
        let (handle, node) = (handle.clone(), node.clone());
        let task = tokio::spawn(async move {
            for number in 1.. {
                let tick = json!({ "node": node.as_str(), "number": number });
                if let Err(error) = handle.send_to_all("example/tick", &tick).await {
                    tracing::warn!(%error, "tick not pushed");
                }
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        *running = Some(task.abort_handle());
        true
    }
}

// --- the page and its login ---------------------------------------------------------------------

/// The page at `/`, the client package under `/tengen/`, and who is logged in.
pub fn pages(node: &Node) -> Router {
    let site = Site {
        identity: node.identity().clone(),
        node: node.id().clone(),
    };
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/session", get(session))
        .layer(CookieManagerLayer::new())
        .with_state(site)
        .merge(assets::page_routes())
        .merge(assets::client_routes())
}

#[derive(Clone)]
struct Site {
    identity: Identity,
    node: NodeId,
}

#[derive(Deserialize)]
struct Login {
    uid: String,
}

/// Believes everybody. A real login looks at a password here, or at another site's word.
async fn login(
    State(site): State<Site>,
    cookies: Cookies,
    parts: Parts,
    Form(login): Form<Login>,
) -> Result<StatusCode, (StatusCode, String)> {
    let uid =
        Uid::parse(&login.uid).map_err(|refusal| (StatusCode::BAD_REQUEST, refusal.message))?;
    match site.identity.cookies().log_in(&cookies, &parts, &uid) {
        Ok(_session) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn logout(State(site): State<Site>, cookies: Cookies) -> StatusCode {
    site.identity.cookies().log_out(&cookies);
    StatusCode::NO_CONTENT
}

/// Who the cookie says it is; the page asks before each connect.
async fn session(State(site): State<Site>, headers: HeaderMap) -> impl IntoResponse {
    let map = site.identity.cookies().session(&headers);
    let answer = json!({
        "uid": map.as_ref().and_then(|map| map.uid()).map(|uid| uid.to_string()),
        "csrf": map.as_ref().and_then(|map| map.csrf_token()),
        "node": site.node.as_str(),
    });
    ([(CACHE_CONTROL, "no-store")], Json(answer))
}
