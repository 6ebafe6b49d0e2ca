//! The ports, guarded: each method goes to the engine's own through the guard.

use super::Guard;
use crate::Result;
use crate::accounts::*;
use crate::bus::{Bus, Hit, Subscription};
use crate::log::{Appended, Bounds, EventLog, Follower, Member, Topic};
use crate::store::*;
use async_trait::async_trait;
use bytes::Bytes;
use chat4all_model::command::Marker;
use chat4all_model::fact::{Interval, Markers};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::reader::Progress;
use chat4all_model::rows::Position;
use chat4all_model::state::{Key, Known, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A port's methods as a table: how each goes through the guard, its name, arguments and answer.
macro_rules! guarded {
    ($(#[$doc:meta])* $name:ident: $port:ident {
        $($way:ident $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    }) => {
        $(#[$doc])*
        pub struct $name {
            engine: Arc<dyn $port>,
            guard: Guard,
        }

        impl $name {
            /// Puts an engine behind a guard.
            pub fn new(engine: Arc<dyn $port>, guard: Guard) -> Self {
                Self { engine, guard }
            }
        }

        #[async_trait]
        impl $port for $name {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$answer> {
                guarded!($way self $method $($argument)*)
            })*
        }
    };
    (read $self:ident $method:ident $($argument:ident)*) => {
        $self.guard.read(stringify!($method), || $self.engine.$method($(Clone::clone(&$argument)),*)).await
    };
    (write $self:ident $method:ident $($argument:ident)*) => {
        $self.guard.write(stringify!($method), $self.engine.$method($($argument),*)).await
    };
}

guarded! {
    /// A store behind a guard.
    GuardedStore: Store {
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

guarded! {
    /// Accounts behind a guard.
    GuardedAccounts: Accounts {
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

guarded! {
    /// A bus behind a guard. Nothing is tried again: what it does may be lost.
    GuardedBus: Bus {
        write publish(channel: &str, message: Bytes) -> ();
        write subscribe(channel: &str) -> Box<dyn Subscription>;
        write set(key: &str, value: Bytes, ttl: Duration) -> ();
        write get(key: &str) -> Option<Bytes>;
        write remove(key: &str) -> ();
        write hit(key: &str, limit: u32, window: Duration) -> Hit;
    }
}

/// A log behind a guard.
pub struct GuardedLog {
    engine: Arc<dyn EventLog>,
    guard: Arc<Guard>,
}

impl GuardedLog {
    /// Puts an engine behind a guard.
    pub fn new(engine: Arc<dyn EventLog>, guard: Guard) -> Self {
        Self { engine, guard: Arc::new(guard) }
    }
}

#[async_trait]
impl EventLog for GuardedLog {
    fn partitions(&self) -> u32 {
        self.engine.partitions()
    }

    fn epoch(&self) -> u32 {
        self.engine.epoch()
    }

    /// The engine has its own limit of time, which is the one that tells what surely was not done.
    fn append(&self, topic: Topic, records: Vec<(u32, Bytes)>) -> Appended {
        let admission = match self.guard.admit() {
            Ok(admission) => admission,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (guard, began) = (Arc::clone(&self.guard), Instant::now());
        let appended = self.engine.append(topic, records);
        Box::pin(async move {
            let outcome = appended.await;
            guard.judge("append", began, admission, &outcome);
            outcome
        })
    }

    async fn follow(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Follower>> {
        self.guard.read("follow", || self.engine.follow(topic, partition, from)).await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds> {
        self.guard.read("bounds", || self.engine.bounds(topic, partition)).await
    }

    async fn offset_at(&self, topic: Topic, partition: u32, time_ms: u64) -> Result<u64> {
        self.guard.read("offset_at", || self.engine.offset_at(topic, partition, time_ms)).await
    }

    async fn trim(&self, topic: Topic, partition: u32, before: u64) -> Result<()> {
        self.guard.write("trim", self.engine.trim(topic, partition, before)).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>> {
        self.guard.write("join", self.engine.join(group, topic)).await
    }
}
