//! The full-screen chat: a state folded from the live connection ([`state`]), drawn anew after every change
//! ([`view`]).

mod command;
mod compose;
pub(super) mod prompt;
mod room;
mod state;
mod view;
mod work;

#[cfg(test)]
mod tests;

use super::{args::Who, failure::Failure, register::sign_in_by_hand, text::now_ms};
use chat4all_client::{Live, LiveOptions, model::SendMessage};
use command::Entry;
use compose::Compose;
use crossterm::{
    event::{
        DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
    },
    execute,
};
use state::{Chat, Link};
use std::io::IsTerminal;
use tokio::sync::mpsc;
use work::Worker;

/// Runs until the person quits.
pub(super) async fn run(who: &Who) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        let advice = "chat needs a terminal; for scripts there are `chat4all tail` and `chat4all send`";
        return Err(Failure::Said(advice.into()));
    }
    let client = sign_in_by_hand(who).await?;
    let Some(session) = client.session() else {
        return Err(Failure::NotSignedIn("not signed in".into()));
    };
    let live = client.live(LiveOptions::default());
    let (brought_in, brought) = mpsc::channel(64);
    let app = App {
        worker: Worker::new(client, live.sender(), brought_in),
        live,
        chat: Chat::new(session.user_id, session.username),
        compose: Compose::default(),
    };
    let mut terminal = ratatui::try_init()?;
    // Without bracketed paste the lines of a paste would each be sent.
    let ran = match execute!(std::io::stdout(), EnableBracketedPaste) {
        Ok(()) => app.run(&mut terminal, keyboard(), brought).await,
        Err(error) => Err(error.into()),
    };
    let _ = execute!(std::io::stdout(), DisableBracketedPaste);
    ratatui::restore();
    ran
}

/// What the terminal tells, read on a thread of its own: reading blocks.
fn keyboard() -> mpsc::Receiver<std::io::Result<Event>> {
    let (keys_in, keys) = mpsc::channel(64);
    std::thread::spawn(move || {
        loop {
            let event = crossterm::event::read();
            let failed = event.is_err();
            if keys_in.blocking_send(event).is_err() || failed {
                return;
            }
        }
    });
    keys
}

struct App {
    live: Live,
    worker: Worker,
    chat: Chat,
    compose: Compose,
}

type Brought = mpsc::Receiver<(Option<state::Wish>, work::Brought)>;

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Quit,
}

