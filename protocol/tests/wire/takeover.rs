//! Takeover messages: golden bytes, every cut refused, later versions and kinds told apart.

use bytes::Bytes;
use tengen_protocol::server::{Bounds, Released, Session};
use tengen_protocol::takeover::{
    Answer, BadMessage, Finish, Forward, Heard, Identity, Journal, Release, Step, Taker, ToNode,
};
use tengen_protocol::{
    ClientFrame, ClientHello, ClientId, Codec, Data, ErrorCode, EventId, Filter, Millis, NodeId,
    OutFrame, Refusal, SessionId, Target, Transport, Uid, Value,
};

use crate::golden;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).expect("a node id")
}

fn session() -> SessionId {
    SessionId::new(&node("n1"), [0; 16])
}

fn alice() -> Uid {
    Uid::parse("alice").expect("a uid")
}

fn client() -> ClientId {
    ClientId::parse("tab").expect("a client id")
}

fn release() -> Release {
    Release {
        session: session(),
        take: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        attempt: 2,
        received: 1,
        uid: Some(alice()),
        client: client(),
        codec: Codec::Cbor,
        by: node("n2"),
        part: 0,
    }
}

/// Nothing has been written, so the client can have received nothing.
fn release_of_all() -> Release {
    Release {
        received: 0,
        ..release()
    }
}

fn place() -> Identity {
    Identity::Batched {
        publisher: 0x0f,
        seq: 300,
        index: 2,
        message: 0,
    }
}

fn requests() -> Vec<(&'static str, ToNode)> {
    let anonymous = Release {
        uid: None,
        codec: Codec::Json,
        part: 7,
        ..release()
    };
    let (session, take) = (session(), release().take);
    vec![
        ("release to alice", ToNode::Release(release())),
        ("another part, to nobody", ToNode::Release(anonymous)),
        (
            "done",
            ToNode::Done {
                session: session.clone(),
                take,
            },
        ),
        (
            "do you still owe",
            ToNode::Owed {
                session,
                by: node("n2"),
            },
        ),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let part = Answer::Part {
        holder: node("n1"),
        take: release().take,
        part: 1,
        of: 3,
        body: Bytes::from_static(&[0xff, 0x00]),
    };
    vec![
        ("a part", part),
        ("a whole session", whole_session()),
        (
            "a session that goes on to a third node",
            session_that_goes_on(),
        ),
        ("granted", Answer::Granted),
        ("void", Answer::Void),
        ("lower attempt", Answer::LowerAttempt),
        ("not mine", Answer::NotMine),
        ("another user", Answer::OtherUser),
        ("lost", Answer::Lost),
    ]
}

fn forwards() -> Vec<(&'static str, Forward)> {
    let push = |target, filter, identity, codec, event: &'static [u8]| Forward::Push {
        from: node("n1"),
        target,
        filter,
        identity,
        codec,
        event: Bytes::from_static(event),
    };
    let data = Data::from_value(Codec::Json, &Value::Int(7)).expect("a number");
    let reply = |outcome| Forward::Reply {
        from: node("n1"),
        session: session(),
        request: 7,
        outcome,
    };
    vec![
        (
            "a numbered push to a user",
            push(
                Target::Uid(alice()),
                Filter::None,
                place(),
                Codec::Json,
                b"[\"a/b\"]",
            ),
        ),
        (
            "a push with a message id, to one client without a user",
            push(
                Target::Anonymous,
                Filter::Only(client()),
                Identity::Message(5),
                Codec::Cbor,
                b"\x81\x63a/b",
            ),
        ),
        (
            "a push to all but one, known by its content",
            push(
                Target::All,
                Filter::Except(client()),
                Identity::of_content(&Target::All, &Filter::None, Codec::Json, b"[\"a/b\"]"),
                Codec::Json,
                b"[\"a/b\"]",
            ),
        ),
        (
            "the third of its kind that its node heard",
            push(
                Target::All,
                Filter::None,
                Identity::Counted {
                    content: 6,
                    count: 3,
                },
                Codec::Json,
                b"[\"a/b\"]",
            ),
        ),
        (
            "a gap",
            Forward::Gap {
                from: node("n1"),
                target: Target::All,
                reason: "lost".to_owned(),
                session: None,
            },
        ),
        (
            "a gap of one session",
            Forward::Gap {
                from: node("n1"),
                target: Target::Anonymous,
                reason: "takeover".to_owned(),
                session: Some(session()),
            },
        ),
        ("a reply", reply(Ok(data))),
        (
            "an error",
            reply(Err(Refusal::new(ErrorCode::NO_HANDLER, "nobody"))),
        ),
        (
            "what a handler said of an event",
            Forward::Report {
                from: node("n1"),
                session: session(),
                position: 3,
                refusal: Refusal::new(ErrorCode(1000), "no"),
            },
        ),
        (
            "a handler returned",
            Forward::Returned {
                from: node("n1"),
                session: session(),
                position: 3,
            },
        ),
        (
            "one push for one session",
            Forward::Item {
                from: node("n1"),
                session: session(),
                identity: Identity::Equal {
                    content: 6,
                    index: 3,
                },
                body: Bytes::from_static(b"\x83\x01\x63a/b\x01"),
            },
        ),
    ]
}

