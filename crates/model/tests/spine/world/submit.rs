//! What people and the api do to the world: commands of every kind, retried, changed, refused, unreadable.

use super::World;
use bytes::Bytes;
use chat4all_model::api::{History, MessageKind, Role};
use chat4all_model::command::{Action, Command, Content, Count, Marker, Send, SettingsChange};
use chat4all_model::id::{ConversationId, UserId};
use chat4all_model::record::encode_command;

/// A command of `messages` that was made, and its key, for retries.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) key: String,
    pub(crate) command: Command,
}

pub(crate) fn text(text: &str, seen: Option<Count>) -> Action {
    let content = Content { text: Some(text.into()), ..Content::default() };
    Action::Send(Send { kind: MessageKind::Text, content, reply_to: None, seen })
}

impl World {
    /// Makes a command with a fresh key and appends it, accepted.
    pub(crate) fn ask(&mut self, actor: usize, conversation: usize, action: Action) -> Command {
        let command = self.make(actor, conversation, action);
        let input = usize::from(matches!(command.action, Action::Mark { .. } | Action::Settings(_)));
        let partition = self.partition(&command.conversation);
        self.accept(partition, input, &command);
        command
    }

    fn make(&mut self, actor: usize, conversation: usize, action: Action) -> Command {
        self.keys += 1;
        let key = format!("k{}", self.keys);
        let (actor, conversation) = (self.users[actor].clone(), self.conversations[conversation].clone());
        let command = Command::new(conversation, actor, self.keys, &key, action);
        if !matches!(command.action, Action::Mark { .. } | Action::Settings(_)) {
            self.commands.push(Made { key, command: command.clone() });
        }
        command
    }

    fn accept(&mut self, partition: usize, input: usize, command: &Command) {
        let at = self.inputs[partition][input].append(encode_command(command));
        self.say(|_| format!("command {input}.{at} of p{partition}: {command:?}"));
        if matches!(command.action, Action::Send(_)) {
            self.acked.extend(command.id);
        }
    }

    /// The groups are made and somebody writes.
    pub(crate) fn found(&mut self) {
        for (group, history) in [(0, History::Joined), (1, History::All)] {
            let members = vec![self.users[1].clone()];
            self.ask(0, group, Action::Create { name: None, members, history });
        }
    }

    /// A random command, its append's outcome random too.
    pub(crate) fn submit(&mut self) {
        let conversation = [0, 0, 1, 2][self.choose(4)];
        let c = self.conversations[conversation].clone();
        let partition = self.partition(&c);
        let what = self.choose(24);
        if what == 23 {
            self.inputs[partition][0].append(Bytes::from_static(b"\x01rubbish"));
            return;
        }
        let actor = self.choose(3);
        let seen = self.seen(&c);
        let command = if what < 4 {
            let action = match (what, seen) {
                (0, _) => {
                    let archived = Some(self.choose(2) == 1);
                    Action::Settings(SettingsChange { archived, ..SettingsChange::default() })
                }
                (_, None) => return,
                (1, Some(at)) => Action::Mark { marker: Marker::Delivered, at },
                (_, Some(at)) => Action::Mark { marker: Marker::Read, at },
            };
            self.make(actor, conversation, action)
        } else {
            match self.message_command(what, actor, conversation, seen) {
                Some(command) => command,
                None => return,
            }
        };
        let input = usize::from(what < 4);
        match self.choose(12) {
            // 504: it may land later or never.
            0 => self.command_ghosts.push((partition, input, encode_command(&command))),
            1 => {
                self.inputs[partition][input].append(encode_command(&command));
            }
            _ => self.accept(partition, input, &command),
        }
    }

    /// What a reader of the store may have seen of a conversation.
    fn seen(&mut self, c: &ConversationId) -> Option<Count> {
        let head = self.store.head(c).map_or(0, |head| head.seq);
        let seq = self.choose(usize::try_from(head).expect("short") + 1) as u64;
        self.store.event(c, seq).map(|(_, event)| Count { seq, n: event.n() })
    }

    fn message_command(
        &mut self,
        what: usize,
        actor: usize,
        conversation: usize,
        seen: Option<Count>,
    ) -> Option<Command> {
        let c = self.conversations[conversation].clone();
        let made: Vec<Made> = self.commands.iter().filter(|m| m.command.conversation == c).cloned().collect();
        let sends: Vec<Command> = made
            .iter()
            .filter(|m| matches!(m.command.action, Action::Send(_)))
            .map(|m| m.command.clone())
            .collect();
        let word = format!("t{}", self.keys + 1);
        if what < 9 || sends.is_empty() {
            let seen = if self.choose(2) == 0 { seen } else { None };
            return Some(self.make(actor, conversation, text(&word, seen)));
        }
        let target = sends[self.choose(sends.len())].clone();
        let id = target.id.expect("sends have ids");
        let sender = self.users.iter().position(|u| *u == target.actor).expect("one of the three");
        let actor_or_sender = if self.choose(4) > 0 { sender } else { actor };
        let somebody = 1 + self.choose(2);
        let user: UserId = self.users[somebody].clone();
        let (actor, action) = match what {
            9 | 10 => return Some(self.retry(&made, &word)),
            11..=13 => (actor_or_sender, Action::Edit { target: id, text: word.into() }),
            14 => (actor_or_sender, Action::Delete { target: id }),
            15 => {
                let (emoji, remove) = (["+", "-"][self.choose(2)].into(), self.choose(2) == 1);
                (actor, Action::React { target: id, emoji, remove })
            }
            16..=18 => {
                let role = if self.choose(4) == 0 { Role::Admin } else { Role::Member };
                (0, Action::Add { users: vec![user], role })
            }
            19 | 20 => (0, Action::Remove { user }),
            21 => (actor, Action::Leave { successor: (self.choose(2) == 0).then_some(user) }),
            _ if self.choose(2) == 0 => {
                (0, Action::SetRole { user, role: [Role::Admin, Role::Member][self.choose(2)] })
            }
            _ => (actor, Action::Rename { name: word.into() }),
        };
        Some(self.make(actor, conversation, action))
    }

    /// An earlier command again, sometimes with other content.
    fn retry(&mut self, made: &[Made], word: &str) -> Command {
        let Made { key, command } = made[self.choose(made.len())].clone();
        let action = match (&command.action, self.choose(4)) {
            (Action::Send(_), 0) => text(word, None),
            _ => return command,
        };
        Command::new(command.conversation, command.actor, command.time, &key, action)
    }
}
