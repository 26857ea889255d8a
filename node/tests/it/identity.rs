//! Who a client is: cookies that hold on every node, first contacts, hooks that decide and refuse.

use axum::http::request::Parts;
use serde_json::{Value, json};
use tengen_client::{Client, ConnectError};
use tengen_node::{Answer, CookieKey, Node, NodeBuilder, Refused, SessionMap};
use tengen_protocol::Uid;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};
use tower_cookies::Cookies;

use crate::cluster::{Cluster, Net, Running, eventually, soon};
use crate::each_way;
use crate::way::Way;

each_way!(
    f36_handshake_data_is_in_state_and_event_on_each_connect_and_may_refuse,
    f44_the_uid_comes_from_the_session_cookie_on_every_node,
    f47_a_client_without_a_uid_connects_sends_and_gets_replies,
    f48b_first_contact_sets_a_cookie_and_two_tabs_are_one_user,
);

/// A node that asks nobody but the cookie.
async fn by_cookie(
    (way, net): (Way, &Net),
    key: &[u8],
    change: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> Running {
    let key = CookieKey::from_secret(key).expect("it is long enough");
    let builder = Node::builder()
        .bus(net.bus().await)
        .settings(|config| config.cookie_key = Some(key))
        .on(
            "test/who",
            async |uid: Option<Uid>, session: Option<SessionMap>| {
                Answer((
                    uid.map(|uid| uid.to_string()),
                    session
                        .and_then(|session| session.uid())
                        .map(|uid| uid.to_string()),
                ))
            },
        );
    let running = Running::start(way, change(builder)).await;
    eventually("the node is ready", async || {
        running.node.ready().await.is_ok()
    })
    .await;
    running
}

/// Logs a user in as an app's route would, and returns the cookie a browser sends back.
fn log_in(node: &Node, who: &str) -> String {
    let (parts, ()) = axum::http::Request::new(()).into_parts();
    let jar = Cookies::default();
    let uid = Uid::parse(who).expect("it is a uid");
    node.identity()
        .cookies()
        .log_in(&jar, &parts, &uid)
        .expect("it fits");
    jar.get("tengen")
        .expect("it was added")
        .encoded()
        .stripped()
        .to_string()
}

async fn connect(node: &Running, cookie: &str) -> Client {
    let client = node.client().header("cookie", cookie).connect().await;
    client.expect("it connects")
}

type Who = (Option<String>, Option<String>);

fn both(who: &str) -> Who {
    (Some(who.to_owned()), Some(who.to_owned()))
}

async fn f44_the_uid_comes_from_the_session_cookie_on_every_node(way: Way) {
    let net = Net::start(way.bus).await;
    let (a, b) = (
        by_cookie((way, &net), &[1; 32], |node| node).await,
        by_cookie((way, &net), &[1; 32], |node| node).await,
    );
    let stranger = by_cookie((way, &net), &[2; 32], |node| node).await;
    let cookie = log_in(&a.node, "Zoë 🦀");
    for node in [&a, &b] {
        let client = connect(node, &cookie).await;
        assert_eq!(
            client.request::<Who>("test/who", &()).await,
            Ok(both("Zoë 🦀"))
        );
        let state = client.state().borrow().clone();
        assert_eq!(state.uid.as_ref().map(Uid::as_str), Some("Zoë 🦀"));
    }
    // What a client merely claims, and what another key encrypted, is nobody.
    for (node, cookie) in [
        (&stranger, cookie.as_str()),
        (&a, "tengen=Zoë"),
        (&a, "tengen={\"uid\":\"alice\"}"),
        (&a, "uid=alice"),
    ] {
        let client = connect(node, cookie).await;
        assert_eq!(
            client.request::<Who>("test/who", &()).await,
            Ok((None, None)),
            "{cookie}"
        );
    }
}

async fn f47_a_client_without_a_uid_connects_sends_and_gets_replies(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on(
            "test/echo",
            async |tengen_node::Payload(value): tengen_node::Payload<Value>, uid: Option<Uid>| {
                Answer((value, uid.is_none()))
            },
        )
    })
    .await;
    let client = cluster.client(0, None).await;
    client
        .send("test/echo", &1)
        .await
        .expect("it is acknowledged");
    assert_eq!(
        client.request("test/echo", &json!([1])).await,
        Ok((json!([1]), true))
    );
    assert_eq!(client.state().borrow().uid, None);
}

