mod feed;
mod frames;
mod outbox;
mod sender;
mod socket;
mod task;

pub use sender::LiveSender;

use crate::{Backoff, Client, ClientError};
use chat4all_model::api::{ClientFrame, Event, Snapshot};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Where a live connection begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With a snapshot of everything, then every change of it.
    #[default]
    Snapshot,
    /// With everything after this cursor.
    Cursor(String),
    /// With whatever happens from now on.
    Now,
}

/// How a live connection behaves.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Where to begin.
    pub start: Start,
    /// Sends and changes that may wait for their acknowledgement at once; more wait in [`LiveSender::send`].
    pub outbox: usize,
    /// Updates that may wait for [`Live::next`]; when it is full the socket is not read.
    pub queue: usize,
    /// How often what the caller has taken is acknowledged as delivered; never, if none.
    pub ack_every: Option<Duration>,
    /// Something unacknowledged for so long is sent again.
    pub resend_after: Duration,
    /// The waits between attempts to connect.
    pub backoff: Backoff,
    /// After the server said that it restarts, the wait is random up to this.
    pub restart_spread: Duration,
    /// Names the device to the server.
    pub device_id: Option<String>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            start: Start::default(),
            outbox: 256,
            queue: 1024,
            ack_every: Some(Duration::from_secs(1)),
            resend_after: Duration::from_secs(15),
            backoff: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10) },
            restart_spread: Duration::from_secs(2),
            device_id: None,
        }
    }
}

/// What a live connection tells.
#[expect(clippy::large_enum_variant, reason = "nearly all are events: a box would be an allocation for each")]
#[derive(Debug)]
pub enum Update {
    /// A connection is made; what was missed follows.
    Connected {
        /// The account.
        user_id: String,
        /// The session.
        session_id: String,
    },
    /// Everything missed has been given; from here on events come as they happen.
    Live,
    /// A change. Each conversation's in order of `seq`, without a hole, each once.
    Event(Event),
    /// The state of everything, which replaces whatever was known. Events go on from here.
    Snapshot(Box<Snapshot>),
    /// Events of a conversation were missing from the stream and were fetched from its log instead. The server
    /// broke a promise; nothing is lost.
    Hole {
        /// The conversation.
        conversation_id: String,
        /// The last `seq` that had come.
        after: u64,
        /// The `seq` that came instead of the next.
        got: u64,
    },
    /// The connection is gone; another is being made.
    Disconnected {
        /// The close code, if the server gave one.
        code: Option<u16>,
        /// Why, in words.
        reason: String,
    },
    /// A send is durable, a change is done.
    Acked {
        /// What [`LiveSender::send`] or another method gave.
        client_id: String,
        /// The message.
        message_id: Option<String>,
        /// Its conversation.
        conversation_id: Option<String>,
        /// Accepted, but the outcome was not known in time; it comes as an event or as `REJECTED`.
        pending: bool,
    },
    /// A send or change was refused for good.
    Refused {
        /// What [`LiveSender::send`] or another method gave.
        client_id: String,
        /// The stable code.
        code: String,
        /// What is wrong, in words.
        detail: String,
    },
    /// The session has ended or the connection cannot be made at all: the last update.
    Closed(ClientError),
}

/// A connection to `/ws` that reconnects by itself, misses nothing and loses nothing it was asked to send.
///
/// What holds, whatever breaks in between:
///
/// - **Events**: each conversation's come in order of `seq`, dense and once, from where the caller began
///   ([`Start`]) for as long as it takes them with [`next`](Self::next). Between conversations there is no order.
///   A [`Update::Snapshot`] restarts the count: events follow that are not in it. Values without a `seq` (receipts,
///   settings) may repeat; the newest holds.
/// - **Sends**: what [`LiveSender::send`] took is sent, in that order, until it is acked or refused, over as many
///   connections as that takes, always under the same `client_id`; so it is stored once. An overloaded server may
///   have one thing retried after things sent later. What is unacknowledged when `Live` is dropped is dropped too.
///   One's own message may come as an event before or after its [`Update::Acked`].
/// - **Cursor**: [`cursor`](Self::cursor) covers no more than what `next` has returned. Kept after handling an update
///   and given back as [`Start::Cursor`], nothing is missed and at most the last second comes again.
///
/// Whoever sends must also keep taking updates (in another task, or by `select!`): acknowledgements come behind the
/// updates that wait, and with a full outbox `send` waits for acknowledgements.
#[derive(Debug)]
pub struct Live {
    updates: mpsc::Receiver<Item>,
    sender: LiveSender,
    cursor: SharedCursor,
    task: JoinHandle<()>,
}

/// The newest cursor the caller has taken. Written by `next`, read by the task that acknowledges it.
type SharedCursor = Arc<Mutex<Option<String>>>;

/// One step of the stream: an update, a newer cursor behind it, or both.
#[derive(Debug, Default)]
struct Item {
    update: Option<Update>,
    cursor: Option<String>,
}

#[derive(Debug)]
enum Command {
    /// Sent until answered.
    Lasting {
        client_id: String,
        frame: Box<ClientFrame>,
    },
    Read {
        conversation_id: String,
        seq: u64,
    },
}

impl Client {
    /// Opens a live connection. It connects in the background; call [`Live::next`].
    ///
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub fn live(&self, options: LiveOptions) -> Live {
        let (updates_in, updates) = mpsc::channel(options.queue.max(1));
        let (commands, commands_out) = mpsc::channel(options.outbox.clamp(1, 64));
        let (cuts, cuts_out) = mpsc::channel(8);
        let cursor: SharedCursor = match &options.start {
            Start::Cursor(cursor) => Arc::new(Mutex::new(Some(cursor.clone()))),
            Start::Snapshot | Start::Now => SharedCursor::default(),
        };
        let run = task::Task::new(self.clone(), options, updates_in, commands_out, cuts_out, cursor.clone());
        Live { updates, sender: LiveSender::new(commands, cuts), cursor, task: tokio::spawn(run.run()) }
    }
}

impl Live {
    /// The next update; none after [`Update::Closed`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            let item = self.updates.recv().await?;
            if let Some(cursor) = item.cursor {
                *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
            }
            if item.update.is_some() {
                return item.update;
            }
        }
    }

    /// Where to resume from: covers what [`next`](Self::next) has returned, at most a second less.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A handle that sends, for other tasks.
    #[must_use]
    pub fn sender(&self) -> LiveSender {
        self.sender.clone()
    }
}

impl std::ops::Deref for Live {
    type Target = LiveSender;

    fn deref(&self) -> &LiveSender {
        &self.sender
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}
