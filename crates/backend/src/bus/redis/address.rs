//! Where a server is.

use std::fmt;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// As a server writes it: `host:port`, an IPv6 address without brackets. A server that leaves its host out, or
    /// does not know it, means the one that was asked.
    pub(super) fn read(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::given(host, port.parse().ok()?, asked))
    }

    /// As [`read`](Self::read), in two parts.
    pub(super) fn given(host: &str, port: u16, asked: &Self) -> Self {
        let host = if matches!(host, "" | "?") { &asked.host } else { host };
        Self { host: host.to_owned(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_leave_its_host_out() {
        let asked = Address { host: "::1".to_owned(), port: 1 };
        let read = |text: &str| Address::read(text, &asked).map(|address| address.to_string());
        assert_eq!(read("10.0.0.1:7").as_deref(), Some("10.0.0.1:7"));
        assert_eq!(read("fe80::1:7").as_deref(), Some("[fe80::1]:7"));
        assert_eq!(read(":7").as_deref(), Some("[::1]:7"));
        assert_eq!(read("?:7").as_deref(), Some("[::1]:7"));
        assert_eq!(read("h:x"), None);
        assert_eq!(read("h"), None);
    }
}
