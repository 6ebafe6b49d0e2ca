//! Which server is in charge, and whether a connection still leads to it.

use super::address::Address;
use super::dial::{Dialled, Dialler, Heard};
use crate::{Error, ErrorKind, Result};
use parking_lot::RwLock;
use rand::seq::SliceRandom;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a server may take to say who it is.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Where a connection is to lead.
pub(super) enum Servers {
    /// To this server, which takes writes.
    One(Address),
    /// To the one that the Sentinels name.
    Master(Arc<Sentinels>),
    /// To this node of a Cluster.
    Node(Address),
    /// To any node of a Cluster.
    AnyNode(Arc<Nodes>),
}

/// The nodes of a Cluster as last heard of.
pub(super) type Nodes = RwLock<Vec<Address>>;

impl Servers {
    /// Connects to the server in charge.
    ///
    /// # Errors
    /// As [`Dialler::dial`] and [`check`](Self::check).
    pub(super) async fn dial(&self, dialler: &Dialler, heard: Option<Heard>) -> Result<(Address, Dialled)> {
        match self {
            Self::One(address) | Self::Node(address) => self.dial_at(address, dialler, heard).await,
            Self::Master(sentinels) => self.dial_at(&sentinels.master().await?, dialler, heard).await,
            Self::AnyNode(nodes) => {
                let mut nodes = nodes.read().clone();
                nodes.shuffle(&mut rand::rng());
                let mut away = unavailable("the Cluster has no nodes");
                for address in &nodes {
                    match self.dial_at(address, dialler, heard.clone()).await {
                        Err(error) if error.kind == ErrorKind::Unavailable => away = error,
                        settled => return settled,
                    }
                }
                Err(away)
            }
        }
    }

    async fn dial_at(
        &self,
        address: &Address,
        dialler: &Dialler,
        heard: Option<Heard>,
    ) -> Result<(Address, Dialled)> {
        let mut dialled = dialler.dial(address, heard).await?;
        self.check(address, &mut dialled.connection).await?;
        Ok((address.clone(), dialled))
    }

    /// Whether the server at the other end answers and is the one in charge.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer or has been replaced, `Invalid` if it is not what the URL says.
    pub(super) async fn check(
        &self,
        address: &Address,
        connection: &mut MultiplexedConnection,
    ) -> Result<()> {
        let hello: HashMap<String, Value> = ask(address, connection, &redis::cmd("HELLO")).await?;
        let said = |name| hello.get(name).and_then(|value| String::from_redis_value_ref(value).ok());
        let (mode, role) = (said("mode").unwrap_or_default(), said("role").unwrap_or_default());
        let in_cluster = matches!(self, Self::Node(_) | Self::AnyNode(_));
        let invalid = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("{address} {why}")));
        match (mode.as_str(), role.as_str()) {
            ("sentinel", _) => invalid("is a Sentinel: write `redis+sentinel://host:port,…/MASTER`"),
            ("cluster", _) if !in_cluster => invalid("is a node of a Cluster: write `redis+cluster://`"),
            ("standalone", _) if in_cluster => invalid("is no node of a Cluster: write `redis://`"),
            (_, "replica") if !in_cluster => Err(unavailable(format!("{address} is a replica"))),
            _ => match self {
                Self::Master(sentinels) => sentinels.confirm(address).await,
                _ => Ok(()),
            },
        }
    }
}

/// Those who know which server is the master.
pub(super) struct Sentinels {
    pub(super) addresses: Vec<Address>,
    pub(super) dialler: Dialler,
    /// What they call the master.
    pub(super) name: String,
}

impl Sentinels {
    /// The master, as the first Sentinel says that answers.
    async fn master(&self) -> Result<Address> {
        let mut away = unavailable("there are no Sentinels");
        for sentinel in &self.addresses {
            match self.ask(sentinel).await {
                Err(error) if error.kind == ErrorKind::Unavailable => away = error,
                settled => return settled,
            }
        }
        Err(away)
    }

    /// Refuses a server that is not the master any more. While no Sentinel answers, it is who it was.
    async fn confirm(&self, address: &Address) -> Result<()> {
        match self.master().await {
            Ok(named) if named != *address => {
                Err(unavailable(format!("{named} is the master now, and not {address}")))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, sentinel: &Address) -> Result<Address> {
        let mut dialled = self.dialler.dial(sentinel, None).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        match ask::<Option<(String, u16)>>(sentinel, &mut dialled.connection, &question).await? {
            Some((host, port)) => Ok(Address::given(&host, port, sentinel)),
            None => {
                let why = format!("the Sentinel at {sentinel} knows no master `{}`", self.name);
                Err(Error::new(ErrorKind::Invalid, why))
            }
        }
    }
}

/// Asks a server about itself.
pub(super) async fn ask<T: FromRedisValue>(
    address: &Address,
    connection: &mut MultiplexedConnection,
    question: &redis::Cmd,
) -> Result<T> {
    match timeout(ANSWER_LIMIT, question.query_async(connection)).await {
        Ok(Ok(answer)) => Ok(answer),
        // A command that it does not know: it is no Sentinel, or no Cluster.
        Ok(Err(error)) if error.code() == Some("ERR") => {
            Err(Error::new(ErrorKind::Invalid, format!("{address} is not what the URL says: {error}")))
        }
        Ok(Err(error)) => Err(unavailable(format!("{address}: {error}"))),
        Err(_) => Err(unavailable(format!("{address} does not answer within {ANSWER_LIMIT:?}"))),
    }
}

fn unavailable(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, why.into())
}
