//! One client of the storm: acts at random, and writes down what it was told and what it saw.

use super::evidence::{Entry, Journal, Promise, Step, What};
use super::keys::{self, Key};
use chat4all_client::model::{Event, SendMessage, Snapshot};
use chat4all_client::{Backoff, Changed, Client, ClientError, Live, LiveOptions, LiveSender, Start, Update};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Unanswered commands of one person; beyond, it waits.
const MAX_ASKED: usize = 200;
/// Messages a person remembers to edit or react to.
const REMEMBERED: usize = 50;
/// REST calls of one person at once.
const MAX_CALLS: usize = 4;
/// Silence after which nothing more is expected.
const SILENCE: Duration = Duration::from_secs(2);
/// Time to get every answer once the storm is over. All engines of a cluster start anew on two cores meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);
/// Text as people write it: joiners, directions, marks.
const GARNISH: [&str; 6] =
    ["", "👩‍👩‍👧‍👦🏳️‍🌈", "漢字かな", "שלום עולם", "e\u{301}a\u{308}\u{323}", "\"\\\n\t</script>"];
/// Reactions that are never taken back, and some that are.
const LASTING: [&str; 3] = ["👍", "❤️", "🎉"];
const PASSING: [&str; 2] = ["🤔", "👀"];

/// What is asked of everybody now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    /// What to do.
    pub(super) phase: Phase,
    /// Whether who is to be away is away.
    pub(super) away: bool,
    /// Whether who is to stop reading has stopped.
    pub(super) stopped: bool,
}

/// What everybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet.
    Wait,
    /// Whatever comes to mind.
    Storm,
    /// Send so many messages each, as fast as answers come.
    Burst(u32),
    /// Nothing; wait for answers, take what comes, then end.
    Quiet,
}

/// What a person is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Acts.
    Busy,
    /// Acts, and is away while ordered to be.
    Away,
    /// Only reads, and stops even that while ordered to.
    Reader,
}

/// A client.
pub(super) struct Person {
    /// Makes the REST calls.
    pub(super) client: Client,
    /// The same account over other connections.
    pub(super) other: Client,
    /// What for.
    pub(super) role: Role,
    /// The groups it is in, or was.
    pub(super) groups: Vec<String>,
    /// User ids it writes to directly.
    pub(super) friends: Vec<String>,
    /// Actions a second.
    pub(super) rate: f64,
    user: String,
    /// None while away.
    live: Option<Live>,
    sender: LiveSender,
    rng: StdRng,
    journal: Journal,
    asked: HashMap<String, Asked>,
    /// Own messages that exist, as `(conversation, id)`.
    mine: VecDeque<(String, String)>,
    recent: VecDeque<String>,
    heads: HashMap<String, u64>,
    polled: HashMap<String, u64>,
    keys: Vec<Key>,
    calls: JoinSet<Called>,
    written: u64,
    burst: u32,
    is_live: bool,
    heard: Instant,
}

/// What was asked and is not answered.
#[derive(Debug)]
enum Asked {
    Send {
        conversation: Option<String>,
        text: String,
    },
    Edit {
        id: String,
        text: String,
    },
    Delete {
        id: String,
    },
    React {
        id: String,
        emoji: String,
    },
    /// Something of which nothing is expected at the end.
    Passing,
}

/// What a REST call gave.
pub(super) enum Called {
    Promised(Promise),
    Refused { conversation: String, text: String },
    Read { conversation: String, seq: u64 },
    Polled { conversation: String, read: u64 },
    Key(Key),
    KeyFault(String),
    Nothing,
}

fn options(start: Start) -> LiveOptions {
    LiveOptions {
        start,
        backoff: Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) },
        restart_spread: Duration::from_millis(500),
        resend_after: Duration::from_secs(10),
        queue: 64,
        ..LiveOptions::default()
    }
}

impl Person {
    /// Somebody signed in, from a snapshot on.
    #[must_use]
    pub(super) fn new(client: Client, other: Client, user: String, role: Role, rate: f64, seed: u64) -> Self {
        let live = client.live(options(Start::Snapshot));
        Self {
            sender: live.sender(),
            live: Some(live),
            client,
            other,
            role,
            groups: Vec::new(),
            friends: Vec::new(),
            rate,
            journal: Journal { user: user.clone(), ..Journal::default() },
            user,
            rng: StdRng::seed_from_u64(seed),
            asked: HashMap::new(),
            mine: VecDeque::new(),
            recent: VecDeque::new(),
            heads: HashMap::new(),
            polled: HashMap::new(),
            keys: Vec::new(),
            calls: JoinSet::new(),
            written: 0,
            burst: 0,
            is_live: false,
            heard: Instant::now(),
        }
    }

