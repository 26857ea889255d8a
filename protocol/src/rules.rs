//! The rules that keep a conversation whole, one by one, so that a test build can switch one off and see that the simulation notices.

/// Names every rule by its doc, which is also what a report of a simulation says of it, and says
/// how to ask for one and how to suspend it.
macro_rules! rules {
    (of $what:literal in $order:literal: $($(#[doc = $words:literal])+ $name:ident,)+) => {
        #[doc = concat!("One rule of ", $what, ". In a product each of them holds, always; with the feature")]
        /// `mutations` a test may suspend one, to see that its absence is noticed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $words])+ $name,)+
        }

        impl Rule {
            #[doc = concat!("Every rule, in the order of ", $order, ".")]
            pub const ALL: &[Rule] = &[$(Rule::$name,)+];

            /// The rule in words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Rule::$name => concat!($($words,)+).trim_ascii(),)+
                }
            }

            /// The rule's name, as a command line takes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Rule::$name => stringify!($name),)+
                }
            }
        }

        /// Whether a rule holds: a constant in every product.
        #[cfg(not(feature = "mutations"))]
        #[inline(always)]
        pub const fn holds(_rule: Rule) -> bool {
            true
        }

        #[cfg(feature = "mutations")]
        thread_local! {
            static SUSPENDED: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
            static ASKED: std::cell::Cell<u128> = const { std::cell::Cell::new(0) };
        }

        /// Whether a rule holds on this thread.
        #[cfg(feature = "mutations")]
        #[inline]
        pub fn holds(rule: Rule) -> bool {
            ASKED.set(ASKED.get() | 1 << rule as u32);
            SUSPENDED.get() != Some(rule)
        }

        /// Whether anything on this thread has ever asked for a rule: one that nobody asks for is not built.
        #[cfg(feature = "mutations")]
        pub fn was_asked(rule: Rule) -> bool {
            ASKED.get() & 1 << rule as u32 != 0
        }

        /// Suspends a rule on this thread, or none, until it is called again.
        #[cfg(feature = "mutations")]
        pub fn suspend(rule: Option<Rule>) {
            SUSPENDED.set(rule);
        }
    };
}
pub(crate) use rules;

