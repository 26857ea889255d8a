//! A link that is narrow: what is large takes long, and nobody takes that for silence.
//!
//! The longest test; the name of this file has it begin among the first.

use std::time::Duration;

use futures_util::future::join_all;
use tengen_bus::testing::Shape;

use crate::waiting::Stage;
use crate::world::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f41_a_large_item_over_a_narrow_link_closes_nothing_in_either_direction() {
    let stage = Stage::start().await;
    let guests = stage.guests().await;
    // As large as an item may be, with what stands around it; 32 s of the link's time.
    let data = "x".repeat((512 << 10) - 128);
    // 128 kbit/s, each way; and twice as much patience as both ways take.
    let narrow = Shape::slow(16 << 10);
    let patience = Duration::from_secs(150);
    let moved = guests.iter().map(async |guest| {
        let mut state = guest.client.state();
        state.mark_unchanged();
        let (seen, mut pushed) = tokio::sync::mpsc::unbounded_channel();
        let _registration = guest.client.on("t/large", move |event| {
            // The test that no longer listens has failed already.
            let _ = seen.send(event.to::<String>());
        });
        guest.proxy.shape(narrow);
        let echo = guest.client.request::<String>("example/echo", &data);
        let echo = within(patience, "an echo", echo.timeout(patience)).await;
        assert_eq!(
            echo.map(|text| text.len()),
            Ok(data.len()),
            "{:?}",
            guest.by
        );

        stage.push(guest.by.name(), &data).await;
        let text = within(patience, "a push", pushed.recv()).await;
        assert!(text.expect("it lives").is_ok_and(|text| text == data));
        guest.echo().await;
        assert!(pushed.try_recv().is_err(), "once");
        assert!(!state.has_changed().expect("it lives"), "{:?}", guest.by);
    });
    join_all(moved).await;
}
