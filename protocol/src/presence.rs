//! Who is online, on every node of the cluster: the values behind `connected_uids`.

mod action;
mod feed;
mod follower;
mod kinds;
mod local;
mod member;
mod message;
mod options;
mod owed;
mod roster;
pub mod rules;
mod same;
mod sync;
mod teller;
mod telling;
mod told;
mod users;
pub mod who;
mod wire;

pub use action::{Action, AskId, Channel, Door, Unanswered};
pub use feed::{Differs, Feed, Said, Stream, ToldPage, ToldRequest};
pub use follower::{ASK_LIMIT_MS, Followed, Follower};
pub use kinds::Kinds;
pub use local::Local;
pub use member::Member;
pub use message::{Beat, Delta, Message};
pub use options::Options;
pub use roster::{Counts, Diff, Heard, NodeView, NotReady, Page, Roster, SYNC_TIMEOUT_MS};
pub use same::{Have, Sum};
pub use sync::{Snapshot, SyncAnswer, SyncReq};
pub use teller::{Teller, Turn};
pub use telling::{FeedAction, Telling};
pub use told::{Announced, Told};
pub use users::Users;
pub use wire::BadMessage;

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::Uid;

/// The version that every message begins with. A node ignores, and counts, any other.
pub const VERSION: u64 = 1;

/// One life of a node: grows with every start.
///
/// The wall clock's milliseconds at the start, or one more than the highest that was heard for the
/// node's id, whichever is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What one user adds, by xor, to the digest of its node: xxh3_64 of `uid ‖ 0 ‖ kinds`; nothing
/// for who is not there.
pub fn digest_of(uid: &str, kinds: Kinds) -> u64 {
    if kinds.is_none() {
        return 0;
    }
    let mut bytes = [0; Uid::MAX_BYTES + 2];
    // A uid is never longer; of a text that is, only the beginning would count.
    let length = uid.len().min(Uid::MAX_BYTES);
    bytes[..length].copy_from_slice(&uid.as_bytes()[..length]);
    bytes[length + 1] = kinds.code();
    xxh3_64(&bytes[..length + 2])
}