rules! {
    of "the conversation" in "a session's life":

    // One queue, two cursors.
    /// A new connection goes on after the items that its hello says it has received.
    RewindToReceived,
    /// An item is retained until the client acknowledges it, not only until it is written.
    RetainUntilAcked,
    /// The client sends again what was written and not acknowledged.
    ClientResends,
    /// A written item keeps its place whatever becomes of its promise; only unwritten ones are withdrawn.
    WrittenStays,

    // Newest connection wins, by number.
    /// A lower attempt is refused and changes nothing.
    LowerAttemptRefused,
    /// A late copy of a hello that was answered long ago does not end the session.
    LateCopyRefused,
    /// An equal attempt replaces: a proxy repeats requests.
    EqualAttemptReplaces,
    /// A GET with a lower n is refused.
    LowerPollRefused,
    /// A GET with an equal n replaces the one before.
    EqualPollReplaces,
    /// A POST carries the attempt of its hello, and a lower one is refused.
    PostNamesAttempt,

    // One lock, one count.
    /// Superseding detaches the old connection: none of its frames changes anything.
    SupersededIsDeaf,
    /// What a superseded connection would write does not move `sent`.
    SupersededIsMute,
    /// What stands at a position that is counted already is dropped.
    CountedIsDropped,
    /// A POST that begins behind a hole takes nothing.
    HoleTakesNothing,
    /// The `received` of a hello binds the client: nothing of an older connection is delivered after it.
    HelloBindsClient,
    /// Every complete frame that is no control counts, accepted or not.
    RefusedCounts,
    /// A refused item is answered by an item, queued before the ack that covers it.
    AnswerBeforeAck,

    // A hole is an item.
    /// A known hole is told by an item at its place.
    HoleIsTold,
    /// At most one unsent gap stands in a queue, unless one is needed behind what follows it.
    OneUnsentGap,
    /// After a bus outage the gap is appended when interest is confirmed again.
    GapAfterInterest,

    // Bounds.
    /// A queue over its bound ends the session, as a slow consumer.
    SlowConsumerEnds,

    // Fails closed.
    /// A resume that cannot be complete is a fresh session with a gap.
    ResumeFailsClosed,
    /// Written and unacknowledged items of a lost session resolve as closed and sent.
    LostItemsResolve,
    /// Unwritten items of a lost session go out on the new one.
    UnwrittenGoOn,

    // One resume, one uid.
    /// A hello under another uid begins a fresh session, and the old one ends.
    OtherUserBeginsAnew,
    /// A client that becomes another user resolves everything queued as closed.
    OtherUserClosesQueue,
    /// A superseded client begins a new session under a new client id.
    SupersededBeginsAnew,

    // Handlers.
    /// Items of a session reach their handlers one after another.
    OneAfterAnother,
    /// A request is answered once.
    OneAnswer,
    /// A full inbox takes no more of a POST.
    FullInboxStops,

    // Poll.
    /// A lost answer is harmless: the same `received` gets the same items again.
    PollRewinds,
    /// A GET or POST of another uid than the session's is 410.
    PollNeedsSameUser,
    /// A GET or POST at another node is relayed to the home.
    PollIsRelayed,

    // Takeover 1 and 2: arriving, asking.
    /// The taker registers the session before it asks: pushes go into a side buffer.
    SideBufferFirst,
    /// The side buffer keeps what comes for all, not only for the user.
    SideBufferHearsAll,
    /// No responders, or not mine: once more to all.
    AskEveryone,
    /// A late answer is asked for once more.
    AskAgain,
    /// Nobody holds the session: fresh, with a gap.
    NobodyIsGap,

    // Takeover 3: release.
    /// A holder refuses the release to a lower attempt.
    ReleaseRefusesLower,
    /// A holder refuses the release to another user.
    ReleaseRefusesOtherUser,
    /// A release detaches the holder's connection.
    ReleaseDetaches,
    /// The cut waits for a fence through the holder's own push subscription.
    FenceBeforeCut,
    /// A fence that does not come back in time is told as a gap.
    LateFenceIsGap,
    /// The parts carry the items after `received`.
    CarriesItems,
    /// The parts carry the counters.
    CarriesCounters,
    /// The parts carry the last applied sequence per publisher.
    CarriesSequences,
    /// The parts carry the identities of the other pushes.
    CarriesIdentities,
    /// The parts carry the outstanding refs.
    CarriesRefs,
    /// The parts carry the inbound items that were counted but not started.
    CarriesInbox,
    /// The taker starts carried items only when the holder's running handler has returned.
    InboxWaitsForReturn,
    /// The taker does not wait longer than that handler's limit.
    InboxWaitIsBounded,
    /// A frozen session goes on receiving.
    FrozenReceives,
    /// What comes after the cut is forwarded.
    FrozenForwards,
    /// The same take gets the same parts.
    SameTakeSameParts,
    /// Another take with an equal or higher attempt voids the earlier one.
    NewTakeVoids,
    /// A new take gets a new answer, behind a new fence.
    NewTakeNewFence,
    /// A hello on the holder itself voids the take.
    HelloVoidsTake,
    /// A released session is kept until done.
    KeptUntilDone,

    // Takeover 4: done.
    /// The side buffer loses what the holder has had.
    SideBufferLessApplied,
    /// Only the holder's yes makes the taker the home.
    DoneNeedsYes,
    /// A holder refuses the done of a void take.
    VoidTakeRefused,
    /// A granted done is remembered: a retry gets the same yes.
    DoneIsRemembered,
    /// No responders to done is no yes: the holder may only be cut off. Fresh, with a gap.
    AbsentIsNoYes,
    /// A done that is unanswered twice is a fresh session with a gap.
    UnansweredDoneIsGap,

    // Takeover 5: afterwards.
    /// The holder forwards late pushes for 10 s after done.
    LateIsForwarded,
    /// The holder forwards replies while refs are open.
    RepliesAreForwarded,
    /// A taker that handed over in turn forwards on.
    ForwardedOn,
    /// A forward is held for up to 1 s: the own copy takes its place.
    ForwardIsHeld,
    /// An own copy that comes after its forward was appended is dropped.
    LateCopyIsDropped,
    /// A held forward stands behind a gap unless it is its publisher's next number.
    HeldStandsBehindGap,
    /// A reply owed by a node that dies resolves as closed.
    DeadOwerCloses,
    /// Equal pushes without a name are matched one for one.
    EqualsMatchOneForOne,
    /// A message id matches any number of times.
    MessageIdMatches,
}
