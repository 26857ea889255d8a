//! What the harness of the simulations is told of this one.

pub(crate) use crate::ledger::Totals;
pub(crate) use crate::scripts::SCRIPTS;
pub(crate) use crate::world::{Run, World};
pub(crate) use tengen_protocol::rules;

/// How a person sees one world.
pub(crate) const COMMAND: &str = "cargo xtask sim";

/// What an ordinary test run covers.
pub(crate) const SEEDS: u64 = 2_000;

/// Worlds in which a promise was broken once, beyond those.
pub(crate) const ONCE_FAILED: &[u64] = &[
    24_796, 211_586, 1_023_565, 1_060_519, 1_076_167, 1_079_736, 1_100_624, 1_104_773, 1_112_822,
    1_195_131, 1_200_199, 1_231_109, 1_237_953, 1_241_408, 1_272_348, 1_282_394, 1_292_276,
    1_336_718, 1_362_667, 1_373_250, 1_380_095, 1_398_036, 2_013_683, 3_002_162,
];

/// Seeds that every script is played with.
pub(crate) const SCRIPT_SEEDS: u64 = 3;

/// In so many worlds an ordinary test run looks for a rule that no script misses.
pub(crate) const QUICK_SEEDS: u64 = 200;

/// A rule whose absence is not noticed within so many worlds is not checked at all.
pub(crate) const ENOUGH_SEEDS: u64 = 20_000;
