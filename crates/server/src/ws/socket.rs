//! One connection: hello, what was missed, live, and then reading, doing and writing in one task.

use super::frame::{self, Asked};
use super::lane::Lane;
use super::limits::{Bucket, Place};
use super::registry::Entry;
use super::{Gateway, Query, answer};
use crate::account::Caller;
use crate::error::Failure;
use crate::live::{Attachment, Cut, Session, Step, with_field};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use chat4all_model::api::{Code, Control, close};
use chat4all_model::cursor::Cursor;
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a client should be heard, in milliseconds.
const HEARTBEAT_MS: u64 = 30_000;
/// Silence after which it is pinged, and after which it is gone, in seconds.
const PING_AFTER: u64 = 30;
const GONE_AFTER: u64 = 75;
/// A cursor goes alone after so many seconds in which nothing was sent.
const QUIET_CURSOR: u64 = 15;
/// Frames read before anything else is looked at.
const MAX_READ: usize = 128;
/// Events of one page of a catch-up from the store.
const PAGE: usize = 200;
/// How long a client that is cut may take to read what is under way.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Why a connection ends.
#[derive(Debug, Clone, Copy)]
struct End {
    code: u16,
    reason: &'static str,
}

/// The client is gone; there is nobody to tell.
const GONE: End = End { code: 1006, reason: "gone" };

impl From<Cut> for End {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::TooSlow => Self { code: close::TOO_SLOW, reason: "too slow a reader" },
            Cut::Restart => Self { code: close::RESTART, reason: "server restarts" },
            Cut::SessionEnded => Self { code: close::UNAUTHENTICATED, reason: "session ended" },
        }
    }
}

struct Connection {
    gateway: Arc<Gateway>,
    socket: WebSocket,
    caller: Arc<Caller>,
    attachment: Arc<Attachment>,
    session: Arc<Session>,
    entry: Entry,
    lane: Lane,
    bucket: Bucket,
    /// Frames that are not in the queue, to be written next.
    out: Vec<Bytes>,
    /// Something may have been queued since the last drain.
    stirred: bool,
    /// Up to where the client has said that it has everything, or was given it before it was live.
    acked: Vec<u64>,
    /// What it said since, to be worked off at most once a second.
    ack: Option<Vec<u64>>,
    /// Seconds of the hub's time.
    ack_at: u64,
    heard_at: u64,
    pinged_at: u64,
    sent_at: u64,
    cursor_at: u64,
    expires_at: u64,
    frames_in: u64,
    frames_out: u64,
}

/// Runs a connection to its end.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    mut socket: WebSocket,
    caller: Arc<Caller>,
    place: Place,
    query: Query,
) {
    let began = Instant::now();
    let attached = gateway.sync.hub().attach(&caller.user_id).await;
    let (end, frames_in, frames_out) = match attached {
        Ok(attachment) => {
            let mut connection = Connection::new(gateway, socket, Arc::clone(&caller), attachment);
            let end = Box::pin(connection.live(query.cursor)).await;
            connection.close(end).await;
            (end, connection.frames_in, connection.frames_out)
        }
        Err(failure) => {
            tracing::warn!(target: "ws", %failure, "a connection cannot go live");
            super::refuse_with(&mut socket, close::RESTART, "unavailable").await;
            (End { code: close::RESTART, reason: "unavailable" }, 0, 0)
        }
    };
    drop(place);
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        target: "ws",
        user_id = %caller.user_id,
        session_id = caller.session_id.as_str(),
        duration_ms,
        frames_in,
        frames_out,
        close_code = end.code,
        reason = end.reason,
        "connection ended"
    );
}

impl Connection {
    fn new(gateway: Arc<Gateway>, socket: WebSocket, caller: Arc<Caller>, attachment: Attachment) -> Self {
        let session = Arc::clone(attachment.session());
        let entry = gateway.registry.enter(&caller.session_id, &session);
        if gateway.accounts.watch().has_ended(&caller.session_id) {
            session.cut(Cut::SessionEnded);
        }
        if gateway.shutdown.is_asked() {
            session.cut(Cut::Restart);
        }
        let now = gateway.sync.hub().second();
        let settings = &gateway.settings;
        let bucket = Bucket::new(settings.frames_per_second, settings.frame_burst, Instant::now());
        let mut connection = Self {
            lane: Lane::new(gateway.chat.clone()),
            socket,
            attachment: Arc::new(attachment),
            session,
            entry,
            bucket,
            out: Vec::new(),
            stirred: false,
            acked: Vec::new(),
            ack: None,
            ack_at: 0,
            heard_at: now,
            pinged_at: now,
            sent_at: now,
            cursor_at: now,
            expires_at: u64::MAX,
            frames_in: 0,
            frames_out: 0,
            gateway,
            caller,
        };
        connection.expires_at = connection.expiry();
        connection
    }

