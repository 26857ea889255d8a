//! What a run found: a table for people, JSON for machines, a verdict for the exit code.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    compare::{Row, Volume},
    floor::Floor,
    ledger::Verdict,
    options::Via,
};

/// Most resident KiB the node may spend on an idle connection.
pub(crate) const IDLE_KIB: f64 = 3.0;
/// The same for a parked poll.
pub(crate) const PARKED_KIB: f64 = 12.0;
/// Most bytes over the socket for those of a burst of pushes.
pub(crate) const VOLUME_RATIO: f64 = 1.2;
/// Least share of the floor for one frame each to many users.
pub(crate) const THROUGHPUT_SHARE: f64 = 0.85;
/// Least share of the floor for one user with many clients, where frames can be coalesced.
pub(crate) const FANOUT_SHARE: f64 = 6.0;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) figure: &'static str,
    pub(crate) connections: usize,
    pub(crate) connects_per_second: f64,
    pub(crate) via: Via,
    #[serde(flatten)]
    pub(crate) result: Outcome,
    pub(crate) ledger: Verdict,
    /// Gaps, closes and errors that connections were told of, and how often.
    pub(crate) told: BTreeMap<String, u64>,
    pub(crate) budget_met: bool,
    pub(crate) clean: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Idle(Idle),
    Speed(Speed),
    Transports(Transports),
    Resume(Resume),
    Reports(Reports),
    Watchers(Watchers),
    Presence(Presence),
}

impl Outcome {
    pub(crate) fn budget_met(&self) -> bool {
        match self {
            Outcome::Idle(idle) => idle.kib_per_connection <= idle.budget_kib,
            Outcome::Speed(speed) => speed.share_of_floor >= speed.budget_share,
            Outcome::Transports(transports) => transports
                .volumes
                .iter()
                .all(|volume| volume.ratio <= transports.budget_ratio),
            Outcome::Resume(_)
            | Outcome::Reports(_)
            | Outcome::Watchers(_)
            | Outcome::Presence(_) => true,
        }
    }
}

/// One transport next to the other.
#[derive(Debug, Serialize)]
pub(crate) struct Transports {
    pub(crate) rows: Vec<Row>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) budget_ratio: f64,
}

/// The ways back next to each other.
#[derive(Debug, Serialize)]
pub(crate) struct Resume {
    pub(crate) rows: Vec<Row>,
}

/// What asking whom a push reached costs.
#[derive(Debug, Serialize)]
pub(crate) struct Reports {
    pub(crate) rows: Vec<Row>,
    pub(crate) costs: Vec<Cost>,
}

/// What one costs who follows over HTTP who is online.
#[derive(Debug, Serialize)]
pub(crate) struct Watchers {
    /// Resident, while nothing happens.
    pub(crate) kib_per_watcher: f64,
    pub(crate) announcements: u32,
    pub(crate) users_each: usize,
    /// Of the node's processor, for each watcher.
    pub(crate) micros_per_announcement: f64,
    pub(crate) micros_per_change: f64,
}

/// What who-is-online costs.
#[derive(Debug, Serialize)]
pub(crate) struct Presence {
    pub(crate) nodes: usize,
    /// Of one node, while nothing happens.
    pub(crate) idle_messages_per_minute: f64,
    pub(crate) idle_bytes_per_minute: f64,
    /// All that an idle node does, presence or not.
    pub(crate) idle_cpu_millis_per_minute: f64,
    pub(crate) changes: Vec<PresenceChange>,
}

/// Users who came and went.
#[derive(Debug, Serialize)]
pub(crate) struct PresenceChange {
    pub(crate) users_around: usize,
    /// Each is one user who comes or goes.
    pub(crate) changes: u64,
    /// On the bus, of all nodes together, the telling included.
    pub(crate) changes_per_message: f64,
    /// The same, for one change.
    pub(crate) bytes: f64,
    /// Processor time at a node that only hears of it, of one who comes.
    pub(crate) cpu_micros_at_a_node: f64,
}

