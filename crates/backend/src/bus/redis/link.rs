//! One connection, kept up.
//!
//! A keeper dials, watches over the connection, and dials anew when it is lost. While there is none, requests fail at
//! once: nothing waits for a server that is away.

use super::address::Address;
use super::dial::{Dialled, Dialler, Heard};
use super::failure::Failure;
use super::servers::Servers;
use crate::{Error, ErrorKind, Result};
use rand::Rng;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// How often a connection is asked whether it lives: one whose peer vanished without a word looks just like a quiet one.
const HEARTBEAT: Duration = Duration::from_secs(2);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A connection to the server in charge, whichever that is.
pub(super) struct Link {
    /// Written by the keeper.
    state: watch::Receiver<State>,
    /// Ends with the link.
    _keeper: JoinSet<()>,
}

#[derive(Clone)]
pub(super) enum State {
    /// The first attempt is not over.
    Dialling,
    Up(Live),
    Down(ErrorKind, Arc<str>),
}

/// A connection that was good a moment ago.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Tells the keeper that this connection is of no use.
    broken: Arc<Notify>,
}

impl Live {
    pub(super) fn give_up(&self) {
        self.broken.notify_one();
    }
}

impl Link {
    /// Begins to dial.
    pub(super) fn start(servers: Servers, dialler: Dialler, heard: Option<Heard>) -> Self {
        let (sender, state) = watch::channel(State::Dialling);
        let mut keeper = JoinSet::new();
        keeper.spawn(Keeper { servers, dialler, heard, state: sender }.keep());
        Self { state, _keeper: keeper }
    }

    /// The first outcome of dialling.
    ///
    /// # Errors
    /// As [`Servers::dial`].
    pub(super) async fn dialled(&self) -> Result<()> {
        match self.state.clone().wait_for(|state| !matches!(state, State::Dialling)).await.as_deref() {
            Ok(State::Down(kind, why)) => Err(Error::new(*kind, why.to_string())),
            _ => Ok(()),
        }
    }

    /// The state, and every change of it.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Asks one thing.
    pub(super) async fn request<T: FromRedisValue>(
        &self,
        deadline: Instant,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let mut live = self.live(deadline).await?;
        let answer = timeout_at(deadline, command.query_async(&mut live.connection)).await;
        judge(&live, answer.ok())
    }

    /// Asks several things at once, one behind the other.
    pub(super) async fn request_all<T: FromRedisValue>(
        &self,
        deadline: Instant,
        commands: &Pipeline,
    ) -> Result<T, Failure> {
        let mut live = self.live(deadline).await?;
        let answer = timeout_at(deadline, commands.query_async(&mut live.connection)).await;
        judge(&live, answer.ok())
    }

    async fn live(&self, deadline: Instant) -> Result<Live, Failure> {
        if matches!(*self.state.borrow(), State::Dialling) {
            // What comes of it is in the state.
            let _ = timeout_at(deadline, self.dialled()).await;
        }
        match &*self.state.borrow() {
            State::Up(live) => Ok(live.clone()),
            State::Down(_, why) => Err(Failure::Away(why.to_string())),
            State::Dialling => Err(Failure::Away("the server is not reached yet".to_owned())),
        }
    }
}

/// Makes of an answer, if there was one in time, what it means; gives a connection up that does not serve.
fn judge<T>(live: &Live, answer: Option<RedisResult<T>>) -> Result<T, Failure> {
    let Some(answer) = answer else {
        // A server answers in order, so what comes behind would wait as well.
        live.give_up();
        return Err(Failure::Lost("no answer in time".to_owned()));
    };
    answer.map_err(|error| {
        let failure = Failure::from(error);
        if failure.is_demoted() {
            live.give_up();
        }
        failure
    })
}

struct Keeper {
    servers: Servers,
    dialler: Dialler,
    heard: Option<Heard>,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn keep(self) {
        let mut pause = MIN_PAUSE;
        loop {
            let lost = match self.servers.dial(&self.dialler, self.heard.clone()).await {
                Ok((address, dialled)) => {
                    let since = Instant::now();
                    tracing::info!(%address, "the bus is connected");
                    let lost = self.watch_over(&address, dialled).await;
                    tracing::warn!(error = %lost, "the bus has lost its connection");
                    if since.elapsed() > HEARTBEAT {
                        pause = MIN_PAUSE;
                    }
                    lost
                }
                Err(away) => {
                    tracing::debug!(error = %away, "the bus cannot be reached");
                    away
                }
            };
            let why = lost.source().map(ToString::to_string).unwrap_or_default();
            self.state.send_replace(State::Down(lost.kind, why.into()));
            // So that not all processes come back in the same moment.
            let jitter = rand::rng().random_range(0.5..1.0);
            sleep(pause.mul_f64(jitter)).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }

    /// Offers a connection until it is lost; says why it is.
    async fn watch_over(&self, address: &Address, mut dialled: Dialled) -> Error {
        let mut connection = dialled.connection;
        let broken = Arc::new(Notify::new());
        self.state
            .send_replace(State::Up(Live { connection: connection.clone(), broken: Arc::clone(&broken) }));
        let heartbeats = async {
            loop {
                sleep(HEARTBEAT).await;
                if let Err(why) = self.servers.check(address, &mut connection).await {
                    return why;
                }
            }
        };
        let why = tokio::select! {
            _ = dialled.driver.join_next() => unavailable(format!("{address} has cut the connection")),
            () = broken.notified() => unavailable(format!("{address} does not serve")),
            why = heartbeats => why,
        };
        // Nothing of the old connection is heard once there is a new one.
        dialled.driver.shutdown().await;
        why
    }
}

fn unavailable(why: String) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}
