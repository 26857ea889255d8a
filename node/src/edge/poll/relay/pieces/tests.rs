//! Tests of answers fetched piece by piece: whole, bounded, and forgotten in time.

use super::*;

fn body(length: usize) -> Bytes {
    (0..length).map(|at| at as u8).collect()
}

/// Of ten bytes each, `max_bytes` together.
fn pieces(max_bytes: usize) -> Pieces {
    Pieces::bounded(10, max_bytes, &Arc::default())
}

fn kept_bytes(pieces: &Pieces) -> usize {
    let line = pieces.line.lock();
    assert_eq!(line.metrics.poll.piece_bytes.value(), line.bytes as u64);
    line.bytes
}

fn begun(answer: FromHome) -> (u128, u64, Bytes) {
    match answer {
        FromHome::Begun {
            id, total, piece, ..
        } => (id, total, piece),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_large_answer_comes_in_pieces_and_is_let_go_with_the_last() {
    let pieces = pieces(100);
    let whole = FromHome::Body(Codec::Json, body(10));
    assert_eq!(pieces.answer(Codec::Json, body(10)), whole);
    let (id, total, first) = begun(pieces.answer(Codec::Json, body(25)));
    let mut seen = first.to_vec();
    assert_eq!((total, seen.len()), (25, 10));
    assert_eq!(pieces.rest(id, 25), None, "nothing stands behind the end");
    assert_eq!(pieces.rest(id, u64::MAX), None);
    while seen.len() < 25 {
        // A piece whose answer was lost is asked for again.
        let again = (seen.len() < 20).then(|| pieces.rest(id, seen.len() as u64));
        let piece = pieces.rest(id, seen.len() as u64).expect("kept");
        assert!(again.is_none_or(|again| again.as_ref() == Some(&piece)));
        seen.extend_from_slice(&piece);
    }
    assert_eq!(seen, body(25));
    assert_eq!(pieces.rest(id, 10), None, "let go");
    assert_eq!(kept_bytes(&pieces), 0);
}

#[tokio::test]
async fn over_the_bound_the_oldest_answer_is_dropped() {
    let pieces = pieces(50);
    let (old, ..) = begun(pieces.answer(Codec::Cbor, body(30)));
    let (new, ..) = begun(pieces.answer(Codec::Cbor, body(30)));
    assert_eq!(pieces.rest(old, 10), None);
    assert_eq!(pieces.rest(new, 10), Some(body(30).slice(10..20)));
    // One that is larger than all room has none.
    let (huge, ..) = begun(pieces.answer(Codec::Cbor, body(60)));
    assert_eq!(pieces.rest(huge, 10), None);
    assert_eq!(kept_bytes(&pieces), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_fetches_is_forgotten() {
    let pieces = pieces(100);
    let (id, ..) = begun(pieces.answer(Codec::Cbor, body(30)));
    tokio::time::advance(KEPT - Duration::from_millis(1)).await;
    assert!(pieces.rest(id, 10).is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(pieces.rest(id, 20), None);
    assert_eq!(kept_bytes(&pieces), 0);
}
