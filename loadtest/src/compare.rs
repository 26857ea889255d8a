//! Times put next to each other: one thing measured in several ways in turn, so that a busy moment hits them all.

use std::time::Duration;

use serde::Serialize;

/// One way of doing a thing, and how long it took each time.
#[derive(Debug)]
pub(crate) struct Way {
    name: &'static str,
    /// What it is compared with: another way's name, or its own.
    against: &'static str,
    times: Vec<Duration>,
}

/// A way as it is reported.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) against: &'static str,
    pub(crate) count: usize,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// The median, as a multiple of the other's.
    pub(crate) ratio: f64,
}

/// What travelled for what was pushed.
#[derive(Debug, Serialize)]
pub(crate) struct Volume {
    pub(crate) transport: &'static str,
    pub(crate) pushes: u32,
    pub(crate) payload_bytes: u64,
    /// Everything that came over the socket: frames, and the heads of HTTP answers.
    pub(crate) wire_bytes: u64,
    pub(crate) ratio: f64,
}

impl Volume {
    pub(crate) fn new(
        transport: &'static str,
        pushes: u32,
        payload_bytes: u64,
        wire_bytes: u64,
    ) -> Volume {
        Volume {
            transport,
            pushes,
            payload_bytes,
            wire_bytes,
            ratio: wire_bytes as f64 / payload_bytes as f64,
        }
    }
}

impl Way {
    pub(crate) fn new(name: &'static str, against: &'static str) -> Way {
        Way {
            name,
            against,
            times: Vec::new(),
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.times.push(time);
    }

    fn micros(&self, share: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len().saturating_sub(1) as f64 * share) as usize;
        times
            .get(at)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

/// Puts each way next to the one it is compared with.
pub(crate) fn rows(ways: &[Way]) -> Vec<Row> {
    ways.iter()
        .map(|way| {
            let other = ways.iter().find(|other| other.name == way.against);
            let reference = other.unwrap_or(way).micros(0.5);
            Row {
                name: way.name,
                against: way.against,
                count: way.times.len(),
                p50_micros: way.micros(0.5),
                p99_micros: way.micros(0.99),
                ratio: way.micros(0.5) / reference,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
