//! Which node is loaded: its addresses, checked to be on this machine, and who logs in there.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use url::Url;

use crate::{http::Http, lean::Login, sockets};

/// A node that can be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The public port.
    pub(crate) address: SocketAddr,
    /// The path of the socket, `/chsk` by default.
    pub(crate) path: String,
    /// The admin port, where known.
    pub(crate) admin: Option<SocketAddr>,
    /// Whose memory is measured, where known.
    pub(crate) pid: Option<u32>,
}

impl Target {
    /// A running node.
    ///
    /// # Errors
    /// A URL that is none, or that points anywhere but at this machine.
    pub(crate) fn running(url: &str, admin: Option<&str>, pid: Option<u32>) -> Result<Target> {
        let parsed = Url::parse(url).with_context(|| format!("{url:?} is no URL"))?;
        ensure!(
            parsed.scheme() == "ws",
            "only ws:// is spoken here, not {}://",
            parsed.scheme()
        );
        Ok(Target {
            address: loopback(url)?,
            path: parsed.path().to_owned(),
            admin: admin.map(loopback).transpose()?,
            pid,
        })
    }

    /// Logs `users` users in through the demo's form and returns their cookies.
    ///
    /// # Errors
    /// The node has no login: it was started without `--demo`.
    pub(crate) fn login(&self, users: &[String]) -> Result<Vec<Login>> {
        let mut http = Http::connect(self.address)?;
        users
            .iter()
            .map(|uid| {
                let form: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("uid", uid)
                    .finish();
                let answer = http.post(
                    "/login",
                    "application/x-www-form-urlencoded",
                    form.as_bytes(),
                )?;
                ensure!(
                    answer.status < 400,
                    "POST /login was answered with {}: is the node running with --demo?",
                    answer.status
                );
                let cookies: Vec<_> = answer
                    .headers("set-cookie")
                    .filter_map(|cookie| cookie.split(';').next())
                    .collect();
                ensure!(!cookies.is_empty(), "POST /login set no cookie");
                Ok(Login {
                    uid: Some(uid.clone()),
                    cookie: Some(cookies.join("; ")),
                })
            })
            .collect()
    }

    /// Waits until the node says it is ready.
    ///
    /// # Errors
    /// It is not within `limit`; what `/readyz` said last is in the message.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<()> {
        let Some(admin) = self.admin else {
            return Ok(());
        };
        let begin = std::time::Instant::now();
        loop {
            let asked =
                tokio::task::spawn_blocking(move || Http::connect(admin)?.get("/readyz")).await?;
            let said = match asked {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!(
                    "{}: {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ),
                Err(error) => format!("{error:#}"),
            };
            if begin.elapsed() > limit {
                bail!("the node is not ready after {limit:?}: {said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The address a URL names, if it is on this machine.
///
/// # Errors
/// Any address outside 127.0.0.0/8, also behind a name.
pub(crate) fn loopback(url: &str) -> Result<SocketAddr> {
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("tcp://{url}")
    };
    let parsed = Url::parse(&url).with_context(|| format!("{url:?} is no URL"))?;
    let host = parsed
        .host_str()
        .with_context(|| format!("{url:?} names no host"))?;
    // An IPv6 address stands in brackets in a URL and without them everywhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match (parsed.port(), parsed.scheme()) {
        (Some(port), _) => port,
        (None, "ws" | "http") => 80,
        (None, "nats") => 4222,
        (None, _) => bail!("{url:?} names no port"),
    };
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("{host:?} has no address"))?
        .collect();
    // A name with one foreign address is refused whole: which one is used is not ours to choose.
    let Some(foreign) = addresses.iter().find(|address| {
        !sockets::is_allowed_target(address.ip()) && address.ip() != std::net::Ipv6Addr::LOCALHOST
    }) else {
        let address = addresses.into_iter().find(SocketAddr::is_ipv4);
        return address.with_context(|| format!("{host:?} has no address in 127.0.0.0/8"));
    };
    bail!("{foreign} is not in 127.0.0.0/8: this tool loads nothing but its own machine")
}

#[cfg(test)]
mod tests;
