//! What goes to services and comes back, over the bus in process and over NATS.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::http::Request;
use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use serde_json::{Value, json};
use tengen_bus::testing::NatsServer;
use tengen_bus::{Bus, Delivery, Headers, LocalNet, Message, NatsOptions, Publish, Subscribe};
use tengen_protocol::subject::decode_header;
use tengen_protocol::{Codec, Data, ErrorCode};
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{PATIENCE, Setup, eventually, plain_request};
use crate::handlers::service::session_hash;
use crate::identity::Identified;

/// A node's bus and a service's, connected.
pub(super) struct Pair {
    pub node: Bus,
    pub service: Bus,
    _server: Option<NatsServer>,
}

impl Pair {
    /// Two participants of a bus in this process, which a test may take down.
    pub(super) fn of(net: &LocalNet) -> Pair {
        Pair {
            node: net.bus(),
            service: net.bus(),
            _server: None,
        }
    }
}

pub(super) async fn local() -> Pair {
    Pair::of(&LocalNet::new())
}

async fn nats() -> Pair {
    let server = NatsServer::start().await;
    let connect = async |name: &str| {
        let bus = Bus::nats(NatsOptions::new(server.url()).name(name))
            .await
            .unwrap();
        let mut health = bus.health();
        tokio::time::timeout(PATIENCE, health.wait_for(|health| health.is_up()))
            .await
            .unwrap()
            .unwrap();
        bus
    };
    Pair {
        node: connect("node").await,
        service: connect("service").await,
        _server: Some(server),
    }
}

/// The same test over both buses.
pub(super) async fn over_both<F: Future<Output = ()>>(test: impl Fn(Pair) -> F) {
    test(local().await).await;
    test(nats().await).await;
}

impl Pair {
    pub(super) fn setup(&self) -> Setup {
        Setup {
            bus: self.node.clone(),
            ..Setup::default()
        }
    }

    /// Answers what comes to `pattern` with `answer`, as a member of `queue`, and shows it.
    pub(super) async fn serve(
        &self,
        pattern: &str,
        queue: &str,
        answer: impl Fn(&Message) -> Vec<(Headers, Bytes)> + Send + 'static,
    ) -> mpsc::UnboundedReceiver<Message> {
        let mut subscription = self
            .service
            .subscribe(pattern, Subscribe::queue(queue))
            .await
            .unwrap();
        let (bus, (show, shown)) = (self.service.clone(), mpsc::unbounded_channel());
        tokio::spawn(async move {
            while let Some(delivery) = subscription.recv().await {
                let Delivery::Message(message) = delivery else {
                    continue;
                };
                for (headers, body) in answer(&message) {
                    let mut reply = Publish::new(message.reply.clone().unwrap(), body);
                    reply.headers = headers;
                    bus.publish(reply).await.unwrap();
                }
                let _ = show.send(message);
            }
        });
        shown
    }
}

pub(super) fn text(body: impl Into<Bytes>) -> Vec<(Headers, Bytes)> {
    vec![(Headers::default(), body.into())]
}

pub(super) fn with(header: &str, value: &str, body: impl Into<Bytes>) -> Vec<(Headers, Bytes)> {
    vec![(Headers::from_iter([(header, value)]), body.into())]
}

#[tokio::test]
async fn f05_f20_a_service_answers_a_request_with_any_value_in_either_codec() {
    over_both(async |bus| {
        let desk = bus.setup().desk(|_| {});
        let _json = bus
            .serve("tengen.request.test.json", "q", |asked| {
                text(asked.body.clone())
            })
            .await;
        let _cbor = bus
            .serve("tengen.request.test.cbor", "q", |asked| {
                let value = match asked.headers.first("content-type") {
                    Some("application/cbor") => {
                        Data::checked(Codec::Cbor, asked.body.clone(), &Default::default())
                    }
                    _ => Data::checked(Codec::Json, asked.body.clone(), &Default::default()),
                };
                let cbor = value.unwrap().transcode(Codec::Cbor).unwrap();
                with("content-type", "application/cbor", cbor.bytes().clone())
            })
            .await;
        let _empty = bus
            .serve("tengen.request.test.empty", "q", |_| text(""))
            .await;
        let who = Identified::default();
        for codec in Codec::ALL {
            let mut tab = desk.tab_with(None, codec, plain_request(), &who, None);
            for value in [json!(null), json!(false), json!([1, {"a": "Zoë 🦀"}])] {
                assert_eq!(tab.ask("test/cbor", &value).await.unwrap(), value);
                if codec == Codec::Json {
                    assert_eq!(tab.ask("test/json", &value).await.unwrap(), value);
                }
            }
            assert_eq!(tab.ask("test/empty", 1).await.unwrap(), Value::Null);
        }
        assert_eq!(desk.hub.metrics().services.answered.value(), 11);
    })
    .await;
}

