use super::{
    Command, Item, LiveOptions, SharedCursor, Start, Update,
    feed::{Feed, Verdict},
    frames::{self, Frame},
    outbox::Outbox,
    socket::{self, Incoming, Socket},
};
use crate::{Client, ClientError, backoff::jitter};
use chat4all_model::api::{ClientFrame, Code, Control, Event, close};
use std::{collections::VecDeque, sync::PoisonError, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Until the server names its own.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(10);
/// A fault of the server's that this many tries have met is given to the caller.
const FAULTS: u32 = 5;
/// How long to wait before a token is asked for again after that failed.
const TOKEN_RETRY: Duration = Duration::from_secs(10);

/// What drives a live connection: connects, reads, writes, and starts over.
pub(super) struct Task {
    client: Client,
    options: LiveOptions,
    /// Read by the caller; closed when it is gone.
    updates: mpsc::Sender<Item>,
    commands: mpsc::Receiver<Command>,
    cuts: mpsc::Receiver<Duration>,
    /// What the caller has taken.
    taken: SharedCursor,
    /// What has come, whether or not the caller has taken it.
    cursor: Option<String>,
    wants_snapshot: bool,
    feed: Feed,
    outbox: Outbox,
    /// What one frame brought and the caller has no room for yet. Nothing is read while it holds anything.
    ready: VecDeque<Item>,
    /// Connections in a row that did not get as far as `live`.
    failures: u32,
}

/// Why a connection ended.
enum Stop {
    Lost { code: Option<u16>, reason: String },
    Cut(Duration),
    Resync,
    Failed(ClientError),
    CallerGone,
}

/// What one connection has to remember.
struct Beat {
    hello: bool,
    interval: Duration,
    heard: Instant,
    ping_at: Instant,
    ack_at: Option<Instant>,
    acked: Option<String>,
    token_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        client: Client,
        options: LiveOptions,
        updates: mpsc::Sender<Item>,
        commands: mpsc::Receiver<Command>,
        cuts: mpsc::Receiver<Duration>,
        taken: SharedCursor,
    ) -> Self {
        let (cursor, wants_snapshot) = match &options.start {
            Start::Snapshot => (None, true),
            Start::Cursor(cursor) => (Some(cursor.clone()), false),
            Start::Now => (None, false),
        };
        Self {
            outbox: Outbox::new(options.outbox),
            client,
            options,
            updates,
            commands,
            cuts,
            taken,
            cursor,
            wants_snapshot,
            feed: Feed::default(),
            ready: VecDeque::new(),
            failures: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut told = false;
        loop {
            let mut connected = false;
            let stop = self.connection(&mut connected).await;
            if matches!(stop, Stop::CallerGone) {
                return;
            }
            self.failures += 1;
            let (code, reason) = describe(&stop);
            if connected || !told {
                told = true;
                self.ready.push_back(Update::Disconnected { code, reason }.into());
            }
            let wait = match self.wait_after(stop).await {
                Ok(wait) => wait,
                Err(error) => {
                    self.ready.push_back(Update::Closed(error).into());
                    while let (Some(item), Ok(permit)) =
                        (self.ready.pop_front(), self.updates.reserve().await)
                    {
                        permit.send(item);
                    }
                    return;
                }
            };
            if !self.rest(wait).await {
                return;
            }
        }
    }

    /// How long to stay away, or why not to come back.
    async fn wait_after(&mut self, stop: Stop) -> Result<Duration, ClientError> {
        let backoff = self.options.backoff;
        Ok(match stop {
            Stop::Cut(away) => {
                self.failures = 0;
                away
            }
            Stop::Lost { code: Some(close::RESTART), .. } => jitter(self.options.restart_spread),
            Stop::Lost { code: Some(close::TOO_MANY), .. } => backoff.wait(self.failures.max(5)),
            Stop::Lost { code: Some(close::UNAUTHENTICATED), .. } => self.new_token().await?,
            Stop::Resync => {
                self.wants_snapshot = true;
                if self.failures > 1 { backoff.wait(self.failures) } else { Duration::ZERO }
            }
            Stop::Failed(error) if error.ends_session() => self.new_token().await?,
            Stop::Failed(error) if error.code() == Some(Code::CursorExpired.as_str()) => {
                self.wants_snapshot = true;
                backoff.wait(self.failures)
            }
            Stop::Failed(ClientError::Problem(problem)) if !temporary(problem.status) => {
                return Err(ClientError::Problem(problem));
            }
            Stop::Lost { .. } | Stop::Failed(_) | Stop::CallerGone => backoff.wait(self.failures),
        })
    }

    /// The token was refused: another one, or the end.
    async fn new_token(&mut self) -> Result<Duration, ClientError> {
        let refused = match self.client.session() {
            Some(session) => session.access_token,
            // An API key cannot be renewed.
            None => return Err(ClientError::NotSignedIn),
        };
        match self.client.renew(&refused).await {
            Err(error) if error.ends_session() => Err(error),
            // A token that is new and refused all the same must not be tried without a pause.
            Ok(_) if self.failures <= 1 => Ok(Duration::ZERO),
            Ok(_) | Err(_) => Ok(self.options.backoff.wait(self.failures)),
        }
    }

    /// Stays away, still taking what is to be sent. False if the caller is gone.
    async fn rest(&mut self, wait: Duration) -> bool {
        let mut until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                permit = self.updates.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => permit.send(self.ready.pop_front().unwrap_or_default()),
                    Err(_) => return false,
                },
                command = self.commands.recv(), if self.outbox.has_room() => match command {
                    Some(command) => accept(&mut self.outbox, command),
                    None => return false,
                },
                Some(away) = self.cuts.recv() => until = until.max(Instant::now() + away),
            }
        }
    }

    /// One connection, from the snapshot it may need to its end.
    async fn connection(&mut self, connected: &mut bool) -> Stop {
        if self.wants_snapshot {
            let snapshot = match self.client.snapshot().await {
                Ok(snapshot) => snapshot,
                Err(error) => return Stop::Failed(error),
            };
            self.feed.reset(&snapshot);
            self.wants_snapshot = false;
            self.cursor = Some(snapshot.cursor.clone());
            let cursor = self.cursor.clone();
            self.ready.push_back(Item { update: Some(Update::Snapshot(Box::new(snapshot))), cursor });
        }
        let token = match self.client.access_token().await {
            Ok(token) => token,
            Err(error) => return Stop::Failed(error),
        };
        let cursor = self.cursor.clone();
        match socket::connect(&self.client, &token, cursor.as_deref(), self.options.device_id.as_deref())
            .await
        {
            Ok(socket) => self.pump(socket, connected).await,
            Err(error) => Stop::Failed(error),
        }
    }

    async fn pump(&mut self, mut socket: Socket, connected: &mut bool) -> Stop {
        let now = Instant::now();
        let mut beat = Beat {
            hello: false,
            interval: FIRST_HEARTBEAT,
            heard: now,
            ping_at: now + FIRST_HEARTBEAT / 2,
            ack_at: self.options.ack_every.map(|every| now + every),
            acked: None,
            token_at: self.client.session().map(|session| now + session.usable_for()),
        };
        loop {
            if beat.hello
                && let Err(stop) = self.write(&mut socket, &mut beat).await
            {
                return stop;
            }
            let due = self.outbox.next_due().filter(|_| beat.hello);
            let wake = [Some(beat.ping_at), beat.ack_at, beat.token_at, due].into_iter().flatten().min();
            let incoming = tokio::select! {
                permit = self.updates.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => {
                        permit.send(self.ready.pop_front().unwrap_or_default());
                        continue;
                    }
                    Err(_) => return Stop::CallerGone,
                },
                incoming = socket.next(), if self.ready.is_empty() => incoming,
                command = self.commands.recv(), if self.outbox.has_room() => {
                    let Some(command) = command else { return Stop::CallerGone };
                    accept(&mut self.outbox, command);
                    // Whatever waits behind it goes out in the same write.
                    while self.outbox.has_room() && let Ok(command) = self.commands.try_recv() {
                        accept(&mut self.outbox, command);
                    }
                    continue;
                },
                Some(away) = self.cuts.recv() => return Stop::Cut(away),
                () = sleep_until(wake.unwrap_or(beat.ping_at)) => {
                    let now = Instant::now();
                    if !self.ready.is_empty() {
                        // It is we who do not read: the server's silence says nothing.
                        beat.heard = now;
                    } else if now.duration_since(beat.heard) > beat.interval * 2 {
                        return Stop::Lost { code: None, reason: "the server is silent".into() };
                    }
                    continue;
                }
            };
            beat.heard = Instant::now();
            let text = match incoming {
                Incoming::Text(text) => text,
                Incoming::Nothing => continue,
                Incoming::Closed { code, reason } => return Stop::Lost { code, reason },
            };
            match frames::read(&text) {
                Ok(Frame::Unknown) => {}
                Ok(Frame::Event { event, cursor }) => {
                    if let Err(stop) = self.event(event, cursor).await {
                        return stop;
                    }
                }
                Ok(Frame::Control(control)) => {
                    if let Err(stop) = self.control(control, &mut beat, connected) {
                        return stop;
                    }
                }
                Err(error) => {
                    // Passing over it could be passing over a message.
                    self.wants_snapshot = true;
                    return Stop::Lost {
                        code: None,
                        reason: format!("a frame that makes no sense: {error}"),
                    };
                }
            }
        }
    }

    /// Writes everything that is due, in one go.
    async fn write(&mut self, socket: &mut Socket, beat: &mut Beat) -> Result<(), Stop> {
        let now = Instant::now();
        let mut frames = self.outbox.due(self.options.resend_after);
        if beat.token_at.is_some_and(|at| at <= now) {
            match self.client.access_token().await {
                Ok(token) => {
                    frames.push(ClientFrame::Token { id: None, token });
                    beat.token_at = self.client.session().map(|session| now + session.usable_for());
                }
                Err(error) if error.ends_session() => return Err(Stop::Failed(error)),
                Err(_) => beat.token_at = Some(now + TOKEN_RETRY),
            }
        }
        if beat.ack_at.is_some_and(|at| at <= now) {
            beat.ack_at = self.options.ack_every.map(|every| now + every);
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(cursor) = taken
                && beat.acked.as_ref() != Some(&cursor)
            {
                beat.acked = Some(cursor.clone());
                frames.push(ClientFrame::Ack { cursor });
            }
        }
        if beat.ping_at <= now {
            beat.ping_at = now + beat.interval / 2;
            frames.push(ClientFrame::Ping { id: None });
        }
        if frames.is_empty() {
            return Ok(());
        }
        let texts = frames.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let texts = texts.map_err(|error| Stop::Lost { code: None, reason: error.to_string() })?;
        socket.send(texts).await.map_err(Stop::Failed)
    }

    fn control(&mut self, control: Control, beat: &mut Beat, connected: &mut bool) -> Result<(), Stop> {
        match control {
            Control::Hello { user_id, session_id, heartbeat_ms } => {
                beat.hello = true;
                beat.interval = Duration::from_millis(heartbeat_ms.max(100));
                beat.ping_at = Instant::now() + beat.interval / 2;
                *connected = true;
                self.outbox.restart();
                self.ready.push_back(Update::Connected { user_id, session_id }.into());
            }
            Control::Live { cursor } => {
                self.failures = 0;
                self.cursor = Some(cursor.clone());
                self.ready.push_back(Item { update: Some(Update::Live), cursor: Some(cursor) });
            }
            Control::Cursor { cursor } | Control::Pong { cursor, .. } => {
                self.cursor = Some(cursor.clone());
                self.ready.push_back(Item { update: None, cursor: Some(cursor) });
            }
            Control::Resync => return Err(Stop::Resync),
            Control::Ack { id, client_id, message_id, conversation_id, pending, .. } => {
                if let Some(client_id) = client_id.or(id)
                    && self.outbox.settle(&client_id)
                {
                    let pending = pending.unwrap_or(false);
                    let acked = Update::Acked { client_id, message_id, conversation_id, pending };
                    self.ready.push_back(acked.into());
                }
            }
            Control::Error { id, client_id, code, detail, retry_after_ms } => {
                let expired =
                    [Code::TokenExpired, Code::Unauthenticated].iter().any(|known| known.as_str() == code);
                if expired {
                    beat.token_at = Some(Instant::now());
                }
                if let Some(id) = client_id.or(id) {
                    self.refused(id, code, detail, retry_after_ms.map(Duration::from_millis), expired);
                }
            }
        }
        Ok(())
    }

    /// Puts off what may be accepted later; gives the rest to the caller.
    fn refused(&mut self, id: String, code: String, detail: String, wait: Option<Duration>, expired: bool) {
        let Some(failures) = self.outbox.failures(&id) else { return };
        let busy = [Code::RateLimited, Code::Overloaded, Code::Unavailable, Code::OutcomeUnknown];
        let later = expired
            || busy.iter().any(|known| known.as_str() == code)
            || (code == Code::Internal.as_str() && failures < FAULTS);
        if later {
            self.outbox.put_off(&id, wait.unwrap_or_else(|| self.options.backoff.wait(failures)));
        } else if self.outbox.settle(&id) {
            self.ready.push_back(Update::Refused { client_id: id, code, detail }.into());
        }
    }

    async fn event(&mut self, event: Event, cursor: Option<String>) -> Result<(), Stop> {
        let verdict = self.feed.take(&event);
        if let Verdict::Hole { after } = verdict {
            self.fill(&event, after).await?;
        }
        if cursor.is_some() {
            self.cursor.clone_from(&cursor);
        }
        let update = (verdict != Verdict::Repeated).then_some(Update::Event(event));
        if update.is_some() || cursor.is_some() {
            self.ready.push_back(Item { update, cursor });
        }
        Ok(())
    }

    /// Fetches what is missing before `event` from the conversation's own log.
    async fn fill(&mut self, event: &Event, after: u64) -> Result<(), Stop> {
        let Some(at) = event.at() else { return Ok(()) };
        let (conversation_id, got) = (at.conversation_id.clone(), at.seq);
        let hole = Update::Hole { conversation_id: conversation_id.clone(), after, got };
        self.give(hole).await?;
        let mut after = after;
        while after + 1 < got {
            let page = match self.client.events(&conversation_id, after, Some(200)).await {
                Ok(page) => page,
                // Out of sight by now: there is nothing to fill it with.
                Err(error) if error.problem().is_some_and(|problem| !temporary(problem.status)) => break,
                Err(error) => {
                    self.wants_snapshot = true;
                    return Err(Stop::Failed(error));
                }
            };
            let before = after;
            for missed in page.items {
                let Some(seq) = missed.at().map(|at| at.seq) else { continue };
                if seq <= after || seq >= got {
                    continue;
                }
                after = seq;
                self.feed.jump(&missed);
                self.give(Update::Event(missed)).await?;
            }
            if after == before {
                break;
            }
        }
        self.feed.jump(event);
        Ok(())
    }

    async fn give(&mut self, update: Update) -> Result<(), Stop> {
        self.updates.send(update.into()).await.map_err(|_| Stop::CallerGone)
    }
}

fn accept(outbox: &mut Outbox, command: Command) {
    match command {
        Command::Lasting { client_id, frame } => outbox.push(client_id, *frame),
        Command::Read { conversation_id, seq } => outbox.read(conversation_id, seq),
    }
}

impl From<Update> for Item {
    fn from(update: Update) -> Self {
        Self { update: Some(update), cursor: None }
    }
}

fn temporary(status: u16) -> bool {
    status == 429 || status >= 500
}

fn describe(stop: &Stop) -> (Option<u16>, String) {
    match stop {
        Stop::Lost { code, reason } => (*code, reason.clone()),
        Stop::Cut(_) => (None, "cut".into()),
        Stop::Resync => (None, "the cursor has expired".into()),
        Stop::Failed(error) => (None, error.to_string()),
        Stop::CallerGone => (None, String::new()),
    }
}
