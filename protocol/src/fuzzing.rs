//! The bodies of the fuzz targets: what must hold for any bytes at all. Called by `fuzz/` and by ordinary tests.

use bytes::Bytes;

use crate::codec::Codec;
use crate::data::Data;
use crate::frame::{ClientFrame, ServerFrame};
use crate::limits::Limits;
use crate::raw_event::RawEvent;
use crate::subject::{SendTo, Subjects, decode_token, encode_token};

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
