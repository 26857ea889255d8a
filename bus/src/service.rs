//! A service: answers requests that arrive over the bus, as a member of a queue group.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use tengen_protocol::ErrorCode;
use tokio::sync::Semaphore;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    bus::Bus,
    error::SubscribeError,
    message::{Message, Publish, Subscribe},
    queue::Delivery,
    subscription::Subscription,
};

/// `Tengen-Error`: the number of an error; the body is its text for people.
const HEADER_ERROR: &str = "Tengen-Error";

/// A running service. Dropping it ends the interest; requests being answered are still answered.
#[derive(Debug)]
pub struct Service {
    end: Option<DropGuard>,
    tasks: TaskTracker,
}

/// A request refused by a service: reaches the client as a reply with this code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ServiceError {
    /// 1000 and above are the application's own.
    pub code: ErrorCode,
    /// For people, lower case.
    pub message: String,
}

impl Service {
    /// Answers what is published to `pattern`: each message goes to one member of `queue`, and
    /// at most `concurrent` at a time are being answered here; the rest waits in line (64 MiB,
    /// then requests are shed and time out at their sender).
    ///
    /// The answer is one JSON value, or an error. A message that wants no answer gets none.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    pub async fn start<H, F>(
        bus: &Bus,
        pattern: &str,
        queue: &str,
        concurrent: usize,
        handler: H,
    ) -> Result<Service, SubscribeError>
    where
        H: Fn(Message) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
    {
        let subscription = bus.subscribe(pattern, Subscribe::queue(queue)).await?;
        let end = CancellationToken::new();
        let tasks = TaskTracker::new();
        let work = serve(
            bus.clone(),
            subscription,
            Arc::new(handler),
            concurrent,
            tasks.clone(),
        );
        let ended = end.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = ended.cancelled() => {}
            }
        });
        tasks.close();
        Ok(Service {
            end: Some(end.drop_guard()),
            tasks,
        })
    }

    /// Ends the interest and waits for the requests being answered.
    pub async fn stop(mut self) {
        drop(self.end.take());
        self.tasks.wait().await;
    }
}

async fn serve<H, F>(
    bus: Bus,
    mut subscription: Subscription,
    handler: Arc<H>,
    concurrent: usize,
    tasks: TaskTracker,
) where
    H: Fn(Message) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(concurrent.max(1)));
    while let Some(delivery) = subscription.recv().await {
        let Delivery::Message(message) = delivery else {
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (bus, handler) = (bus.clone(), Arc::clone(&handler));
        tasks.spawn(async move {
            let _slot = slot;
            let reply = message.reply.clone();
            let answer = handler(message).await;
            let Some(reply) = reply else { return };
            let message = match answer {
                Ok(body) => Publish::new(reply, body),
                Err(error) => Publish::new(reply, error.message)
                    .header(HEADER_ERROR, error.code.0.to_string()),
            };
            if let Err(error) = bus.publish(message).await {
                tracing::warn!(%error, "service answer not published");
            }
        });
    }
}
