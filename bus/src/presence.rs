//! A service's own copy of who is online: loaded from the base, kept right by the feed.

mod copy;

use std::collections::btree_set;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use rand::random;
use tengen_protocol::presence::{ASK_LIMIT_MS, Feed, Follower, ToldPage, Unanswered};
use tengen_protocol::subject::Subjects;
use tengen_protocol::{Millis, Uid};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::bus::Bus;
use crate::error::{RequestError, SubscribeError};
use crate::health::Health;
use crate::message::{Message, Publish, Subject, Subscribe};
use crate::queue::Delivery;
use crate::subscription::Subscription;
use copy::Copy;

/// Follows who is online in the whole cluster, from the nodes' one feed.
///
/// ```no_run
/// # async fn example(bus: tengen_bus::Bus) -> Result<(), Box<dyn std::error::Error>> {
/// use tengen_bus::presence::Follow;
/// use tengen_protocol::subject::Subjects;
///
/// let mut online = Follow::start(&bus, &Subjects::default()).await?;
/// while let Some(change) = online.next().await {
///     for uid in &change.opens {
///         println!("{uid} came");
///     }
///     for uid in &change.closes {
///         println!("{uid} went");
///     }
///     println!("{} are online", online.len());
/// }
/// # Ok(()) }
/// ```
///
/// A user is one however many clients, transports and nodes they have, and the grace is over when
/// they have gone. Changes are differences of the copy: also after an outage, a restart of all
/// nodes or a loss on the way each `opens` names somebody who was not there, each `closes` somebody
/// who was.
///
/// Nothing happens behind the caller's back: there is no task, and the copy is as fresh as the last
/// [`next`](Follow::next). Whoever calls it too seldom loses nothing: above 64 MiB of messages in
/// line the rest is shed, and the copy is loaded anew. It costs the uids of all who are online,
/// about 70 bytes each besides the text (64 to 73, at a million).
pub struct Follow {
    bus: Bus,
    told: Subject,
    feed: Subscription,
    health: watch::Receiver<Health>,
    follower: Follower,
    copy: Copy,
    asked: Option<Asked>,
    began: Instant,
    was_whole: bool,
    malformed: u64,
}

/// What a call of [`Follow::next`] found to have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Who came, in order.
    pub opens: Vec<Uid>,
    /// Who went, in order.
    pub closes: Vec<Uid>,
}

/// A question for a page of the base, under way.
struct Asked {
    number: u64,
    answer: Pin<Box<dyn Future<Output = Result<Message, RequestError>> + Send + Sync>>,
}

/// What woke [`Follow::next`].
enum Event {
    Delivery(Option<Delivery>),
    Answer(Result<Message, RequestError>),
    Health,
    Time,
}

