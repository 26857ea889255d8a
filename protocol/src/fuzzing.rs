//! The bodies of the fuzz targets: what must hold for any bytes at all. Called by `fuzz/` and by ordinary tests.

use bytes::Bytes;

use crate::codec::Codec;
use crate::data::Data;
use crate::frame::{ClientFrame, ClientHello, ServerFrame};
use crate::ids::{ClientId, NodeId, SessionId};
use crate::limits::Limits;
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::presence::who::{Here, Who};
use crate::presence::{
    Action, Channel, Differs, Door, Feed, Member, Message, Options, SyncAnswer, SyncReq, ToldPage,
    ToldRequest,
};
use crate::raw_event::RawEvent;
use crate::relay::{FromHome, ToHome};
use crate::report::{About, Counts, Report};
use crate::server::{Bounds, Released, Session};
use crate::subject::{SendTo, Subjects, decode_token, encode_token};
use crate::takeover::{
    Answer, Applied, Finish, Forward, Heard, Identity, Release, Step, Taker, ToNode,
};
use crate::transport::Transport;

const ID: &str = "a.AAAAAAAAAAAAAAAAAAAAAA";

/// Small, so that a fuzzer reaches them.
const LIMITS: Limits = Limits {
    max_bytes: 4096,
    max_depth: 16,
    max_elements: 256,
};

/// All targets.
pub fn everything(bytes: &[u8]) {
    for codec in Codec::ALL {
        client_frame(codec, bytes);
        server_frame(codec, bytes);
        raw_event(codec, bytes);
        data(codec, bytes);
    }
    subject(bytes);
    takeover(bytes);
    snapshot(bytes);
    presence(bytes);
    relay(bytes);
}

/// A frame that is read is written as a frame that reads the same.
pub fn client_frame(codec: Codec, bytes: &[u8]) {
    let Ok(frame) = ClientFrame::decode(codec, Bytes::copy_from_slice(bytes), &LIMITS) else {
        return;
    };
    let written = frame.encode(codec);
    assert_eq!(
        ClientFrame::decode(codec, written, &Limits::from_server(0)).as_ref(),
        Ok(&one_line(frame))
    );
}

/// The same for the other direction.
pub fn server_frame(codec: Codec, bytes: &[u8]) {
    let Ok(frame) = ServerFrame::decode(codec, Bytes::copy_from_slice(bytes), &LIMITS) else {
        return;
    };
    let written = frame.encode(codec);
    let again = ServerFrame::decode(codec, written.clone(), &Limits::from_server(0))
        .map(|f| f.encode(codec));
    assert_eq!(again, Ok(written));
}

/// An event that passes the check becomes a frame that a client reads as that event.
pub fn raw_event(codec: Codec, bytes: &[u8]) {
    let Ok(event) = RawEvent::check(codec, Bytes::copy_from_slice(bytes), &LIMITS) else {
        return;
    };
    for to in Codec::ALL {
        let body = event.to_frame(to).map(|frame| frame.body());
        let read = body.map(|body| ServerFrame::decode(to, body, &Limits::from_server(0)));
        match read {
            Ok(Ok(ServerFrame::Event { id, data })) => {
                assert_eq!(id.as_str(), event.id());
                assert_eq!(data.value(), event.data().value());
            }
            other => panic!("{event:?} became {other:?}"),
        }
    }
}

/// What passes the check is one value, the same through the other codec.
pub fn data(codec: Codec, bytes: &[u8]) {
    let Ok(data) = Data::checked(codec, Bytes::copy_from_slice(bytes), &LIMITS) else {
        return;
    };
    let value = data.value().expect("checked");
    for to in Codec::ALL {
        let there = Data::from_value(to, &value).expect("within the limits");
        assert!(Data::checked(to, there.bytes().clone(), &Limits::from_server(0)).is_ok());
        assert_eq!(there.value().as_ref(), Ok(&value));
    }
}

/// Whoever a subject addresses has one subject, and that addresses them.
pub fn subject(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert_eq!(decode_token(&encode_token(text)).as_deref(), Ok(text));
    let subjects = Subjects::default();
    if let Ok(SendTo::Uid(uid)) = subjects.parse_send_to(text) {
        let subject = subjects.send_to_uid(&uid);
        assert_eq!(subjects.parse_send_to(&subject), Ok(SendTo::Uid(uid)));
    }
    if let Ok(id) = subjects.parse_request(text) {
        assert_eq!(subjects.parse_request(&subjects.request(&id)), Ok(id));
    }
}

/// A takeover message that is read is written as one that reads the same.
pub fn takeover(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(message) = ToNode::decode(&bytes) {
        assert_eq!(ToNode::decode(&message.encode()), Ok(message));
    }
    if let Ok(answer) = Answer::decode(&bytes) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    if let Ok(forward) = Forward::decode(&bytes) {
        assert_eq!(Forward::decode(&forward.encode()), Ok(forward));
    }
}

/// Makes of each type a check that a message of it which is read is written as one that reads the same.
macro_rules! reads_the_same {
    ($bytes:ident: $($message:ty),+) => {
        $(if let Ok(message) = <$message>::decode($bytes) {
            assert_eq!(<$message>::decode(&message.encode()).as_ref(), Ok(&message));
        })+
    };
}

