//! The batching window of WebSockets: connections that pushes have touched are woken a little later, with all that came meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::port::Port;

/// Who is to be woken when. The window is the same for all, so the first in line is due first;
/// each session stands in it once at most.
pub(crate) struct Window {
    length: Duration,
    line: Mutex<VecDeque<(Instant, Arc<Port>)>>,
    added: Notify,
}

impl Window {
    pub(crate) fn new(length: Duration) -> Window {
        Window {
            length,
            line: Mutex::default(),
            added: Notify::new(),
        }
    }

    /// Whether there is one at all.
    pub(crate) fn is_open(&self) -> bool {
        !self.length.is_zero()
    }

    /// Begins the window of these sessions.
    pub(crate) fn begin(&self, ports: impl Iterator<Item = Arc<Port>>) {
        let due = Instant::now() + self.length;
        self.line.lock().extend(ports.map(|port| (due, port)));
        self.added.notify_one();
    }

    /// Wakes whose window is over, until `stop`. One task for the whole node.
    ///
    /// # Cancel safety
    /// Dropped, nobody is woken any more.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let work = async {
            loop {
                let next = self.line.lock().front().map(|(due, _)| *due);
                match next {
                    None => self.added.notified().await,
                    Some(due) => {
                        tokio::time::sleep_until(due).await;
                        self.end_those_due();
                    }
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    fn end_those_due(&self) {
        let now = Instant::now();
        // A few at a time, so that pushes need not wait for the lock.
        loop {
            let due: Vec<Arc<Port>> = {
                let mut line = self.line.lock();
                let count = line.iter().take(256).take_while(|(due, _)| *due <= now);
                let count = count.count();
                line.drain(..count).map(|(_, port)| port).collect()
            };
            if due.is_empty() {
                return;
            }
            for port in due {
                port.end_window();
            }
        }
    }
}
