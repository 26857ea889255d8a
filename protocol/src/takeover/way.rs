//! By which nodes an answer, or the word that a handler has returned, comes to the node where its session is.

use super::fields::{BadMessage, Fields, text};
use crate::ids::NodeId;
use crate::value::Value;

/// How many nodes of a way are remembered. Who stands further back is not recognized any more when
/// the session comes to him: an answer then comes around, or is closed.
const MAX_NODES: usize = 16;

/// From the node where a handler is at work to the one that tells the next. Each tells whomever it
/// gave the session to last; so who is on the way need not wait for who comes after him.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way(Vec<NodeId>);

impl Way {
    /// Who tells. `None`: the handler is at work at the node that has this.
    pub(crate) fn last(&self) -> Option<&NodeId> {
        self.0.last()
    }

    pub(crate) fn passes(&self, node: &NodeId) -> bool {
        self.0.contains(node)
    }

    /// The same for the node that took the session from `holder`.
    pub(crate) fn by(mut self, holder: &NodeId) -> Way {
        self.0.push(holder.clone());
        let beyond = self.0.len().saturating_sub(MAX_NODES);
        self.0.drain(..beyond);
        self
    }

    /// What lies before `node`; `None` if nothing does.
    pub(crate) fn before(&self, node: &NodeId) -> Option<Way> {
        let at = self.0.iter().rposition(|other| other == node)?;
        (at > 0).then(|| Way(self.0[..at].to_vec()))
    }

    pub(super) fn write(&self) -> Value {
        Value::Array(self.0.iter().map(|node| text(node.as_str())).collect())
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Way, BadMessage> {
        let nodes = fields.list()?.all(Fields::node)?;
        match nodes.len() {
            ..=MAX_NODES => Ok(Way(nodes)),
            _ => Err(BadMessage::Malformed("a way is too long")),
        }
    }
}

#[cfg(test)]
mod tests;
