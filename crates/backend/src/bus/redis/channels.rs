//! Publish and subscribe: many subscribers here on one connection.
//!
//! Plain channels, also in a Cluster, and not sharded ones: a Cluster hands a plain message on to every node, so one
//! connection to any node hears all of them, moving slots and failing nodes take no subscription away, and whatever
//! one process publishes through one node stays in order. The price is that each message crosses the Cluster once a
//! node; what travels here is small and rare beside messages, which travel through the log.

use super::dial::Dialler;
use super::failure::Failure;
use super::link::{Link, Live, State};
use super::servers::Servers;
use crate::Result;
use crate::bus::Subscription;
use crate::bus::inbox::Inbox;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use redis::RedisError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// How many channels one request names.
const BATCH: usize = 1_000;

/// The channels of this process.
pub(super) struct Channels {
    link: Arc<Link>,
    heard: Arc<Registry>,
    /// Ends with this.
    _keeper: JoinSet<()>,
}

impl Channels {
    /// Begins to connect. `limit` is how long the server may take for a batch of subscriptions.
    pub(super) fn start(servers: Servers, dialler: Dialler, limit: Duration) -> Self {
        let registry = Arc::new(Registry::default());
        let listener = Arc::clone(&registry);
        let link = Arc::new(Link::start(
            servers,
            dialler,
            Some(Arc::new(move |channel: &[u8], message| listener.deliver(channel, message))),
        ));
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(Arc::clone(&registry), Arc::clone(&link), limit));
        Self { link, heard: registry, _keeper: keeper }
    }

    /// As [`Link::dialled`].
    pub(super) async fn dialled(&self) -> Result<()> {
        self.link.dialled().await
    }

    pub(super) async fn publish(
        &self,
        deadline: Instant,
        channel: &str,
        message: &[u8],
    ) -> Result<(), Failure> {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(message);
        self.link.request(deadline, &publish).await
    }

    /// Subscribes; returns when the server has confirmed it, so that whatever anybody publishes afterwards is heard.
    pub(super) async fn subscribe(
        &self,
        deadline: Instant,
        channel: String,
    ) -> Result<Box<dyn Subscription>, Failure> {
        if let State::Down(_, why) = &*self.link.watch().borrow() {
            return Err(Failure::Away(why.to_string()));
        }
        let (inbox, confirmed) = self.heard.add(&channel);
        // From here on dropping it takes it out again.
        let subscription = RedisSubscription { inbox, channel, heard: Arc::clone(&self.heard) };
        if let Some(confirmed) = confirmed {
            match timeout_at(deadline, confirmed).await {
                Ok(Ok(answer)) => answer?,
                Ok(Err(_)) | Err(_) => {
                    return Err(Failure::Lost("a subscription is not confirmed".to_owned()));
                }
            }
        }
        Ok(Box::new(subscription))
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        for channel in self.heard.state.lock().channels.values() {
            channel.inboxes.iter().for_each(|inbox| inbox.close());
        }
    }
}

/// Who hears what here, and what the server has been told of it.
#[derive(Default)]
struct Registry {
    state: Mutex<RegistryState>,
    /// There are changes to tell the server.
    changed: Notify,
}

#[derive(Default)]
struct RegistryState {
    channels: HashMap<String, Channel>,
    /// Channels of which the server may know something else.
    changed: HashSet<String>,
}

#[derive(Default)]
struct Channel {
    inboxes: Vec<Arc<Inbox>>,
    /// The server has confirmed it on the connection of now.
    confirmed: bool,
    /// Who waits for that.
    waiting: Vec<oneshot::Sender<Result<(), Failure>>>,
}

/// What the server is to be told.
#[derive(Default)]
struct Changes {
    subscribe: Vec<String>,
    unsubscribe: Vec<String>,
}

impl Registry {
    fn deliver(&self, channel: &[u8], message: Bytes) {
        let state = self.state.lock();
        let channel = std::str::from_utf8(channel).ok().and_then(|name| state.channels.get(name));
        for inbox in channel.into_iter().flat_map(|channel| &channel.inboxes) {
            inbox.put(message.clone());
        }
    }

