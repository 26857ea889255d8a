//! What a handler may take: every field of F10, and what a client is told when one is missing.

use axum::Extension;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tengen_protocol::{ClientId, Codec, Data, ErrorCode, EventId, NodeId, SessionId, Uid};

use super::{desk, plain_request};
use crate::identity::cookie::{CookieKey, CookieSettings, SessionCookies};
use crate::identity::{Identified, Identity, NewVisitors};
use crate::{Answer, Event, Handle, Handshake, Params, Payload, Reply, SessionMap, Transport};

#[derive(Clone, Debug, PartialEq)]
struct Tenant(&'static str);

#[derive(Serialize, Deserialize)]
struct Tab {
    tab: String,
}

/// A request as a browser with a session cookie sends it, through a layer of the app's.
async fn handshake() -> (Parts, Identified) {
    let key = CookieKey::from_secret(&[7; 32]).unwrap();
    let cookies = SessionCookies::new(CookieSettings::default(), key);
    let jar = tower_cookies::Cookies::default();
    let alice = Uid::parse("alice").unwrap();
    cookies.log_in(&jar, &plain_request(), &alice).unwrap();
    let cookie = jar.get("tengen").unwrap().encoded().to_string();
    let mut parts = Request::get("/app/chsk?x=1")
        .header("user-agent", "Test/1.0")
        .header("accept-language", "de")
        .header("accept-language", "en")
        .header("cookie", cookie)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    parts.extensions.insert(Tenant("acme"));
    let identified = Identity::new(cookies, NewVisitors::Anonymous)
        .identify(&parts)
        .await
        .unwrap();
    (parts, identified)
}

#[tokio::test]
async fn f10_a_handler_takes_everything_about_its_event_as_typed_arguments() {
    let desk = desk(|on| {
        on.on(
            "test/ids",
            |id: EventId,
             uid: Uid,
             maybe: Option<Uid>,
             client: ClientId,
             session: SessionId,
             node: NodeId,
             Payload(n): Payload<u8>,
             raw: Data| async move {
                assert_eq!((maybe, session.node()), (Some(uid.clone()), node.clone()));
                assert_eq!(raw.to::<u8>().unwrap(), n);
                Answer(format!("{id} {uid} {client} {node} {n}"))
            },
        );
        on.on(
            "test/request",
            |parts: Parts,
             headers: HeaderMap,
             uri: Uri,
             method: Method,
             peer: SocketAddr,
             transport: Transport,
             _: Handle| async move {
                assert_eq!(
                    (&parts.headers, &parts.uri, &parts.method),
                    (&headers, &uri, &method)
                );
                assert_eq!(parts.extensions.get::<Tenant>(), Some(&Tenant("acme")));
                assert!(parts.extensions.get::<SessionMap>().is_some());
                let languages: Vec<_> = headers
                    .get_all("accept-language")
                    .iter()
                    .map(|value| value.to_str().unwrap().to_owned())
                    .collect();
                Answer(json!([
                    method.as_str(),
                    uri.to_string(),
                    headers["user-agent"].to_str().unwrap(),
                    languages,
                    peer,
                    transport.name()
                ]))
            },
        );
        on.on(
            "test/app",
            |Extension(tenant): Extension<Tenant>,
             nothing: Option<Extension<u64>>,
             session: SessionMap,
             Params(params): Params<Tab>,
             Handshake(told): Handshake| async move {
                assert!(nothing.is_none());
                Answer(json!([
                    tenant.0,
                    session.uid().unwrap().as_str(),
                    params.tab,
                    told.to::<Value>().unwrap()
                ]))
            },
        );
        on.on("test/event", |event: Event| async move {
            assert_eq!(event.header("User-Agent"), Some(&b"Test/1.0"[..]));
            Answer(json!([
                event.id().as_str(),
                event.wants_reply(),
                event.codec() == Codec::Json
            ]))
        });
    });
    let (parts, identified) = handshake().await;
    let params = Data::from(Codec::Cbor, &Tab { tab: "left".into() }).unwrap();
    let mut tab = desk.tab_with(
        Some("alice"),
        Codec::Json,
        parts,
        &identified,
        Some(&params),
    );
    assert_eq!(
        tab.ask("test/ids", 7).await.unwrap(),
        json!("test/ids alice tab-1 n1 7")
    );
    assert_eq!(
        tab.ask("test/request", ()).await.unwrap(),
        json!([
            "GET",
            "/app/chsk?x=1",
            "Test/1.0",
            ["de", "en"],
            "127.0.0.1:4711",
            "ws"
        ]),
    );
    assert_eq!(
        tab.ask("test/app", ()).await.unwrap(),
        json!(["acme", "alice", "left", {"welcome": "alice"}]),
    );
    assert_eq!(
        tab.ask("test/event", ()).await.unwrap(),
        json!(["test/event", true, true])
    );
}

#[tokio::test]
async fn f85_params_are_there_and_null_without() {
    let desk = desk(|on| {
        on.on("test/params", |Params(params): Params<Value>| async {
            Answer(params)
        })
    });
    assert_eq!(desk.ask("test/params", ()).await.unwrap(), Value::Null);
    let params = Data::from(Codec::Json, &json!({"room": [1, 2]})).unwrap();
    let who = Identified::default();
    let mut tab = desk.tab_with(None, Codec::Cbor, plain_request(), &who, Some(&params));
    assert_eq!(
        tab.ask("test/params", ()).await.unwrap(),
        json!({"room": [1, 2]})
    );
}

#[tokio::test]
async fn a_missing_argument_is_told_as_a_numbered_error_and_the_handler_does_not_run() {
    async fn never<T>(_: T) {
        panic!("the handler ran")
    }
    let desk = desk(|on| {
        on.on("needs/number", never::<Payload<u32>>);
        on.on("needs/uid", never::<Uid>);
        on.on("needs/session", never::<SessionMap>);
        on.on("needs/extension", never::<Extension<Tenant>>);
        on.on("needs/params", never::<Params<Tab>>);
        on.on("needs/reply", never::<Reply>);
    });
    let mut tab = desk.tab(None);
    for (id, code) in [
        ("needs/number", ErrorCode::UNDECODABLE),
        ("needs/uid", ErrorCode::HANDLER_FAILED),
        ("needs/session", ErrorCode::HANDLER_FAILED),
        ("needs/extension", ErrorCode::HANDLER_FAILED),
        ("needs/params", ErrorCode::UNDECODABLE),
    ] {
        let refusal = tab.ask(id, "no number").await.unwrap_err();
        assert_eq!(refusal.code, code, "{id}");
        assert!(refusal.message.len() > 10, "{refusal}");
    }
    // Five requests were sent; the events are items 6 and 7.
    tab.send("needs/number", "no number");
    assert_eq!(tab.error().await, (ErrorCode::UNDECODABLE, 6));
    tab.send("needs/reply", ());
    assert_eq!(tab.error().await, (ErrorCode::BAD_EVENT, 7));
    assert_eq!(desk.hub.metrics().handlers.refused.value(), 7);
    assert_eq!(desk.hub.metrics().handlers.panicked.value(), 0);
}

#[tokio::test]
async fn a_refused_argument_behind_the_reply_says_why_and_not_that_the_reply_was_dropped() {
    let desk = desk(|on| on.on("test/late", |_: Reply, _: Payload<u32>| async {}));
    let refusal = desk.ask("test/late", "no number").await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::UNDECODABLE);
}

