//! The cursor: one position per partition of `events`, sealed for one user.

use crate::id::{ConversationId, UserId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

/// How far a client has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The log's incarnation.
    pub epoch: u32,
    /// Per partition, the offset after the last record given.
    pub next: Vec<u64>,
    /// Where a catch-up from the store stands, if it has further pages.
    pub page: Option<Page>,
}

/// An unfinished catch-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Where it ends, as `next` counts.
    pub to: Vec<u64>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a catch-up has come: events of one conversation after another, then what has no `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// In the events of a conversation.
    Events {
        /// Which; none before the first.
        conversation: Option<ConversationId>,
        /// The last `seq` given of it.
        seq: u64,
    },
    /// In the user's own markers and settings.
    Own {
        /// Of which partition.
        partition: u32,
        /// The last position given.
        after: u64,
    },
    /// In the user's refused commands.
    Rejections {
        /// Of which partition.
        partition: u32,
        /// The last position given.
        after: u64,
    },
}

/// A cursor that cannot be served: forged, another user's, or of a form no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the cursor is not one of this server's for this user; take a snapshot")]
pub struct BadCursor;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 12;

/// Seals and opens cursors with a secret key.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

impl CursorKey {
    /// A key of 32 secret bytes, the same in every process.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The cursor as `user` is given it.
    #[must_use]
    pub fn seal(&self, cursor: &Cursor, user: &UserId) -> String {
        let mut bytes = postcard::to_extend(cursor, vec![VERSION]).unwrap_or_default();
        let mac = self.mac(&bytes, user);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what `user` brings.
    ///
    /// # Errors
    /// [`BadCursor`] if it was not sealed for this user by this key.
    pub fn open(&self, text: &str, user: &UserId) -> Result<Cursor, BadCursor> {
        // Positions are at most ten bytes each; anything longer is nothing of ours.
        if text.len() > 16_384 {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let at = bytes.len().checked_sub(MAC_BYTES).ok_or(BadCursor)?;
        let (body, mac) = bytes.split_at(at);
        let mut expected = self.mac_of(body, user);
        expected.update(&[]);
        expected.verify_truncated_left(mac).map_err(|_| BadCursor)?;
        match body.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| BadCursor),
            _ => Err(BadCursor),
        }
    }

    fn mac_of(&self, body: &[u8], user: &UserId) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length");
        mac.update(&(body.len() as u64).to_le_bytes());
        mac.update(body);
        mac.update(user.as_str().as_bytes());
        mac
    }

    fn mac(&self, body: &[u8], user: &UserId) -> [u8; MAC_BYTES] {
        let full = self.mac_of(body, user).finalize().into_bytes();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&full[..MAC_BYTES]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_user_opens_a_cursor() {
        let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
        let key = CursorKey::new([7; 32]);
        let conversation = Some(ConversationId::parse("g:1").unwrap());
        let page = Page { to: vec![9, 9], stage: Stage::Events { conversation, seq: 4 } };
        let cursor = Cursor { epoch: 1, next: vec![3, u64::MAX], page: Some(page) };
        let sealed = key.seal(&cursor, &alice);
        assert_eq!(key.open(&sealed, &alice), Ok(cursor));
        assert_eq!(key.open(&sealed, &bob), Err(BadCursor));
        assert_eq!(CursorKey::new([8; 32]).open(&sealed, &alice), Err(BadCursor));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.open(std::str::from_utf8(&forged).unwrap(), &alice), Err(BadCursor), "byte {at}");
        }
        for rubbish in ["", "A", "é", &"A".repeat(20_000)] {
            assert_eq!(key.open(rubbish, &alice), Err(BadCursor));
        }
    }
}
