//! What the shared table of handlers promises while threads attach handlers and the driver delivers.

use tengen_protocol::client::Source;
use tengen_protocol::{Data, EventId};

use super::*;

fn pushed(number: u64) -> Routable {
    Routable {
        id: EventId::parse("news/item").expect("a good id"),
        data: Data::from(Codec::Cbor, &number).expect("it encodes"),
        source: Source::Push,
    }
}

#[tokio::test]
async fn f14c_a_newer_event_does_not_overtake_early_ones_that_just_found_a_handler() {
    let session = tengen_protocol::client::Session::new(Default::default(), 1);
    let route = Route::new("ws://127.0.0.1/chsk", None, Vec::new()).unwrap();
    let shared = Shared::new(
        Codec::Cbor,
        route,
        Headers::default(),
        Arc::clone(session.state()),
    );
    assert!(matches!(shared.route(&pushed(1)), Routed::Kept));
    assert!(matches!(shared.route(&pushed(2)), Routed::Kept));

    // An application thread attaches while the driver is between two actions.
    let (driver, _commands) = mpsc::channel(1);
    let pattern = Pattern::parse("news/item").expect("a good pattern");
    let _registration = shared.attach(pattern, Handler::new(|_| {}), &driver);
    assert!(matches!(shared.route(&pushed(3)), Routed::Kept));

    let mut order = Vec::new();
    while let Some((event, handlers)) = shared.next_found() {
        assert_eq!(handlers.len(), 1);
        order.push(event.data.to::<u64>().expect("a number"));
    }
    assert_eq!(order, [1, 2, 3]);
    assert!(matches!(shared.route(&pushed(4)), Routed::To(_)));
}
