//! The rules that keep presence right, one by one, so that a test build can switch one off and see that the simulation notices.

use crate::rules::rules;

rules! {
    of "presence" in "a change's way from a node's own users to a follower of the feed":

    // Epochs.
    /// A node begins above the highest epoch it has heard for its own id.
    EpochAboveHeard,
    /// A node that hears a higher epoch for its own id goes above it, once.
    UsurpedGoesAbove,
    /// Twice in a minute is a duplicate node id: the node exits.
    DuplicateExits,
    /// A lower epoch changes nothing.
    LowerEpochIgnored,
    /// A new epoch begins with a snapshot.
    NewEpochSyncs,

    // Grace, at the node, before the delta.
    /// A user who leaves is announced only when the grace is over.
    GraceBeforeDelta,
    /// The grace of a polling user is longer than that of a WebSocket.
    PollGraceIsLonger,
    /// A reconnect on the same node within the grace never leaves it.
    ReconnectCancels,
    /// A change of transport of a session shows at once.
    SwitchShowsAtOnce,
    /// After a takeover the former holder announces its side only when the taker's reached it.
    MoveWaitsForOpen,
    /// The former holder announces its side at the latest after the grace.
    MoveIsBounded,
    /// Changes are announced in batches.
    DeltasAreBatched,
    /// A user whose kinds are the same as announced is not announced again.
    NoNoOps,

    // Deltas and beats.
    /// A delta that was applied already changes nothing.
    OldIgnored,
    /// A gap in a node's deltas is synced, not applied over.
    GapSyncs,
    /// A beat that is ahead of the deltas heard is synced.
    BeatAheadSyncs,
    /// A beat with another digest at the same number is synced.
    DigestIsCompared,
    /// A node beats every second, whatever else it says.
    BeatsGoOn,
    /// Nothing of presence is queued while the bus is down.
    NothingIsQueued,

    // Syncing.
    /// Deltas that come while a node is synced wait, and are applied over what comes.
    DeltasAreBuffered,
    /// The deltas alone are sent when the ring reaches back.
    RingReplays,
    /// A snapshot replaces what was known of its node: who is not in it goes.
    SnapshotReplaces,
    /// What was known of a node stays until a snapshot replaces it.
    OldStaysUntilReplaced,
    /// All parts of a snapshot carry the number at which the first was cut, and newer deltas go over it.
    PartsCarryFirstSeq,
    /// An answer that does not come is asked for again.
    SyncIsRetried,
    /// A retry asks for the missing part, not for all.
    RetryFromMissingPart,
    /// At most two snapshots go out at a time.
    TwoOutgoing,
    /// A node whose digest never matches is asked more and more rarely.
    MismatchBacksOff,

    // Whom to judge.
    /// A node that does not hear its own beat judges nobody and is not ready.
    HearOneself,
    /// A node whose own tick was late judges nobody.
    LateTickFreezes,
    /// After a freeze every peer gets a full time to live.
    FullTtlAfterFreeze,
    /// A peer that is silent for its time to live is gone.
    SilenceIsDeath,
    /// Any message of a peer counts as a sign of life, not only a beat.
    AnyMessageIsLife,
    /// A clean leave ends a node at once, without waiting for silence.
    ByeEnds,
    /// Users of a node that is gone, or came again under a new epoch, wait the grace out.
    LostWaitGrace,
    /// A node that hears fewer than half of the members it knew 10 s ago is not ready.
    MinorityIsNotReady,
    /// Of two halves the one without the lowest id is not ready.
    HalfNeedsLowest,
    /// A member that said Bye does not count for the majority.
    ByeDoesNotCount,

    // Ready.
    /// A node is ready only after two beats of its own.
    ReadyAfterTwoBeats,
    /// A node is ready only when it has synced with every live peer.
    ReadyWhenSynced,
    /// A cold cluster is ready 3 s after it started.
    ColdClusterIsReady,

    // One teller.
    /// Only a ready node tells.
    ReadyGatesTelling,
    /// The ready node of the lowest epoch tells, so a joiner never takes over.
    LowestEpochTells,
    /// A node that hears one of a lower epoch tell does not tell itself, whatever it thinks of that one.
    HigherTellerYields,
    /// A new teller waits before it tells anything.
    NewTellerWaits,
    /// A new teller says reload first.
    NewTellerReloads,
    /// What is told is the difference of announced and told, whatever caused it.
    LevelTriggered,
    /// Every node follows the feed.
    AllFollow,
    /// The teller marks where the feed is every 5 s.
    MarksGoOn,
    /// A node whose told differs from the announced for 5 s names these users to the teller.
    DiffersIsNamed,
    /// The teller tells again what a node names.
    NamedIsToldAgain,
    /// The base is answered by the teller alone.
    BaseByTellerAlone,
    /// Who says what it has, and is right, is not sent it again.
    SameIsNotSent,
    /// What an asker has is the same only if number and digest are.
    SameByDigest,

    // Followers.
    /// A follower keeps what the feed says while it loads the base, and applies it over the pages.
    FeedOverBase,
    /// A gap in the feed makes a follower load the base again.
    FeedGapRestarts,
    /// A reload makes a follower load the base again.
    ReloadRestarts,
    /// Its own reconnect makes a follower load the base again.
    ReconnectRestarts,
    /// A second teller makes a follower load the base again, 3 s after it was heard.
    SecondTellerRestarts,
    /// A page of the base replaces its range: who is not in it goes.
    BasePageReplaces,
    /// That a follower has the same counts only if nothing of before that answer has come in since it asked.
    SameAtItsMark,
}
