//! What a client heard: its event stream, asked for one thing after another.

use serde::de::DeserializeOwned;
use tengen_client::{Client, Events, Source};

use crate::cluster::soon;

/// The pushes and library events of one client, in the order in which they came.
pub(crate) struct Heard(Events);

impl Heard {
    /// From now on.
    pub(crate) fn by(client: &Client) -> Heard {
        Heard(client.events())
    }

    /// The next event that is no state change or handshake of the library itself.
    pub(crate) async fn next(&mut self) -> (String, tengen_protocol::Data) {
        loop {
            let event = soon("the next event", self.0.recv())
                .await
                .expect("the stream goes on");
            let id = event.id.as_str().to_owned();
            if event.source == Source::Library && id != "chsk/gap" && id != "chsk/error" {
                continue;
            }
            return (id, event.data);
        }
    }

    /// The data of the next event, which must be `id`.
    pub(crate) async fn data<T: DeserializeOwned>(&mut self, id: &str) -> T {
        let (next, data) = self.next().await;
        assert_eq!(next, id);
        data.to().expect("the data is of the expected type")
    }
}
