//! The end of a run: everybody is back, everything is acknowledged, nothing is left over.

use crate::world::World;
use tengen_protocol::server::Standing;

impl World {
    /// Whether everything has come to rest, whole; else what has not.
    pub(crate) fn settled(&self) -> Result<(), String> {
        for (tab, it) in self.tabs.iter().enumerate() {
            let state = it.client.state();
            if !state.open || state.uid != it.login {
                return Err(format!("tab {tab} is not back: {state:?}"));
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(id) = node.takes.keys().next() {
                return Err(format!("node {index} still takes {id}"));
            }
        }
        self.ledger.items.settle(&self.ledger.takes.granted)?;
        self.ledger.pushes.settle()?;
        for (index, node) in self.nodes.iter().enumerate() {
            for (id, home) in &node.homes {
                let session = &home.session;
                let left = (
                    session.queue_items(),
                    session.queue_bytes(),
                    session.outstanding(),
                    session.inbox_items(),
                );
                let current = self
                    .tabs
                    .iter()
                    .any(|tab| tab.client.state().session.as_ref() == Some(id));
                let standing = session.standing();
                if !current || left != (0, 0, 0, 0) || standing != Standing::Home {
                    return Err(format!(
                        "node {index} keeps {id}: {left:?}, of a tab: {current}, {standing:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
