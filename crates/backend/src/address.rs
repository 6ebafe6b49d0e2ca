//! Where an engine is: `scheme://user:password@host:port,host:port/path?parameter=value`.
//!
//! Every distributed engine is named by one such URL. User, password, path and values are percent-encoded. A parameter
//! that an engine does not know is refused by name, so that a misspelt one is not silently without effect.

use crate::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An engine's URL, taken apart. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineUrl {
    scheme: String,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, Option<u16>)>,
    path: String,
    parameters: BTreeMap<String, String>,
}

impl EngineUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Invalid`, saying what is wrong with it; its password is never in the message.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong("it is no URL: write `scheme://host:port`"))?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        let (user, password) = match credentials {
            Some(both) => {
                let (user, password) = both.split_once(':').map_or((both, None), |(u, p)| (u, Some(p)));
                (Some(user).filter(|user| !user.is_empty()), password)
            }
            None => (None, None),
        };
        let decode = |what: &str, text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned).map_err(|_| wrong(format!("its {what} is not UTF-8")))
        };
        let mut parameters = BTreeMap::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| wrong(format!("parameter `{pair}` has no value")))?;
            if parameters.insert(decode("query", name)?, decode("query", value)?).is_some() {
                return Err(wrong(format!("parameter `{name}` is there twice")));
            }
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            user: user.map(|user| decode("user", user)).transpose()?,
            password: password.map(|password| decode("password", password)).transpose()?,
            hosts: hosts.split(',').map(host).collect::<Result<_>>()?,
            path: decode("path", path)?,
            parameters,
        })
    }

    /// Before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Who signs in; none without credentials.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// With what. Never to be logged.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The hosts with their ports, `default_port` where none is given. At least one.
    #[must_use]
    pub fn hosts(&self, default_port: u16) -> Vec<(String, u16)> {
        self.hosts.iter().map(|(host, port)| (host.clone(), port.unwrap_or(default_port))).collect()
    }

    /// The same as `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn addresses(&self, default_port: u16) -> Vec<String> {
        let address = |(host, port): (String, u16)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        self.hosts(default_port).into_iter().map(address).collect()
    }

    /// Behind the first `/`, without it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes a parameter out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// Takes a parameter out and reads it.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter and what it should be.
    pub fn take_as<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>> {
        let read = |value: String| {
            value.parse().map_err(|_| wrong(format!("`{name}={value}`: the value must be {what}")))
        };
        self.take(name).map(read).transpose()
    }

    /// Takes a length of time in milliseconds out.
    ///
    /// # Errors
    /// As [`take_as`](Self::take_as).
    pub fn take_ms(&mut self, name: &str) -> Result<Option<Duration>> {
        Ok(self.take_as(name, "a number of milliseconds")?.map(Duration::from_millis))
    }

    /// To be called when all known parameters are taken.
    ///
    /// # Errors
    /// `Invalid`, naming a parameter that is left, and `known` ones.
    pub fn finish(&self, known: &[&str]) -> Result<()> {
        match self.parameters.keys().next() {
            None => Ok(()),
            Some(name) => {
                let known = known.join("`, `");
                Err(wrong(format!("`{name}` is no parameter of {}; there are `{known}`", self.scheme)))
            }
        }
    }
}

/// A URL as it may be shown: what stands for the password is replaced, whether it can be read or not.
#[must_use]
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password may hold what ends the authority if it was not encoded: the last `@` counts.
    let end = rest.rfind('@').map_or(end, |at| end.max(at));
    match rest[..end].rsplit_once('@') {
        Some((credentials, _)) => {
            let user = credentials.split_once(':').map_or(credentials, |(user, _)| user);
            format!("{scheme}://{user}:********@{}", &rest[credentials.len() + 1..])
        }
        None => url.to_owned(),
    }
}

fn host(text: &str) -> Result<(String, Option<u16>)> {
    let port = |text: &str| {
        text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| wrong(format!("`{text}` is no port")))
    };
    let (host, rest) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(wrong(match text {
            "" => "a host is missing: write `host:port`, several with commas between them".to_owned(),
            text => format!("`{text}` is no host"),
        }));
    }
    Ok((host.to_owned(), rest.map(port).transpose()?))
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into())
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        let hosts = self.hosts.iter().map(|(host, port)| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        });
        f.write_str(&hosts.collect::<Vec<_>>().join(","))?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        let error = EngineUrl::parse(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn a_url_is_taken_apart() {
        let mut url =
            EngineUrl::parse("kafka://me:p%40ss@a:1,b,[::1]:3/x%2Fy?ca=%2Fetc%2Fca.pem&n=7").unwrap();
        assert_eq!((url.scheme(), url.user(), url.password()), ("kafka", Some("me"), Some("p@ss")));
        assert_eq!(url.addresses(9), ["a:1", "b:9", "[::1]:3"]);
        assert_eq!(url.path(), "x/y");
        assert!(url.finish(&["ca", "n"]).unwrap_err().to_string().contains("`ca`"));
        assert_eq!(url.take("ca").as_deref(), Some("/etc/ca.pem"));
        assert_eq!(url.take_as::<u32>("n", "a number").unwrap(), Some(7));
        url.finish(&[]).unwrap();
        let plain = EngineUrl::parse("redis://:secret@h").unwrap();
        assert_eq!((plain.user(), plain.password(), plain.path()), (None, Some("secret"), ""));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("localhost:9092", "no URL"),
            ("kafka://", "a host is missing"),
            ("kafka://a,,b", "a host is missing"),
            ("kafka://a:0", "`0` is no port"),
            ("kafka://a:99999", "no port"),
            ("kafka://a b", "no host"),
            ("kafka://a?x", "`x` has no value"),
            ("kafka://a?x=1&x=2", "twice"),
            ("kafka://%ff@a", "not UTF-8"),
        ] {
            assert!(why(text).contains(words), "{text}: {}", why(text));
        }
        let mut url = EngineUrl::parse("a://h?n=x").unwrap();
        let error = url.take_ms("n").unwrap_err().to_string();
        assert!(error.contains("`n=x`") && error.contains("milliseconds"), "{error}");
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = EngineUrl::parse("postgres://me:hush@h:1/db?x=hush").unwrap();
        assert_eq!(url.to_string(), "postgres://me@h:1/db");
        assert!(!format!("{url:?}").contains("hush"));
        assert!(!why("postgres://me:hush@h:x").contains("hush"));
        assert_eq!(masked("postgres://me:hu/sh@h:1/db?a=b"), "postgres://me:********@h:1/db?a=b");
        assert_eq!(masked("redis://h/0?x=1"), "redis://h/0?x=1");
        assert_eq!(masked("embedded"), "embedded");
    }
}
