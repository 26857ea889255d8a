//! The three ways a load test pushes: numbered batches, single messages, HTTP.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tengen_bus::{
    Bus, Health, NatsOptions, Publish,
    push::{HEADER_CONTENT_TYPE, Publisher, Push, Target},
};
use tengen_protocol::{Codec, Uid, subject::Subjects};

use crate::{http::Http, options::Via, target};

/// Pushes handed to the publisher at once; it makes batches of at most 128 of them.
const TOGETHER: usize = 4_096;

/// To whom one push goes.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Uid(Uid),
    All,
}

pub(crate) enum Pusher {
    Batch {
        publisher: Publisher,
        codec: Codec,
    },
    Plain {
        bus: Bus,
        subjects: Subjects,
        codec: Codec,
    },
    Http {
        admin: SocketAddr,
        codec: Codec,
    },
}

impl Pusher {
    /// Connects to NATS for `batch` and `plain`, to nothing yet for `http`.
    ///
    /// # Errors
    /// A NATS server outside this machine, or one that is not up within 10 s; no admin port.
    pub(crate) async fn connect(
        via: Via,
        codec: Codec,
        nats_url: Option<&str>,
        admin: Option<SocketAddr>,
        prefix: &str,
    ) -> Result<Pusher> {
        if via == Via::Http {
            let admin = admin.context("--via http needs the admin port: --admin 127.0.0.1:9090")?;
            return Ok(Pusher::Http { admin, codec });
        }
        let url = nats_url.context("--via batch and plain need --nats-url")?;
        target::loopback(url)?;
        let bus = Bus::nats(NatsOptions::new(url).name("tengen-loadtest")).await?;
        let mut health = bus.health();
        tokio::time::timeout(Duration::from_secs(10), health.wait_for(Health::is_up))
            .await
            .with_context(|| format!("{url} is not up"))??;
        let subjects = Subjects::new(prefix)?;
        Ok(match via {
            Via::Batch => Pusher::Batch {
                publisher: Publisher::start(bus, &subjects),
                codec,
            },
            _ => Pusher::Plain {
                bus,
                subjects,
                codec,
            },
        })
    }

    /// Pushes all of `items` in their order; returns when the last was accepted.
    ///
    /// # Errors
    /// The first that was not.
    pub(crate) async fn push(&self, items: Vec<(To, Bytes)>) -> Result<()> {
        match self {
            Pusher::Batch { publisher, codec } => {
                let pushes = items.into_iter().map(|(to, event)| {
                    let target = match to {
                        To::Uid(uid) => Target::Uid(uid),
                        To::All => Target::All,
                    };
                    Push::new(target, *codec, event)
                });
                let pushes: Vec<_> = pushes.collect();
                for some in pushes.chunks(TOGETHER) {
                    // Joined futures are first polled in their order, which is the order of the pushes.
                    try_join_all(some.iter().map(|push| publisher.push(push))).await?;
                }
                Ok(())
            }
            Pusher::Plain {
                bus,
                subjects,
                codec,
            } => {
                for (to, event) in items {
                    let subject = match to {
                        To::Uid(uid) => subjects.send_to_uid(&uid),
                        To::All => subjects.send_to_all(),
                    };
                    let mut message = Publish::new(subject, event);
                    if *codec == Codec::Cbor {
                        message = message.header(HEADER_CONTENT_TYPE, "application/cbor");
                    }
                    bus.publish(message).await?;
                }
                Ok(())
            }
            Pusher::Http { admin, codec } => {
                let (admin, codec) = (*admin, *codec);
                tokio::task::spawn_blocking(move || over_http(admin, codec, items)).await?
            }
        }
    }
}

fn over_http(admin: SocketAddr, codec: Codec, items: Vec<(To, Bytes)>) -> Result<()> {
    let mut http = Http::connect(admin)?;
    let content_type = match codec {
        Codec::Cbor => "application/cbor",
        Codec::Json => "application/json",
    };
    for (to, event) in items {
        let path = match to {
            To::Uid(uid) => {
                let uid: String =
                    url::form_urlencoded::byte_serialize(uid.as_str().as_bytes()).collect();
                ensure!(!uid.contains('+'), "a space in a uid is not needed here");
                format!("/v1/send-to-uid/{uid}")
            }
            To::All => "/v1/send-to-all".to_owned(),
        };
        let answer = http.post(&path, content_type, &event)?;
        if !(200..300).contains(&answer.status) {
            bail!(
                "POST {path}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
    }
    Ok(())
}