/// A session with everything that one can have, cut.
fn whole_session() -> Answer {
    let (bounds, now) = (Bounds::default(), Millis(10_000));
    let mut session: Session<()> = Session::new(session(), client(), Some(alice()), Codec::Cbor);
    let hello = ClientHello {
        client: client(),
        attempt: 1,
        session: None,
        received: None,
        params: None,
    };
    let attached = session.attach(&hello, Transport::Ws, now);
    let link = attached.expect("the first hello").link;
    let id = EventId::parse("a/b").expect("an event id");
    let request = |request| ClientFrame::Request {
        request,
        id: id.clone(),
        data: Data::null(Codec::Cbor),
        timeout_ms: 5_000,
    };
    let event = ClientFrame::Event {
        id: id.clone(),
        data: Data::null(Codec::Cbor),
    };
    for frame in [request(1), event, request(2)] {
        session.receive(link, frame.encode(Codec::Cbor), &(), now, &bounds);
    }
    session.next_item().expect("the first request");
    let mut journal = Journal::new();
    let identities = [place(), Identity::Message(5), Identity::Content(6)];
    for (n, identity) in identities.into_iter().enumerate() {
        let data = Data::from_value(Codec::Cbor, &Value::Int(n as i128));
        let frame = OutFrame::event(Codec::Cbor, &id, &data.expect("a number"));
        session.push(&frame.expect("a frame"), &identity, &bounds);
        journal.note(&Target::All, &identity, now);
    }
    let later = now.plus(20);
    let release = release_of_all();
    assert_eq!(session.release(&release, later), Released::Fence);
    let applied = journal.extract(Some(&alice()), later);
    session.cut(release.take, true, applied, later, &bounds);
    session.part(&node("n1"), release.take, 0)
}

/// What came of a part that node `n2` was told.
fn told(part: Answer, session: &mut Session<()>, now: Millis) -> (Taker, Step) {
    let mut taker = Taker::new(release_of_all(), Some(node("n1")));
    taker.start();
    let step = taker.heard(Heard::Answer(part), session, now, &Bounds::default());
    (taker, step)
}

fn arriving() -> Session<()> {
    Session::arriving(session(), client(), Some(alice()), Codec::Cbor, ())
}

/// The same session, cut at the next node: its handler, and with it a request, is at the first one,
/// and of a push that the first one never had a gap has told.
fn session_that_goes_on() -> Answer {
    let (bounds, now) = (Bounds::default(), Millis(10_040));
    let numbered = |seq| Identity::Batched {
        publisher: 0x0f,
        seq,
        index: 0,
        message: 0,
    };
    let mut journal = Journal::new();
    journal.note(&Target::All, &numbered(301), now);
    let mut session = arriving();
    session.heard_before(journal.extract(Some(&alice()), now), now);
    let (mut taker, step) = told(whole_session(), &mut session, now);
    assert!(matches!(step, Step::Ask { .. }), "{step:?}");
    let yes = Heard::Answer(Answer::Granted);
    let step = taker.heard(yes, &mut session, now, &bounds);
    assert_eq!(step, Step::Finished(Finish::Taken));
    let frame = OutFrame::event(
        Codec::Cbor,
        &EventId::parse("a/b").expect("an event id"),
        &Data::null(Codec::Cbor),
    );
    session.push(&frame.expect("a frame"), &numbered(302), &bounds);
    journal.note(&Target::All, &numbered(302), now);
    let later = now.plus(20);
    let release = Release {
        take: 0x10,
        attempt: 3,
        by: node("n3"),
        ..release_of_all()
    };
    assert_eq!(session.release(&release, later), Released::Fence);
    let applied = journal.extract(Some(&alice()), later);
    session.cut(release.take, true, applied, later, &bounds);
    session.part(&node("n2"), release.take, 0)
}

