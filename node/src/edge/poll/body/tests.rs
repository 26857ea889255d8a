//! Bodies of every size and pace: taken whole, or refused with nothing kept.

use std::convert::Infallible;

use futures_util::stream;

use super::*;

fn bodies(max: usize, total: usize) -> Bodies {
    Bodies::new(max, total, &Arc::default())
}

/// A body that comes in these pieces, after these pauses.
fn paced(pieces: Vec<(Duration, usize)>) -> Body {
    let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async {
        let (pause, size) = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(vec![7; size]), pieces))
    });
    Body::from_stream(pieces)
}

fn status(refused: Result<Taken, Refusal>) -> u16 {
    refused.unwrap_err().status().as_u16()
}

/// The same at once, without saying how long it is.
fn of_unknown_length(size: usize) -> Body {
    paced(vec![(Duration::ZERO, size)])
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_and_one_byte_more_is_413() {
    let bodies = bodies(1_000, 1_000);
    for body in [Body::from(vec![7; 1_000]), of_unknown_length(1_000)] {
        assert_eq!(bodies.take(body).await.unwrap().bytes.len(), 1_000);
    }
    let in_pieces = paced(vec![(Duration::ZERO, 600), (Duration::ZERO, 600)]);
    for body in [
        Body::from(vec![7; 1_001]),
        of_unknown_length(1_001),
        in_pieces,
    ] {
        assert_eq!(status(bodies.take(body).await), 413);
    }
    // Nothing is left behind: there is room for as much as at the start.
    assert!(bodies.take(Body::from(vec![7; 1_000])).await.is_ok());
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_429_until_one_is_done() {
    let bodies = bodies(4_000, 10_000);
    // Without a length it may be as long as any.
    let take = || bodies.take(of_unknown_length(1));
    let first = take().await.unwrap();
    let second = take().await.unwrap();
    assert_eq!(status(take().await), 429);
    // A short one that says so still fits, and so does none at all.
    assert!(bodies.take(Body::from("x")).await.is_ok());
    assert!(bodies.take(Body::empty()).await.is_ok());
    drop(first);
    assert!(take().await.is_ok());
    drop(second);
    assert_eq!(bodies.metrics.poll.post_bytes.value(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_ends_and_a_steady_one_may_take_its_time() {
    let bodies = bodies(1 << 20, 1 << 20);
    let begun = Instant::now();
    let trickle = paced(vec![(Duration::from_millis(500), 1); 1_000]);
    assert_eq!(status(bodies.take(trickle).await), 400);
    assert!(begun.elapsed() < Duration::from_secs(11));
    // F41: 512 KiB at 128 kbit/s, half a minute.
    let steady = paced(vec![(Duration::from_secs(1), 16 << 10); 32]);
    let taken = bodies.take(steady).await.unwrap();
    assert_eq!(taken.bytes.len(), 512 << 10);
}

#[tokio::test]
async fn a_body_cut_half_way_is_400() {
    let bodies = bodies(1_000, 1_000);
    let cut = Body::from_stream(stream::iter([
        Ok(vec![7; 10]),
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
    ]));
    assert_eq!(status(bodies.take(cut).await), 400);
}
