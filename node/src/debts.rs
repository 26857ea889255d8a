//! What time does to sessions that came from other nodes: passes on, starts, and asks former holders whether they still live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tengen_protocol::NodeId;
use tengen_protocol::server::Bounds;
use tengen_protocol::takeover::{Answer, ToNode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::holder;
use crate::hub::port::{Port, Session};
use crate::hub::{Hub, sweep};
use crate::moves::{Moves, Start};
use crate::peers::{Peers, Unanswered};

/// Sessions to which another node owes something, and which.
type Owed = Vec<(NodeId, Arc<Port>)>;

/// Findings that may wait. More are dropped: the next sweep makes them again.
const MAX_WAITING: usize = 64;

/// What the sweep tells the debts' task.
pub(crate) struct Findings {
    moving: mpsc::Sender<Vec<Arc<Port>>>,
    owed: mpsc::Sender<Owed>,
}

/// What that task takes.
pub(crate) struct Found {
    moving: mpsc::Receiver<Vec<Arc<Port>>>,
    owed: mpsc::Receiver<Owed>,
}

/// Joins a sweep to the task that does what it found due.
pub(crate) fn findings() -> (Findings, Found) {
    let (tell_moving, moving) = mpsc::channel(MAX_WAITING);
    let (tell_owed, owed) = mpsc::channel(1);
    let findings = Findings {
        moving: tell_moving,
        owed: tell_owed,
    };
    (findings, Found { moving, owed })
}

impl Findings {
    /// Hands over what a sweep found, never waiting. `last` = a whole round is in it.
    pub(crate) fn tell(&self, found: &mut sweep::Found, last: bool) {
        if !found.moving.is_empty() {
            let _ = self.moving.try_send(std::mem::take(&mut found.moving));
        }
        if last && !found.debts.is_empty() {
            let _ = self.owed.try_send(std::mem::take(&mut found.debts));
        }
    }
}

/// The pause between two questions about one session.
const EVERY: Duration = Duration::from_secs(2);
/// An answer is late after this. Late is not gone: a paused node may come back and pay.
const LIMIT: Duration = Duration::from_secs(1);
/// So many times in a row without responders, and a node is gone.
const GONE_AFTER: u8 = 2;
/// Sessions asked about at once.
const AT_ONCE: usize = 32;

/// Watches over what other nodes owe to sessions of this one.
pub(crate) struct Debts {
    pub hub: Arc<Hub>,
    pub peers: Peers,
    pub moves: Moves,
    pub start: Start,
}

impl Debts {
    /// Does what is found until `stop`.
    pub(crate) async fn run(self, found: Found, stop: CancellationToken) {
        let Found {
            mut moving,
            mut owed,
        } = found;
        let going_on = async {
            while let Some(ports) = moving.recv().await {
                for port in &ports {
                    self.moves.pass_on(port);
                    (self.start)(port);
                }
            }
        };
        let asking = async {
            let mut gone = HashMap::new();
            while let Some(round) = owed.recv().await {
                let began = tokio::time::Instant::now();
                self.ask(round, &mut gone).await;
                tokio::time::sleep_until(began + EVERY).await;
                // Found before the pause, and perhaps paid since.
                let _ = owed.try_recv();
            }
        };
        let work = async { tokio::join!(going_on, asking) };
        stop.run_until_cancelled(work).await;
    }

    /// `gone` counts for each node how often it was not there.
    async fn ask(&self, round: Owed, gone: &mut HashMap<NodeId, u8>) {
        let mut by_node: HashMap<NodeId, Vec<Arc<Port>>> = HashMap::new();
        for (node, port) in round {
            by_node.entry(node).or_default().push(port);
        }
        gone.retain(|node, _| by_node.contains_key(node));
        for (node, ports) in by_node {
            // One question tells whether the node is there at all.
            match self.knows(&node, &ports[0]).await {
                Err(Unanswered::Nobody) => {
                    let times = gone.entry(node.clone()).or_default();
                    *times += 1;
                    if *times >= GONE_AFTER {
                        ports.iter().for_each(|port| self.give_up(&node, port));
                    }
                }
                // Somebody was there to ask, or nobody could ask.
                Err(_) => drop(gone.remove(&node)),
                Ok(_) => {
                    gone.remove(&node);
                    let (this, node) = (self, &node);
                    futures_util::stream::iter(&ports)
                        .for_each_concurrent(AT_ONCE, |port| async move {
                            match this.knows(node, port).await {
                                // Alive, but it has started anew, or has forgotten the session.
                                Ok(Answer::NotMine) => this.give_up(node, port),
                                // The session has come home there, or gone on to another node.
                                Ok(Answer::Void) => this.settle(port, |session, bounds| {
                                    session.debtor_is_home(node, bounds);
                                }),
                                _ => {}
                            }
                        })
                        .await;
                }
            }
        }
    }

    async fn knows(&self, node: &NodeId, port: &Port) -> Result<Answer, Unanswered> {
        let (session, by) = (port.id.clone(), self.hub.config().node.clone());
        let question = ToNode::Owed { session, by }.encode();
        let answer = self.peers.ask(node, holder::DOOR, question, LIMIT).await?;
        // What cannot be read is of a version that has forgotten nothing.
        Ok(Answer::decode(&answer).unwrap_or(Answer::Granted))
    }

    fn give_up(&self, node: &NodeId, port: &Arc<Port>) {
        self.hub.metrics().takeover.debts_given_up.increment();
        self.settle(port, |session, bounds| session.debtor_died(node, bounds));
    }

    fn settle(&self, port: &Arc<Port>, how: impl FnOnce(&mut Session, &Bounds)) {
        let bounds = self.hub.bounds();
        let over = port.change(|session| {
            how(session, bounds);
            session.is_over()
        });
        self.moves.pass_on(port);
        if over {
            self.hub.forget(port);
        }
        (self.start)(port);
    }
}