#[tokio::test]
async fn f20_without_a_service_a_request_gets_no_handler_within_100_ms_also_beside_an_observer() {
    over_both(async |bus| {
        let _observer = bus
            .service
            .subscribe("tengen.event.>", Subscribe::default())
            .await
            .unwrap();
        let desk = bus.setup().desk(|_| {});
        let mut tab = desk.tab(Some("alice"));
        let mut quickest = Duration::MAX;
        for _ in 0..10 {
            let begun = Instant::now();
            let refusal = tab.ask("test/nobody", ()).await.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::NO_HANDLER);
            quickest = quickest.min(begun.elapsed());
        }
        // A node that waits for something does so every time; a busy machine does not.
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
        assert_eq!(desk.hub.metrics().handlers.no_handler.value(), 10);
    })
    .await;
}

#[tokio::test]
async fn f20_when_two_queue_groups_answer_one_reply_arrives_and_the_second_is_counted() {
    over_both(async |bus| {
        let desk = bus.setup().desk(|_| {});
        let _one = bus
            .serve("tengen.request.test.twice", "one", |_| text("1"))
            .await;
        let _two = bus
            .serve("tengen.request.test.twice", "two", |_| text("1"))
            .await;
        let mut tab = desk.tab(Some("alice"));
        assert_eq!(tab.ask("test/twice", ()).await.unwrap(), json!(1));
        eventually(|| desk.bus.stats().ignored_replies == 1).await;
        assert!(tab.rest().is_empty());
    })
    .await;
}

