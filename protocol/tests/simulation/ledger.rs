//! What was promised and what happened, and the rules that tie one to the other.

mod items;
mod pushes;
mod takes;
mod totals;

pub(crate) use items::Place;
pub(crate) use pushes::{CONTENT_WINDOW, ID_WINDOW};
pub(crate) use totals::Totals;

use items::Items;
use pushes::Pushes;
use takes::Takes;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) totals: Totals,
    pub(crate) pushes: Pushes,
    pub(crate) items: Items,
    pub(crate) takes: Takes,
}