/// The messages of presence; and a node that hears one goes on, is heard by itself, and has users
/// that agree with their count.
pub fn presence(bytes: &[u8]) {
    let bytes = &Bytes::copy_from_slice(bytes);
    reads_the_same!(bytes: Message, SyncReq, SyncAnswer, Feed, ToldRequest, ToldPage, Differs, Who, Here);
    let Ok(node) = NodeId::parse("n2") else {
        return;
    };
    let mut now = Millis(50_000);
    let mut member = Member::new(Options::new(node), 1_790_000_000_000, 1, now);
    member.bus(true, "server", now);
    for _ in 0..8 {
        now = now.plus(1_000);
        member.tick(now);
        // It hears itself, as it must to judge anybody; whoever else asks gets any bytes.
        for action in member.take_actions() {
            let heard = match action {
                Action::Publish { channel, body } => member.heard(channel, &body, now).map(drop),
                Action::Ask { id, .. } | Action::AskTold { id, .. } => {
                    member.answered(id, Ok(bytes.clone()), now)
                }
                _ => Ok(()),
            };
            drop(heard);
        }
        for channel in [Channel::Presence, Channel::Changes] {
            drop(member.heard(channel, bytes, now));
        }
        for door in [Door::Sync, Door::Differs, Door::Told] {
            drop(member.asked(door, bytes, now));
        }
    }
    let users = member.roster().page(None, usize::MAX, None).users.len();
    assert_eq!(users as u64, member.roster().counts().any as u64);
}

/// What nodes tell each other to serve a poll, and of whom a push has reached.
pub fn relay(bytes: &[u8]) {
    let bytes = &Bytes::copy_from_slice(bytes);
    reads_the_same!(bytes: ToHome, FromHome, Counts, About);
    if let Some(read) = Report::from_batch_json(bytes) {
        let (seq, index, report) = read;
        let written = report.to_batch_json(seq, index);
        assert_eq!(Report::from_batch_json(&written), Some(read));
    }
}

/// A session that was installed from any bytes at all is either given up, or serves its client and
/// can be taken over in turn.
pub fn snapshot(bytes: &[u8]) {
    let (bounds, now) = (Bounds::default(), Millis(50_000));
    let (Ok(id), Ok(client)) = (SessionId::parse(ID), ClientId::parse("tab")) else {
        return;
    };
    let (Ok(here), Ok(there)) = (NodeId::parse("b"), NodeId::parse("c")) else {
        return;
    };
    let mut session = Session::arriving(id.clone(), client.clone(), None, Codec::Cbor, ());
    session.heard_before(Applied::default(), now);
    let release = Release {
        session: id.clone(),
        take: 1,
        attempt: 2,
        received: 0,
        uid: None,
        client: client.clone(),
        codec: Codec::Cbor,
        by: here.clone(),
        part: 0,
    };
    let mut taker = Taker::new(release.clone(), Some(id.node()));
    taker.start();
    let part = Answer::Part {
        holder: id.node(),
        take: 1,
        part: 0,
        of: 1,
        body: Bytes::copy_from_slice(bytes),
    };
    let mut hear = |answer| taker.heard(Heard::Answer(answer), &mut session, now, &bounds);
    if matches!(hear(part), Step::Finished(_)) {
        return;
    }
    assert_eq!(hear(Answer::Granted), Step::Finished(Finish::Taken));
    for seq in [0, 1, u64::MAX] {
        let identity = Identity::Batched {
            publisher: 15,
            seq,
            index: 1,
            message: 5,
        };
        let item = OutFrame::new(Codec::Cbor, b"\x83\x01\x63a/b\x01");
        session.forwarded(&id.node(), &identity, &item, now, &bounds);
        session.push(&item, &identity, &bounds);
    }
    session.tick(now.plus(2_000), &bounds);
    let hello = ClientHello {
        client,
        attempt: 3,
        session: Some(id),
        received: Some(0),
        params: None,
    };
    let attached = session.attach(&hello, Transport::Ws, now.plus(2_000));
    let link = attached.expect("what it was taken with").link;
    session.write(link, &mut Vec::new(), 100, 1 << 20, now, &bounds);
    while let Some(item) = session.next_item() {
        session.item_returned(item.position, &bounds);
    }
    let again = Release {
        take: 2,
        attempt: 4,
        by: there,
        ..release
    };
    assert_eq!(session.release(&again, now), Released::Fence);
    session.cut(2, true, Applied::default(), now.plus(2_100), &bounds);
    let part = session.part(&here, 2, 0);
    assert!(matches!(part, Answer::Part { .. }) || session.is_over());
    session.tick(now.plus(100_000), &bounds);
}

/// Writing puts JSON on one line, so that is what reading it again must give.
fn one_line(frame: ClientFrame) -> ClientFrame {
    let fold = |data: Data| {
        let mut bytes = data.bytes().to_vec();
        if data.codec() == Codec::Json {
            crate::writer::one_line(&mut bytes);
        }
        Data::trusted(data.codec(), bytes.into())
    };
    match frame {
        ClientFrame::Event { id, data } => ClientFrame::Event {
            id,
            data: fold(data),
        },
        ClientFrame::Request {
            request,
            id,
            data,
            timeout_ms,
        } => ClientFrame::Request {
            request,
            id,
            data: fold(data),
            timeout_ms,
        },
        ClientFrame::Hello(mut hello) => {
            hello.params = hello.params.map(fold);
            ClientFrame::Hello(hello)
        }
        other => other,
    }
}
