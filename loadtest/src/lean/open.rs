//! Opening lean connections: TCP from the right source address, upgrade, hello.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use tengen_protocol::{ClientFrame, ClientHello, ClientId, Codec, Limits, ServerFrame};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::link::{Cut, Link, cut, masked};
use crate::sockets::{self, Sources};

/// Handshakes under way at once.
const OPENERS: usize = 8;

/// Longest answer to an upgrade that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) codec: Codec,
}

/// Who a connection is: the value of the Cookie header, or nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) uid: Option<String>,
    pub(crate) cookie: Option<String>,
}

/// Opens one connection per login, in the order of the logins.
pub(super) fn all(opening: &Opening, logins: &[Login]) -> Result<Vec<Link>> {
    let mut sources = Sources::default();
    let work: Vec<_> = logins.iter().map(|login| (login, sources.next())).collect();
    let next = Mutex::new(work.iter().enumerate());
    let mut links: Vec<(usize, Link)> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut opened = Vec::new();
                    loop {
                        let Some((index, (login, source))) = next
                            .lock()
                            .map_err(|_| anyhow!("an opener panicked"))?
                            .next()
                        else {
                            return anyhow::Ok(opened);
                        };
                        let link = sockets::connect(opening.address, *source)
                            .map_err(anyhow::Error::from)
                            .and_then(|stream| one(opening, login, index, stream))
                            .with_context(|| {
                                format!("connection {} of {}", index + 1, logins.len())
                            })?;
                        opened.push((index, link));
                    }
                })
            })
            .collect();
        let mut all = Vec::with_capacity(logins.len());
        for opener in openers {
            all.extend(opener.join().map_err(|_| anyhow!("an opener panicked"))??);
        }
        anyhow::Ok(all)
    })?;
    links.sort_unstable_by_key(|(index, _)| *index);
    Ok(links.into_iter().map(|(_, link)| link).collect())
}

fn one(opening: &Opening, login: &Login, index: usize, mut stream: TcpStream) -> Result<Link> {
    sockets::reset_on_close(&stream)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let key = generate_key();
    let cookie = login
        .cookie
        .as_ref()
        .map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Protocol: {}\r\n{cookie}\r\n",
        opening.path,
        opening.address,
        opening.codec.subprotocol(),
    );
    stream.write_all(request.as_bytes())?;
    let mut rest = Vec::new();
    let answer = head(&mut stream, &mut rest)?;
    check_upgrade(&answer, &derive_accept_key(key.as_bytes()))?;

    let client = format!("load-{}-{index}", std::process::id());
    let hello = ClientFrame::Hello(ClientHello {
        client: ClientId::parse(&client)?,
        attempt: 1,
        session: None,
        received: None,
        params: None,
    });
    stream.write_all(&masked(opening.codec, &hello.encode(opening.codec)))?;
    let hello = loop {
        if let Cut::Frame {
            opcode,
            body,
            after,
        } = cut(&rest)
        {
            ensure!(
                opcode != 8,
                "closed instead of a hello: {:?}",
                String::from_utf8_lossy(body)
            );
            let frame = ServerFrame::decode(
                opening.codec,
                Bytes::copy_from_slice(body),
                &Limits::default(),
            )
            .map_err(|error| anyhow!("the first frame: {}", error.refusal.message))?;
            rest = after.to_vec();
            break frame;
        }
        more(&mut stream, &mut rest)?;
    };
    let ServerFrame::Hello(hello) = hello else {
        bail!("the first frame is no hello: {hello:?}");
    };
    let uid = hello.uid.as_ref().map(|uid| uid.as_str());
    ensure!(
        uid == login.uid.as_deref(),
        "connected as {uid:?}, logged in as {:?}",
        login.uid
    );
    Ok(Link::new(stream, rest)?)
}

/// Reads up to the empty line that ends an answer; what follows stays in `rest`.
fn head(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Result<String> {
    loop {
        if let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
            let after = rest.split_off(end + 4);
            let head = std::mem::replace(rest, after);
            return Ok(String::from_utf8(head)?);
        }
        ensure!(
            rest.len() < MAX_ANSWER_BYTES,
            "the answer to the upgrade has no end"
        );
        more(stream, rest)?;
    }
}

fn more(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0_u8; 4096];
    let count = stream.read(&mut chunk).context("no answer")?;
    ensure!(count > 0, "the node hung up during the handshake");
    rest.extend_from_slice(&chunk[..count]);
    Ok(())
}

fn check_upgrade(answer: &str, accept: &str) -> Result<()> {
    let mut lines = answer.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 101 "),
        "the upgrade was answered by {status:?}"
    );
    let found = lines.any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept
        })
    });
    ensure!(found, "the upgrade was not accepted for our key");
    Ok(())
}
