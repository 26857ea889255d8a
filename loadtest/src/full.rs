//! The full swarm: every connection a real Rust client, as an application would hold it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tengen_client::{Client, Event, EventId, Source};

use crate::{
    item,
    lean::{Books, Login, Opening, Progress},
    ledger::Ledger,
    sockets::Sources,
};

/// Handshakes under way at once.
const OPENERS: usize = 64;

/// Real clients, each with its ledger.
pub(crate) struct FullSwarm {
    clients: Vec<(Client, Arc<Mutex<Account>>)>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Account {
    ledger: Ledger,
    told: Vec<String>,
}

impl FullSwarm {
    /// Opens one client per login.
    ///
    /// # Errors
    /// A refusal, or another user than logged in.
    pub(crate) async fn connect(opening: &Opening, logins: &[Login]) -> Result<FullSwarm> {
        let progress = Arc::new(Progress::new());
        let mut sources = Sources::default();
        let opened = logins.iter().map(|login| {
            let source = SocketAddr::from((sources.next(), 0));
            one(opening.clone(), login.clone(), source, progress.clone())
        });
        let clients = stream::iter(opened).buffered(OPENERS).try_collect().await?;
        Ok(FullSwarm { clients, progress })
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Closes all clients and their books; each should have seen items 1 to `expected`.
    pub(crate) async fn finish(self, expected: u64) -> Books {
        let mut books = Books::default();
        for (_, account) in &self.clients {
            let account = account.lock().unwrap_or_else(PoisonError::into_inner);
            books.verdict.add(account.ledger.close(expected));
            for text in &account.told {
                *books.told.entry(text.clone()).or_default() += 1;
            }
        }
        stream::iter(self.clients)
            .for_each_concurrent(OPENERS, |(client, _)| client.close())
            .await;
        books
    }
}

async fn one(
    opening: Opening,
    login: Login,
    source: SocketAddr,
    progress: Arc<Progress>,
) -> Result<(Client, Arc<Mutex<Account>>)> {
    let mut builder = Client::builder(format!("ws://{}{}", opening.address, opening.path))
        .codec(opening.codec)
        .source(source);
    if let Some(cookie) = &login.cookie {
        builder = builder.header("cookie", cookie);
    }
    let client = builder.connect().await.context("a client was refused")?;
    let uid = client
        .state()
        .borrow()
        .uid
        .as_ref()
        .map(ToString::to_string);
    ensure!(
        uid == login.uid,
        "connected as {uid:?}, logged in as {:?}",
        login.uid
    );
    let account = Arc::new(Mutex::new(Account::default()));
    let books = account.clone();
    client
        .on_any(move |event| book(&event, &books, &progress))
        .keep();
    Ok((client, account))
}

fn book(event: &Event, account: &Mutex<Account>, progress: &Progress) {
    let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
    if event.id().as_str() == item::ID
        && let Some(number) = item::number_of(event.data())
    {
        account.ledger.book(number);
        progress.add(1);
    } else if event.source() == Source::Push || is_trouble(event.id()) {
        account.told.push(event.id().to_string());
    }
}

/// What the library tells of itself that a load test must not see.
fn is_trouble(id: &EventId) -> bool {
    matches!(id.as_str(), EventId::GAP | EventId::ERROR)
}
