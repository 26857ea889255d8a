//! The answers as services get them, to the letter.

use serde::Serialize;
use tengen_protocol::ClientId;

use super::*;

fn said<T: Serialize>(what: T) -> String {
    let node = NodeId::parse("n1").expect("valid");
    let said = Said {
        node: (&node).into(),
        standing: Standing {
            ready: true,
            as_of: Some(1_760_000_000_000),
        },
        what,
    };
    serde_json::to_string(&said).expect("json")
}

fn alice() -> Uid {
    Uid::parse("alice").expect("valid")
}

fn session() -> Session {
    let client = Client {
        client: ClientId::parse("phone").expect("valid"),
        session: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        transport: Transport::Poll,
        attached: true,
        age_ms: 61_000,
        idle_ms: 250,
        queue_items: 3,
        queue_bytes: 700,
    };
    let node = NodeId::parse("n2").expect("valid");
    Session::new(&node, Some(&alice()), client)
}

const HEAD: &str = r#"{"node":"n1","ready":true,"as_of":1760000000000"#;
const SESSION: &str = r#"{"node":"n2","session":"AAAAAAAAAAAAAAAAAAAAAA","uid":"alice","client":"phone","transport":"poll","attached":true,"age_ms":61000,"idle_ms":250,"queue_items":3,"queue_bytes":700}"#;

#[test]
fn c2_answers_have_golden_bytes() {
    let page = |next: Option<&str>| {
        said(Answer::Page(Listed {
            uids: vec![There::new(&alice(), Kinds::WS)],
            next: next.map(str::to_owned),
        }))
    };
    let users = r#""uids":[{"uid":"alice","ws":true,"poll":false}]"#;
    assert_eq!(page(None), format!("{HEAD},{users}}}"));
    assert_eq!(
        page(Some("alice")),
        format!(r#"{HEAD},{users},"next":"alice"}}"#)
    );

    let counts = Counts {
        ws: 2,
        poll: 1,
        any: 2,
        anonymous: [4, 5],
    };
    assert_eq!(
        said(Answer::Count(counts.into())),
        format!(r#"{HEAD},"ws":2,"poll":1,"any":2,"anonymous":{{"ws":4,"poll":5}}}}"#)
    );

    let one = |sessions| {
        let place = Place {
            node: NodeId::parse("n2").expect("valid"),
            kinds: Kinds::BOTH,
        };
        said(Answer::One(Box::new(Found {
            user: There::new(&alice(), Kinds::BOTH),
            nodes: vec![(&place).into()],
            sessions,
        })))
    };
    let found =
        r#""uid":"alice","ws":true,"poll":true,"nodes":[{"node":"n2","ws":true,"poll":true}]"#;
    assert_eq!(one(None), format!("{HEAD},{found}}}"));
    let sessions = Sessions {
        sessions: vec![session()],
        missing: vec![NodeName("n3".to_owned())],
    };
    let tail = format!(r#""sessions":[{SESSION}],"missing":["n3"]"#);
    assert_eq!(
        one(Some(sessions.clone())),
        format!("{HEAD},{found},{tail}}}")
    );
    assert_eq!(said(sessions), format!("{HEAD},{tail}}}"));
}

#[test]
fn a_node_that_never_was_ready_says_so() {
    let node = NodeId::parse("n1").expect("valid");
    let said = Said {
        node: (&node).into(),
        standing: Standing {
            ready: false,
            as_of: None,
        },
        what: (),
    };
    let text = serde_json::to_string(&said).expect("json");
    assert_eq!(text, r#"{"node":"n1","ready":false,"as_of":null}"#);
}
