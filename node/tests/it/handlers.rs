//! What handlers receive over real sockets, and which of them takes an event.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::{Extension, Router};
use serde_json::{Value, json};
use tengen_node::{Answer, Event, Handle, Handshake, Params, Payload, Transport};
use tengen_protocol::{ClientId, Data, ErrorCode, EventId, NodeId, SessionId, Uid};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, soon};
use crate::each_way;
use crate::way::{Served, Way};

each_way!(
    f07_f10_a_handler_receives_all_of_its_event,
    f10_f12_f85_handlers_see_the_request_of_their_item_layers_and_params,
    f10_a_handler_pushes_to_users_on_any_node,
    f14b_the_nearest_handler_takes_an_event_before_services,
);

#[derive(Clone)]
struct Tenant(&'static str);

async fn f07_f10_a_handler_receives_all_of_its_event(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on(
            "test/ids",
            async |id: EventId,
                   uid: Uid,
                   maybe: Option<Uid>,
                   client: ClientId,
                   session: SessionId,
                   node: NodeId,
                   Payload(n): Payload<u8>,
                   raw: Data| {
                let raw = raw.to::<u8>().ok();
                Answer((
                    id.to_string(),
                    uid.to_string(),
                    maybe == Some(uid),
                    client.to_string(),
                    session.node() == node,
                    raw == Some(n),
                ))
            },
        )
        .on("test/whole", async |event: Event, transport: Transport| {
            Answer((
                event.wants_reply(),
                transport.name(),
                event.peer().ip().is_loopback(),
                event.uid().is_none(),
            ))
        })
    })
    .await;
    let uid = "Zoë 🦀 a.b.*.>";
    let client = cluster.builder(0, Some(uid)).client_id("left-tab");
    let client = client.connect().await.expect("it connects");
    let expected = (
        "test/ids".to_owned(),
        uid.to_owned(),
        true,
        "left-tab".to_owned(),
        true,
        true,
    );
    assert_eq!(client.request("test/ids", &7).await, Ok(expected));
    let nobody = cluster.client(0, None).await;
    assert_eq!(
        nobody.request("test/whole", &()).await,
        Ok((true, way.by.transport().to_owned(), true, true))
    );
    let failure = nobody
        .request::<Value>("test/ids", &7)
        .await
        .expect_err("it needs a uid");
    assert_eq!(
        failure.refusal.map(|refusal| refusal.code),
        Some(ErrorCode::HANDLER_FAILED)
    );
    let failure = client
        .request::<Value>("test/ids", "no number")
        .await
        .expect_err("it needs a number");
    assert_eq!(
        failure.refusal.map(|refusal| refusal.code),
        Some(ErrorCode::UNDECODABLE)
    );
}

/// Serves a node's router inside a layer of the app's, nested as the app likes it.
async fn serve_within(way: Way, app: &Cluster, change: impl FnOnce(Router) -> Router) -> String {
    let node = &app.node(0).node;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let router = change(node.router());
    match way.served {
        Served::Own => tokio::spawn(node.serve(listener, router)),
        Served::Axum => {
            tokio::spawn(async { axum::serve(listener, router).await.expect("it serves") })
        }
    };
    format!("ws://{address}")
}

