use super::state::{Chat, Wish};
use crate::cli::people::user_id;
use chat4all_client::{
    Client, ClientError, LiveSender, Range,
    model::{AddParticipants, Conversation, Markers, MessagePage, User},
};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{Semaphore, mpsc};

/// Calls to the server at once.
const AT_ONCE: usize = 4;
/// Messages fetched at once.
const PAGE: u32 = 100;

/// What a call brought.
pub(super) enum Brought {
    Page {
        id: String,
        below: Option<u64>,
        page: MessagePage,
    },
    Markers {
        id: String,
        markers: Vec<Markers>,
    },
    Conversation(Box<Conversation>),
    /// The same, made or asked for by hand: to be opened.
    Opened(Box<Conversation>),
    Person(User),
    Said(String),
}

/// Calls the server beside the screen's loop.
pub(super) struct Worker {
    client: Client,
    live: LiveSender,
    /// Read by the screen's loop.
    brought: mpsc::Sender<(Option<Wish>, Brought)>,
    /// Under way, so that nothing is asked for twice.
    asked: HashSet<String>,
    room: Arc<Semaphore>,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        live: LiveSender,
        brought: mpsc::Sender<(Option<Wish>, Brought)>,
    ) -> Self {
        Self { client, live, brought, asked: HashSet::new(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Starts what the state asks for.
    pub(super) fn wish(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            let name = format!("{wish:?}");
            if self.asked.insert(name) {
                let (client, live) = (self.client.clone(), self.live.clone());
                self.start(Some(wish.clone()), async move { fulfil(&client, &live, wish).await });
            }
        }
    }

    /// What a wish brought has come: it may be asked for again.
    pub(super) fn done(&mut self, wish: &Wish) {
        self.asked.remove(&format!("{wish:?}"));
    }

    fn start(
        &self,
        wish: Option<Wish>,
        work: impl Future<Output = Result<Vec<Brought>, String>> + Send + 'static,
    ) {
        let (brought, room) = (self.brought.clone(), self.room.clone());
        tokio::spawn(async move {
            let Ok(_place) = room.acquire().await else { return };
            let mut results = match work.await {
                Ok(results) => results,
                Err(reason) => vec![Brought::Said(reason)],
            };
            if results.is_empty() {
                results.push(Brought::Said(String::new()));
            }
            for result in results {
                if brought.send((wish.clone(), result)).await.is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn direct(&self, with: String) {
        let client = self.client.clone();
        self.start(None, async move {
            let id = user_id(&client, &with).await.map_err(said)?;
            let made = client.direct(&id).await.map_err(problem)?;
            Ok(vec![Brought::Opened(Box::new(made))])
        });
    }

    pub(super) fn group(&self, name: String, members: Vec<String>) {
        let client = self.client.clone();
        self.start(None, async move {
            let ids = user_ids(&client, &members).await?;
            let made = client.group(&name, ids).await.map_err(problem)?;
            Ok(vec![Brought::Opened(Box::new(made))])
        });
    }

    pub(super) fn add(&self, conversation: String, members: Vec<String>) {
        let client = self.client.clone();
        self.start(None, async move {
            let request = AddParticipants { user_ids: user_ids(&client, &members).await?, role: None };
            client.add_participants(&conversation, &request).await.map_err(problem)?;
            Ok(Vec::new())
        });
    }

    pub(super) fn leave(&self, conversation: String, me: String) {
        let client = self.client.clone();
        self.start(None, async move {
            client.remove_participant(&conversation, &me).await.map_err(problem)?;
            Ok(Vec::new())
        });
    }
}

async fn fulfil(client: &Client, live: &LiveSender, wish: Wish) -> Result<Vec<Brought>, String> {
    Ok(match wish {
        Wish::Newest(id) => {
            let page = client.messages(&id, Range::Newest, Some(PAGE)).await.map_err(problem)?;
            // Large conversations have none.
            let markers = client.markers(&id).await.unwrap_or_default();
            vec![Brought::Markers { id: id.clone(), markers }, Brought::Page { id, below: None, page }]
        }
        Wish::Older(id, seq) => {
            let page = client.messages(&id, Range::Before(seq), Some(PAGE)).await.map_err(problem)?;
            vec![Brought::Page { id, below: Some(seq), page }]
        }
        Wish::Conversation(id) => {
            vec![Brought::Conversation(Box::new(client.conversation(&id).await.map_err(problem)?))]
        }
        Wish::Name(id) => vec![Brought::Person(client.user(&id).await.map_err(problem)?)],
        Wish::Read(id, seq) => {
            live.read(&id, seq).await.map_err(problem)?;
            Vec::new()
        }
    })
}

async fn user_ids(client: &Client, names: &[String]) -> Result<Vec<String>, String> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        ids.push(user_id(client, name).await.map_err(said)?);
    }
    Ok(ids)
}

fn problem(error: ClientError) -> String {
    error.to_string()
}

fn said(failure: crate::cli::failure::Failure) -> String {
    failure.to_string()
}

/// Folds what a call brought into the state.
pub(super) fn fold(chat: &mut Chat, brought: Brought) -> Vec<Wish> {
    match brought {
        Brought::Page { id, below, page } => chat.page(&id, below, page),
        Brought::Markers { id, markers } => {
            chat.markers(&id, markers);
            Vec::new()
        }
        Brought::Conversation(conversation) => chat.conversation(*conversation),
        Brought::Opened(conversation) => {
            let id = conversation.conversation_id.clone();
            let mut wishes =
                if chat.find(&id).is_some() { Vec::new() } else { chat.conversation(*conversation) };
            wishes.extend(chat.show(&id));
            wishes
        }
        Brought::Person(user) => {
            chat.person(user);
            Vec::new()
        }
        Brought::Said(text) => {
            if !text.is_empty() {
                chat.notice = Some(text);
            }
            Vec::new()
        }
    }
}
