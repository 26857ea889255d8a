//! Memory and processor time of another process, as the kernel counts them.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

/// Resident bytes of a process.
///
/// Reads `/proc/<pid>/smaps_rollup`, which counts pages at this moment; `VmRSS` of `status` is the
/// fallback, batched by the kernel per thread and so a little late.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        && let Some(kib) = field(&text, "Rss:")
    {
        return Ok(kib * 1024);
    }
    let text = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} cannot be measured"))?;
    field(&text, "VmRSS:")
        .map(|kib| kib * 1024)
        .with_context(|| format!("process {pid} tells no VmRSS"))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Waits until the resident size moved by less than 0.5 % for `quiet`, at most `limit`.
///
/// An allocator gives memory back some seconds after it was freed; a figure taken before that
/// measures the handshakes, one taken much later measures patience.
pub(crate) async fn settled_bytes(pid: u32, quiet: Duration, limit: Duration) -> Result<u64> {
    let begin = Instant::now();
    let mut reference = resident_bytes(pid)?;
    let mut since = Instant::now();
    while since.elapsed() < quiet && begin.elapsed() < limit {
        sleep(Duration::from_millis(200)).await;
        let now = resident_bytes(pid)?;
        if now.abs_diff(reference) * 200 > reference {
            reference = now;
            since = Instant::now();
        }
    }
    resident_bytes(pid)
}

/// Processor time of all threads of a process since it started, in user and kernel mode.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} cannot be measured"))?;
    // The second field is the program's name in parentheses and may contain anything.
    let (_, fields) = text.rsplit_once(')').context("a process without a name")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (Some(user), Some(kernel)) = (ticks(), ticks()) else {
        anyhow::bail!("process {pid} tells no processor time");
    };
    // Linux counts these fields in hundredths of a second on every platform (proc(5), USER_HZ).
    Ok(Duration::from_millis((user + kernel) * 10))
}

/// The same to the nanosecond (`/proc/<pid>/task/*/schedstat`), of the threads that it has at this
/// moment: a difference is right where none has ended in between, as in a node's runtime.
pub(crate) fn scheduled_time(pid: u32) -> Result<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} cannot be measured"))?;
    let mut nanos = 0;
    for thread in threads {
        // One that ends meanwhile has no file any more.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let first = text.split_ascii_whitespace().next();
        nanos += first.and_then(|it| it.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Processor time of the calling thread since it started.
pub(crate) fn thread_cpu_time() -> std::io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec to a place that lives through the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Both are never negative, and the second is below a billion.
    Ok(Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests;
