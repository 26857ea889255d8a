//! A few lines of HTTP/1.1 over one kept-alive loopback connection: logins, readiness, the admin API.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::sockets;

/// Longest answer that is read.
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_HEAD_BYTES: u64 = 64 * 1024;

pub(crate) struct Http {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Every value of one header; `name` in lower case.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Http {
    pub(crate) fn connect(address: SocketAddr) -> Result<Http> {
        let stream = sockets::connect(address, Ipv4Addr::LOCALHOST)
            .with_context(|| format!("{address} does not answer"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Http {
            address,
            stream: BufReader::new(stream),
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.request(
            &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address),
            &[],
        )
    }

    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nPrefer: respond-async\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.request(&head, body)
    }

    fn request(&mut self, head: &str, body: &[u8]) -> Result<Answer> {
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        let status = self.line()?;
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .with_context(|| format!("{status:?} is no HTTP answer"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer.headers("content-length").next().map(str::parse);
        if answer
            .headers("transfer-encoding")
            .any(|value| value.eq_ignore_ascii_case("chunked"))
        {
            answer.body = self.chunks()?;
        } else if let Some(length) = length {
            answer.body = self.exactly(length.context("the content length is no number")?)?;
        } else if !matches!(status, 100..=199 | 204 | 304) {
            bail!("an answer of unknown length");
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                .context("a chunk without a size")?;
            ensure!(body.len() + size <= MAX_BODY_BYTES, "an answer over 1 MiB");
            body.extend(self.exactly(size)?);
            ensure!(self.line()?.is_empty(), "a chunk without an end");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        ensure!(length <= MAX_BODY_BYTES, "an answer over 1 MiB");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        (&mut self.stream)
            .take(MAX_HEAD_BYTES)
            .read_line(&mut line)?;
        ensure!(
            line.ends_with('\n'),
            "the connection ended within an answer"
        );
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