impl App {
    async fn run(
        mut self,
        terminal: &mut ratatui::DefaultTerminal,
        mut keys: mpsc::Receiver<std::io::Result<Event>>,
        mut brought: Brought,
    ) -> Result<(), Failure> {
        loop {
            terminal.draw(|frame| view::draw(frame, &mut self.chat, &self.compose, now_ms()))?;
            let ended = matches!(self.chat.link, Link::Ended(_));
            tokio::select! {
                Some(update) = self.live.next(), if !ended => {
                    let wishes = self.chat.update(update);
                    self.worker.wish(wishes);
                }
                Some((wish, result)) = brought.recv() => {
                    if let Some(wish) = wish {
                        self.worker.done(&wish);
                    }
                    let wishes = work::fold(&mut self.chat, result);
                    self.worker.wish(wishes);
                }
                event = keys.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    match event? {
                        Event::Key(key) if key.kind != KeyEventKind::Release && self.key(key) == Flow::Quit => {
                            return Ok(());
                        }
                        Event::Paste(text) => self.compose.insert(&text),
                        _ => {}
                    }
                }
            }
        }
    }

    fn key(&mut self, key: KeyEvent) -> Flow {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if std::mem::take(&mut self.chat.help) && !control {
            return Flow::On;
        }
        let page =
            usize::from(crossterm::terminal::size().map_or(24, |(_, rows)| rows)).saturating_sub(4).max(1);
        match key.code {
            KeyCode::Char('c' | 'q') if control => return Flow::Quit,
            KeyCode::Char('a') if control => self.compose.home(),
            KeyCode::Char('e') if control => self.compose.end(),
            KeyCode::Char('u') if control => self.compose.set(""),
            KeyCode::Char('w') if control => self.compose.delete_word(),
            KeyCode::Char(c) if !control => self.compose.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => self.compose.backspace(),
            KeyCode::Delete => self.compose.delete(),
            KeyCode::Left => self.compose.left(),
            KeyCode::Right => self.compose.right(),
            KeyCode::Home => self.compose.home(),
            KeyCode::End => self.compose.end(),
            KeyCode::Enter => return self.enter(),
            KeyCode::Esc => self.chat.selected = None,
            KeyCode::Up | KeyCode::Down => self.chat.select(key.code == KeyCode::Up),
            KeyCode::Tab | KeyCode::BackTab => {
                let wishes = self.chat.step(if key.code == KeyCode::Tab { 1 } else { -1 });
                self.worker.wish(wishes);
            }
            KeyCode::PageUp => {
                self.chat.selected = None;
                // Drawing stops it at the top; what lies above is fetched ahead.
                self.chat.scroll += page;
                self.worker.wish(self.chat.older().into_iter().collect());
            }
            KeyCode::PageDown => {
                self.chat.selected = None;
                self.chat.scroll = self.chat.scroll.saturating_sub(page);
            }
            _ => {}
        }
        Flow::On
    }

    fn enter(&mut self) -> Flow {
        let line = self.compose.take();
        self.chat.notice = None;
        let open = self.chat.open.clone();
        match (command::parse(&line), open) {
            (Entry::Nothing, _) => {}
            (Entry::Quit, _) => return Flow::Quit,
            (Entry::Help, _) => self.chat.help = true,
            (Entry::Wrong(advice), _) => self.failed(&line, advice),
            (Entry::New(with), _) => self.worker.direct(with),
            (Entry::Group { name, members }, _) => self.worker.group(name, members),
            (_, None) => self.failed(&line, "open a conversation first: /new @name"),
            (Entry::Say(text), Some(id)) => self.say(&line, id, text, None),
            (Entry::Reply(text), Some(id)) => {
                match self.chat.target(|_| true).map(|m| m.message_id.clone()) {
                    Some(target) => self.say(&line, id, text, Some(target)),
                    None => self.failed(&line, "nothing to reply to"),
                }
            }
            (Entry::Add(members), Some(id)) => self.worker.add(id, members),
            (Entry::Leave, Some(id)) => self.worker.leave(id, self.chat.me.clone()),
            (change @ (Entry::Edit(_) | Entry::Delete | Entry::React(_)), Some(_)) => {
                self.change(&line, change)
            }
        }
        Flow::On
    }

    fn say(&mut self, line: &str, id: String, content: String, reply_to: Option<String>) {
        let message = SendMessage {
            conversation_id: Some(id.clone()),
            content: Some(content.clone()),
            reply_to,
            ..Default::default()
        };
        match self.live.try_send(message) {
            Ok(client_id) => {
                self.chat.selected = None;
                self.chat.sending(&id, client_id, content);
            }
            Err(error) => self.failed(line, &error.to_string()),
        }
    }

    fn change(&mut self, line: &str, change: Entry) {
        let me = self.chat.me.clone();
        let mine = |message: &chat4all_client::model::Message| message.sender_id == me;
        let any = matches!(change, Entry::React(_));
        let Some(target) = self.chat.target(|message| any || mine(message)).cloned() else {
            return self.failed(line, "no message of yours there");
        };
        let id = target.message_id;
        let sent = match change {
            Entry::Edit(text) => self.live.try_edit(&id, &text),
            Entry::Delete => self.live.try_delete(&id),
            Entry::React(emoji) => {
                let present =
                    target.reactions.iter().any(|reaction| reaction.mine && reaction.emoji == emoji);
                if present { self.live.try_unreact(&id, &emoji) } else { self.live.try_react(&id, &emoji) }
            }
            _ => return,
        };
        if let Err(error) = sent {
            self.failed(line, &error.to_string());
        }
    }

    /// Says why, and gives the line back.
    fn failed(&mut self, line: &str, reason: &str) {
        self.chat.notice = Some(reason.into());
        self.compose.set(line);
    }
}