/// The `Set-Cookie` of a WebSocket handshake, as a browser sees it.
async fn first_contact(node: &Running, cookie: Option<&str>) -> Option<String> {
    let mut request = node.url().into_client_request().expect("it is a url");
    let headers = request.headers_mut();
    headers.insert(
        "sec-websocket-protocol",
        "tengen.v1.json".parse().expect("it is a value"),
    );
    if let Some(cookie) = cookie {
        headers.insert("cookie", cookie.parse().expect("it is a value"));
    }
    let (_socket, response) = tokio_tungstenite::connect_async(request)
        .await
        .expect("it upgrades");
    assert_eq!(
        response.status(),
        tungstenite::http::StatusCode::SWITCHING_PROTOCOLS
    );
    let set_cookie = response.headers().get("set-cookie")?;
    Some(set_cookie.to_str().expect("it is text").to_owned())
}

async fn f48b_first_contact_sets_a_cookie_and_two_tabs_are_one_user(way: Way) {
    let net = Net::start(way.bus).await;
    let random = |node: NodeBuilder| node.settings(|config| config.random_uid = true);
    let (a, b) = (
        by_cookie((way, &net), &[1; 32], random).await,
        by_cookie((way, &net), &[1; 32], random).await,
    );
    let set_cookie = first_contact(&a, None).await.expect("a cookie");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(set_cookie.contains(attribute), "{attribute}: {set_cookie}");
    }
    let cookie = set_cookie.split(';').next().expect("a name and a value");
    assert_eq!(
        first_contact(&b, Some(cookie)).await,
        None,
        "the cookie is kept"
    );
    let (one, two) = (connect(&a, cookie).await, connect(&b, cookie).await);
    let who = one
        .request::<Who>("test/who", &())
        .await
        .expect("an answer");
    assert_eq!(two.request::<Who>("test/who", &()).await, Ok(who.clone()));
    assert!(who.0.is_some() && who.0 == who.1, "{who:?}");
    let another = connect(&a, "")
        .await
        .request::<Who>("test/who", &())
        .await
        .expect("an answer");
    assert_ne!(another.0, who.0);
}

async fn f36_handshake_data_is_in_state_and_event_on_each_connect_and_may_refuse(way: Way) {
    let cluster = Cluster::with(way, 2, |node| {
        node.handshake_data(async |parts: Parts, uid: Option<Uid>| {
            // Asynchronous: it may ask a database.
            tokio::task::yield_now().await;
            match uid {
                Some(uid) if uid.as_str() == "banned" => {
                    Err(Refused::forbidden("not you").with_code(1403))
                }
                Some(uid) => Ok(
                    json!({"welcome": uid.as_str(), "agent": parts.headers.contains_key("x-uid")}),
                ),
                None => Err(Refused::unauthorized("log in first")),
            }
        })
    })
    .await;
    let client = cluster
        .builder(0, Some("alice"))
        .idle()
        .expect("it is described");
    let mut stream = client.events();
    client.connect().await.expect("the client lives");
    let welcome = json!({"welcome": "alice", "agent": true});
    for first in [true, false] {
        let shaken = loop {
            let item = soon("the handshake", stream.recv())
                .await
                .expect("the client lives");
            if item.id.as_str() == "chsk/handshake" {
                break item.data.to::<Value>().expect("a value");
            }
        };
        assert_eq!(shaken, json!(["alice", welcome, first]));
        let told = client
            .state()
            .borrow()
            .handshake_data
            .clone()
            .expect("it is open");
        assert_eq!(told.to::<Value>(), Ok(welcome.clone()));
        client.reconnect().await.expect("the client lives");
    }
    for (uid, status, code) in [(Some("banned"), 403, 1403), (None, 401, 4501)] {
        let refused = soon("the refusal", cluster.builder(1, uid).connect()).await;
        let Err(ConnectError::Refused(state)) = refused else {
            panic!("{refused:?}")
        };
        let error = state.last_error.as_ref().expect("it says why");
        assert_eq!(error.http_status, Some(status), "{error:?}");
        assert!(
            format!("{error:?}").contains(&code.to_string()),
            "{error:?}"
        );
    }
}