#[tokio::test]
async fn f04_an_event_without_reply_is_seen_as_such() {
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let desk = desk(|on| {
        on.on("test/maybe", move |reply: Option<Reply>, event: Event| {
            told.send((reply.is_some(), event.wants_reply())).unwrap();
            async move {
                if let Some(reply) = reply {
                    reply.answer("wanted").unwrap();
                }
            }
        });
    });
    let mut tab = desk.tab(Some("alice"));
    tab.send("test/maybe", ());
    assert_eq!(seen.recv().await, Some((false, false)));
    assert_eq!(tab.ask("test/maybe", ()).await.unwrap(), json!("wanted"));
    assert_eq!(seen.recv().await, Some((true, true)));
}

#[tokio::test]
async fn f14b_the_nearest_handler_takes_an_event_and_the_catch_all_what_is_left() {
    let desk = desk(|on| {
        on.on("chat/message", || async { Answer("own") });
        on.on("chat/*", |id: EventId| async move {
            Answer(format!("namespace {id}"))
        });
        on.on_any(|id: EventId| async move { Answer(format!("any {id}")) });
    });
    let mut tab = desk.tab(None);
    for (id, taken) in [
        ("chat/message", "own"),
        ("chat/typing", "namespace chat/typing"),
        ("chats/message", "any chats/message"),
    ] {
        assert_eq!(tab.ask(id, ()).await.unwrap(), json!(taken));
    }
}