    fn now(&self) -> u64 {
        self.attachment.hub().second()
    }

    /// When the token expires, in seconds of the hub's time.
    fn expiry(&self) -> u64 {
        let left = |at: u64| at.saturating_sub(self.gateway.ambient.now()) / 1000;
        self.caller.expires_at.map_or(u64::MAX, |at| self.now().saturating_add(left(at) + 1))
    }

    fn say(&mut self, control: &Control) {
        self.out.push(answer::text(control));
    }

    fn seal(&self, cursor: &Cursor) -> String {
        self.gateway.sync.seal(&self.caller.user_id, cursor)
    }

    /// Everything from hello to the end, whose reason it gives.
    async fn live(&mut self, cursor: Option<String>) -> End {
        self.say(&Control::Hello {
            user_id: self.caller.user_id.to_string(),
            session_id: self.caller.session_id.as_str().to_owned(),
            heartbeat_ms: HEARTBEAT_MS,
        });
        let Err(end) = self.serve(cursor).await;
        end
    }

    async fn serve(&mut self, cursor: Option<String>) -> Result<std::convert::Infallible, End> {
        let next = match cursor {
            None => self.attachment.go_live(),
            Some(cursor) => match self.gateway.sync.open(&self.caller.user_id, &cursor) {
                Ok(cursor) => Box::pin(self.catch_up(cursor)).await?,
                Err(_) => {
                    self.say(&Control::Resync);
                    self.attachment.go_live()
                }
            },
        };
        let cursor = self.seal(&self.gateway.sync.at(next.clone()));
        self.say(&Control::Live { cursor });
        self.acked = if self.acked.is_empty() { next } else { std::mem::take(&mut self.acked) };
        self.cursor_at = self.now();
        // Nothing was read while it caught up: silence counts from here.
        self.heard_at = self.now();
        self.flush().await?;
        loop {
            self.session.wake_at(self.next_due());
            self.wait().await?;
            self.look_at_the_time()?;
            self.flush().await?;
        }
    }

    /// Gives what was missed, from the ring or the store, until the session is live; then says from where.
    async fn catch_up(&mut self, mut cursor: Cursor) -> Result<Vec<u64>, End> {
        self.acked.clone_from(&cursor.next);
        loop {
            self.refuse_if_cut()?;
            if self.now() >= self.expires_at {
                return Err(End { code: close::UNAUTHENTICATED, reason: "token expired" });
            }
            let mut frames = None;
            if cursor.page.is_none() {
                match self.attachment.step(&mut cursor.next) {
                    Step::Live(frames) => {
                        self.out.extend(frames);
                        return Ok(cursor.next);
                    }
                    Step::Page(page) => frames = Some(page),
                    Step::Behind => {}
                }
            }
            let mut frames = match frames {
                Some(frames) => frames,
                None => match self.attachment.store_page(cursor, PAGE).await {
                    Ok(given) => {
                        let frames = given.frames();
                        cursor = given.cursor;
                        frames
                    }
                    Err(failure) => {
                        tracing::warn!(target: "ws", %failure, "a catch-up failed");
                        return Err(End { code: close::RESTART, reason: "unavailable" });
                    }
                },
            };
            if let Some(last) = frames.last_mut() {
                *last = with_field(last, "cursor", &self.seal(&cursor).into());
            }
            self.out.extend(frames);
            self.write().await?;
        }
    }

    /// Waits for something to do, and takes in what has come.
    async fn wait(&mut self) -> Result<(), End> {
        if self.stirred {
            return Ok(());
        }
        let message = {
            let (lane, caller) = (&mut self.lane, &self.caller);
            let (busy, room) = (lane.is_busy(), lane.has_room());
            tokio::select! {
                biased;
                () = self.session.woken() => None,
                answers = lane.next(caller), if busy => {
                    self.out.extend(answers.iter().map(answer::text));
                    None
                }
                message = self.socket.next(), if room => Some(message),
            }
        };
        // Who is given much is read as well.
        let mut message = match message {
            None if self.lane.has_room() => self.socket.next().now_or_never(),
            message => message,
        };
        let mut read = 0;
        while let Some(came) = message.take() {
            self.take(came).await?;
            read += 1;
            if read < MAX_READ && self.lane.has_room() {
                message = self.socket.next().now_or_never();
            }
        }
        // A run is appended as soon as it was read, and answers at hand go out with this flush.
        while self.lane.is_busy()
            && let Some(answers) = self.lane.next(&self.caller).now_or_never()
        {
            self.out.extend(answers.iter().map(answer::text));
        }
        Ok(())
    }

