//! Two sides of a bus, and what can be done to it.

use std::time::Duration;

use tengen_bus::{
    Bus, Delivery, LocalNet, Message, NatsOptions, Publish, RequestError, Subscribe, Subscription,
    testing::{NatsCluster, NatsServer},
};

/// No wait in these tests is longer; all of them end by a condition.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `a` and `b` are on one bus: two handles, two connections, or two connections to two servers.
pub(crate) struct World {
    pub(crate) a: Bus,
    pub(crate) b: Bus,
    pub(crate) net: Net,
}

pub(crate) enum Net {
    Local(LocalNet),
    Nats(NatsServer),
    Cluster(NatsCluster),
}

impl World {
    pub(crate) fn local() -> World {
        let net = LocalNet::new();
        World {
            a: net.bus(),
            b: net.bus(),
            net: Net::Local(net),
        }
    }

    pub(crate) async fn nats() -> World {
        let server = NatsServer::start().await;
        let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
        World {
            a,
            b,
            net: Net::Nats(server),
        }
    }

    pub(crate) async fn cluster() -> World {
        let cluster = NatsCluster::start(3).await;
        let urls = cluster.urls();
        let (a, b) = (connect(&urls[0]).await, connect(&urls[1]).await);
        World {
            a,
            b,
            net: Net::Cluster(cluster),
        }
    }

    /// A raw NATS client on the side of `a`, if this is NATS.
    pub(crate) async fn raw(&self) -> Option<async_nats::Client> {
        let url = match &self.net {
            Net::Local(_) => return None,
            Net::Nats(server) => server.url(),
            Net::Cluster(cluster) => cluster.urls()[0].clone(),
        };
        Some(
            async_nats::connect(url)
                .await
                .expect("a raw client connects"),
        )
    }

    /// `b` subscribes, and it is known on the side of `a`.
    pub(crate) async fn subscribe(&self, pattern: &str) -> Subscription {
        self.subscribe_with(pattern, Subscribe::default()).await
    }

    pub(crate) async fn subscribe_with(&self, pattern: &str, options: Subscribe) -> Subscription {
        let subscription = self
            .b
            .subscribe(pattern, options)
            .await
            .expect("subscribed");
        self.settle().await;
        subscription
    }

    /// Waits until what `b` wants is known where `a` publishes. Interest travels in order, so it is
    /// when a subscription made after all the others is answered.
    pub(crate) async fn settle(&self) {
        let mut asked = self
            .b
            .subscribe("settle", Subscribe::default())
            .await
            .expect("subscribed");
        let answers = async {
            while let Some(delivery) = asked.recv().await {
                if let Delivery::Message(Message {
                    reply: Some(reply), ..
                }) = delivery
                {
                    // Refused while the bus comes back; the question is asked again.
                    let _ = self.b.publish(Publish::new(reply, "yes")).await;
                }
            }
        };
        let question = async {
            loop {
                let ask = Publish::new("settle", "?");
                match self.a.request(ask, Duration::from_secs(1)).await {
                    Ok(_) => return,
                    Err(RequestError::BusDown | RequestError::NoResponders) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(RequestError::Timeout) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let settled = async {
            tokio::select! {
                () = answers => panic!("the bus was drained"),
                () = question => {}
            }
        };
        tokio::time::timeout(DEADLINE, settled)
            .await
            .expect("interest becomes known");
    }

    /// The whole bus goes away, and both sides know it.
    pub(crate) async fn outage(&mut self) {
        match &mut self.net {
            Net::Local(net) => {
                net.take_down(&self.a, "test");
                net.take_down(&self.b, "test");
            }
            Net::Nats(server) => server.stop(),
            Net::Cluster(cluster) => cluster.stop(),
        }
        becomes(&self.a, false).await;
        becomes(&self.b, false).await;
    }

    /// The bus comes back, and both sides know it.
    pub(crate) async fn heal(&mut self) {
        match &mut self.net {
            Net::Local(net) => {
                net.bring_up(&self.a);
                net.bring_up(&self.b);
            }
            Net::Nats(server) => server.start_again().await,
            Net::Cluster(cluster) => cluster.start_again().await,
        }
        becomes(&self.a, true).await;
        becomes(&self.b, true).await;
    }
}

pub(crate) async fn connect(url: &str) -> Bus {
    let bus = Bus::nats(NatsOptions::new(url).name("contract"))
        .await
        .expect("a good url");
    becomes(&bus, true).await;
    bus
}

pub(crate) async fn becomes(bus: &Bus, up: bool) {
    let mut health = bus.health();
    let changed = health.wait_for(|health| health.is_up() == up);
    tokio::time::timeout(DEADLINE, changed)
        .await
        .expect("health changes")
        .expect("a live bus");
}

/// The next delivery.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let delivery = tokio::time::timeout(DEADLINE, subscription.recv()).await;
    delivery
        .expect("something arrives")
        .expect("the bus is not drained")
}

/// The next delivery, which is a message.
pub(crate) async fn message(subscription: &mut Subscription) -> Message {
    match next(subscription).await {
        Delivery::Message(message) => message,
        other => panic!("a message is awaited, {other:?} came"),
    }
}

/// Its body as text.
pub(crate) async fn text(subscription: &mut Subscription) -> String {
    String::from_utf8(message(subscription).await.body.to_vec()).expect("text")
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, waiting).await.is_ok(),
        "{what}"
    );
}
