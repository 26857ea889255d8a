//! Nonsense on the subjects of presence: ignored, counted, and nobody's view is another.

use bytes::Bytes;
use tengen_bus::Publish;
use tengen_protocol::presence::{Delta, Epoch, Kinds, Message};
use tengen_protocol::{NodeId, Uid};

use super::Eavesdropper;
use crate::cluster::{Cluster, Kind, eventually, metric};

crate::each_bus!(c2_what_cannot_be_read_is_ignored_and_counted_by_what_is_wrong_with_it);

async fn c2_what_cannot_be_read_is_ignored_and_counted_by_what_is_wrong_with_it(bus: Kind) {
    let cluster = Cluster::start(bus, 2).await;
    let online = Eavesdropper::start(&cluster).await;
    let _alice = cluster.client(0, Some("alice")).await;
    online.until_told("alice", &[true]).await;
    let (service, subjects) = (cluster.service().await, cluster.subjects());
    let say = async |subject: String, body: Bytes| {
        let said = service.publish(Publish::new(subject, body)).await;
        said.expect("the bus takes anything");
    };
    let n1 = NodeId::parse("n1").expect("it is one");
    let whole = Message::Delta(Delta {
        node: n1.clone(),
        epoch: Epoch(1),
        seq: 1,
        changes: vec![(Uid::parse("mallory").expect("it is one"), Kinds::WS)],
    });
    let counted = async |name: &str| {
        let name = format!("tengen_presence_{name}_total");
        metric(&cluster, 1, &name).await
    };

    // Of a life that n1 has long ended: known to be old, by n1 itself too.
    let before = counted("old").await;
    say(subjects.presence(), whole.encode()).await;
    eventually("an old one is counted", async || {
        counted("old").await > before
    })
    .await;

    let before = counted("malformed").await;
    let encoded = whole.encode();
    for length in 0..encoded.len() {
        say(subjects.presence(), encoded.slice(..length)).await;
    }
    let mut lies = encoded.to_vec();
    lies.extend_from_slice(b"more");
    say(subjects.presence(), lies.into()).await;
    say(subjects.presence_changes(), Bytes::from_static(b"{\"n\":")).await;
    say(subjects.presence_changes(), Bytes::from_static(b"[]")).await;
    say(subjects.presence_told(), Bytes::from_static(b"after")).await;
    say(subjects.node(&n1, "sync"), Bytes::from_static(b"\x80")).await;
    say(subjects.node(&n1, "differs"), Bytes::from_static(b"\xff")).await;
    let nonsense = encoded.len() as u64 + 1 + 2 + 2;
    // What was asked without a reply subject is not looked into.
    eventually("all of it is counted", async || {
        counted("malformed").await >= before + nonsense
    })
    .await;

    let before = counted("unknown_version").await;
    let mut later = encoded.to_vec();
    // The first element of the array.
    later[1] = 9;
    say(subjects.presence(), later.into()).await;
    let feed = Bytes::from_static(b"{\"version\":9,\"teller\":\"n0\",\"epoch\":1,\"n\":1}");
    say(subjects.presence_changes(), feed).await;
    eventually("both are counted", async || {
        counted("unknown_version").await == before + 2
    })
    .await;

    let before = counted("wild").await;
    let wild = Message::Bye {
        node: n1.clone(),
        epoch: Epoch(u64::MAX),
    };
    say(subjects.presence(), wild.encode()).await;
    eventually("it is counted", async || counted("wild").await > before).await;

    // All goes on as before: nobody was told of anybody but those who are there.
    let _bob = cluster.client(1, Some("bob")).await;
    online.until_told("bob", &[true]).await;
    assert_eq!(online.told("alice"), [true]);
    assert_eq!(online.told("mallory"), [] as [bool; 0]);
    eventually("two are online", async || {
        metric(&cluster, 0, "tengen_presence_users").await == 2
    })
    .await;
}