    async fn take(&mut self, came: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = came.ok_or(GONE)?.map_err(|error| broken(&error))?;
        self.heard_at = self.now();
        if !matches!(message, Message::Close(_)) && !self.bucket.take(Instant::now()) {
            return Err(End { code: close::TOO_MANY, reason: "too many frames" });
        }
        match message {
            Message::Text(text) => {
                self.frames_in += 1;
                match frame::read(&text) {
                    Ok(frame) => self.asked(frame).await,
                    Err(refused) => {
                        self.say(&answer::error(refused.id, refused.client_id, &refused.failure));
                        Ok(())
                    }
                }
            }
            Message::Binary(_) => Err(End { code: close::PROTOCOL, reason: "binary frame" }),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End { code: 1000, reason: "closed by the client" }),
        }
    }

    async fn asked(&mut self, frame: frame::Frame) -> Result<(), End> {
        let frame::Frame { id, what } = frame;
        match what {
            Asked::Send(message) => self.lane.send(id, message),
            Asked::Change(change) => self.lane.change(id, change),
            Asked::Read { conversation_id, seq } => self.lane.read(&self.caller, id, conversation_id, seq),
            Asked::Ack { cursor } => match self.gateway.sync.open(&self.caller.user_id, &cursor) {
                Ok(cursor) => self.ack = Some(cursor.next),
                Err(failure) => self.say(&answer::error(id, None, &failure)),
            },
            Asked::Ping => {
                // Before the queue is drained: what it covers is in the queue and goes out before the pong.
                let cursor = self.seal(&self.gateway.sync.at(self.attachment.hub().positions()));
                let frames = self.session.drain();
                self.refuse_if_cut()?;
                self.out.extend(frames);
                self.cursor_at = self.now();
                self.say(&Control::Pong { id, cursor });
            }
            Asked::Token { token } => self.renew(id, &token).await?,
        }
        Ok(())
    }

    /// A fresh token of the same user.
    async fn renew(&mut self, id: Option<String>, token: &str) -> Result<(), End> {
        match self.gateway.accounts.authenticate(token).await {
            Ok(caller) if caller.user_id == self.caller.user_id => {
                self.entry = self.gateway.registry.enter(&caller.session_id, &self.session);
                if self.gateway.accounts.watch().has_ended(&caller.session_id) {
                    return Err(Cut::SessionEnded.into());
                }
                self.caller = Arc::new(caller);
                self.expires_at = self.expiry();
            }
            Ok(_) => {
                let failure = Failure::new(Code::Forbidden, "the token is another user's");
                self.say(&answer::error(id, None, &failure));
            }
            Err(failure) => self.say(&answer::error(id, None, &failure)),
        }
        Ok(())
    }

    fn next_due(&self) -> u64 {
        let ack = if self.ack.is_some() { self.ack_at + 1 } else { u64::MAX };
        let ping = self.heard_at.max(self.pinged_at) + PING_AFTER;
        let quiet = self.sent_at + QUIET_CURSOR;
        ping.min(self.heard_at + GONE_AFTER).min(quiet).min(self.expires_at).min(ack)
    }

    /// Does what is due by the clock.
    fn look_at_the_time(&mut self) -> Result<(), End> {
        let now = self.now();
        if now >= self.expires_at {
            return Err(End { code: close::UNAUTHENTICATED, reason: "token expired" });
        }
        if now >= self.heard_at + GONE_AFTER {
            return Err(End { code: close::NO_HEARTBEAT, reason: "no heartbeat" });
        }
        if now > self.ack_at
            && let Some(to) = self.ack.take()
        {
            self.ack_at = now;
            self.delivered(to);
        }
        Ok(())
    }

    /// The client has everything before `to`.
    fn delivered(&mut self, to: Vec<u64>) {
        let from = std::mem::replace(&mut self.acked, to.clone());
        let (attachment, chat) = (Arc::clone(&self.attachment), self.gateway.chat.clone());
        let caller = Arc::clone(&self.caller);
        self.lane.note(Box::pin(async move {
            let received = match attachment.received(&from, &to) {
                Some(received) => Ok(received),
                None => attachment.received_by_heads(&to).await,
            };
            let marked = match received {
                Ok(received) if received.is_empty() => Ok(()),
                Ok(received) => chat.delivered(&caller, received).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = marked {
                // A later acknowledgement makes up for it.
                tracing::debug!(target: "ws", %failure, "markers of delivery were not moved");
            }
        }));
    }

    fn refuse_if_cut(&self) -> Result<(), End> {
        self.session.cut_reason().map_or(Ok(()), |cut| Err(cut.into()))
    }

    /// Writes all that is due with one flush, with a cursor at most once a second.
    async fn flush(&mut self) -> Result<(), End> {
        self.stirred = false;
        // The positions first: what they cover is in the queue by now, so that the cursor never runs ahead.
        let now = self.now();
        let wants_cursor = now > self.cursor_at;
        let positions = wants_cursor.then(|| self.attachment.hub().positions());
        let mut events = self.session.drain();
        self.refuse_if_cut()?;
        if let (Some(next), Some(last)) = (&positions, events.back_mut()) {
            *last = with_field(last, "cursor", &self.seal(&self.gateway.sync.at(next.clone())).into());
            self.cursor_at = now;
        }
        self.out.extend(events);
        if self.out.is_empty() && now >= self.sent_at + QUIET_CURSOR {
            let next = positions.unwrap_or_else(|| self.attachment.hub().positions());
            let frames = self.session.drain();
            self.refuse_if_cut()?;
            self.out.extend(frames);
            let cursor = self.seal(&self.gateway.sync.at(next));
            self.say(&Control::Cursor { cursor });
            self.cursor_at = now;
        }
        if now >= self.heard_at.max(self.pinged_at) + PING_AFTER {
            self.pinged_at = now;
            self.feed(vec![Message::Ping(Bytes::new())]).await?;
        }
        self.write().await
    }

    async fn write(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.frames_out += self.out.len() as u64;
        self.sent_at = self.now();
        let frames = std::mem::take(&mut self.out);
        let text = |frame: Bytes| Utf8Bytes::try_from(frame).map(Message::Text);
        let messages: Result<Vec<_>, _> = frames.into_iter().map(text).collect();
        let messages = messages.map_err(|_| End { code: 1011, reason: "a frame that is no text" })?;
        self.feed(messages).await
    }

    /// Writes and flushes, unless the session is cut meanwhile or the client takes nothing for too long.
    async fn feed(&mut self, messages: Vec<Message>) -> Result<(), End> {
        let socket = &mut self.socket;
        let writing = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        let writing = tokio::time::timeout(Duration::from_secs(GONE_AFTER), writing);
        let (session, stirred) = (&self.session, &mut self.stirred);
        let cut = async {
            loop {
                session.woken().await;
                *stirred = true;
                if let Some(cut) = session.cut_reason() {
                    return cut;
                }
            }
        };
        tokio::select! {
            biased;
            written = writing => match written {
                Ok(written) => written.map_err(|_| GONE),
                Err(_) => Err(End { code: close::NO_HEARTBEAT, reason: "reads nothing" }),
            },
            cut = cut => Err(cut.into()),
        }
    }

    /// Says why, if there is anybody to tell. What was begun is written first.
    async fn close(&mut self, end: End) {
        if end.code == GONE.code {
            return;
        }
        let goodbye = Message::Close(Some(CloseFrame { code: end.code, reason: end.reason.into() }));
        let socket = &mut self.socket;
        let last_words = async {
            socket.send(goodbye).await?;
            // The client's answer, so that the connection ends in order.
            while let Some(Ok(_)) = socket.next().await {}
            Ok::<(), axum::Error>(())
        };
        // Whoever does not take it in time is let go.
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    }
}

/// What a read that failed says of the client.
fn broken(error: &axum::Error) -> End {
    let text = error.to_string();
    if text.contains("too long") || text.contains("too big") {
        End { code: close::TOO_LARGE, reason: "frame too large" }
    } else if text.contains("UTF-8") || text.contains("utf-8") {
        End { code: 1007, reason: "invalid UTF-8" }
    } else if text.contains("rotocol") && !text.contains("without closing") {
        End { code: close::PROTOCOL, reason: "protocol broken" }
    } else {
        GONE
    }
}
