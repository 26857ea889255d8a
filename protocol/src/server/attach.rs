//! How connections come to a session and leave it: hello, superseding, resume by cursors.

use super::seldom::{Control, Refs};
use super::{Link, Session, Standing};
use crate::frame::{ClientHello, ServerFrame, ServerHello};
use crate::millis::Millis;
use crate::out_frame::OutFrame;
use crate::rules::{Rule, holds};
use crate::transport::Transport;

/// A hello was accepted: the connection behind `link` is the session's only one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    pub link: Link,
    /// The client goes on where it was; nothing was lost.
    pub resumed: bool,
    /// The client named a session that is gone: it must be told to fetch its state anew.
    pub gap: bool,
    /// Items of the client counted so far; this connection's first item is `received + 1`.
    pub received: u64,
}

/// Why a hello was not accepted. The session is unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachRefused {
    /// A newer hello was here before: refuse this one (409).
    LowerAttempt { current: u64 },
    /// The session has ended: begin a new one, with `gap` if the client named this one.
    Over,
    /// The hello belongs to another session or another client: it has no business here.
    NotThisSession,
    /// What the client lacks is no longer retained, or its count cannot be: end this session and
    /// begin a new one with `gap`.
    Lost,
    /// The session is on its way here, for another hello: try again when that is settled.
    Arriving,
    /// The session went to another node, see [`Session::owner`]: take it over from there.
    Moved,
}

impl<C> Session<C> {
    /// Takes a hello: raises the attempt, detaches the connection before, rewinds `sent` to what
    /// the client has received and reads `received`, all at once.
    ///
    /// The uid is not looked at; a hello of another uid must not come here.
    ///
    /// # Errors
    /// [`AttachRefused`]; nothing has changed then.
    pub fn attach(
        &mut self,
        hello: &ClientHello,
        transport: Transport,
        now: Millis,
    ) -> Result<Attached, AttachRefused> {
        if self.over {
            return Err(AttachRefused::Over);
        }
        match self.standing() {
            Standing::Home | Standing::Frozen => {}
            Standing::Arriving => return Err(AttachRefused::Arriving),
            Standing::Moved => return Err(AttachRefused::Moved),
        }
        let fresh = self.link == Link(0);
        let named = hello.session.as_ref() == Some(&self.id);
        if hello.client != self.client || (!fresh && !named) {
            return Err(AttachRefused::NotThisSession);
        }
        let equal = hello.attempt == self.attempt && !fresh;
        if (hello.attempt < self.attempt && holds(Rule::LowerAttemptRefused))
            || (equal && !holds(Rule::EqualAttemptReplaces))
        {
            return Err(AttachRefused::LowerAttempt {
                current: self.attempt,
            });
        }
        if !fresh {
            self.resume_after(hello.received.unwrap_or(0), hello.attempt)?;
        }
        self.void_take();
        self.attempt = hello.attempt;
        self.link = Link(self.link.0.wrapping_add(1).max(1));
        self.reset_connection(now);
        self.attached = true;
        self.transport = transport;
        // The ack that covered the last items may have died with the old connection.
        self.ack_owed = self.received > 0;
        self.last_heard = now;
        self.last_written = now;
        self.patient_until = Millis(0);
        Ok(Attached {
            link: self.link,
            resumed: !fresh,
            gap: fresh && hello.session.is_some() && holds(Rule::NobodyIsGap),
            received: self.received,
        })
    }

    /// Goes on after what the client has received.
    pub(super) fn resume_after(
        &mut self,
        received: u64,
        attempt: u64,
    ) -> Result<(), AttachRefused> {
        let late_copy = received < self.out.acked() && attempt == self.attempt;
        if late_copy && holds(Rule::LateCopyRefused) {
            // A proxy's late copy of a hello that was answered long ago.
            return Err(AttachRefused::LowerAttempt {
                current: self.attempt,
            });
        }
        if !holds(Rule::RewindToReceived) {
            return Ok(());
        }
        let resumed = self.out.rewind(received);
        let resumed = resumed.and_then(|()| self.out.ack(received, |_, _| ()));
        if !holds(Rule::ResumeFailsClosed) {
            return Ok(());
        }
        resumed.map_err(|_| AttachRefused::Lost)
    }

    /// Puts the answer to a hello in line, before everything else. Until then nothing is written.
    ///
    /// Gives `false`, and does nothing, if `link` has been superseded meanwhile.
    pub fn hello(&mut self, link: Link, hello: &ServerHello) -> bool {
        if !self.speaks(link) || self.greeted {
            return false;
        }
        self.greeted = true;
        self.hello_waits = self.transport == Transport::Poll;
        let hello = ServerFrame::Hello(hello.clone());
        self.control.push_first(OutFrame::from(&hello, self.codec));
        true
    }

    /// The connection behind `link` is gone; the session waits for its next hello.
    ///
    /// Gives `false`, and does nothing, if `link` is no longer the current one.
    pub fn detach(&mut self, link: Link, now: Millis) -> bool {
        if !self.speaks(link) {
            return false;
        }
        self.reset_connection(now);
        true
    }

    /// Ends the session without a word, for a driver whose connection is gone anyway.
    ///
    /// Items that were counted still come out of [`Session::next_item`]: their sender has been
    /// told, or will find, that they arrived.
    pub fn end(&mut self) {
        self.over = true;
        self.out.clear();
        // An ack would name a count of items that were dropped unsent; the client would call it drift.
        self.told = self.received;
        self.ack_owed = false;
        self.control = Control::default();
        self.outstanding = Refs::default();
        self.end_moving();
    }

    /// A poll client came back after its silence, before its session was given up.
    pub(super) fn attach_again(&mut self, now: Millis) {
        self.attached = true;
        self.last_heard = now;
    }

    /// The client of a poll has not come back in time. To itself it may still be connected, so
    /// its next GET is welcome.
    pub(super) fn fall_silent(&mut self, now: Millis) {
        self.attached = false;
        self.detached_at = now;
        self.control = Control::default();
        self.ending = None;
    }

    pub(super) fn speaks(&self, link: Link) -> bool {
        self.attached && self.link == link
    }

    /// Forgets what belonged to the connection, not to the session.
    pub(super) fn reset_connection(&mut self, now: Millis) {
        self.attached = false;
        self.greeted = false;
        self.detached_at = now;
        self.control = Control::default();
        self.ping_owed = false;
        self.pong_owed = false;
        self.ack_owed = false;
        self.ending = None;
        self.hello_waits = false;
        self.flush_owed = false;
        if let Some(polling) = &mut self.polling {
            polling.restart();
        }
    }
}
