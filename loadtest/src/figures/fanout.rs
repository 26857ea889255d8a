//! `fanout`: one user with many clients, bursts of pushes to that user.

use anyhow::Result;
use tengen_protocol::Uid;

use super::{Run, Series};
use crate::{
    lean::Swarm,
    push::To,
    report::{FANOUT_SHARE, Report},
};

pub(super) async fn measure(run: &Run, clients: usize, pushes: u32, rounds: u32) -> Result<Report> {
    let name = format!("fanout-{}", std::process::id());
    let uid = Uid::parse(&name)?;
    let before = run.floor(clients, 10).await?;
    let login = run.target.login(&[name])?.remove(0);
    let swarm = Swarm::connect(&run.opening(), &vec![login; clients], run.readers)?;
    let cpu = run.node_cpu()?;
    let mut measured = Vec::new();
    let mut number = 0;
    for _ in 0..rounds {
        let mut items = Vec::with_capacity(pushes as usize);
        for _ in 0..pushes {
            number += 1;
            items.push((To::Uid(uid.clone()), run.item(number)?));
        }
        let round = run.round(&swarm, items, clients as u64).await?;
        measured.push(round);
        if round.1.is_infinite() {
            break;
        }
    }
    let cpu = run
        .node_cpu()?
        .zip(cpu)
        .map(|(after, before)| after - before);
    let connect_time = swarm.connect_time;
    let books = swarm.finish(number)?;
    let after = run.floor(clients, 10).await?;
    let series = Series {
        rounds: measured,
        floors: [before, after],
        budget: FANOUT_SHARE,
        cpu,
    };
    Ok(run.report("fanout", clients, connect_time, series.outcome(), books))
}
