//! What strangers send: each fault has its number, and nobody else notices.

use super::fixture::{BINARY, FIN, Fixture, PING, Raw, TEXT, frame, header};
use tokio::io::DuplexStream;

/// A node, a connection that must not notice anything, and one to misbehave on.
async fn pair() -> (Fixture, Raw<DuplexStream>, Raw<DuplexStream>) {
    let node = Fixture::new();
    let mut bystander = node.connect(Some("bob"));
    bystander.hello("bystander", 1).await;
    let offender = node.connect(Some("alice"));
    (node, bystander, offender)
}

/// The bystander is still served.
async fn unharmed(node: &Fixture, mut bystander: Raw<DuplexStream>) {
    bystander.send(r#"[2,1,"a/b","still here",1000]"#).await;
    assert_eq!(
        bystander.text_that_begins("[3,").await,
        r#"[3,1,0,"still here"]"#
    );
    node.push(r#"["x/y","all"]"#);
    assert_eq!(
        bystander.text_that_begins("[1,").await,
        r#"[1,"x/y","all"]"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_hello_is_closed_after_five_seconds() {
    let (node, bystander, mut offender) = pair().await;
    let begun = tokio::time::Instant::now();
    offender.send("[5]").await;
    offender.refused(4408).await;
    let seconds = begun.elapsed().as_secs();
    assert!((5..=6).contains(&seconds), "{seconds} s");
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn anything_but_a_hello_first_is_refused() {
    for first in [r#"[1,"a/b",1]"#, r#"[2,1,"a/b",1,100]"#, "[4,0]", "[6]"] {
        let (node, bystander, mut offender) = pair().await;
        offender.send(first).await;
        offender.refused(4500).await;
        assert_eq!(node.edge.hub.counts().sessions, 1, "{first}");
        unharmed(&node, bystander).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f75_a_hello_without_a_usable_client_id_registers_nobody() {
    let long = format!(r#"[0,{{"client":"{}","attempt":1}}]"#, "x".repeat(65));
    for hello in [
        r#"[0,{"attempt":1}]"#,
        r#"[0,{"client":"","attempt":1}]"#,
        r#"[0,{"client":"a b","attempt":1}]"#,
        r#"[0,{"client":7,"attempt":1}]"#,
        r#"[0,{"client":"c"}]"#,
        "[0]",
        "[0,[]]",
        &long,
    ] {
        let (node, bystander, mut offender) = pair().await;
        offender.send(hello).await;
        let error = offender.text().await;
        assert!(error.starts_with("[8,"), "{hello}: {error}");
        offender.refused(4500).await;
        assert_eq!(node.edge.hub.counts().sessions, 1, "{hello}");
        unharmed(&node, bystander).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_hello_is_refused() {
    let (node, bystander, mut offender) = pair().await;
    offender.hello("c", 1).await;
    offender.send(r#"[0,{"client":"c","attempt":2}]"#).await;
    offender.refused(4500).await;
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn a_lower_attempt_is_refused_and_changes_nothing() {
    let (node, bystander, mut first) = pair().await;
    let hello = first.hello("c", 5).await;
    let session = node.port(&hello).id.clone();
    let mut late = node.connect(Some("alice"));
    late.send(&format!(
        r#"[0,{{"client":"c","attempt":4,"session":"{session}","received":0}}]"#
    ))
    .await;
    late.refused(4505).await;
    first.send(r#"[2,1,"a/b",1,1000]"#).await;
    assert_eq!(first.text_that_begins("[3,").await, "[3,1,0,1]");
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn f74_undecodable_frames_are_numbered_and_only_repeated_abuse_closes() {
    let (node, bystander, mut offender) = pair().await;
    offender.hello("c", 1).await;
    for (position, bad) in ["{", "[1", "[99,1]", "7", r#"["x"]"#, "[]", "nonsense"]
        .into_iter()
        .enumerate()
    {
        offender.send(bad).await;
        let error = offender.text_that_begins(r#"[1,"chsk/error""#).await;
        assert!(error.contains(r#""code":"#), "{bad}: {error}");
        assert!(
            error.contains(&format!(r#""position":{}"#, position + 1)),
            "{bad}: {error}"
        );
    }
    offender.send(r#"[2,9,"a/b",1,1000]"#).await;
    assert_eq!(offender.text_that_begins("[3,").await, "[3,9,0,1]");
    for _ in 0..20 {
        offender.send("{").await;
    }
    offender.refused(4506).await;
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn f08_ids_outside_the_grammar_and_reserved_ones_have_their_own_numbers() {
    let (node, bystander, mut offender) = pair().await;
    offender.hello("c", 1).await;
    for (id, code) in [
        ("chsk/ping", 4),
        ("nonamespace", 3),
        ("a/b/c", 2),
        ("a b/c", 2),
        ("/b", 3),
    ] {
        offender.send(&format!(r#"[2,1,"{id}",null,1000]"#)).await;
        let reply = offender.text_that_begins("[3,").await;
        assert!(reply.starts_with(&format!("[3,1,{code},")), "{id}: {reply}");
    }
    let long = format!(r#"[2,1,"a/{}",null,1000]"#, "x".repeat(5_000));
    offender.send(&long).await;
    let reply = offender.text_that_begins("[3,").await;
    assert!(reply.starts_with("[3,1,2,"), "{reply}");
    assert!(node.events.lock().is_empty(), "nothing reached a handler");
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn f88_one_byte_over_the_limit_is_an_error_and_the_connection_stays() {
    let (node, bystander, mut client) = pair().await;
    client.hello("c", 1).await;
    let request = |len: usize| {
        let frame = r#"[2,1,"a/b","",100000]"#;
        frame.replace(r#""""#, &format!(r#""{}""#, "x".repeat(len - frame.len())))
    };
    let max = 512 * 1_024;
    client.send(&request(max + 1)).await;
    let reply = client.text_that_begins("[3,").await;
    assert!(reply.starts_with("[3,1,6,"), "{reply}");
    client.send(&request(max)).await;
    let reply = client.text_that_begins("[3,").await;
    assert!(
        reply.starts_with(r#"[3,1,0,"xxx"#),
        "a full frame is answered"
    );
    unharmed(&node, bystander).await;
}

#[tokio::test(start_paused = true)]
async fn f88_a_length_far_above_the_limit_is_refused_at_its_header() {
    for length in [8 * 512 * 1_024 + 1, 1 << 40, (1 << 63) - 1] {
        let (node, bystander, mut offender) = pair().await;
        offender.hello("c", 1).await;
        let mut wire = header(FIN | BINARY, length);
        wire.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        offender.send_bytes(&wire).await;
        offender.refused(4500).await;
        unharmed(&node, bystander).await;
    }
}

#[tokio::test(start_paused = true)]
async fn breaking_rfc_6455_is_answered_by_its_code_and_one_close() {
    let unmasked = vec![FIN | TEXT, 2, b'h', b'i'];
    let cases = [
        (unmasked, 1002),
        (frame(FIN | 0x40 | TEXT, b"x"), 1002),
        (frame(FIN | 0x3, b"x"), 1002),
        (frame(PING, b"x"), 1002),
        (frame(FIN | PING, &[b'x'; 126]), 1002),
        (frame(FIN, b"nothing to continue"), 1002),
        (frame(FIN | TEXT, b"\xff\xfe"), 1007),
    ];
    for (wire, code) in cases {
        for hello in [false, true] {
            let (node, bystander, mut offender) = pair().await;
            if hello {
                offender.hello("c", 1).await;
            }
            offender.send_bytes(&wire).await;
            // Whatever follows is not read as frames any more.
            offender.send(r#"[1,"a/b","too late"]"#).await;
            offender.closed(code).await;
            assert!(node.events.lock().is_empty());
            unharmed(&node, bystander).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_other_codec_is_refused() {
    for hello in [false, true] {
        let (node, bystander, mut offender) = pair().await;
        if hello {
            offender.hello("c", 1).await;
        }
        offender.send_bytes(&frame(FIN | BINARY, b"[5]")).await;
        offender.refused(4507).await;
        unharmed(&node, bystander).await;
    }
}