#[tokio::test]
async fn f26_a_hundred_events_of_a_client_reach_a_service_in_order() {
    over_both(async |bus| {
        let desk = bus.setup().desk(|_| {});
        let mut seen = bus.serve("tengen.event.>", "q", |_| Vec::new()).await;
        let tab = desk.tab(Some("alice"));
        for n in 0..100 {
            tab.send("test/count", n);
        }
        for n in 0..100 {
            let message = tokio::time::timeout(PATIENCE, seen.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(message.body, n.to_string());
            assert_eq!(message.reply, None, "no reply is wanted");
        }
        let metrics = desk.hub.metrics();
        assert_eq!(metrics.services.events.value(), 100);
        assert_eq!(metrics.handlers.unhandled_events.value(), 100);
    })
    .await;
}

/// The rows of the table in node/SERVICES.md that says what a service receives.
fn documented_headers() -> BTreeSet<String> {
    let guide = include_str!("../../../SERVICES.md");
    let table = guide
        .split("| header |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

/// Set in the process that [`f10_a_service_receives_exactly_the_documented_fields`] starts.
const BY_ITSELF: &str = "TENGEN_TEST_BY_ITSELF";

/// In a process of its own: as long as there is but one subscriber, tracing asks the thread that first
/// comes by a span whether anybody wants it, and keeps the answer for the whole process. A test beside
/// this one, which has none, would say no for it.
#[test]
fn f10_a_service_receives_exactly_the_documented_fields() {
    if std::env::var_os(BY_ITSELF).is_some() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        return runtime.block_on(documented_fields());
    }
    let name = "handlers::tests::services::f10_a_service_receives_exactly_the_documented_fields";
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(BY_ITSELF, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

async fn documented_fields() {
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _sampled = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    over_both(async |bus| {
        let headers = vec![
            "user-agent".into(),
            "x-odd".into(),
            "cookie".into(),
            "x-absent".into(),
        ];
        let desk = Setup {
            headers,
            ..bus.setup()
        }
        .desk(|_| {});
        let mut seen = bus
            .serve("tengen.*.test.>", "q", |asked| match asked.reply {
                Some(_) => text("0"),
                None => Vec::new(),
            })
            .await;
        let parts = Request::get("/chsk")
            .header("user-agent", "Test/1.0 (Zoë)")
            .header("x-odd", &b"a\tb\xff"[..])
            .header("x-private", "not for services")
            .header("cookie", "x".repeat(2000))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let uid = "Zoë 🦀.*.>\u{a0}";
        let mut tab = desk.tab_with(Some(uid), Codec::Json, parts, &Identified::default(), None);
        tab.ask("test/a.b#c?!", json!({"n": 1})).await.unwrap();
        tab.send("test/event", ());
        for (subject, event, body) in [
            ("tengen.request.test.a%2Eb#c?!", "test/a.b#c?!", "{\"n\":1}"),
            ("tengen.event.test.event", "test/event", "null"),
        ] {
            let message = tokio::time::timeout(PATIENCE, seen.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(message.subject.as_str(), subject);
            assert_eq!(message.body, body);
            let header = |name: &str| decode_header(message.headers.first(name).unwrap()).unwrap();
            assert_eq!(header("Content-Type"), "application/json");
            assert_eq!(header("Tengen-Event"), event);
            assert_eq!(header("Tengen-Uid"), uid);
            assert_eq!(header("Tengen-Client"), "tab-1");
            assert_eq!(header("Tengen-Node"), "n1");
            let session = header("Tengen-Session");
            assert_eq!(session, session_hash(&tab.attachment.port.id));
            assert!(!tab.attachment.port.id.as_str().contains(&session));
            assert_eq!(header("Tengen-Header-user-agent"), "Test/1.0 (Zoë)");
            assert_eq!(header("Tengen-Header-x-odd"), "a\tb\u{fffd}");
            let trace = header("traceparent");
            assert!(
                trace.starts_with("00-") && trace.ends_with("-01") && trace.len() == 55,
                "{trace}"
            );
            let received: BTreeSet<String> = message
                .headers
                .iter()
                .map(|(name, _)| match name.starts_with("Tengen-Header-") {
                    true => "Tengen-Header-<name>".to_owned(),
                    false => name.to_owned(),
                })
                .collect();
            assert_eq!(received, documented_headers());
            assert_eq!(
                message.headers.iter().count(),
                received.len() + 1,
                "two forwarded headers"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_anonymous_client_has_no_uid_header_and_an_unsampled_event_no_trace() {
    let bus = local().await;
    let desk = bus.setup().desk(|_| {});
    let mut seen = bus.serve("tengen.event.>", "q", |_| Vec::new()).await;
    desk.tab(None).send("test/event", ());
    let message = tokio::time::timeout(PATIENCE, seen.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.headers.first("tengen-uid"), None);
    assert_eq!(message.headers.first("traceparent"), None);
}

#[tokio::test]
async fn f88_half_a_mebibyte_goes_to_a_service_and_back_and_too_much_harms_nobody() {
    over_both(async |bus| {
        let desk = bus.setup().desk(|_| {});
        let _echo = bus
            .serve("tengen.request.test.echo", "q", |asked| {
                text(asked.body.clone())
            })
            .await;
        let mut tab = desk.tab(Some("alice"));
        let much = "x".repeat(500 << 10);
        assert_eq!(tab.ask("test/echo", &much).await.unwrap(), json!(much));
        // More than the bus carries can only come from a codec that outgrows the other.
        let max = desk.bus.max_payload();
        let data = Data::from(Codec::Json, &"x".repeat(max)).unwrap();
        let event = tab.request_data("test/echo", data, 0);
        let refusal = tab.answer(event).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::TOO_LARGE);
        assert_eq!(
            tab.ask("test/echo", 1).await.unwrap(),
            json!(1),
            "the bus is unharmed"
        );
    })
    .await;
}
