//! The raw floor: what the kernel alone needs for the same bytes to the same number of sockets.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    process::thread_cpu_time,
    sockets::{self, Sources},
};

/// What the kernel alone can do.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Floor {
    pub(crate) sockets: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) writes: u64,
    /// Time spent in the writing loop alone.
    pub(crate) seconds: f64,
    /// Processor time of the same, which other work on the machine does not lengthen.
    pub(crate) cpu_seconds: f64,
}

impl Floor {
    pub(crate) fn per_second(&self) -> f64 {
        self.writes as f64 / self.seconds
    }

    /// Processor time for one write, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.writes as f64
    }
}

/// Writes `rounds` frames of `frame_bytes` to each of `sockets` loopback sockets: one thread, one
/// `write(2)` a frame, socket after socket.
///
/// The receiving ends are drained between the rounds, outside the measured time, so nobody
/// competes for the cores: a floor nothing can flatter.
pub(crate) fn measure(sockets: usize, frame_bytes: usize, rounds: u32) -> Result<Floor> {
    let mut pairs = pairs(sockets)?;
    let frame = vec![0x5a_u8; frame_bytes];
    let mut scratch = vec![0_u8; frame_bytes];
    let (mut spent, mut cpu_spent) = (Duration::ZERO, Duration::ZERO);
    // The first round warms caches and socket buffers up.
    for round in 0..=rounds {
        let (begin, cpu_begin) = (Instant::now(), thread_cpu_time()?);
        for (near, _) in &mut pairs {
            let written = near.write(&frame)?;
            ensure!(
                written == frame.len(),
                "a loopback socket took {written} of {frame_bytes} bytes"
            );
        }
        if round > 0 {
            spent += begin.elapsed();
            cpu_spent += thread_cpu_time()? - cpu_begin;
        }
        for (_, far) in &mut pairs {
            far.read_exact(&mut scratch)?;
        }
    }
    Ok(Floor {
        sockets,
        frame_bytes,
        writes: sockets as u64 * u64::from(rounds),
        seconds: spent.as_secs_f64(),
        cpu_seconds: cpu_spent.as_secs_f64(),
    })
}

/// Connected loopback pairs, spread over source addresses like the clients are.
fn pairs(count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let listener = sockets::listen(1024).context("the floor cannot listen on loopback")?;
    let address = listener.local_addr()?;
    let mut sources = Sources::default();
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let far = sockets::connect(address, sources.next())?;
        let near = accepted(&listener, far.local_addr()?)?;
        near.set_nodelay(true)?;
        far.set_read_timeout(Some(Duration::from_secs(10)))?;
        // Thousands of sockets in TIME_WAIT would be in the way of the run that follows.
        sockets::reset_on_close(&near)?;
        sockets::reset_on_close(&far)?;
        pairs.push((near, far));
    }
    Ok(pairs)
}

fn accepted(
    listener: &std::net::TcpListener,
    expected: std::net::SocketAddr,
) -> io::Result<TcpStream> {
    loop {
        // Anybody on this machine may connect to a loopback port: only our own end counts.
        let (stream, peer) = listener.accept()?;
        if peer == expected {
            return Ok(stream);
        }
    }
}

#[cfg(test)]
mod tests;
