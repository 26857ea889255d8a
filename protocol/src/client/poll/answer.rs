//! What the answers to a poll's exchanges mean: frames, a pause and a repetition, or the end.

use super::{Get, Greeted, HttpAnswer, Pause, Poll, PollEvent, TransportClose};
use crate::codes::{CloseCode, ErrorCode};
use crate::frame::{ServerFrame, is_item};
use crate::limits::Limits;
use crate::millis::Millis;

/// An exchange is begun so many times before the connection is given up …
const ATTEMPTS: u32 = 4;
/// … after pauses that begin with this and triple: 0.1, 0.3, 0.9 s.
const FIRST_PAUSE_MS: u64 = 100;
/// No server's `Retry-After` keeps a GET or POST longer within one connection.
const LONGEST_PAUSE_MS: u64 = 5_000;
/// A GET answered with nothing before this was not held: something on the way answers for the
/// node, and asking again at once would go round and round.
const HELD_MS: u64 = 500;

impl Poll {
    /// An exchange was answered, or failed with a text for people. Of an exchange that is not
    /// under way any more nothing is heard.
    pub fn answered(
        &mut self,
        exchange: u64,
        answer: Result<HttpAnswer, String>,
        now: Millis,
    ) -> Vec<PollEvent> {
        if self.over {
            return Vec::new();
        }
        if self.hello_under_way == Some(exchange) {
            self.hello_under_way = None;
            return self.hello_answered(answer);
        }
        if self.post == Some(exchange) {
            self.post = None;
            return self.post_answered(answer, now);
        }
        match self.get {
            Some(get) if get.id == exchange => {
                self.get = None;
                self.get_answered(get, answer, now)
            }
            _ => Vec::new(),
        }
    }

    fn hello_answered(&mut self, answer: Result<HttpAnswer, String>) -> Vec<PollEvent> {
        if self.closing {
            self.over = true;
            return Vec::new();
        }
        let answer = match answer {
            Ok(answer) if answer.status == 200 => answer,
            other => return self.end(&other),
        };
        let frames = self.frames(&answer.body).unwrap_or_default();
        let hello = frames.first().and_then(|frame| self.decode(frame));
        match hello {
            Some(ServerFrame::Hello(hello)) => {
                self.limits = Limits::from_server(hello.max_bytes);
                self.line.count_from(hello.received);
                self.greeted = Some(Greeted {
                    session: hello.session,
                    ping_ms: hello.ping_ms,
                });
            }
            // A node that would rather see us elsewhere says bye.
            Some(ServerFrame::Bye { .. }) => {}
            _ => return self.end(&Ok(answer)),
        }
        frames.into_iter().map(PollEvent::Frame).collect()
    }

    fn post_answered(&mut self, answer: Result<HttpAnswer, String>, now: Millis) -> Vec<PollEvent> {
        let body = match &answer {
            Ok(answer) if answer.status == 200 => self.frames(&answer.body),
            _ => None,
        };
        let Some(frame) = body.and_then(|frames| frames.into_iter().next()) else {
            if matches!(&answer, Ok(answer) if answer.status == 413) && self.line.halve() {
                return Vec::new();
            }
            self.line.nothing_is_under_way();
            return self.again(answer, true, now);
        };
        let Some(ServerFrame::Ack { received, sent }) = self.decode(&frame) else {
            self.line.nothing_is_under_way();
            return vec![PollEvent::Frame(frame)];
        };
        let progress = self.line.answered(received);
        self.post_pause = match progress {
            true => Pause::default(),
            // There is no room for more at the node; it may be soon.
            false => self.post_pause.idle(now, 50, 1_000),
        };
        if self.closing {
            self.over = self.line.is_empty() || !progress;
            return Vec::new();
        }
        // With a third element some of these items were refused, and the answers to them come by
        // GET: a promise resolved before they are here would resolve wrongly.
        self.held = Some((received, sent.unwrap_or(0)));
        let mut events = vec![PollEvent::Heard];
        events.extend(self.let_go());
        events
    }

