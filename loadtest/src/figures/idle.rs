//! `idle`: what a connection costs the node that does nothing, and a proof that all of them live.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Run;
use crate::{
    full::FullSwarm,
    lean::{Login, Progress, Swarm},
    parked::ParkedSwarm,
    process::{cpu_time, settled_bytes},
    push::To,
    report::{IDLE_KIB, Idle, Outcome, PARKED_KIB, Report},
};

/// The allocator returns freed pages some seconds after the handshakes.
const QUIET: Duration = Duration::from_secs(5);
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// What every connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A hand-written WebSocket.
    Lean,
    /// A real client.
    Full,
    /// A hand-written poll that waits.
    Parked,
}

enum Clients {
    Lean(Swarm),
    Full(FullSwarm),
    Parked(ParkedSwarm),
}

impl Clients {
    fn progress(&self) -> &Arc<Progress> {
        match self {
            Clients::Lean(swarm) => swarm.progress(),
            Clients::Full(swarm) => swarm.progress(),
            Clients::Parked(swarm) => swarm.progress(),
        }
    }
}

pub(super) async fn measure(
    run: &Run,
    connections: usize,
    anonymous: bool,
    kind: Kind,
) -> Result<Report> {
    let pid = run.pid()?;
    let logins = if anonymous {
        vec![Login::default(); connections]
    } else {
        // Before the first measurement: what logging in costs the node is not a connection's cost.
        let names = super::user_names(connections);
        run.target.login(&names)?
    };
    let before = settled_bytes(pid, QUIET, SETTLE_LIMIT).await?;
    let begin = Instant::now();
    let opening = run.opening();
    let swarm = match kind {
        Kind::Lean => Clients::Lean(Swarm::connect(&opening, &logins, run.readers)?),
        Kind::Full => Clients::Full(FullSwarm::connect(&opening, &logins).await?),
        Kind::Parked => Clients::Parked(ParkedSwarm::connect(&opening, &logins).await?),
    };
    let connect_time = begin.elapsed();
    let (idle_begin, cpu_begin) = (Instant::now(), cpu_time(pid)?);
    let after = settled_bytes(pid, QUIET, SETTLE_LIMIT).await?;
    let idle_cores =
        (cpu_time(pid)? - cpu_begin).as_secs_f64() / idle_begin.elapsed().as_secs_f64();

    // Memory measured on connections that the node has lost would be a fine figure and a wrong one.
    swarm.progress().expect(connections as u64);
    run.pusher.push(vec![(To::All, run.item(1)?)]).await?;
    let (stall, progress) = (run.stall, swarm.progress().clone());
    // A stall shows in the books as items lost.
    tokio::task::spawn_blocking(move || progress.wait(stall)).await?;
    let books = match swarm {
        Clients::Lean(swarm) => swarm.finish(1)?,
        Clients::Full(swarm) => swarm.finish(1).await,
        Clients::Parked(swarm) => swarm.finish(1).await,
    };
    let idle = Idle {
        resident_before_bytes: before,
        resident_after_bytes: after,
        kib_per_connection: after.saturating_sub(before) as f64 / 1024.0 / connections as f64,
        budget_kib: match kind {
            Kind::Lean | Kind::Full => IDLE_KIB,
            Kind::Parked => PARKED_KIB,
        },
        idle_cores,
    };
    Ok(run.report(
        if kind == Kind::Parked {
            "idle, parked polls"
        } else {
            "idle"
        },
        connections,
        connect_time,
        Outcome::Idle(idle),
        books,
    ))
}
