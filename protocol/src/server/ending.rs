//! How a connection is ended from this side: decided once, after what must still be said, and told by a bye.

use super::Session;
use crate::codes::CloseCode;
use crate::frame::ServerFrame;
use crate::out_frame::OutFrame;

/// A decided end of the connection.
#[derive(Debug)]
pub(super) struct Ending {
    code: CloseCode,
    reason: String,
    /// Items up to here are still written first.
    after: u64,
    pub(super) said: bool,
}

impl Ending {
    pub(super) fn code(&self) -> CloseCode {
        self.code
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

impl<C> Session<C> {
    /// Asks the client to move: it stays served and opens a new connection at `after_ms` + random(`window_ms`).
    pub fn bye(&mut self, code: CloseCode, reason: &str, after_ms: u64, window_ms: u64) {
        if self.attached && self.ending.is_none() {
            let bye = ServerFrame::Bye {
                code,
                reason: reason.to_owned(),
                after_ms,
                window_ms,
            };
            self.control.push(OutFrame::from(&bye, self.codec));
        }
    }

    /// Closes the connection after what is in line now. A code that does not come back ends the
    /// session too: it takes no push any more.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.set_ending(code, reason, self.out.end());
    }

    /// Closes the connection before anything that is still in line; else as [`Session::close`].
    pub fn abort(&mut self, code: CloseCode, reason: &str) {
        self.set_ending(code, reason, 0);
    }

    fn set_ending(&mut self, code: CloseCode, reason: &str, after: u64) {
        self.over |= !code.comes_back();
        match &self.ending {
            // The first decision stands, but nothing may delay a later, sharper one.
            Some(ending) if ending.after <= after => {}
            _ => {
                self.ending = Some(Box::new(Ending {
                    code,
                    reason: reason.to_owned(),
                    after,
                    said: false,
                }))
            }
        }
    }

    pub(super) fn end_keeping_close(&mut self) {
        let ending = self.ending.take();
        self.end();
        self.ending = ending;
    }

    pub(super) fn ending_reason(&self) -> String {
        self.ending
            .as_ref()
            .map(|ending| ending.reason.clone())
            .unwrap_or_default()
    }

    /// Up to where items may still be written.
    pub(super) fn item_limit(&self) -> u64 {
        self.ending
            .as_ref()
            .map_or(self.out.end(), |ending| ending.after.min(self.out.end()))
    }

    pub(super) fn say_ending(
        &mut self,
        more: bool,
        emit: &mut impl FnMut(&OutFrame),
    ) -> Option<(CloseCode, String)> {
        let codec = self.codec;
        let ending = self.ending.as_mut().filter(|_| !more)?;
        if !std::mem::replace(&mut ending.said, true) {
            let bye = ServerFrame::Bye {
                code: ending.code,
                reason: ending.reason.clone(),
                after_ms: 0,
                window_ms: 0,
            };
            emit(&OutFrame::from(&bye, codec));
        }
        Some((ending.code, ending.reason.clone()))
    }
}
