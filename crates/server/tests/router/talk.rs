//! Random people asking for random things.

use bytes::Bytes;
use chat4all_backend::log::{EventLog, Topic};
use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send, SettingsChange};
use chat4all_model::id::{ConversationId, RecordId, UserId};
use chat4all_model::record::encode_command;
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) fn user(n: u64) -> UserId {
    UserId::parse(&format!("u{n}")).unwrap()
}

pub(crate) fn group(n: u64) -> ConversationId {
    ConversationId::parse(&format!("g:{n}")).unwrap()
}

pub(crate) fn channel(platform: &str, n: u64) -> ConversationId {
    ConversationId::channel(&user(n), &format!("{platform}:+55{n}")).unwrap()
}

pub(crate) fn text(text: &str) -> Action {
    let content = Content { text: Some(text.into()), ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen: None })
}

pub(crate) fn create(members: impl IntoIterator<Item = u64>) -> Action {
    Action::Create { name: None, members: members.into_iter().map(user).collect(), history: History::All }
}

/// Where a command belongs.
pub(crate) fn place(command: &Command) -> Topic {
    match command.action {
        Action::Mark { .. } | Action::Settings(_) => Topic::StatusUpdates,
        _ => Topic::Messages,
    }
}

/// Appends commands as an API would.
pub(crate) async fn ask(log: &dyn EventLog, commands: &[Command]) {
    for command in commands {
        let partition = command.conversation.partition(log.partitions());
        log.append(place(command), vec![(partition, encode_command(command))]).await.unwrap();
    }
}

/// What is no command at all.
pub(crate) async fn babble(log: &dyn EventLog, partition: u32) {
    log.append(Topic::Messages, vec![(partition, Bytes::from_static(b"\x01\xff\xff"))]).await.unwrap();
}

const USERS: u64 = 5;
const GROUPS: u64 = 6;

/// People who talk.
#[derive(Default)]
pub(crate) struct Talk {
    commands: Vec<Command>,
    sent: Vec<(ConversationId, RecordId)>,
}

impl Talk {
    /// The next thing somebody asks for.
    pub(crate) fn next(&mut self, rng: &mut StdRng) -> Command {
        let n = self.commands.len() as u64;
        if n > 0 && rng.random_bool(0.05) {
            // Again, perhaps much later.
            return self.commands[rng.random_range(0..self.commands.len())].clone();
        }
        let actor = rng.random_range(0..USERS);
        let mut conversation = match rng.random_range(0..10) {
            0 => channel(if rng.random() { "whatsapp" } else { "instagram" }, actor),
            1 => ConversationId::direct(&user(actor), &user((actor + 1) % USERS)).unwrap(),
            _ => group(rng.random_range(0..GROUPS)),
        };
        let seq = rng.random_range(0..30);
        let at = Count { seq, n: seq };
        let action = match rng.random_range(0..20) {
            _ if n < GROUPS => {
                conversation = group(n);
                create(0..USERS - 1)
            }
            0 => Action::Add { users: vec![user(rng.random_range(0..USERS))], role: Role::Member },
            1 => Action::Remove { user: user(rng.random_range(0..USERS)) },
            2 => Action::Mark { marker: if rng.random() { Marker::Read } else { Marker::Delivered }, at },
            3 => Action::Settings(SettingsChange { pinned: Some(rng.random()), ..SettingsChange::default() }),
            kind @ 4..=9 if !self.sent.is_empty() => {
                let (place, target) = self.sent[rng.random_range(0..self.sent.len())].clone();
                conversation = place;
                match kind {
                    4 => Action::Delete { target },
                    5 | 6 => Action::Edit { target, text: format!("edit {n}").into() },
                    _ => {
                        let emoji = ["+1", "heart"][rng.random_range(0..2)].into();
                        Action::React { target, emoji, remove: rng.random_bool(0.3) }
                    }
                }
            }
            _ => text(&format!("text {n}")),
        };
        // A key used for another content now and then.
        let key = if n > 0 && rng.random_bool(0.02) { "key 7".to_owned() } else { format!("key {n}") };
        let actor = if n < GROUPS { 0 } else { actor };
        let command = Command::new(conversation, user(actor), 1_000 + n, &key, action);
        if let (Action::Send(_), Some(id)) = (&command.action, command.id) {
            self.sent.push((command.conversation.clone(), id));
        }
        self.commands.push(command.clone());
        command
    }
}

/// One of these at random.
pub(crate) fn one<T: Clone>(rng: &mut impl Rng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())].clone()
}
