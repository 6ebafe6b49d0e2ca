//! The keys of a Redis Cluster: each of 16,384 slots belongs to one node.
//!
//! Not the `redis` crate's client for clusters: it holds every request back while it looks for the nodes anew, so that
//! one node which answers nothing delays the keys of all others; and it repeats a request whose connection was cut, so
//! that a hit may count twice.

use super::address::Address;
use super::dial::Dialler;
use super::failure::Failure;
use super::link::Link;
use super::servers::{Nodes, Servers, ask};
use crate::{Error, ErrorKind, Result};
use futures_util::future::join_all;
use parking_lot::RwLock;
use redis::{Cmd, FromRedisValue, ParsingError, ServerErrorKind, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const SLOTS: u16 = 16_384;
/// How many nodes one request is sent on to, at most: a slot may move while it is looked for.
const MAX_HOPS: usize = 4;
/// The map is read anew when a request shows that it is old, though not more often than `MIN_AGE`, and every `MAX_AGE`.
const MIN_AGE: Duration = Duration::from_millis(500);
const MAX_AGE: Duration = Duration::from_secs(30);

/// A Cluster, with a link to each node that has keys.
pub(super) struct Cluster {
    map: Arc<Map>,
    /// Ends with this.
    _reader: JoinSet<()>,
}

impl Cluster {
    /// Reads from any of `nodes` which node has which keys, and connects to each.
    ///
    /// # Errors
    /// As [`Servers::dial`]. A node that cannot be reached while others can is no error: its keys are away.
    pub(super) async fn open(nodes: Arc<Nodes>, dialler: Dialler) -> Result<Self> {
        let (seeds, owners) = (nodes.read().clone(), RwLock::default());
        let map = Arc::new(Map { dialler, seeds, nodes, owners, old: Notify::new() });
        map.read().await?;
        let nodes: Vec<Arc<Node>> = map.owners.read().nodes.values().cloned().collect();
        join_all(nodes.iter().map(|node| node.link.dialled())).await;
        let mut reader = JoinSet::new();
        reader.spawn(Arc::clone(&map).keep());
        Ok(Self { map, _reader: reader })
    }

    /// Asks the node that has `key`.
    pub(super) async fn request<T: FromRedisValue>(
        &self,
        deadline: Instant,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let slot = slot(key.as_bytes());
        let mut node = self.map.owner(slot)?;
        let mut answer = node.link.request(deadline, command).await;
        for _ in 0..MAX_HOPS {
            match answer.as_ref().err().and_then(|failure| redirection(failure, &node.address)) {
                None => break,
                Some(Redirection::Moved(address)) => {
                    node = self.map.moved(slot, address);
                    answer = node.link.request(deadline, command).await;
                }
                Some(Redirection::Ask(address)) => {
                    let mut commands = redis::pipe();
                    commands.cmd("ASKING").ignore().add_command(command.clone());
                    node = self.map.node(&address);
                    answer = node.link.request_all(deadline, &commands).await.map(|(answer,)| answer);
                }
            }
        }
        if matches!(answer, Err(Failure::Away(_) | Failure::Lost(_))) {
            self.map.old.notify_one();
        }
        answer
    }
}

/// Which node has which keys.
struct Map {
    dialler: Dialler,
    /// The nodes of the URL. They may be names behind which the addresses change.
    seeds: Vec<Address>,
    /// Whom to ask for the map: the seeds, and the nodes as last heard of.
    nodes: Arc<Nodes>,
    owners: RwLock<Owners>,
    /// A request has shown that the map is old.
    old: Notify,
}

#[derive(Default)]
struct Owners {
    nodes: HashMap<Address, Arc<Node>>,
    by_slot: HashMap<u16, Arc<Node>>,
}

struct Node {
    address: Address,
    link: Link,
}

impl Map {
    fn owner(&self, slot: u16) -> Result<Arc<Node>, Failure> {
        let owner = self.owners.read().by_slot.get(&slot).cloned();
        owner.ok_or_else(|| {
            self.old.notify_one();
            Failure::Away(format!("no node of the Cluster has slot {slot}"))
        })
    }

    fn moved(&self, slot: u16, address: Address) -> Arc<Node> {
        let node = self.node(&address);
        self.owners.write().by_slot.insert(slot, Arc::clone(&node));
        self.old.notify_one();
        node
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        Arc::clone(self.owners.write().nodes.entry(address.clone()).or_insert_with(|| {
            let link = Link::start(Servers::Node(address.clone()), self.dialler.clone(), None);
            Arc::new(Node { address: address.clone(), link })
        }))
    }

    /// Reads the map for ever.
    async fn keep(self: Arc<Self>) {
        loop {
            sleep(MIN_AGE).await;
            // Whether it is known to be old or has only become so by itself.
            let _ = timeout(MAX_AGE, self.old.notified()).await;
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "the map of the Cluster cannot be read");
            }
        }
    }

    async fn read(&self) -> Result<()> {
        let any = Servers::AnyNode(Arc::clone(&self.nodes));
        let (asked, mut dialled) = any.dial(&self.dialler, None).await?;
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let ranges: Vec<Vec<Value>> = ask(&asked, &mut dialled.connection, &question).await?;
        let ranges = ranges.iter().map(|range| Range::read(range, &asked)).collect::<Result<Vec<_>, _>>();
        let ranges = ranges.map_err(|error| Error::new(ErrorKind::Corrupt, error))?;
        if ranges.is_empty() {
            return Err(Error::new(ErrorKind::Unavailable, format!("no node has keys yet, says {asked}")));
        }
        let mut owners = HashMap::new();
        for range in &ranges {
            let Some(owner) = range.nodes.first() else { continue };
            let owner = self.node(owner);
            owners.extend((range.first..=range.last).map(|slot| (slot, Arc::clone(&owner))));
        }
        let nodes: HashSet<Address> =
            ranges.into_iter().flat_map(|range| range.nodes).chain(self.seeds.clone()).collect();
        *self.nodes.write() = nodes.into_iter().collect();
        let mut current = self.owners.write();
        current.nodes = owners.values().map(|node| (node.address.clone(), Arc::clone(node))).collect();
        current.by_slot = owners;
        Ok(())
    }
}

