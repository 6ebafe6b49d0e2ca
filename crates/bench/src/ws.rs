//! A WebSocket client cheap enough that thousands of them fit on one thread beside the server under test.

use crate::Result;
use crate::frame::{self, Opcode};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;

/// A frame longer than this is taken for a fault of the server.
const MAX_BUFFERED: usize = 4 << 20;

/// The receiving side of a socket, held by its one task.
pub(crate) struct Reader {
    writer: Writer,
    buffer: Vec<u8>,
    parsed: usize,
}

/// The sending side; clones write to the same socket.
#[derive(Clone)]
pub(crate) struct Writer {
    stream: Rc<TcpStream>,
    pending: Rc<RefCell<Vec<u8>>>,
}

/// Opens `/ws`, resuming after `cursor` if there is one.
pub(crate) async fn connect(address: SocketAddr, token: &str, cursor: Option<&str>) -> Result<Reader> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let query = cursor.map_or(String::new(), |cursor| format!("?cursor={}", percent_encode(cursor)));
    let request = format!(
        "GET /ws{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    let writer = Writer { stream: Rc::new(stream), pending: Rc::new(RefCell::new(request.into_bytes())) };
    writer.flush().await?;
    let mut reader = Reader { writer, buffer: Vec::new(), parsed: 0 };
    loop {
        reader.read().await?;
        if let Some(end) = reader.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            if !reader.buffer.starts_with(b"HTTP/1.1 101") {
                let answer = String::from_utf8_lossy(&reader.buffer).into_owned();
                return Err(format!("the upgrade was refused: {answer}").into());
            }
            reader.parsed = end + 4;
            return Ok(reader);
        }
    }
}

impl Reader {
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Waits for bytes and takes what one read gives. The end of the stream is an error.
    pub(crate) async fn read(&mut self) -> Result<()> {
        if self.parsed == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.parsed);
        }
        self.parsed = 0;
        if self.buffer.len() > MAX_BUFFERED {
            return Err("a frame without end".into());
        }
        self.buffer.reserve(if self.buffer.capacity() == 0 { 512 } else { 8192 });
        loop {
            self.writer.stream.readable().await?;
            match self.writer.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next text frame of what was read. Pings are answered with the next flush; a close frame is an error.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            let rest = self.buffer.get(self.parsed..).unwrap_or_default();
            let Some(found) = frame::parse(rest)? else { return Ok(None) };
            let payload = self.parsed + found.payload.start..self.parsed + found.payload.end;
            self.parsed = payload.end;
            let bytes = self.buffer.get(payload.clone()).unwrap_or_default();
            match found.opcode {
                Opcode::Text => return Ok(self.buffer.get(payload)),
                Opcode::Ping => self.writer.queue(Opcode::Pong, &[bytes]),
                Opcode::Pong => {}
                Opcode::Close => {
                    let code = bytes.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                    return Err(format!("the server closed the socket with {code}").into());
                }
            }
        }
    }

    /// Reads until a frame of this type has come; gives its payload.
    pub(crate) async fn wait_for(&mut self, kind: &[u8]) -> Result<Vec<u8>> {
        loop {
            while let Some(payload) = self.next()? {
                if frame::kind(payload) == kind {
                    return Ok(payload.to_vec());
                }
            }
            self.writer.flush().await?;
            self.read().await?;
        }
    }
}

impl Writer {
    /// Queues a frame; `flush` or `try_flush` sends it.
    pub(crate) fn queue(&self, opcode: Opcode, parts: &[&[u8]]) {
        frame::write(&mut self.pending.borrow_mut(), opcode, parts);
    }

    /// Sends what the kernel takes at once; true when nothing is left.
    pub(crate) fn try_flush(&self) -> Result<bool> {
        let mut pending = self.pending.borrow_mut();
        while !pending.is_empty() {
            match self.stream.try_write(&pending) {
                Ok(sent) if sent == pending.len() => pending.clear(),
                Ok(sent) => drop(pending.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Sends all that is queued.
    pub(crate) async fn flush(&self) -> Result<()> {
        while !self.try_flush()? {
            self.stream.writable().await?;
        }
        Ok(())
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_query() {
        assert_eq!(percent_encode("aZ0-_.~"), "aZ0-_.~");
        assert_eq!(percent_encode("a+/=&"), "a%2B%2F%3D%26");
    }
}