/// Many pushes of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) pushes: u64,
    pub(crate) per_second: f64,
    /// Of all nodes together, for one push.
    pub(crate) nodes_cpu_micros: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) resident_before_bytes: u64,
    pub(crate) resident_after_bytes: u64,
    pub(crate) kib_per_connection: f64,
    pub(crate) budget_kib: f64,
    /// Share of one core the node used while everything was idle.
    pub(crate) idle_cores: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) deliveries: u64,
    pub(crate) rounds: usize,
    /// The median round, from the first push handed over to the last item read by its client.
    pub(crate) per_second: f64,
    pub(crate) slowest_round_per_second: f64,
    pub(crate) fastest_round_per_second: f64,
    pub(crate) floor_per_second: f64,
    /// Measured right before and right after the rounds.
    pub(crate) floors: [Floor; 2],
    pub(crate) share_of_floor: f64,
    pub(crate) budget_share: f64,
    /// Processor time of the node for one delivery, where its process is known.
    pub(crate) node_cpu_micros: Option<f64>,
    /// Processor time of one write of the floor. Unlike the speeds, these two hold on a busy machine.
    pub(crate) floor_cpu_micros: f64,
    /// Deliveries a second of each round, in order.
    pub(crate) per_second_of_rounds: Vec<u64>,
}