/// Slots that belong together.
struct Range {
    first: u16,
    last: u16,
    /// The owner, then its replicas.
    nodes: Vec<Address>,
}

impl Range {
    /// A row of what `asked` answers to `CLUSTER SLOTS`: first, last, nodes as `[host, port, …]`.
    fn read(row: &[Value], asked: &Address) -> Result<Self, ParsingError> {
        let [first, last, nodes @ ..] = row else { return Err("a range without its ends".into()) };
        let node = |node: &Value| match Vec::<Value>::from_redis_value_ref(node)?.as_slice() {
            [host, port, ..] => {
                let host = Option::<String>::from_redis_value_ref(host)?.unwrap_or_default();
                Ok(Address::given(&host, u16::from_redis_value_ref(port)?, asked))
            }
            _ => Err(ParsingError::from("a node without an address")),
        };
        Ok(Self {
            first: end(first)?,
            last: end(last)?,
            nodes: nodes.iter().map(node).collect::<Result<_, _>>()?,
        })
    }
}

/// An end of a range; the library's own reading of a small number wraps around.
fn end(value: &Value) -> Result<u16, ParsingError> {
    let number = i64::from_redis_value_ref(value)?;
    let slot = u16::try_from(number).ok().filter(|slot| *slot < SLOTS);
    slot.ok_or_else(|| ParsingError::from("a range beyond the slots"))
}

/// What a node says that does not have a slot, or not all of it.
enum Redirection {
    /// For good.
    Moved(Address),
    /// For this request: the slot is on its way.
    Ask(Address),
}

fn redirection(failure: &Failure, asked: &Address) -> Option<Redirection> {
    let Failure::Refused(error) = failure else { return None };
    let (address, _) = error.redirect_node()?;
    let address = Address::read(address, asked)?;
    Some(match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::Ask) => Redirection::Ask(address),
        _ => Redirection::Moved(address),
    })
}

/// The slot of a key: CRC-16 (XMODEM) of the key, or of what stands between its first `{` and the next `}`.
fn slot(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let tag = &key[open + 1..];
        let close = tag.iter().position(|byte| *byte == b'}').filter(|close| *close > 0)?;
        Some(&tag[..close])
    });
    let crc = tagged.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        // As `CLUSTER KEYSLOT` answers.
        for (key, expected) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("{foo}.bar", 12182),
            ("a{foo}{bar}", 12182),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn a_map_is_read_and_an_unreadable_one_refused() {
        let asked = Address { host: "seed".to_owned(), port: 1 };
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let row = [Value::Int(0), Value::Int(5), node(text("a"), 7), node(Value::Nil, 8)];
        let range = Range::read(&row, &asked).unwrap();
        let nodes: Vec<_> = range.nodes.iter().map(Address::to_string).collect();
        assert_eq!((range.first, range.last, nodes), (0, 5, vec!["a:7".to_owned(), "seed:8".to_owned()]));
        assert!(Range::read(&row[..1], &asked).is_err());
        assert!(Range::read(&[Value::Int(0), Value::Int(70_000)], &asked).is_err());
        assert!(Range::read(&[Value::Int(0), Value::Int(1), Value::Array(vec![])], &asked).is_err());
    }
}