impl Follow {
    /// Subscribes to the feed below `subjects`, and says nothing of users yet: that is
    /// [`Follow::next`]. The bus, and the nodes, need not be there.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub async fn start(bus: &Bus, subjects: &Subjects) -> Result<Follow, SubscribeError> {
        Follow::bounded(bus, subjects, Subscribe::default().max_queue_bytes).await
    }

    /// As [`Follow::start`], with another bound for what waits for [`Follow::next`], in bytes.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub async fn bounded(
        bus: &Bus,
        subjects: &Subjects,
        max_queue_bytes: usize,
    ) -> Result<Follow, SubscribeError> {
        let mut health = bus.health();
        // First the feed, then the base: what is told in between is in the one or the other.
        let options = Subscribe::default().max_queue_bytes(max_queue_bytes);
        let feed = bus.subscribe(&subjects.presence_changes(), options).await?;
        let mut follower = Follower::new(None, random(), Millis(0));
        if !health.borrow_and_update().is_up() {
            follower.bus(false, Millis(0));
        }
        Ok(Follow {
            bus: bus.clone(),
            told: subjects.presence_told().into(),
            feed,
            health,
            follower,
            copy: Copy::default(),
            asked: None,
            began: Instant::now(),
            was_whole: false,
            malformed: 0,
        })
    }

    /// Waits until the copy has changed, or has become [whole](Follow::is_whole) or ceased to be
    /// (the change may be empty then). `None`: the bus was drained, there is nothing to come.
    ///
    /// Never fails: while no node answers, or the bus is down, it goes on trying.
    ///
    /// # Cancel safety
    /// Cancel safe: what has not been returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.changed() {
                return Some(change);
            }
            self.ask();
            let event = self.wait().await;
            let now = self.now();
            match event {
                Event::Delivery(None) => return None,
                Event::Delivery(Some(delivery)) => self.heard(delivery, now),
                Event::Answer(answer) => self.answered(answer, now),
                Event::Health => {
                    if !self.health.borrow_and_update().is_up() {
                        self.follower.bus(false, now);
                    }
                }
                Event::Time => {}
            }
        }
    }

    /// Whether the copy is all there is: the base is loaded, and nothing of the feed is known to
    /// be missing. Until then, and during an outage, it is what was last heard.
    pub fn is_whole(&self) -> bool {
        self.follower.is_whole()
    }

    /// Whether this user is online, as far as was heard.
    pub fn contains(&self, uid: &Uid) -> bool {
        self.copy.uids().contains(uid)
    }

    /// How many are online.
    pub fn len(&self) -> usize {
        self.copy.uids().len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.copy.uids().is_empty()
    }

    /// All who are online, in order.
    pub fn iter(&self) -> btree_set::Iter<'_, Uid> {
        self.copy.uids().iter()
    }

    /// Messages that were ignored: of a later version, or malformed.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn now(&self) -> Millis {
        Millis(0) + self.began.elapsed()
    }

    fn changed(&mut self) -> Option<Change> {
        let is_whole = self.is_whole();
        let news = self.was_whole != is_whole;
        self.was_whole = is_whole;
        let change = self.copy.take_change();
        (news || change != Change::default()).then_some(change)
    }

    fn ask(&mut self) {
        if let Some((number, request)) = self.follower.take_ask(&self.copy, self.now()) {
            let bus = self.bus.clone();
            let question = Publish::new(self.told.clone(), request.encode());
            let limit = Duration::from_millis(ASK_LIMIT_MS);
            let answer = Box::pin(async move { bus.request(question, limit).await });
            self.asked = Some(Asked { number, answer });
        }
    }

    /// Waits for whatever comes first. Cancel safe, as each of its branches is.
    async fn wait(&mut self) -> Event {
        // At the latest in a minute: nobody minds, and a far future would overflow.
        let due = self
            .follower
            .next()
            .since(self.now())
            .min(Duration::from_secs(60));
        let due = Instant::now() + due;
        let answer = async {
            match &mut self.asked {
                Some(asked) => asked.answer.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            delivery = self.feed.recv() => Event::Delivery(delivery),
            answer = answer => Event::Answer(answer),
            Ok(()) = self.health.changed() => Event::Health,
            () = sleep_until(due) => Event::Time,
        }
    }

    fn heard(&mut self, delivery: Delivery, now: Millis) {
        match delivery {
            Delivery::Message(message) => match Feed::decode(&message.body) {
                Ok(feed) => {
                    self.follower.hear(&feed, &mut self.copy, now);
                }
                Err(_) => self.malformed += 1,
            },
            Delivery::Shed(_) | Delivery::Interrupted => self.follower.bus(true, now),
        }
    }

    fn answered(&mut self, answer: Result<Message, RequestError>, now: Millis) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let page = match answer {
            Ok(message) => self.page(&message.body),
            Err(RequestError::NoResponders) => Err(Unanswered::Nobody),
            Err(RequestError::BusDown) => Err(Unanswered::BusDown),
            Err(_) => Err(Unanswered::Late),
        };
        let page = page.as_ref().map_err(|unanswered| *unanswered);
        self.follower
            .answered(asked.number, page, &mut self.copy, now);
    }

    fn page(&mut self, body: &Bytes) -> Result<ToldPage, Unanswered> {
        ToldPage::decode(body).map_err(|_| {
            self.malformed += 1;
            Unanswered::Late
        })
    }
}

impl<'a> IntoIterator for &'a Follow {
    type Item = &'a Uid;
    type IntoIter = btree_set::Iter<'a, Uid>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Follow")
            .field("online", &self.len())
            .field("whole", &self.is_whole())
            .finish_non_exhaustive()
    }
}
