//! What the harness of the simulations is told of this one.

pub(crate) use crate::scripts::SCRIPTS;
pub(crate) use crate::totals::Totals;
pub(crate) use crate::world::{Run, World};
pub(crate) use tengen_protocol::presence::rules;

/// How a person sees one world.
pub(crate) const COMMAND: &str = "cargo xtask sim --presence";

/// What an ordinary test run covers.
pub(crate) const SEEDS: u64 = 300;

/// Seeds that every script is played with.
pub(crate) const SCRIPT_SEEDS: u64 = 3;

/// In so many worlds an ordinary test run looks for a rule that no script misses.
pub(crate) const QUICK_SEEDS: u64 = 60;

/// A rule whose absence is not noticed within so many worlds is not checked at all.
pub(crate) const ENOUGH_SEEDS: u64 = 600;
