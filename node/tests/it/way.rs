//! The ways in which one test runs: over which bus, transport, codec and server; `each_way!` makes a case of each.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use tengen_client::{Builder, Client, TransportChoice};
use tengen_protocol::Codec;

use crate::cluster::Kind;

/// What a client is told to connect by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Ws,
    Poll,
    Auto,
}

impl By {
    /// What carries the connection where nothing hinders it, as handlers see it.
    pub(crate) fn transport(self) -> &'static str {
        match self {
            By::Ws | By::Auto => "ws",
            By::Poll => "poll",
        }
    }
}

/// What accepts the connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// The node's own accept loop.
    Own,
    /// `axum::serve`, with the channel socket nested at `/app` behind the layers of an application.
    Axum,
}

/// One way of running a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub bus: Kind,
    pub by: By,
    pub codec: Codec,
    pub served: Served,
}

impl Way {
    /// One way for each transport.
    pub(crate) fn each_transport() -> impl Iterator<Item = Way> {
        let all = [
            (By::Ws, Codec::Cbor),
            (By::Poll, Codec::Json),
            (By::Auto, Codec::Cbor),
        ];
        all.into_iter().map(|(by, codec)| Way {
            by,
            codec,
            ..Way::from(Kind::Local)
        })
    }

    /// The channel socket behind `address`.
    pub(crate) fn url(self, address: SocketAddr) -> String {
        match self.served {
            Served::Own => format!("ws://{address}/chsk"),
            Served::Axum => format!("ws://{address}/app/chsk"),
        }
    }

    /// A client of the channel socket at `url`.
    pub(crate) fn client(self, url: &str) -> Builder {
        let transport = match self.by {
            By::Ws => TransportChoice::Ws,
            By::Poll => TransportChoice::Poll,
            By::Auto => TransportChoice::Auto,
        };
        Client::builder(url).codec(self.codec).transport(transport)
    }
}

/// Of a test that is not about the ways: what is plainest.
impl From<Kind> for Way {
    fn from(bus: Kind) -> Way {
        Way {
            bus,
            by: By::Ws,
            codec: Codec::Cbor,
            served: Served::Own,
        }
    }
}

/// Runs one case on a runtime of its own. Boxed, or a thousand cases would be a thousand copies of
/// the runtime's code.
pub(crate) fn run(case: Pin<Box<dyn Future<Output = ()>>>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(case);
}

/// Makes of `async fn f06_name(way: Way)` one test for every way: each transport with each codec
/// and server on the embedded bus, and each transport once over NATS.
#[macro_export]
macro_rules! each_way {
    ($($name:ident),+ $(,)?) => {
        $crate::each_way! { @as ws_cbor_own: Local Ws Cbor Own: $($name)+ }
        $crate::each_way! { @as ws_cbor_axum: Local Ws Cbor Axum: $($name)+ }
        $crate::each_way! { @as ws_json_own: Local Ws Json Own: $($name)+ }
        $crate::each_way! { @as ws_json_axum: Local Ws Json Axum: $($name)+ }
        $crate::each_way! { @as poll_cbor_own: Local Poll Cbor Own: $($name)+ }
        $crate::each_way! { @as poll_cbor_axum: Local Poll Cbor Axum: $($name)+ }
        $crate::each_way! { @as poll_json_own: Local Poll Json Own: $($name)+ }
        $crate::each_way! { @as poll_json_axum: Local Poll Json Axum: $($name)+ }
        $crate::each_way! { @as auto_cbor_own: Local Auto Cbor Own: $($name)+ }
        $crate::each_way! { @as auto_cbor_axum: Local Auto Cbor Axum: $($name)+ }
        $crate::each_way! { @as auto_json_own: Local Auto Json Own: $($name)+ }
        $crate::each_way! { @as auto_json_axum: Local Auto Json Axum: $($name)+ }
        $crate::each_way! { @as ws_over_nats: Nats Ws Cbor Own: $($name)+ }
        $crate::each_way! { @as poll_over_nats: Nats Poll Json Own: $($name)+ }
        $crate::each_way! { @as auto_over_nats: Nats Auto Cbor Axum: $($name)+ }
    };
    (@as $module:ident: $bus:ident $by:ident $codec:ident $served:ident: $($name:ident)+) => {
        mod $module {
            $(#[test]
            fn $name() {
                $crate::way::run(Box::pin(super::$name($crate::way::Way {
                    bus: $crate::cluster::Kind::$bus,
                    by: $crate::way::By::$by,
                    codec: tengen_protocol::Codec::$codec,
                    served: $crate::way::Served::$served,
                })));
            })+
        }
    };
}

/// Makes of `async fn f56_name(way: Way)` one test for all transports side by side, for promises
/// that take their time: on the embedded bus, with the node's own accept loop.
#[macro_export]
macro_rules! side_by_side {
    ($($name:ident),+ $(,)?) => {
        mod side_by_side {
            $(#[test]
            fn $name() {
                $crate::way::run(Box::pin(async {
                    let ways = $crate::way::Way::each_transport().map(async |way| {
                        super::$name(way).await;
                        // Shown when the test fails: the one that is missing is to blame.
                        println!("passed: {way:?}");
                    });
                    futures_util::future::join_all(ways).await;
                }));
            })+
        }
    };
}
