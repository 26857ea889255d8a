//! `throughput`: many users with one client each, one push to every user a round.

use anyhow::Result;
use tengen_protocol::Uid;

use super::{Run, Series};
use crate::{
    lean::Swarm,
    push::To,
    report::{Report, THROUGHPUT_SHARE},
};

pub(super) async fn measure(run: &Run, users: usize, rounds: u32) -> Result<Report> {
    let names = super::user_names(users);
    let uids = names
        .iter()
        .map(|name| Uid::parse(name))
        .collect::<Result<Vec<_>, _>>()?;
    let before = run.floor(users, 10).await?;
    let logins = run.target.login(&names)?;
    let swarm = Swarm::connect(&run.opening(), &logins, run.readers)?;
    let cpu = run.node_cpu()?;
    let mut measured = Vec::new();
    for number in 1..=u64::from(rounds) {
        let event = run.item(number)?;
        let items = uids
            .iter()
            .map(|uid| (To::Uid(uid.clone()), event.clone()))
            .collect();
        let round = run.round(&swarm, items, 1).await?;
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
    let books = swarm.finish(measured.len() as u64)?;
    let after = run.floor(users, 10).await?;
    let series = Series {
        rounds: measured,
        floors: [before, after],
        budget: THROUGHPUT_SHARE,
        cpu,
    };
    Ok(run.report("throughput", users, connect_time, series.outcome(), books))
}
