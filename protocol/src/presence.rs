//! Who is online, on every node of the cluster: the values behind `connected_uids`.

mod action;
mod options;
pub mod rules;

pub use action::{Action, AskId, Channel, Door, Unanswered};
pub use options::Options;
