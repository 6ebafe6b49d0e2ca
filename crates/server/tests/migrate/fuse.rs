//! Engines that die after some writes, as those of a process that is killed: from then on nothing is done any more.

use async_trait::async_trait;
use bytes::Bytes;
use chat4all_backend::accounts::*;
use chat4all_backend::log::{Appended, Bounds, EventLog, Follower, Member, Topic};
use chat4all_backend::store::*;
use chat4all_backend::{Error, ErrorKind, Result};
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use chat4all_server::engines::Engines;
use futures_util::FutureExt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The last write is not done.
    Before,
    /// It is done, and nobody hears of it.
    After,
}

/// Counts writes.
pub(crate) struct Fuse {
    left: AtomicUsize,
    dead: AtomicBool,
    death: Death,
}

impl Fuse {
    /// Dies at the write after `writes`.
    pub(crate) fn new(writes: usize, death: Death) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(writes), dead: AtomicBool::new(false), death })
    }

    /// Puts engines behind it.
    pub(crate) fn before(self: &Arc<Self>, engines: Engines) -> Engines {
        Engines {
            log: Arc::new(FusedLog { engine: engines.log, fuse: Arc::clone(self) }),
            store: Arc::new(FusedStore { engine: engines.store, fuse: Arc::clone(self) }),
            accounts: Arc::new(FusedAccounts { engine: engines.accounts, fuse: Arc::clone(self) }),
            bus: engines.bus,
            blobs: engines.blobs,
            publisher: engines.publisher,
        }
    }

    fn read(&self) -> Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(killed()) } else { Ok(()) }
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        self.read()?;
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return write.await;
        }
        self.dead.store(true, Ordering::SeqCst);
        if self.death == Death::After {
            write.await?;
        }
        Err(killed())
    }
}

fn killed() -> Error {
    Error::new(ErrorKind::Unavailable, "killed, as the test wants it")
}

/// A port's methods as a table: whether each reads or writes, its name, arguments and answer.
macro_rules! fused {
    ($name:ident: $port:ident { $($way:ident $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* }) => {
        struct $name {
            engine: Arc<dyn $port>,
            fuse: Arc<Fuse>,
        }

        #[async_trait]
        impl $port for $name {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer> {
                fused!($way self $method $($argument)*)
            })*
        }
    };
    (read $self:ident $method:ident $($argument:ident)*) => {{
        $self.fuse.read()?;
        $self.engine.$method($($argument),*).await
    }};
    (write $self:ident $method:ident $($argument:ident)*) => {
        $self.fuse.write($self.engine.$method($($argument),*)).await
    };
}

fused! {
    FusedStore: Store {
        write project(partition: u32, projection: Projection) -> ();
        read progress(partition: u32) -> Progress;
        read synced_progress(partition: u32) -> Progress;
        read terms(partition: u32) -> Vec<u64>;
        read values(keys: Vec<Key>) -> Vec<Option<Value>>;
        read known(ids: Vec<RecordId>) -> Vec<Option<Known>>;
        read overviews(conversations: Vec<ConversationId>) -> Vec<Option<Overview>>;
        read memberships(user: &UserId) -> Vec<(ConversationId, Interval)>;
        read intervals(conversation: &ConversationId, user: &UserId) -> Vec<Interval>;
        read members(conversation: &ConversationId, after: Option<(u64, UserId)>, limit: usize) -> Vec<Interval>;
        read members_between(conversation: &ConversationId, from: u64, to: u64, limit: usize) -> Vec<Interval>;
        read events(conversation: &ConversationId, after: u64, upto: u64, limit: usize) -> Vec<StoredEvent>;
        read first_after(conversation: &ConversationId, position: Position) -> Option<u64>;
        read messages(conversation: &ConversationId, slice: Slice, limit: usize) -> Vec<StoredMessage>;
        read own(user: &UserId, conversations: Vec<ConversationId>) -> Vec<Own>;
        read own_changes(user: &UserId, partition: u32, from: Position, to: Position, limit: usize) -> Vec<OwnChange>;
        read rejections(user: &UserId, partition: u32, from: Position, to: Position, limit: usize) -> Vec<StoredEvent>;
        read markers(conversation: &ConversationId, limit: usize) -> Vec<(UserId, Markers)>;
        read rises(conversation: &ConversationId, from: u64, to: u64) -> Vec<(UserId, Marker, u64, u64)>;
        read conversations(after: Option<String>, limit: usize) -> (Vec<ConversationId>, Option<String>);
        write clear_derived() -> ();
        read reactions(conversation: &ConversationId, seqs: Vec<u64>, user: Option<&UserId>, limit: usize) -> Vec<Reaction>;
        read dead_letters(after: Option<String>, limit: usize) -> Vec<DeadLetter>;
        write mark_replayed(id: &str, time: u64) -> bool;
        read reader(name: &ReaderName, partition: u32) -> Progress;
        write save_reader(name: &ReaderName, partition: u32, progress: Progress) -> ();
    }
}

