//! What a handler is given: the event, where it came from, the client to answer with, the state.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tengen_protocol::{
    Data, EventId, Refusal,
    client::{Source, State},
};

use crate::client::Client;

/// One event as it reaches the application. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) id: EventId,
    pub(crate) data: Data,
    pub(crate) source: Source,
    pub(crate) client: Client,
    pub(crate) state: Arc<State>,
}

impl Event {
    /// `namespace/name`; `chsk/…` are the library's own.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The value, still encoded.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The value as the application's own type. Decodes at each call.
    ///
    /// # Errors
    /// The value is of another shape.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        self.data.to()
    }

    /// Whether the cluster pushed it, the library made it, or the application injected it.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The client it came to, for sending from the handler.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's state when the event came.
    pub fn state(&self) -> &State {
        &self.state
    }
}
