//! WebSocket frames at the least cost: parsed where they lie, searched rather than decoded.
//!
//! Client frames are masked, as RFC 6455 asks, with the key 0: the payload is sent as it is.

use crate::Result;
use std::ops::Range;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Ping,
    Pong,
    Close,
}

/// A frame found at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) opcode: Opcode,
    /// Where the payload lies in the buffer.
    pub(crate) payload: Range<usize>,
}

/// The frame at the start of `buffer`, or none while it is not complete. Its end is the end of its payload.
pub(crate) fn parse(buffer: &[u8]) -> Result<Option<Found>> {
    let [first, second, ..] = *buffer else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        return Err(format!("a frame in fragments or with reserved bits: {first:#04x}").into());
    }
    let opcode = match first & 0x0f {
        1 => Opcode::Text,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(format!("opcode {other} from the server").into()),
    };
    if second & 0x80 != 0 {
        return Err("a masked frame from the server".into());
    }
    let (head, length) = match second {
        126 => match buffer.get(2..4) {
            Some(&[a, b]) => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return Ok(None),
        },
        127 => match buffer.get(2..10) {
            Some(&[a, b, c, d, e, f, g, h]) => {
                (10, usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h]))?)
            }
            _ => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    let end = head + length;
    Ok((buffer.len() >= end).then_some(Found { opcode, payload: head..end }))
}

/// Appends one masked client frame.
pub(crate) fn write(out: &mut Vec<u8>, opcode: Opcode, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(match opcode {
        Opcode::Text => 0x81,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8a,
    });
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// What follows the first `needle`. A quote inside a JSON string is escaped, so `"key":` never matches in one.
pub(crate) fn after<'a, const N: usize>(hay: &'a [u8], needle: &[u8; N]) -> Option<&'a [u8]> {
    let at = hay.windows(N).position(|window| window == needle)?;
    hay.get(at + N..)
}

/// The value of `"type"`.
pub(crate) fn kind(payload: &[u8]) -> &[u8] {
    const KEY: &[u8; 9] = b"{\"type\":\"";
    let value = payload.strip_prefix(KEY).or_else(|| after(payload, b"\"type\":\"")).unwrap_or_default();
    until_quote(value)
}

/// The number that follows `key`, which ends in a colon.
pub(crate) fn number<const N: usize>(payload: &[u8], key: &[u8; N]) -> Option<u64> {
    let digits = after(payload, key)?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()
}

/// The string that follows `key`, which ends in `:"`. Only for values without escapes, such as ids and cursors.
pub(crate) fn text<'a, const N: usize>(payload: &'a [u8], key: &[u8; N]) -> Option<&'a str> {
    std::str::from_utf8(until_quote(after(payload, key)?)).ok()
}

fn until_quote(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|byte| *byte == b'"').unwrap_or(value.len());
    value.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        write(&mut masked, Opcode::Text, &[payload]);
        // Without the mask bit and the key it is what a server sends.
        masked[1] &= 0x7f;
        let head = masked.len() - payload.len();
        masked.drain(head - 4..head);
        masked
    }

    #[test]
    fn frames_of_every_length_are_found() {
        for length in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
            let payload = vec![b'x'; length];
            let frame = server_frame(&payload);
            let found = parse(&frame).unwrap().unwrap();
            assert_eq!(found.opcode, Opcode::Text);
            assert_eq!(frame[found.payload.clone()], payload[..]);
            assert_eq!(found.payload.end, frame.len());
        }
    }

    #[test]
    fn an_incomplete_frame_waits_for_the_rest() {
        let frame = server_frame(&[b'x'; 300]);
        for cut in 0..frame.len() {
            assert_eq!(parse(&frame[..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        assert!(parse(&[0x01, 0x00]).is_err(), "a fragment");
        assert!(parse(&[0x81, 0x80, 0, 0, 0, 0]).is_err(), "masked");
        assert!(parse(&[0x82, 0x00]).is_err(), "binary");
    }

    #[test]
    fn a_client_frame_is_masked_with_zero() {
        let mut out = Vec::new();
        write(&mut out, Opcode::Text, &[b"ab", b"c"]);
        assert_eq!(out, [0x81, 0x83, 0, 0, 0, 0, b'a', b'b', b'c']);
    }

    #[test]
    fn fields_are_read_wherever_they_stand() {
        let frame = br#"{"type":"NEW_MESSAGE","conversation_id":"g:1","seq":4711,"content":"\"seq\":1","cursor":"abc"}"#;
        assert_eq!(kind(frame), b"NEW_MESSAGE");
        assert_eq!(number(frame, b"\"seq\":"), Some(4711));
        assert_eq!(text(frame, b"\"cursor\":\""), Some("abc"));
        assert_eq!(text(frame, b"\"client_id\":\""), None);
        let other = br#"{"content":"\"seq\":1","seq":2,"type":"ack"}"#;
        assert_eq!(kind(other), b"ack");
        assert_eq!(number(other, b"\"seq\":"), Some(2));
        assert_eq!(kind(b"rubbish"), b"");
    }
}
