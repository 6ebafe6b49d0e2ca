//! Making every other table of a store anew from its event rows, and telling where they did not follow from them.

use super::alone::alone;
use super::catch_up::catch_up_all;
use super::copy::events;
use super::difference::{Differences, words};
use super::digest::{Digest, END, MEMBERS, Part, Tally, derived};
use super::migrate::Note;
use super::site::Work;
use crate::engines::Engines;
use chat4all_backend::accounts::MAX_ENTRIES;
use chat4all_backend::folder::DataFolder;
use chat4all_backend::store::{EmbeddedStore, Options, Store};
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::fact::Interval;
use chat4all_model::id::{ConversationId, UserId};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

/// Conversations worked on at once.
const AT_ONCE: usize = 8;
/// Conversations asked for at once.
const CONVERSATIONS: usize = 200;
/// Where a store to compare with is made, in the scratch folder.
const WORKSHOP: &str = "rebuild";
/// Events that it holds at once.
const BENCH_EVENTS: u64 = 500_000;
/// How often a conversation that differs is looked at: another process may be writing it.
const LOOKS: usize = 3;

/// What was compared.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Checked {
    /// How much the store holds, by part.
    pub counts: BTreeMap<Part, u64>,
    /// Where its tables are not what the events give.
    pub differences: Differences,
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rebuilt {
    /// What was wrong.
    pub before: Checked,
    /// How it is now.
    pub after: Checked,
}

/// Compares every table that follows from the events with what they give, changing nothing. A store to compare with
/// is made in `scratch`, in a folder of its own that is removed again; it takes about as much space as the real one,
/// or a GiB.
///
/// # Errors
/// Of the engines.
pub async fn check(engines: &Engines, scratch: &Path, note: Note<'_>) -> Result<Checked> {
    let mut workshop = Workshop::open(scratch)?;
    let checked = Box::pin(compare(engines, &mut workshop, note)).await;
    workshop.close().await?;
    checked
}

/// Makes every table that follows from the events anew: brings the store up to its log, empties them, projects all
/// events again, and compares before and after. Run again after it was cut off, it begins anew.
///
/// # Errors
/// `Conflict` if a server runs on the engines, `Invalid` if store and log are not of one history; of the engines.
pub async fn rebuild(engines: &Engines, scratch: &Path, note: Note<'_>) -> Result<Rebuilt> {
    let work = async {
        catch_up_all(engines).await?;
        let before = check(engines, scratch, note).await?;
        let store = engines.store.as_ref();
        // From here on nobody may serve it: a router would count on from nothing.
        Work::Rebuild.begin(store, 0).await?;
        store.clear_derived().await?;
        project_all(engines, note).await?;
        Work::Rebuild.finish(store, 0).await?;
        Ok(Rebuilt { before, after: check(engines, scratch, note).await? })
    };
    Box::pin(alone(engines.log.as_ref(), work)).await
}