impl Speed {
    /// Puts rounds (deliveries and seconds of each) next to the floors measured around them.
    pub(crate) fn new(
        rounds: &[(u64, f64)],
        floors: [Floor; 2],
        budget_share: f64,
        node_cpu_seconds: Option<f64>,
    ) -> Speed {
        let mut speeds: Vec<f64> = rounds
            .iter()
            .map(|(deliveries, seconds)| *deliveries as f64 / seconds)
            .collect();
        let per_second_of_rounds = speeds.iter().map(|speed| *speed as u64).collect();
        speeds.sort_by(f64::total_cmp);
        let at = |index: usize| speeds.get(index).copied().unwrap_or(0.0);
        let deliveries: u64 = rounds.iter().map(|(deliveries, _)| deliveries).sum();
        let floor_per_second = floors.iter().map(Floor::per_second).sum::<f64>() / 2.0;
        let per_second = at(speeds.len() / 2);
        Speed {
            deliveries,
            rounds: rounds.len(),
            per_second,
            slowest_round_per_second: at(0),
            fastest_round_per_second: at(speeds.len().saturating_sub(1)),
            floor_per_second,
            floors,
            share_of_floor: per_second / floor_per_second,
            budget_share,
            node_cpu_micros: node_cpu_seconds.map(|seconds| seconds * 1e6 / deliveries as f64),
            floor_cpu_micros: floors.iter().map(Floor::cpu_micros).sum::<f64>() / 2.0,
            per_second_of_rounds,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<28} {value}");
        row("figure", self.figure.to_owned())?;
        row("connections", self.connections.to_string())?;
        row("connects/s", format!("{:.0}", self.connects_per_second))?;
        row("pushed via", format!("{:?}", self.via).to_lowercase())?;
        let compared = |row: &Row| {
            format!(
                "p50 {:.0} µs, p99 {:.0} µs, {:.2} × {} ({} times)",
                row.p50_micros, row.p99_micros, row.ratio, row.against, row.count
            )
        };
        match &self.result {
            Outcome::Idle(idle) => {
                row(
                    "resident before",
                    format!("{:.1} MiB", mebibytes(idle.resident_before_bytes)),
                )?;
                row(
                    "resident after",
                    format!("{:.1} MiB", mebibytes(idle.resident_after_bytes)),
                )?;
                row(
                    "per connection",
                    format!(
                        "{:.2} KiB (budget {:.2})",
                        idle.kib_per_connection, idle.budget_kib
                    ),
                )?;
                row(
                    "idle node",
                    format!("{:.1} % of one core", idle.idle_cores * 100.0),
                )?;
            }
            Outcome::Transports(transports) => {
                for it in &transports.rows {
                    row(it.name, compared(it))?;
                }
                for it in &transports.volumes {
                    let value = format!(
                        "{} bytes for {} pushes of {} together: {:.2} × (budget {:.2})",
                        it.wire_bytes,
                        it.pushes,
                        it.payload_bytes,
                        it.ratio,
                        transports.budget_ratio
                    );
                    row(&format!("burst, {}", it.transport), value)?;
                }
            }
            Outcome::Resume(resume) => {
                for it in &resume.rows {
                    row(it.name, compared(it))?;
                }
            }
            Outcome::Reports(reports) => {
                for it in &reports.rows {
                    row(it.name, compared(it))?;
                }
                for it in &reports.costs {
                    let value = format!(
                        "{:.2} µs of the nodes' processor, {:.0} a second ({} pushes)",
                        it.nodes_cpu_micros, it.per_second, it.pushes
                    );
                    row(it.name, value)?;
                }
            }
            Outcome::Watchers(it) => {
                row("idle watcher", format!("{:.1} KiB", it.kib_per_watcher))?;
                let value = format!(
                    "{:.2} µs of the node's processor, {:.1} µs for {} together ({} times)",
                    it.micros_per_change,
                    it.micros_per_announcement,
                    it.users_each,
                    it.announcements
                );
                row("a change, for a watcher", value)?;
            }
            Outcome::Presence(it) => {
                let value = format!(
                    "{:.0} messages, {:.0} bytes, {:.0} ms of processor a minute ({} nodes)",
                    it.idle_messages_per_minute,
                    it.idle_bytes_per_minute,
                    it.idle_cpu_millis_per_minute,
                    it.nodes
                );
                row("an idle node", value)?;
                for it in &it.changes {
                    let value = format!(
                        "{:.1} bytes on the bus, {:.0} in a message, {:.2} µs at a node ({} changes)",
                        it.bytes, it.changes_per_message, it.cpu_micros_at_a_node, it.changes
                    );
                    row(&format!("a change, {} around", it.users_around), value)?;
                }
            }
            Outcome::Speed(speed) => {
                row(
                    "deliveries",
                    format!("{} in {} rounds", speed.deliveries, speed.rounds),
                )?;
                row(
                    "deliveries/s",
                    format!(
                        "{:.0} (median round; {:.0} to {:.0})",
                        speed.per_second,
                        speed.slowest_round_per_second,
                        speed.fastest_round_per_second
                    ),
                )?;
                row(
                    "floor, write(2)/s",
                    format!(
                        "{:.0} (before {:.0}, after {:.0})",
                        speed.floor_per_second,
                        speed.floors[0].per_second(),
                        speed.floors[1].per_second()
                    ),
                )?;
                row(
                    "share of the floor",
                    format!(
                        "{:.2} (budget {:.2})",
                        speed.share_of_floor, speed.budget_share
                    ),
                )?;
                if let Some(micros) = speed.node_cpu_micros {
                    row(
                        "node cpu per delivery",
                        format!(
                            "{micros:.2} µs (a write of the floor: {:.2} µs)",
                            speed.floor_cpu_micros
                        ),
                    )?;
                }
            }
        }
        let ledger = self.ledger;
        row(
            "ledger",
            format!(
                "{} in order, {} lost, {} repeated, {} reordered",
                ledger.in_order, ledger.lost, ledger.repeated, ledger.reordered
            ),
        )?;
        for (text, count) in &self.told {
            row("told", format!("{count} × {text}"))?;
        }
        let budget = if self.budget_met {
            "budget met"
        } else {
            "BUDGET MISSED"
        };
        let clean = if self.clean { "clean" } else { "NOT CLEAN" };
        row("verdict", format!("{clean}, {budget}"))
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests;
