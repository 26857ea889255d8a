//! Whose turn it is: a test that keeps the machine busy runs beside few others, one that measures beside no other such.
//!
//! What waits most of its time takes no turn. Held until the end of a test; given in the order of asking.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::pace::Pace;

const ALL: u32 = 8;
static PLACES: Semaphore = Semaphore::const_new(ALL as usize);

/// Beside one other: a hundred clients whose connections break all the time, or thousands, want a good
/// part of two cores, and a node's patience with another is a second. At their full pace they want less.
pub(crate) async fn among_few() -> Turn {
    take(if Pace::of_this_run().is_full() {
        1
    } else {
        ALL / 2
    })
    .await
}

/// The same with a crowd, which at its full pace is twenty thousand: then beside none.
pub(crate) async fn of_a_crowd() -> Turn {
    take(if Pace::of_this_run().is_full() {
        ALL
    } else {
        ALL / 2
    })
    .await
}

/// Beside none: what is measured is the time of this test's own work.
pub(crate) async fn alone() -> Turn {
    take(ALL).await
}

/// Given back when dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held for its drop")] SemaphorePermit<'static>);

async fn take(places: u32) -> Turn {
    let permit = PLACES.acquire_many(places).await;
    Turn(permit.expect("nobody closes it"))
}