async fn project_all(engines: &Engines, note: Note<'_>) -> Result<()> {
    let store = engines.store.as_ref();
    let (done, mut after) = (AtomicU64::new(0), None);
    loop {
        let (page, next) = store.conversations(after, CONVERSATIONS).await?;
        stream::iter(page.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |conversation| async {
                let partition = conversation.partition(engines.log.partitions());
                let count = events(store, store, partition, conversation).await?;
                note("events projected", done.fetch_add(count, Ordering::Relaxed) + count);
                Ok::<_, Error>(())
            })
            .await?;
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn compare(engines: &Engines, workshop: &mut Workshop, note: Note<'_>) -> Result<Checked> {
    let store = engines.store.as_ref();
    let (mut all, mut differences) = (Digest::default(), Differences::default());
    let mut memberships: HashMap<UserId, Tally> = HashMap::new();
    let (mut after, mut done) = (None, 0);
    loop {
        let (page, next) = store.conversations(after, CONVERSATIONS).await?;
        let bench = workshop.with_room(done).await?;
        let looks = page.into_iter().map(|conversation| look(store, bench, conversation));
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(look) = looks.try_next().await? {
            done += look.found.0.get(&Part::Events).map_or(0, |events| events.count);
            note("events compared", done);
            for (user, membership) in look.memberships {
                memberships.entry(user).or_default().add(&membership)?;
            }
            all.plus(&look.found);
            if let Some(what) = look.wrong {
                differences.add(&look.conversation, what);
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    people(engines, memberships, note, &mut differences).await?;
    let counts = all.0.iter().map(|(part, tally)| (*part, tally.count)).collect();
    Ok(Checked { counts, differences })
}

/// What was found of a conversation.
struct Look {
    conversation: ConversationId,
    found: Digest,
    /// What is not as the events say, in words.
    wrong: Option<String>,
    /// As the events say.
    memberships: Vec<(UserId, (ConversationId, Interval))>,
}

async fn look(store: &dyn Store, bench: &dyn Store, conversation: ConversationId) -> Result<Look> {
    let mut look = Look { conversation, found: Digest::default(), wrong: None, memberships: Vec::new() };
    for _ in 0..LOOKS {
        match look_once(store, bench, &mut look).await {
            Ok(()) => {}
            // What cannot be read is wrong like what reads otherwise.
            Err(error) if error.kind == ErrorKind::Corrupt => {
                look.wrong = Some(error.to_string());
                // Its members are not to be told that their memberships are wrong as well.
                look.memberships = memberships(store, &look.conversation).await?;
            }
            Err(error) => return Err(error),
        }
        if look.wrong.is_none() {
            break;
        }
    }
    Ok(look)
}

async fn look_once(store: &dyn Store, bench: &dyn Store, look: &mut Look) -> Result<()> {
    let conversation = &look.conversation;
    look.found = derived(store, conversation).await?;
    events(store, bench, 0, conversation).await?;
    let parts = derived(bench, conversation).await?.differences(&look.found);
    look.wrong = words(&parts);
    look.memberships = memberships(bench, conversation).await?;
    Ok(())
}

async fn memberships(
    store: &dyn Store,
    conversation: &ConversationId,
) -> Result<Vec<(UserId, (ConversationId, Interval))>> {
    let members = store.members_between(conversation, 0, END, MEMBERS).await?;
    let of = |interval: Interval| (interval.user.clone(), (conversation.clone(), interval));
    Ok(members.into_iter().map(of).collect())
}

/// Compares the memberships that are kept by person with those of the conversations.
async fn people(
    engines: &Engines,
    mut memberships: HashMap<UserId, Tally>,
    note: Note<'_>,
    differences: &mut Differences,
) -> Result<()> {
    let mut after = None;
    loop {
        let page = engines.accounts.list(after.as_ref(), MAX_ENTRIES).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.user_id.clone());
        for account in page {
            memberships.entry(account.user_id).or_default();
        }
    }
    let store = engines.store.as_ref();
    let compare = |(user, expected): (UserId, Tally)| async move {
        let mut found = Tally::default();
        for membership in store.memberships(&user).await? {
            found.add(&membership)?;
        }
        Ok::<_, Error>((user, found == expected))
    };
    let mut compared = stream::iter(memberships.into_iter().map(compare)).buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((user, same)) = compared.try_next().await? {
        done += 1;
        note("people compared", done);
        if !same {
            differences.add_parts(&user, &[Part::Memberships]);
        }
    }
    Ok(())
}

/// Where a store to compare with is made, of some conversations after others.
struct Workshop {
    folder: DataFolder,
    bench: Option<EmbeddedStore>,
    /// Events that had been compared when the bench was new.
    since: u64,
}

impl Workshop {
    fn open(scratch: &Path) -> Result<Self> {
        Ok(Self { folder: DataFolder::open(scratch.join(WORKSHOP))?, bench: None, since: 0 })
    }

    /// A store with room for more, when `done` events were compared.
    async fn with_room(&mut self, done: u64) -> Result<&dyn Store> {
        if done - self.since > BENCH_EVENTS {
            self.clear().await?;
            self.since = done;
        }
        Ok(match &mut self.bench {
            Some(bench) => bench,
            none => {
                // Of a run that was cut off.
                clear(&self.folder)?;
                none.insert(EmbeddedStore::open(&self.folder, Options::default())?)
            }
        })
    }

    async fn clear(&mut self) -> Result<()> {
        if let Some(bench) = self.bench.take() {
            bench.close().await;
        }
        clear(&self.folder)
    }

    async fn close(mut self) -> Result<()> {
        self.clear().await?;
        fs::remove_dir_all(self.folder.path()).map_err(|e| Error::new(ErrorKind::Unavailable, e))
    }
}

fn clear(folder: &DataFolder) -> Result<()> {
    for file in ["store.db", "store.db-wal", "store.db-shm"].map(|name| folder.file(name)) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Unavailable, error));
            }
            _ => {}
        }
    }
    Ok(())
}
