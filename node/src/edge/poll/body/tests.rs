//! Bodies of every size and pace: taken whole, or refused with nothing kept.

use std::convert::Infallible;

use axum::http::HeaderValue;
use futures_util::stream;

use super::*;

fn bodies(max: usize, total: usize) -> Bodies {
    Bodies::new(max, total, &Arc::default())
}

fn length(length: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers
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

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_and_one_byte_more_is_413() {
    let bodies = bodies(1_000, 1_000);
    for headers in [HeaderMap::new(), length(1_000)] {
        let taken = bodies.take(&headers, Body::from(vec![7; 1_000])).await;
        assert_eq!(taken.unwrap().bytes.len(), 1_000);
    }
    for headers in [HeaderMap::new(), length(1_001)] {
        let taken = bodies.take(&headers, Body::from(vec![7; 1_001])).await;
        assert_eq!(status(taken), 413);
    }
    let in_pieces = paced(vec![(Duration::ZERO, 600), (Duration::ZERO, 600)]);
    assert_eq!(status(bodies.take(&HeaderMap::new(), in_pieces).await), 413);
    // Nothing is left behind: there is room for as much as at the start.
    let whole = length(1_000);
    let taken = bodies.take(&whole, Body::from(vec![7; 1_000])).await;
    assert!(taken.is_ok());
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_429_until_one_is_done() {
    let bodies = bodies(4_000, 10_000);
    let without_length = HeaderMap::new();
    let take = || bodies.take(&without_length, Body::from("x"));
    let first = take().await.unwrap();
    let second = take().await.unwrap();
    assert_eq!(status(take().await), 429);
    // A short one that says so still fits.
    assert!(bodies.take(&length(1), Body::from("x")).await.is_ok());
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
    assert_eq!(status(bodies.take(&HeaderMap::new(), trickle).await), 400);
    assert!(begun.elapsed() < Duration::from_secs(11));
    // F41: 512 KiB at 128 kbit/s, half a minute.
    let steady = paced(vec![(Duration::from_secs(1), 16 << 10); 32]);
    let taken = bodies.take(&length(512 << 10), steady).await.unwrap();
    assert_eq!(taken.bytes.len(), 512 << 10);
}

#[tokio::test]
async fn a_body_cut_half_way_is_400() {
    let bodies = bodies(1_000, 1_000);
    let cut = Body::from_stream(stream::iter([
        Ok(vec![7; 10]),
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
    ]));
    assert_eq!(status(bodies.take(&length(20), cut).await), 400);
}
