//! What the URL of a bus on Redis says.

use super::address::Address;
use crate::address::EngineUrl;
use crate::{Error, ErrorKind, Result};
use redis::{ProtocolVersion, RedisConnectionInfo};
use std::path::PathBuf;
use std::time::Duration;

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const PREFIX: &str = "chat4all:";
const TIMEOUT: Duration = Duration::from_secs(1);

/// A URL, understood.
pub(super) struct Settings {
    pub(super) shape: Shape,
    /// As whom a server is spoken to, and in which database.
    pub(super) login: RedisConnectionInfo,
    /// Before every key and channel.
    pub(super) prefix: String,
    /// How long a call may take.
    pub(super) timeout: Duration,
    /// Whom to believe; none without TLS.
    pub(super) tls: Option<Believed>,
}

/// How the servers stand to each other.
pub(super) enum Shape {
    One(Address),
    Sentinel { sentinels: Vec<Address>, login: RedisConnectionInfo, master: String },
    Cluster { seeds: Vec<Address> },
}

/// Which certificates are believed.
pub(super) enum Believed {
    OfTheSystem,
    In(PathBuf),
}

impl Settings {
    pub(super) fn read(mut url: EngineUrl) -> Result<Self> {
        let scheme = url.scheme().to_owned();
        let (protocol, shape) = scheme.split_once('+').unwrap_or((&scheme, ""));
        let mut known = vec!["prefix", "timeout_ms"];
        let tls = match protocol {
            "redis" => None,
            "rediss" => {
                known.push("ca");
                Some(url.take("ca").map_or(Believed::OfTheSystem, |ca| Believed::In(ca.into())))
            }
            _ => return Err(unknown(&scheme)),
        };
        let (shape, db) = match shape {
            "" => one(&url)?,
            "sentinel" => {
                known.extend(["db", "sentinel_user", "sentinel_password"]);
                sentinel(&mut url)?
            }
            "cluster" => cluster(&url)?,
            _ => return Err(unknown(&scheme)),
        };
        let login = login(url.user(), url.password(), db)?;
        let prefix = url.take("prefix").unwrap_or_else(|| PREFIX.to_owned());
        let timeout = url.take_ms("timeout_ms")?.unwrap_or(TIMEOUT);
        if timeout.is_zero() {
            return Err(wrong("`timeout_ms=0`: a call needs some time"));
        }
        url.finish(&known)?;
        Ok(Self { shape, login, prefix, timeout, tls })
    }
}

fn one(url: &EngineUrl) -> Result<(Shape, i64)> {
    let [address] = <[Address; 1]>::try_from(addresses(url, SERVER_PORT)).map_err(|all| {
        wrong(format!(
            "{} servers: several belong to `{scheme}+sentinel://…/MASTER` or `{scheme}+cluster://…`",
            all.len(),
            scheme = url.scheme()
        ))
    })?;
    let db = if url.path().is_empty() { 0 } else { database(url.path())? };
    Ok((Shape::One(address), db))
}

fn sentinel(url: &mut EngineUrl) -> Result<(Shape, i64)> {
    if url.path().is_empty() {
        return Err(wrong(format!(
            "the master's name is missing: write `{}://host:port,…/MASTER`, as the Sentinels know it",
            url.scheme()
        )));
    }
    let (user, password) = (url.take("sentinel_user"), url.take("sentinel_password"));
    let login = login(user.as_deref(), password.as_deref(), 0)?;
    let db = url.take("db").map_or(Ok(0), |db| database(&db))?;
    let master = url.path().to_owned();
    Ok((Shape::Sentinel { sentinels: addresses(url, SENTINEL_PORT), login, master }, db))
}

fn cluster(url: &EngineUrl) -> Result<(Shape, i64)> {
    if !url.path().is_empty() {
        return Err(wrong(format!("`/{}`: a Cluster has no databases", url.path())));
    }
    Ok((Shape::Cluster { seeds: addresses(url, SERVER_PORT) }, 0))
}