    /// A new inbox, and what to wait for if the channel is not heard yet.
    fn add(&self, name: &str) -> (Arc<Inbox>, Option<oneshot::Receiver<Result<(), Failure>>>) {
        let inbox = Arc::new(Inbox::default());
        let mut state = self.state.lock();
        let channel = state.channels.entry(name.to_owned()).or_default();
        channel.inboxes.push(Arc::clone(&inbox));
        if channel.confirmed {
            return (inbox, None);
        }
        let (confirm, confirmed) = oneshot::channel();
        channel.waiting.push(confirm);
        state.changed.insert(name.to_owned());
        self.changed.notify_one();
        (inbox, Some(confirmed))
    }

    fn remove(&self, name: &str, inbox: &Arc<Inbox>) {
        let mut state = self.state.lock();
        let Some(channel) = state.channels.get_mut(name) else { return };
        channel.inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if channel.inboxes.is_empty() {
            state.changed.insert(name.to_owned());
            self.changed.notify_one();
        }
    }

    /// A new connection: the server knows nothing.
    fn begin_anew(&self) {
        let state = &mut *self.state.lock();
        state.channels.retain(|_, channel| !channel.inboxes.is_empty());
        state.channels.values_mut().for_each(|channel| channel.confirmed = false);
        state.changed = state.channels.keys().cloned().collect();
    }

    /// Takes out what is to be told next. A channel that nobody hears any more is forgotten here at once: whoever
    /// subscribes to it meanwhile is told behind.
    fn take_changes(&self) -> Changes {
        let state = &mut *self.state.lock();
        let mut changes = Changes::default();
        let names: Vec<String> = state.changed.iter().take(BATCH).cloned().collect();
        for name in names {
            state.changed.remove(&name);
            match state.channels.get(&name) {
                Some(channel) if channel.inboxes.is_empty() => {
                    if channel.confirmed {
                        changes.unsubscribe.push(name.clone());
                    }
                    state.channels.remove(&name);
                }
                Some(channel) if !channel.confirmed => changes.subscribe.push(name),
                _ => {}
            }
        }
        changes
    }

    /// Notes what the server says to subscriptions and tells those who wait for it.
    fn settle(&self, names: &[String], answer: &Result<(), RedisError>) {
        let mut state = self.state.lock();
        for name in names {
            let Some(channel) = state.channels.get_mut(name) else { continue };
            channel.confirmed = answer.is_ok();
            for waiting in channel.waiting.drain(..) {
                // Whoever does not wait any more has dropped his inbox too.
                let _ = waiting.send(answer.clone().map_err(Failure::from));
            }
        }
    }
}

/// Tells the server of every connection what is heard here. Those who wait for a confirmation when a connection is lost
/// have it from the next.
async fn keep(heard: Arc<Registry>, link: Arc<Link>, limit: Duration) {
    let mut states = link.watch();
    loop {
        let state = states.borrow_and_update().clone();
        let following = async {
            if let State::Up(live) = state {
                follow(&heard, live, limit).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            () = following => {}
        }
    }
}

/// Tells the server of one connection all that is heard here, then every change, one behind the other; until it does
/// not serve.
async fn follow(heard: &Registry, live: Live, limit: Duration) {
    let mut connection = live.connection.clone();
    heard.begin_anew();
    loop {
        let Changes { subscribe, unsubscribe } = heard.take_changes();
        if subscribe.is_empty() && unsubscribe.is_empty() {
            heard.changed.notified().await;
            continue;
        }
        if !subscribe.is_empty() {
            match timeout(limit, connection.subscribe(&subscribe)).await {
                Ok(answer) if answer.as_ref().err().is_none_or(|error| error.code().is_some()) => {
                    heard.settle(&subscribe, &answer);
                }
                _ => return live.give_up(),
            }
        }
        if !unsubscribe.is_empty()
            && !matches!(timeout(limit, connection.unsubscribe(&unsubscribe)).await, Ok(Ok(())))
        {
            return live.give_up();
        }
    }
}

struct RedisSubscription {
    inbox: Arc<Inbox>,
    channel: String,
    heard: Arc<Registry>,
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Option<Bytes> {
        self.inbox.take().await
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        self.heard.remove(&self.channel, &self.inbox);
    }
}
