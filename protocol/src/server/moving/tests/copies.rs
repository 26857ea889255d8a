//! Which copy of a push is the second one: by number, by message id, by content.

use super::*;

/// The cut after `a` heard `holder`; `b` heard `before`, then registered, then heard `side`.
fn taken(before: &[Push], holder: &[Push], side: &[Push]) -> (Node, Node) {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    for push in before {
        b.hear(push);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    for push in holder {
        a.hear(push);
    }
    take.step(&mut b, &mut a);
    for push in side {
        b.hear(push);
    }
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    b.attach(2, Some(0));
    (a, b)
}

#[test]
fn copies_with_a_number_are_told_apart_by_it() {
    let pushes: Vec<Push> = (1..=5).map(numbered).collect();
    let (_, mut b) = taken(&[], &pushes[..3], &pushes[1..]);
    assert_eq!(b.written(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn copies_of_one_batch_are_told_apart_by_their_place_in_it() {
    let push = |index, n| Push {
        identity: Identity::Batched {
            publisher: 7,
            seq: 3,
            index,
            message: 0,
        },
        n,
    };
    let (_, mut b) = taken(&[], &[push(0, 1), push(4, 2)], &[push(4, 2), push(5, 3)]);
    assert_eq!(b.written(), ["1", "2", "3"]);
}

#[test]
fn publishers_are_told_apart() {
    let of = |publisher, n| Push {
        identity: Identity::Batched {
            publisher,
            seq: 1,
            index: 0,
            message: 0,
        },
        n,
    };
    let (_, mut b) = taken(&[], &[of(1, 1)], &[of(1, 1), of(2, 2)]);
    assert_eq!(b.written(), ["1", "2"]);
}

#[test]
fn f63c_a_message_id_is_one_push_also_across_a_takeover() {
    let (mut a, mut b) = taken(
        &[],
        &[with_message(5, 1)],
        &[with_message(5, 1), with_message(6, 2)],
    );
    assert_eq!(b.written(), ["1", "2"]);
    // Published once more, afterwards, in another way.
    let again = |seq| Push {
        identity: Identity::Batched {
            publisher: 9,
            seq,
            index: 0,
            message: 5,
        },
        n: 1,
    };
    for seq in 1..=3 {
        assert_eq!(b.hear(&again(seq)), Some(Pushed::Known));
        a.hear(&again(seq));
    }
    carry(&mut [&mut a, &mut b]);
    b.later(1_500);
    assert_eq!(b.written(), Vec::<String>::new());
    // After 10 s the same id is another push.
    b.later(9_000);
    b.hear(&again(4));
    assert_eq!(b.written(), ["1"]);
}

#[test]
fn equal_pushes_are_matched_one_for_one() {
    let (_, mut b) = taken(&[], &[plain(1), plain(1)], &[plain(1), plain(1), plain(1)]);
    assert_eq!(b.written(), ["1", "1", "1"]);
    let (_, mut b) = taken(&[], &[plain(1), plain(2)], &[plain(2), plain(1), plain(3)]);
    assert_eq!(b.written(), ["1", "2", "3"]);
}

#[test]
fn an_equal_push_that_both_heard_before_the_registration_takes_nothing_away() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    a.hear(&plain(1));
    b.hear(&plain(1));
    a.later(400);
    b.later(400);
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    take.step(&mut b, &mut a);
    a.hear(&plain(1));
    b.hear(&plain(1));
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    carry(&mut [&mut a, &mut b]);
    b.later(1_500);
    b.attach(2, Some(0));
    assert_eq!(b.written(), ["1", "1"]);
}

#[test]
fn the_same_words_to_others_are_another_push() {
    let words = |target: &Target, filter: &Filter, codec| {
        Identity::of_content(target, filter, codec, b"[\"a/b\"]")
    };
    let alice = Target::Uid(alice().unwrap());
    let only = |name| Filter::Only(ClientId::parse(name).unwrap());
    let except = Filter::Except(ClientId::parse("x").unwrap());
    let all = [
        words(&Target::All, &Filter::None, Codec::Json),
        words(&Target::Anonymous, &Filter::None, Codec::Json),
        words(&alice, &Filter::None, Codec::Json),
        words(&alice, &Filter::None, Codec::Cbor),
        words(&alice, &only("x"), Codec::Json),
        words(&alice, &only("y"), Codec::Json),
        words(&alice, &except, Codec::Json),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(one), "{index}");
    }
    assert_eq!(all[0], words(&Target::All, &Filter::None, Codec::Json));
}

#[test]
fn pushes_for_others_are_not_among_what_a_session_has() {
    let mut journal = Journal::new();
    let bob = Target::Uid(Uid::parse("bob").unwrap());
    let now = Millis(50_000);
    journal.note(&bob, &Identity::Message(1), now);
    journal.note(&Target::Anonymous, &Identity::Content(2), now);
    journal.note(&Target::All, &Identity::Content(3), now);
    journal.note(&bob, &numbered(4).identity, now);
    let applied = journal.extract(alice().as_ref(), now.plus(5));
    assert_eq!(applied.messages, []);
    let contents: Vec<_> = applied
        .contents
        .iter()
        .map(|h| (h.content, h.age))
        .collect();
    assert_eq!(contents, [(3, 5)]);
    assert!(applied.publishers.contains_key(&7), "numbers are for all");
}

#[test]
fn a_journal_forgets_contents_and_message_ids_after_ten_seconds() {
    let mut journal = Journal::new();
    let now = Millis(50_000);
    journal.note(&Target::All, &Identity::Content(1), now);
    journal.note(&Target::All, &Identity::Message(2), now);
    let at = |later| journal.extract(None, now.plus(later));
    assert_eq!(at(10_000).contents.len(), 1);
    assert_eq!(at(10_001).contents, []);
    assert_eq!(at(10_000).messages, [(2, 10_000)]);
    assert_eq!(at(10_001).messages, []);
}

#[test]
fn f63c_a_repeat_of_a_message_id_is_as_old_as_its_first_copy() {
    let mut journal = Journal::new();
    let now = Millis(50_000);
    let bob = Target::Uid(Uid::parse("bob").unwrap());
    journal.note(&Target::All, &Identity::Message(2), now);
    journal.note(&bob, &Identity::Message(2), now.plus(3_000));
    journal.note(&Target::All, &Identity::Message(2), now.plus(9_999));
    let messages = |journal: &Journal, later| journal.extract(None, now.plus(later)).messages;
    assert_eq!(messages(&journal, 9_999), [(2, 9_999)]);
    assert_eq!(messages(&journal, 10_001), []);
    journal.note(&Target::All, &Identity::Message(2), now.plus(10_000));
    assert_eq!(messages(&journal, 10_001), [(2, 1)]);
}

/// `b` hears strangers' pushes, repeats too; `a`, where the session is, drops repeats.
#[test]
fn a_taker_waits_for_no_push_whose_repeat_it_heard_and_the_holder_dropped() {
    let (mut a, mut b) = (Node::home(), Node::new("b"));
    let push = with_message(5, 1);
    for node in [&mut a, &mut b] {
        node.hear(&push);
        node.later(3_000);
    }
    b.hear(&push);
    for node in [&mut a, &mut b] {
        node.later(7_001);
    }
    let mut take = Take::begin(&mut b, "a", 2, 0, 1);
    assert_eq!(take.run(&mut b, &mut a), Finish::Taken);
    assert_eq!(b.session().debtor(), None);
    b.attach(2, Some(0));
    b.hear(&plain(2));
    assert_eq!(b.written(), ["1", "2"]);
}

#[test]
fn a_journal_is_bounded_and_knows_how_far_back_it_reaches() {
    let mut journal = Journal::new();
    for n in 0..80_000_u64 {
        let now = Millis(50_000 + n / 80);
        journal.note(&Target::All, &Identity::Content(n.into()), now);
        let publisher = Identity::Batched {
            publisher: n.into(),
            seq: 1,
            index: 0,
            message: 0,
        };
        journal.note(&Target::All, &publisher, now);
    }
    let applied = journal.extract(None, Millis(51_000));
    assert_eq!(applied.contents.len(), 4_096);
    assert!(applied.reach_ms < 100, "{}", applied.reach_ms);
    assert!(applied.publishers.len() <= 4_096);
    assert!(applied.publishers.contains_key(&79_999), "the newest stay");
}