async fn f10_f12_f85_handlers_see_the_request_of_their_item_layers_and_params(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.user_id(async |parts: Parts| {
            // The function that decides the uid sees the same extensions as the handlers.
            let tenant = parts
                .extensions
                .get::<Tenant>()
                .map_or("none", |tenant| tenant.0);
            Ok(Uid::parse(&format!("{tenant}/alice")).ok())
        })
        .handshake_data(async |_: Parts, uid: Option<Uid>| {
            Ok(json!({"hello": uid.map(|uid| uid.to_string())}))
        })
        .on(
            "test/request",
            async |parts: Parts,
                   headers: HeaderMap,
                   Extension(tenant): Extension<Tenant>,
                   missing: Option<Extension<u8>>,
                   Params(params): Params<Value>,
                   Handshake(told): Handshake,
                   uid: Uid| {
                let header = |name: &str| {
                    headers
                        .get(name)
                        .and_then(|value| value.to_str().ok())
                        .map(str::to_owned)
                };
                Answer(json!({
                    "path": parts.uri.path().ends_with("/chsk"),
                    "same": parts.headers == headers,
                    "x-one": header("x-one"),
                    "upgrade": header("upgrade"),
                    "tenant": tenant.0,
                    "missing": missing.is_none(),
                    "params": params,
                    "told": told.to::<Value>().ok(),
                    "uid": uid.as_str(),
                }))
            },
        )
    })
    .await;
    let layered = serve_within(way, &cluster, |router| {
        router.layer(Extension(Tenant("acme")))
    })
    .await;
    let nested = serve_within(way, &cluster, |router| {
        Router::new()
            .nest("/app", router)
            .layer(Extension(Tenant("acme")))
    })
    .await;
    let upgrade = (way.by.transport() == "ws").then_some("websocket");
    for url in [format!("{layered}/chsk"), format!("{nested}/app/chsk")] {
        let client = way
            .client(&url)
            .header("x-one", "1")
            .params(&json!({"room": [1, "two"]}))
            .connect()
            .await
            .expect("it connects");
        let expected = json!({
            "path": true, "same": true, "x-one": "1", "upgrade": upgrade, "tenant": "acme",
            "missing": true, "params": {"room": [1, "two"]}, "told": {"hello": "acme/alice"},
            "uid": "acme/alice",
        });
        // After a reconnect the params are still there: they belong to the client, not to a URL.
        assert_eq!(
            client.request::<Value>("test/request", &()).await,
            Ok(expected.clone())
        );
        client.reconnect().await.expect("the client lives");
        assert_eq!(
            client.request::<Value>("test/request", &()).await,
            Ok(expected)
        );
    }
}

async fn f10_a_handler_pushes_to_users_on_any_node(way: Way) {
    let cluster = Cluster::with(way, 2, |node| {
        node.on(
            "test/tell",
            async |handle: Handle, Payload((to, text)): Payload<(String, String)>| {
                handle
                    .send_to_uid(&to, "test/told", &text)
                    .await
                    .map_err(|error| tengen_node::AppError::new(1001, error.to_string()))?;
                Ok::<_, tengen_node::AppError>(Answer(true))
            },
        )
    })
    .await;
    let (alice, bob) = (
        cluster.client(0, Some("alice")).await,
        cluster.client(1, Some("bob")).await,
    );
    let (tell, mut told) = mpsc::unbounded_channel();
    let _registration = bob.on("test/told", move |event| {
        let _ = tell.send(event.to::<String>());
    });
    assert_eq!(
        alice.request("test/tell", &("bob", "hello")).await,
        Ok(true)
    );
    let text = soon("the push", told.recv()).await.expect("bob lives");
    assert_eq!(text.as_deref(), Ok("hello"));
}

async fn f14b_the_nearest_handler_takes_an_event_before_services(way: Way) {
    let cluster = Cluster::with(way, 1, |node| {
        node.on("chat/message", async || Answer("own"))
            .on("chat/*", async || Answer("namespace"))
            .on_any(async |id: EventId| Answer(format!("any {id}")))
    })
    .await;
    let bus = cluster.service().await;
    let mut asked = bus
        .subscribe("tengen.request.>", Default::default())
        .await
        .expect("it subscribes");
    let client = cluster.client(0, None).await;
    for (id, taken) in [
        ("chat/message", "own"),
        ("chat/typing", "namespace"),
        ("other/thing", "any other/thing"),
    ] {
        assert_eq!(
            client.request::<String>(id, &()).await.as_deref(),
            Ok(taken)
        );
    }
    bus.publish(tengen_bus::Publish::new("tengen.request.the.end", ""))
        .await
        .expect("the bus is up");
    let first = soon("the end", asked.recv()).await.expect("the bus is up");
    let tengen_bus::Delivery::Message(first) = first else {
        panic!("{first:?}")
    };
    assert_eq!(
        first.subject.as_str(),
        "tengen.request.the.end",
        "no service was asked before"
    );
}
