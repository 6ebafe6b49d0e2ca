//! A keep-alive HTTP/1.1 client for one connection, with no more than the benchmark needs.

use crate::Result;
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// An answer without a complete head or body at this size is a fault.
const MAX_BUFFERED: usize = 16 << 20;

/// One connection, one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

/// A request; what is not there is not sent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
    /// JSON.
    pub(crate) body: Option<&'a [u8]>,
}

/// The answer, until the next request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, out: Vec::new(), buffer: Vec::new() })
    }

    pub(crate) async fn send(&mut self, request: Request<'_>) -> Result<Answer<'_>> {
        self.out.clear();
        write_request(&mut self.out, self.address, request)?;
        self.stream.write_all(&self.out).await?;
        self.buffer.clear();
        loop {
            self.buffer.reserve(1024);
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(head) = Head::parse(&self.buffer)?
                && self.buffer.len() >= head.body + head.length
            {
                let body = self.buffer.get(head.body..head.body + head.length).unwrap_or_default();
                return Ok(Answer { status: head.status, body });
            }
            if self.buffer.len() > MAX_BUFFERED {
                return Err("an answer without end".into());
            }
        }
    }
}

fn write_request(out: &mut Vec<u8>, address: SocketAddr, request: Request<'_>) -> Result<()> {
    use std::io::Write;
    write!(out, "{} {} HTTP/1.1\r\nHost: {address}\r\n", request.method, request.path)?;
    if let Some(token) = request.token {
        write!(out, "Authorization: Bearer {token}\r\n")?;
    }
    if let Some(key) = request.idempotency_key {
        write!(out, "Idempotency-Key: {key}\r\n")?;
    }
    if let Some(body) = request.body {
        write!(out, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())?;
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(request.body.unwrap_or_default());
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    length: usize,
}

impl Head {
    fn parse(buffer: &[u8]) -> Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().parse()?;
        let mut length = None;
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            }
        }
        let length = match length {
            Some(length) => length,
            None if status == 204 || status == 304 => 0,
            None => return Err("an answer without Content-Length".into()),
        };
        Ok(Some(Self { status, body: end + 4, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let full = b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\nX-Other: a\r\n\r\nhello";
        assert_eq!(Head::parse(full).unwrap(), Some(Head { status: 202, body: full.len() - 5, length: 5 }));
        assert_eq!(Head::parse(&full[..30]).unwrap(), None);
        assert_eq!(Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().length, 0);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"rubbish\r\n\r\n").is_err());
    }
}