#[test]
fn a_pattern_that_can_never_match_or_is_taken_is_refused() {
    use crate::RegistrationError;
    use crate::handlers::registry::Registry;
    let check = |patterns: &[&str]| {
        let mut registry = Registry::default();
        for pattern in patterns {
            registry.on(pattern, || async {});
        }
        registry.check()
    };
    assert_eq!(check(&["a/b", "a/*", "b/*", "a/c"]), Ok(()));
    for pattern in [
        "", "a", "/b", "a/", "a/b/c", "*/*", "*/b", "*", "a/b*", "ä/b", "a b/c",
    ] {
        let refused = check(&[pattern]).unwrap_err();
        assert!(
            matches!(refused, RegistrationError::BadPattern { .. }),
            "{pattern}: {refused}"
        );
        assert!(refused.to_string().contains(pattern), "{refused}");
    }
    let uidports = ["chsk/uidport-open", "chsk/uidport-close"];
    assert_eq!(check(&uidports), Ok(()));
    for pattern in ["chsk/handshake", "chsk/unknown", "chsk/*"] {
        let refused = check(&[pattern]).unwrap_err();
        assert!(
            matches!(refused, RegistrationError::Reserved { .. }),
            "{refused}"
        );
    }
    for twice in ["a/b", "a/*"] {
        let refused = check(&["x/y", twice, twice]).unwrap_err();
        assert_eq!(
            refused,
            RegistrationError::Twice {
                pattern: twice.into()
            }
        );
    }
}

#[tokio::test]
async fn the_head_of_a_request_is_kept_exactly_and_without_what_servers_leave_behind() {
    let desk = desk(|on| {
        on.on("test/parts", |event: Event| async move {
            let parts = event.parts();
            assert_eq!(parts.version, axum::http::Version::HTTP_11);
            assert_eq!(parts.headers.len(), 3);
            assert_eq!(parts.headers["x-bytes"].as_bytes(), b"\xff\tx");
            assert_eq!(parts.headers["x-empty"], "");
            assert!(parts.headers["authorization"].is_sensitive());
            assert!(parts.extensions.is_empty());
            Answer(format!("{event:?}"))
        });
    });
    let mut parts = Request::get("/chsk?q=%20")
        .header("x-bytes", &b"\xff\tx"[..])
        .header("x-empty", "")
        .header("authorization", "Bearer secret")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
    parts.extensions.insert(axum::extract::ConnectInfo(peer));
    parts.extensions.insert(tower_cookies::Cookies::default());
    let mut tab = desk.tab_with(
        Some("alice"),
        Codec::Json,
        parts,
        &Identified::default(),
        None,
    );
    let debug = tab.ask("test/parts", "payload").await.unwrap().to_string();
    assert!(debug.contains("alice") && !debug.contains("secret") && !debug.contains("payload"));
}
