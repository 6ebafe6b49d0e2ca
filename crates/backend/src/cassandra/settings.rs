//! What a `cassandra://` URL says.

use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result, tls};
use rustls::ClientConfig;
use scylla::statement::{Consistency, SerialConsistency};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const PORT: u16 = 9042;
const KEYSPACE: &str = "chat4all";
/// Reads took 2.5 s next to a node that was just lost; the server's own limit is 5 s for reads, 2 s for writes.
const TIMEOUT: Duration = Duration::from_secs(5);
const PARAMETERS: [&str; 6] = ["replication", "dc", "consistency", "tls", "ca", "timeout_ms"];

/// How a cluster is reached, and what of it is used.
pub(super) struct Settings {
    /// `host:port` of the nodes to begin with.
    pub(super) addresses: Vec<String>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) keyspace: String,
    /// Copies in a keyspace that has to be made.
    pub(super) replication: Option<u32>,
    /// The datacenter whose nodes are asked, and whose majority counts.
    pub(super) dc: Option<String>,
    pub(super) consistency: Consistency,
    pub(super) serial: SerialConsistency,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) timeout: Duration,
}

impl Settings {
    /// Reads a URL, and the file of certificates that it names.
    pub(super) async fn of(mut url: EngineUrl) -> Result<Self> {
        if url.scheme() != "cassandra" {
            return Err(wrong(format!("`{}` is no scheme of Cassandra: write `cassandra://`", url.scheme())));
        }
        let keyspace = if url.path().is_empty() { KEYSPACE } else { url.path() }.to_owned();
        if !is_keyspace(&keyspace) {
            return Err(wrong(format!(
                "`{keyspace}` is no keyspace: write 1 to 48 of a-z, 0-9 and _, a letter first"
            )));
        }
        let credentials = match (url.user(), url.password()) {
            (Some(user), Some(password)) => Some((user.to_owned(), password.to_owned())),
            (None, None) => None,
            _ => return Err(wrong("user and password belong together: write `user:password@`")),
        };
        let replication = url.take_as("replication", "a number of copies, 1 or more")?;
        if replication == Some(0) {
            return Err(wrong("`replication=0`: the value must be a number of copies, 1 or more"));
        }
        let dc = url.take("dc");
        if dc.as_deref().is_some_and(|dc| !is_datacenter(dc)) {
            return Err(wrong("`dc` must be the name of a datacenter as `nodetool status` shows it"));
        }
        let (consistency, serial) = consistency(url.take("consistency").as_deref())?;
        let tls = url.take_as::<bool>("tls", "true or false")?;
        let ca = url.take("ca").map(PathBuf::from);
        if tls == Some(false) && ca.is_some() {
            return Err(wrong("`ca` is of no use with `tls=false`"));
        }
        let timeout = url.take_ms("timeout_ms")?.unwrap_or(TIMEOUT);
        if timeout.is_zero() {
            return Err(wrong("`timeout_ms=0`: the value must be 1 or more"));
        }
        url.finish(&PARAMETERS)?;
        let tls = match tls.unwrap_or(ca.is_some()) {
            true => Some(believed(ca).await?),
            false => None,
        };
        let addresses = url.addresses(PORT);
        Ok(Self { addresses, credentials, keyspace, replication, dc, consistency, serial, tls, timeout })
    }
}

async fn believed(ca: Option<PathBuf>) -> Result<Arc<ClientConfig>> {
    let read = tokio::task::spawn_blocking(move || tls::client(ca.as_deref())).await;
    read.map_err(|e| Error::new(ErrorKind::Unavailable, e))?
}

/// Only a majority: two that overlap in no node would answer with an older state than what was acknowledged.
fn consistency(name: Option<&str>) -> Result<(Consistency, SerialConsistency)> {
    match name.unwrap_or("LOCAL_QUORUM") {
        "LOCAL_QUORUM" => Ok((Consistency::LocalQuorum, SerialConsistency::LocalSerial)),
        "QUORUM" => Ok((Consistency::Quorum, SerialConsistency::Serial)),
        "ALL" => Ok((Consistency::All, SerialConsistency::Serial)),
        other => Err(wrong(format!(
            "`consistency={other}`: the value must be LOCAL_QUORUM, QUORUM or ALL, for with less a read may not \
             see what was acknowledged"
        ))),
    }
}

fn is_keyspace(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// It stands in a statement between quotes.
fn is_datacenter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(url: &str) -> Result<Settings> {
        Settings::of(EngineUrl::parse(url).unwrap()).await
    }

    #[tokio::test]
    async fn a_url_says_all_of_it() {
        let plain = of("cassandra://a,b:1").await.unwrap();
        assert_eq!(plain.addresses, ["a:9042", "b:1"]);
        assert_eq!((plain.keyspace.as_str(), plain.credentials, plain.replication), ("chat4all", None, None));
        assert_eq!(
            (plain.consistency, plain.serial),
            (Consistency::LocalQuorum, SerialConsistency::LocalSerial)
        );
        assert!(plain.tls.is_none());
        let url =
            "cassandra://me:hush@a/x_1?replication=5&dc=eu-1&consistency=QUORUM&tls=true&timeout_ms=4000";
        let full = of(url).await.unwrap();
        assert_eq!(full.credentials, Some(("me".to_owned(), "hush".to_owned())));
        assert_eq!(
            (full.keyspace.as_str(), full.replication, full.dc.as_deref()),
            ("x_1", Some(5), Some("eu-1"))
        );
        assert_eq!((full.consistency, full.timeout), (Consistency::Quorum, Duration::from_secs(4)));
        assert!(full.tls.is_some());
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        for (url, words) in [
            ("scylla://a", "write `cassandra://`"),
            ("cassandra://a/Chat", "no keyspace"),
            ("cassandra://a/1x", "no keyspace"),
            ("cassandra://me@a", "belong together"),
            ("cassandra://a?replication=0", "1 or more"),
            ("cassandra://a?replication=x", "1 or more"),
            ("cassandra://a?dc=it's", "name of a datacenter"),
            ("cassandra://a?consistency=ONE", "LOCAL_QUORUM, QUORUM or ALL"),
            ("cassandra://a?tls=maybe", "true or false"),
            ("cassandra://a?tls=false&ca=x", "of no use"),
            ("cassandra://a?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("cassandra://a?timeout_ms=0", "1 or more"),
            ("cassandra://a?keyspace=x", "`keyspace` is no parameter of cassandra"),
        ] {
            let error = of(url).await.err().unwrap();
            assert_eq!(error.kind, ErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
    }
}