    /// The count of a POST, once everything that was refused among its items is known.
    fn let_go(&mut self) -> Option<PollEvent> {
        let items = self.items;
        let (received, _) = self.held.take_if(|(_, answers)| *answers <= items)?;
        let ack = ServerFrame::Ack {
            received,
            sent: None,
        };
        Some(PollEvent::Frame(ack.encode(self.codec)))
    }

    fn get_answered(
        &mut self,
        get: Get,
        answer: Result<HttpAnswer, String>,
        now: Millis,
    ) -> Vec<PollEvent> {
        let frames = match &answer {
            Ok(answer) if matches!(answer.status, 200 | 204) => self.frames(&answer.body),
            _ => None,
        };
        let Some(frames) = frames else {
            return self.again(answer, false, now);
        };
        if frames.is_empty() {
            let held = now.0.saturating_sub(get.begun.0) >= HELD_MS;
            self.get_pause = match held {
                true => Pause::default(),
                false => self.get_pause.idle(now, 0, LONGEST_PAUSE_MS),
            };
            return vec![PollEvent::Heard];
        }
        self.get_pause = Pause::default();
        let items = frames.iter().filter(|frame| is_item(self.codec, frame));
        self.items = get.received + items.count() as u64;
        let mut events: Vec<_> = frames.into_iter().map(PollEvent::Frame).collect();
        events.extend(self.let_go());
        events
    }

    /// Plans a repetition of an exchange that failed, or ends the connection.
    fn again(
        &mut self,
        answer: Result<HttpAnswer, String>,
        post: bool,
        now: Millis,
    ) -> Vec<PollEvent> {
        let pause = match post {
            true => &mut self.post_pause,
            false => &mut self.get_pause,
        };
        pause.failures += 1;
        if self.closing || pause.failures >= ATTEMPTS || !is_passing(&answer) {
            return self.end(&answer);
        }
        let asked = answer.ok().and_then(|answer| answer.retry_after_ms);
        let delay = FIRST_PAUSE_MS * 3u64.pow(pause.failures - 1);
        pause.until = now.plus(asked.unwrap_or(0).min(LONGEST_PAUSE_MS).max(delay));
        Vec::new()
    }

    fn end(&mut self, answer: &Result<HttpAnswer, String>) -> Vec<PollEvent> {
        self.over = true;
        if self.closing {
            return Vec::new();
        }
        vec![PollEvent::Closed(match answer {
            Ok(answer) => refused(answer),
            Err(error) => TransportClose {
                error: Some(error.clone()),
                ..TransportClose::default()
            },
        })]
    }
}

impl Pause {
    /// An answer without progress: longer each time, from `least` to `most`.
    fn idle(self, now: Millis, least: u64, most: u64) -> Pause {
        let factor = 1u64 << self.idle.min(8);
        let delay = match self.idle {
            0 => least,
            _ => (factor * least.max(50)).min(most),
        };
        Pause {
            until: now.plus(delay),
            failures: 0,
            idle: self.idle + 1,
        }
    }
}

/// Whether the same request may succeed a moment later: no answer, not the node's own, or one
/// that says so.
fn is_passing(answer: &Result<HttpAnswer, String>) -> bool {
    match answer {
        Err(_) => true,
        Ok(answer) => match answer.status {
            429 | 500 | 502 | 503 | 504 => true,
            // A page instead of an answer.
            200 | 204 => true,
            _ => false,
        },
    }
}

/// How a connection ended by its refusal.
fn refused(answer: &HttpAnswer) -> TransportClose {
    let code = answer.tengen_error.and_then(|ErrorCode(code)| {
        let code = CloseCode(u16::try_from(code).ok()?);
        // The statuses of a login say all there is to say; others come as a close code of ours.
        let ours = (4000..=4999).contains(&code.0) && !matches!(answer.status, 401 | 403);
        ours.then_some(code.0)
    });
    TransportClose {
        clean: code.is_some(),
        code,
        refused: Some((answer.status, answer.tengen_error)),
        retry_after_ms: answer.retry_after_ms,
        ..TransportClose::default()
    }
}