fused! {
    FusedAccounts: Accounts {
        write create(new: NewAccount) -> ();
        read get(ids: &[UserId]) -> Vec<Account>;
        read credentials(login: &Login) -> Option<Credentials>;
        read search(prefix: &str, after: Option<&str>, limit: usize) -> Vec<Account>;
        read list(after: Option<&UserId>, limit: usize) -> Vec<Account>;
        write update(user: &UserId, change: ProfileChange) -> Option<Account>;
        write set_password(user: &UserId, hash: &str, keep: Option<&SessionId>, now: u64, audit: AuditEntry) -> Vec<SessionId>;
        write set_permissions(user: &UserId, permissions: &[String], now: u64, audit: AuditEntry) -> Vec<SessionId>;
        write open_session(session: NewSession) -> ();
        write rotate(rotation: Rotation) -> Rotated;
        write end_sessions(user: &UserId, which: Which, now: u64) -> Vec<SessionId>;
        read ended_since(since: u64, after: Option<&SessionId>, limit: usize) -> Vec<Ended>;
        write create_bot(bot: NewAccount, key: NewKey, limit: usize, audit: AuditEntry) -> ();
        read bots(owner: &UserId) -> Vec<Bot>;
        write revoke_bot(owner: &UserId, bot: &UserId, now: u64, audit: AuditEntry) -> Option<SessionId>;
        read bot_of_key(hash: &TokenHash) -> Option<Bot>;
        write invite(hash: &TokenHash, expires_at: u64, audit: AuditEntry) -> ();
        write append_audit(entry: AuditEntry) -> ();
        read audit_log(before: Option<&str>, limit: usize) -> Vec<AuditEntry>;
        write sweep(before: u64, limit: usize) -> usize;
        read export(after: Option<String>, limit: usize) -> (Vec<Kept>, Option<String>);
        write import(kept: Vec<Kept>) -> ();
    }
}

struct FusedLog {
    engine: Arc<dyn EventLog>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl EventLog for FusedLog {
    fn partitions(&self) -> u32 {
        self.engine.partitions()
    }

    fn epoch(&self) -> u32 {
        self.engine.epoch()
    }

    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended {
        let (engine, fuse) = (Arc::clone(&self.engine), Arc::clone(&self.fuse));
        async move { fuse.write(async { engine.append(topic, records).await }).await }.boxed()
    }

    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>> {
        self.fuse.read()?;
        self.engine.follow(topic, partition, from).await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds> {
        self.fuse.read()?;
        self.engine.bounds(topic, partition).await
    }

    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64> {
        self.fuse.read()?;
        self.engine.offset_at(topic, partition, time_ms).await
    }

    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()> {
        self.fuse.write(self.engine.trim(topic, partition, before)).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>> {
        self.fuse.read()?;
        self.engine.join(group, topic).await
    }
}
