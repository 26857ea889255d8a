//! Small worlds in which one fixed trouble comes at a fixed moment, each with a question of its own.

use crate::played::Script;

/// All of them.
pub(crate) const SCRIPTS: &[&[Script]] = &[];