fn addresses(url: &EngineUrl, port: u16) -> Vec<Address> {
    url.hosts(port).into_iter().map(|(host, port)| Address { host, port }).collect()
}

fn database(text: &str) -> Result<i64> {
    let number = text.parse().ok().filter(|db| *db >= 0);
    number.ok_or_else(|| wrong(format!("`{text}` is no number of a database")))
}

fn login(user: Option<&str>, password: Option<&str>, db: i64) -> Result<RedisConnectionInfo> {
    // RESP3: what is published arrives beside the answers of one connection, which can be asked whether it lives.
    let login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(db);
    match (user, password) {
        (Some(user), Some(password)) => Ok(login.set_username(user).set_password(password)),
        (None, Some(password)) => Ok(login.set_password(password)),
        (None, None) => Ok(login),
        (Some(user), None) => {
            Err(wrong(format!("user `{user}` has no password; without a user: `:password@`")))
        }
    }
}

fn unknown(scheme: &str) -> Error {
    wrong(format!(
        "`{scheme}` is no scheme of Redis; there are `redis`, `redis+sentinel`, `redis+cluster`, and with TLS \
         `rediss`, `rediss+sentinel`, `rediss+cluster`"
    ))
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::read(EngineUrl::parse(text)?)
    }

    #[test]
    fn a_server_is_named() {
        let settings = read("rediss://me:hush@h/3?prefix=x:&timeout_ms=250&ca=/c.pem").unwrap();
        assert!(matches!(&settings.shape, Shape::One(address) if address.to_string() == "h:6379"));
        assert_eq!(settings.login.username(), Some("me"));
        assert_eq!((settings.login.password(), settings.login.db()), (Some("hush"), 3));
        assert_eq!((settings.prefix.as_str(), settings.timeout), ("x:", Duration::from_millis(250)));
        assert!(matches!(settings.tls, Some(Believed::In(path)) if path.as_os_str() == "/c.pem"));
        let plain = read("redis://h").unwrap();
        assert_eq!((plain.login.db(), plain.prefix.as_str(), plain.timeout), (0, PREFIX, TIMEOUT));
        assert!(plain.tls.is_none());
    }

    #[test]
    fn sentinels_and_clusters_are_named() {
        let settings = read("redis+sentinel://:p@a,b:1/m?db=2&sentinel_password=s").unwrap();
        let Shape::Sentinel { sentinels, login, master } = settings.shape else { panic!() };
        assert_eq!(sentinels.iter().map(Address::to_string).collect::<Vec<_>>(), ["a:26379", "b:1"]);
        assert_eq!((login.password(), master.as_str()), (Some("s"), "m"));
        assert_eq!((settings.login.password(), settings.login.db()), (Some("p"), 2));
        let settings = read("rediss+cluster://a,[::1]:1").unwrap();
        let Shape::Cluster { seeds } = settings.shape else { panic!() };
        assert_eq!(seeds.iter().map(Address::to_string).collect::<Vec<_>>(), ["a:6379", "[::1]:1"]);
        assert!(matches!(settings.tls, Some(Believed::OfTheSystem)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("valkey://h", "`valkey` is no scheme"),
            ("redis+ring://h", "`redis+ring` is no scheme"),
            ("redis://a,b", "`redis+cluster://"),
            ("redis://h/x", "`x` is no number of a database"),
            ("redis://h/-1", "no number of a database"),
            ("redis+sentinel://h", "the master's name is missing"),
            ("redis+cluster://h/1", "a Cluster has no databases"),
            ("redis://me@h", "has no password"),
            ("redis://h?timeout_ms=0", "needs some time"),
            ("redis://h?ca=x", "`ca` is no parameter"),
            ("redis://h?db=1", "`db` is no parameter"),
            ("redis://h?prefx=1", "`prefix`"),
        ] {
            let error = read(text).map(|_| ()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}
