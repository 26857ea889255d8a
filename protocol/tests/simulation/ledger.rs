//! What was promised and what happened, and the rules that tie one to the other.

mod items;
mod pushes;
mod totals;

pub(crate) use items::Place;
pub(crate) use pushes::{CONTENT_WINDOW, ID_WINDOW};
pub(crate) use totals::Totals;

use items::Items;
use pushes::Pushes;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) totals: Totals,
    pub(crate) pushes: Pushes,
    pub(crate) items: Items,
}