    /// By which the connection can be cut.
    #[must_use]
    pub(super) fn sender(&self) -> LiveSender {
        self.sender.clone()
    }

    /// Who it is.
    #[must_use]
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Lives through the storm; gives the journal once all is quiet.
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Orders>) -> Journal {
        let mut act_at = Instant::now();
        let mut deadline = None;
        loop {
            let now = *orders.borrow_and_update();
            if self.role == Role::Away && now.away {
                self.stay_away(&mut orders).await;
                continue;
            }
            let reading = !(self.role == Role::Reader && now.stopped);
            match now.phase {
                Phase::Burst(each) if self.role != Role::Reader => self.burst(each),
                Phase::Quiet => {
                    let until = *deadline.get_or_insert_with(|| {
                        // The silence of who did not read says nothing.
                        self.heard = Instant::now();
                        self.heard + PATIENCE
                    });
                    let answered = self.asked.is_empty() && self.calls.is_empty();
                    let silent = self.is_live && self.heard.elapsed() >= SILENCE;
                    if (answered && silent) || Instant::now() >= until {
                        break;
                    }
                    act_at = Instant::now() + SILENCE / 4;
                }
                _ => {}
            }
            tokio::select! {
                update = next(&mut self.live), if reading => match update {
                    Some(update) => self.take(update).await,
                    None => {
                        self.journal.unanswered.push("the connection ended for good".into());
                        break;
                    }
                },
                Some(called) = self.calls.join_next(), if !self.calls.is_empty() => {
                    if let Ok(called) = called {
                        self.called(called);
                    }
                }
                changed = orders.changed() => if changed.is_err() { break },
                () = sleep_until(act_at) => {
                    if now.phase == Phase::Storm && self.role != Role::Reader {
                        self.act().await;
                    }
                    let pause = -self.rng.random::<f64>().max(1e-6).ln() / self.rate;
                    act_at = Instant::now() + Duration::from_secs_f64(pause.min(1.0));
                }
            }
        }
        self.journal.unanswered.extend(self.asked.values().map(|asked| format!("{asked:?}")));
        self.journal
    }

    /// No connection until told to come back; then from the stored cursor.
    async fn stay_away(&mut self, orders: &mut watch::Receiver<Orders>) {
        let cursor = self.live.take().and_then(|live| live.cursor());
        // What became of these nobody will say; the logs still show whether something is there twice.
        self.asked.clear();
        self.is_live = false;
        while orders.borrow_and_update().away && orders.changed().await.is_ok() {}
        self.journal.steps.push(Step::Resumed);
        let live = self.client.live(options(cursor.map_or(Start::Snapshot, Start::Cursor)));
        self.sender = live.sender();
        self.live = Some(live);
    }

    async fn take(&mut self, update: Update) {
        self.heard = Instant::now();
        match update {
            Update::Connected { .. } => {}
            Update::Live => self.is_live = true,
            Update::Event(event) => self.event(event),
            Update::Snapshot(snapshot) => self.snapshot(&snapshot).await,
            Update::Hole { .. } => self.journal.holes += 1,
            Update::Disconnected { code, .. } => {
                self.is_live = false;
                if let Some(code) = code {
                    *self.journal.closes.entry(code).or_default() += 1;
                }
            }
            Update::Acked { client_id, message_id, conversation_id, .. } => {
                self.acked(client_id, message_id, conversation_id);
            }
            Update::Refused { client_id, code, .. } => {
                *self.journal.codes.entry(code).or_default() += 1;
                if let Some(Asked::Send { conversation: Some(conversation), text }) =
                    self.asked.remove(&client_id)
                {
                    self.journal.refused.push((conversation, text));
                }
            }
            Update::Closed(error) => self.journal.unanswered.push(format!("closed: {error}")),
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Rejected { client_id: Some(client_id), .. } => {
                self.journal.rejected.push(client_id.clone())
            }
            Event::Receipt { conversation_id, user_id, read_seq, .. } if *user_id == self.user => {
                let read = self.journal.read.entry(conversation_id.clone()).or_default();
                *read = (*read).max(*read_seq);
            }
            _ => {}
        }
        let Some((conversation, entry)) = Entry::of(event) else { return };
        let head = self.heads.entry(conversation.clone()).or_default();
        *head = (*head).max(entry.seq);
        if let What::Message { id, .. } = &entry.what {
            if entry.actor == self.user {
                remember(&mut self.mine, (conversation.clone(), id.clone()));
                self.keys.iter_mut().filter(|key| key.id == *id).for_each(|key| key.stored = true);
            }
            remember(&mut self.recent, id.clone());
        }
        self.journal.steps.push(Step::Entry { conversation, entry });
    }

    /// What a snapshot holds beyond what came as events is read from the logs, so that the journal has no gap.
    async fn snapshot(&mut self, snapshot: &Snapshot) {
        self.journal.resyncs += u64::from(!self.journal.steps.is_empty());
        for conversation in &snapshot.conversations.items {
            let id = &conversation.conversation_id;
            let mut after = self.heads.get(id).copied().unwrap_or(0);
            while after < conversation.last_seq {
                let Ok(page) = self.client.events(id, after, Some(200)).await else { break };
                let before = after;
                for event in page.items {
                    let seq = event.at().map_or(0, |at| at.seq);
                    if seq > after && seq <= conversation.last_seq {
                        after = seq;
                        self.event(event);
                    }
                }
                if after == before {
                    break;
                }
            }
        }
    }

    fn acked(&mut self, key: String, id: Option<String>, conversation: Option<String>) {
        let promise = match self.asked.remove(&key) {
            Some(Asked::Send { text, .. }) => match (id, conversation) {
                (Some(id), Some(conversation)) => Promise::Sent { key, id, conversation, text },
                _ => {
                    self.journal.unanswered.push(format!("an ack without ids of {text}"));
                    return;
                }
            },
            Some(Asked::Edit { id, text }) => Promise::Edited { key, id, text },
            Some(Asked::Delete { id }) => Promise::Deleted { key, id },
            Some(Asked::React { id, emoji }) => Promise::Reacted { key, id, emoji },
            Some(Asked::Passing) | None => return,
        };
        self.journal.promises.push(promise);
    }

    fn called(&mut self, called: Called) {
        match called {
            Called::Promised(promise) => self.journal.promises.push(promise),
            Called::Refused { conversation, text } => self.journal.refused.push((conversation, text)),
            Called::Read { conversation, seq } => {
                let read = self.journal.read.entry(conversation).or_default();
                *read = (*read).max(seq);
            }
            Called::Polled { conversation, read } => {
                let before = self.polled.entry(conversation.clone()).or_default();
                if read < *before {
                    self.journal.markers_back.push(format!("{conversation}: {read} after {before}"));
                }
                *before = read;
            }
            Called::Key(key) => {
                let Key { key: name, id, conversation, text, .. } = key.clone();
                self.journal.promises.push(Promise::Sent { key: name, id, conversation, text });
                self.keys.push(key);
                if self.keys.len() > REMEMBERED {
                    self.keys.remove(0);
                }
            }
            Called::KeyFault(what) => self.journal.key_faults.push(what),
            Called::Nothing => {}
        }
    }

    fn text(&mut self) -> String {
        self.written += 1;
        let garnish = GARNISH.choose(&mut self.rng).copied().unwrap_or_default();
        format!("{} {} {garnish}", self.user, self.written)
    }

    /// A message to a group, or now and then to a friend.
    fn message(&mut self) -> Option<SendMessage> {
        let content = Some(self.text());
        if self.rng.random_bool(0.2)
            && let Some(friend) = self.friends.choose(&mut self.rng)
        {
            return Some(SendMessage {
                recipient_id: Some(friend.clone()),
                content,
                ..SendMessage::default()
            });
        }
        let group = self.groups.choose(&mut self.rng)?.clone();
        let seen = self.heads.get(&group).copied().filter(|_| self.rng.random_bool(0.3));
        Some(SendMessage { conversation_id: Some(group), content, seen, ..SendMessage::default() })
    }

    fn send(&mut self, message: SendMessage) -> bool {
        let (conversation, text) =
            (message.conversation_id.clone(), message.content.clone().unwrap_or_default());
        let asked = Asked::Send { conversation, text };
        let sent = self.sender.try_send(message);
        self.ask(sent, asked)
    }

    fn ask(&mut self, asking: Result<String, ClientError>, asked: Asked) -> bool {
        // A full outbox is no answer: it was not taken, so nothing is expected of it.
        let Ok(key) = asking else { return false };
        self.asked.insert(key, asked);
        true
    }

    fn burst(&mut self, each: u32) {
        while self.burst < each && self.asked.len() < MAX_ASKED {
            let Some(group) = self.groups.choose(&mut self.rng).cloned() else { return };
            let content = format!("{} {}", self.text(), "long ".repeat(400));
            let message = SendMessage {
                conversation_id: Some(group),
                content: Some(content),
                ..SendMessage::default()
            };
            if !self.send(message) {
                return;
            }
            self.burst += 1;
        }
    }

    async fn act(&mut self) {
        if self.asked.len() >= MAX_ASKED {
            return;
        }
        match self.rng.random_range(0..100) {
            0..50 => {
                for _ in 0..self.rng.random_range(1..=6) {
                    if let Some(message) = self.message() {
                        self.send(message);
                    }
                }
            }
            50..62 => {
                if let Some((_, id)) = self.pick_mine() {
                    let text = self.text();
                    let asking = self.sender.try_edit(&id, &text);
                    self.ask(asking, Asked::Edit { id, text });
                }
            }
            62..66 => {
                if let Some((_, id)) = self.pick_mine() {
                    self.mine.retain(|(_, mine)| *mine != id);
                    let asking = self.sender.try_delete(&id);
                    self.ask(asking, Asked::Delete { id });
                }
            }
            66..78 => self.react(),
            78..86 => {
                if let Some((conversation, seq)) = self.place() {
                    // The outbox may be full, and empties only while updates are taken.
                    let reading = self.sender.read(&conversation, seq);
                    let _ = timeout(Duration::from_millis(20), reading).await;
                }
            }
            _ => self.call(),
        }
    }

    fn react(&mut self) {
        let recent: Vec<&String> = self.recent.iter().collect();
        let Some(id) = recent.choose(&mut self.rng).map(|id| (*id).clone()) else { return };
        if self.rng.random_bool(0.5) {
            let emoji = LASTING.choose(&mut self.rng).copied().unwrap_or("👍");
            let asking = self.sender.try_react(&id, emoji);
            self.ask(asking, Asked::React { id, emoji: emoji.into() });
        } else {
            let emoji = PASSING.choose(&mut self.rng).copied().unwrap_or("👀");
            let asking = match self.rng.random_bool(0.5) {
                true => self.sender.try_react(&id, emoji),
                false => self.sender.try_unreact(&id, emoji),
            };
            self.ask(asking, Asked::Passing);
        }
    }

    fn pick_mine(&mut self) -> Option<(String, String)> {
        let at = self.rng.random_range(0..self.mine.len().max(1));
        self.mine.get(at).cloned()
    }

    fn place(&mut self) -> Option<(String, u64)> {
        let heads: Vec<(String, u64)> = self.heads.iter().map(|(c, seq)| (c.clone(), *seq)).collect();
        heads.choose(&mut self.rng).cloned()
    }

    /// Something over REST, beside the connection.
    fn call(&mut self) {
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let client = self.client.clone();
        match self.rng.random_range(0..7) {
            0 | 1 => {
                let (Some(conversation), text) = (self.groups.choose(&mut self.rng).cloned(), self.text())
                else {
                    return;
                };
                self.calls.spawn(send(client, conversation, text));
            }
            2 => {
                let (Some((_, id)), text) = (self.pick_mine(), self.text()) else { return };
                self.calls.spawn(async move {
                    match client.edit(&id, &text).await {
                        Ok(Changed::Done) => {
                            Called::Promised(Promise::Edited { key: String::new(), id, text })
                        }
                        _ => Called::Nothing,
                    }
                });
            }
            3 => {
                let Some((conversation, seq)) = self.place() else { return };
                self.calls.spawn(async move {
                    match client.mark_read(&conversation, seq).await {
                        Ok(()) => Called::Read { conversation, seq },
                        Err(_) => Called::Nothing,
                    }
                });
            }
            4 => {
                // One at a time: of two polls the answer of the earlier may come later.
                let Some((conversation, _)) = self.place().filter(|_| self.calls.is_empty()) else { return };
                self.calls.spawn(async move {
                    match client.conversation(&conversation).await {
                        Ok(shown) => Called::Polled { conversation, read: shown.read_seq },
                        Err(_) => Called::Nothing,
                    }
                });
            }
            5 => {
                let (Some(group), text) = (self.groups.choose(&mut self.rng).cloned(), self.text()) else {
                    return;
                };
                self.calls.spawn(keys::twice(client, self.other.clone(), group, text));
            }
            _ => {
                let stored: Vec<&Key> = self.keys.iter().filter(|key| key.stored).collect();
                let Some(key) = stored.choose(&mut self.rng).map(|key| (*key).clone()) else { return };
                let text = self.text();
                self.calls.spawn(keys::again(self.other.clone(), key, text));
            }
        }
    }
}

async fn send(client: Client, conversation: String, text: String) -> Called {
    let key = keys::fresh();
    let message = SendMessage {
        conversation_id: Some(conversation.clone()),
        content: Some(text.clone()),
        client_id: Some(key.clone()),
        ..SendMessage::default()
    };
    match client.send(&message).await {
        Ok(accepted) => Called::Promised(Promise::Sent { key, id: accepted.message_id, conversation, text }),
        // A refusal that says nothing was accepted, not the end of patience.
        Err(ClientError::Problem(problem)) if problem.status < 500 => Called::Refused { conversation, text },
        Err(_) => Called::Nothing,
    }
}

async fn next(live: &mut Option<Live>) -> Option<Update> {
    match live {
        Some(live) => live.next().await,
        None => std::future::pending().await,
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    list.push_back(item);
    if list.len() > REMEMBERED {
        list.pop_front();
    }
}