#[test]
fn a_session_is_taken_from_a_node_that_says_nothing_of_ways_or_refused_frames() {
    // The ways, and before them the refused frames: an earlier version ends before.
    for (elements, end) in [(15, 0), (13, 2), (11, 4)] {
        let mut part = whole_session();
        let Answer::Part { body, .. } = &mut part else {
            panic!("no part");
        };
        let mut short = body.to_vec();
        assert_eq!(short[0], 0x80 | 15);
        assert!(short.ends_with(&[0, 0, 0x80, 0x80]));
        short[0] = 0x80 | elements;
        short.truncate(short.len() - end);
        *body = short.into();
        let mut session = arriving();
        let (_, step) = told(part, &mut session, Millis(10_040));
        assert!(matches!(step, Step::Ask { .. }), "{elements}: {step:?}");
        assert_eq!(session.received(), 3);
    }
}

#[test]
fn c2_takeover_messages_have_golden_bytes() {
    let mut ours = Vec::new();
    for (name, message) in requests() {
        assert_eq!(ToNode::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Cbor, &message.encode())));
    }
    for (name, message) in answers() {
        assert_eq!(Answer::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Cbor, &message.encode())));
    }
    for (name, message) in forwards() {
        assert_eq!(Forward::decode(&message.encode()).as_ref(), Ok(&message));
        ours.push((name, golden::show(Codec::Cbor, &message.encode())));
    }
    let file = golden::file("bus.json");
    let golden: Vec<_> = golden::list(&file, "takeover")
        .iter()
        .map(|entry| (golden::text(entry, "name"), golden::text(entry, "hex")))
        .collect();
    let ours: Vec<_> = ours
        .iter()
        .map(|(name, hex)| (*name, hex.as_str()))
        .collect();
    assert_eq!(ours, golden);
}

fn read(bytes: &Bytes) -> [Option<BadMessage>; 3] {
    [
        ToNode::decode(bytes).err(),
        Answer::decode(bytes).err(),
        Forward::decode(bytes).err(),
    ]
}

fn all_bytes() -> Vec<Bytes> {
    let requests = requests().into_iter().map(|(_, message)| message.encode());
    let answers = answers().into_iter().map(|(_, message)| message.encode());
    let forwards = forwards().into_iter().map(|(_, message)| message.encode());
    requests.chain(answers).chain(forwards).collect()
}

#[test]
fn a_takeover_message_cut_anywhere_is_refused() {
    for whole in all_bytes() {
        for end in 0..whole.len() {
            let cut = read(&whole.slice(..end));
            assert!(cut.iter().all(Option::is_some), "{whole:?} {end}");
        }
    }
}

#[test]
fn each_kind_of_takeover_message_is_read_by_one_reader_alone() {
    for whole in all_bytes() {
        let refused = read(&whole);
        let readers = refused.iter().filter(|refused| refused.is_none()).count();
        assert_eq!(readers, 1, "{whole:?}");
        let kinds = refused.iter().flatten();
        assert_eq!(
            kinds
                .filter(|bad| matches!(bad, BadMessage::Kind(_)))
                .count(),
            2
        );
    }
}

#[test]
fn takeover_messages_of_a_later_version_are_told_apart_from_broken_ones() {
    for whole in all_bytes() {
        let mut later = whole.to_vec();
        // Behind the head of the array.
        assert_eq!(later[1], 1);
        later[1] = 2;
        for bad in read(&later.into()) {
            assert_eq!(bad, Some(BadMessage::Version(2)));
        }
    }
}

#[test]
fn a_takeover_message_may_have_more_fields_than_are_known() {
    for whole in all_bytes() {
        let mut more = whole.to_vec();
        more[0] += 1;
        more.push(0xf6);
        let readers = read(&more.into()).iter().filter(|r| r.is_none()).count();
        assert_eq!(readers, 1, "{whole:?}");
    }
}

#[test]
fn parts_that_cannot_be_are_malformed() {
    let part = |part, of, bytes: usize| Answer::Part {
        holder: node("n1"),
        take: 1,
        part,
        of,
        body: vec![0; bytes].into(),
    };
    for cannot_be in [
        part(1, 1, 1),
        part(0, 0, 1),
        part(0, 65, 1),
        part(0, 1, (256 << 10) + 1),
    ] {
        let read = Answer::decode(&cannot_be.encode());
        assert!(matches!(read, Err(BadMessage::Malformed(_))), "{read:?}");
    }
}
