//! Ids: opaque strings of 1-128 characters `A-Z a-z 0-9 _ . : @ + -`, told apart by type.

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use thiserror::Error;

/// The longest id, in characters.
pub const MAX_ID_LEN: usize = 128;

/// Why a string is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// Empty or over [`MAX_ID_LEN`].
    #[error("must have 1 to 128 characters")]
    Length,
    /// A character outside the alphabet.
    #[error("may hold only A-Z a-z 0-9 _ . : @ + -")]
    Character,
    /// The right alphabet, but not the form of this kind of id.
    #[error("is not an id of this kind")]
    Form,
}

fn check(s: &str) -> Result<(), IdError> {
    if s.is_empty() || s.len() > MAX_ID_LEN {
        return Err(IdError::Length);
    }
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"_.:@+-".contains(&b);
    if s.bytes().all(ok) { Ok(()) } else { Err(IdError::Character) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&s).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// A person or a bot (`UUIDv7`), never an address on another platform.
    UserId
}

impl UserId {
    /// Reads a user's id.
    ///
    /// # Errors
    /// If it has the wrong length or alphabet, or a `:` (which makes it a platform's address).
    pub fn parse(s: &str) -> Result<Self, IdError> {
        check(s)?;
        if s.contains(':') { Err(IdError::Form) } else { Ok(Self(s.into())) }
    }
}

text_id! {
    /// A conversation: `d:<smaller user>:<larger user>`, `g:<uuid>`, `g:<creator>:<chosen>` or `c:<account>:<address>`.
    ConversationId
}

/// What a conversation's id says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationKind {
    /// The two people it is between for ever.
    Direct(UserId, UserId),
    /// A group.
    Group,
    /// An address (`whatsapp:…`, `instagram:…`) as one account talks with it.
    Channel {
        /// Whose channel it is.
        account: UserId,
        /// The address on the platform.
        address: Arc<str>,
    },
}

impl ConversationId {
    /// Reads a conversation's id.
    ///
    /// # Errors
    /// If it has the wrong length, alphabet or form.
    pub fn parse(s: &str) -> Result<Self, IdError> {
        check(s)?;
        let id = Self(s.into());
        id.split().map(|_| id.clone()).ok_or(IdError::Form)
    }

    /// The one direct conversation of two people; none of somebody with himself.
    #[must_use]
    pub fn direct(a: &UserId, b: &UserId) -> Option<Self> {
        let (small, large) = if a < b { (a, b) } else { (b, a) };
        (a != b).then(|| Self(format!("d:{small}:{large}").into()))
    }

    /// A group named by the server with a fresh uuid.
    ///
    /// # Errors
    /// If `uuid` does not have an id's alphabet.
    pub fn group(uuid: &str) -> Result<Self, IdError> {
        Self::parse(&format!("g:{uuid}"))
    }

    /// A group named by its creator: nobody else can take or probe the name.
    ///
    /// # Errors
    /// If `chosen` is not `[A-Za-z0-9_-]{1,64}`.
    pub fn chosen_group(creator: &UserId, chosen: &str) -> Result<Self, IdError> {
        if chosen.is_empty() || chosen.len() > 64 {
            return Err(IdError::Length);
        }
        if !chosen.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(IdError::Character);
        }
        Self::parse(&format!("g:{creator}:{chosen}"))
    }

    /// The channel in which `account` talks with an address of another platform.
    ///
    /// # Errors
    /// If the address is not one of a known platform.
    pub fn channel(account: &UserId, address: &str) -> Result<Self, IdError> {
        Platform::of(address).ok_or(IdError::Form)?;
        Self::parse(&format!("c:{account}:{address}"))
    }

    /// Whose name for a group it is, if a creator chose it.
    #[must_use]
    pub fn chosen_by(&self) -> Option<&str> {
        self.0.strip_prefix("g:")?.split_once(':').map(|(creator, _)| creator)
    }

    /// Whom a message that `sender` writes here is for: the other person of a direct conversation, the address of
    /// a channel; none in a group.
    #[must_use]
    pub fn recipient(&self, sender: &UserId) -> Option<&str> {
        let (kind, rest) = self.0.split_once(':')?;
        let (first, second) = rest.split_once(':')?;
        match kind {
            "d" => Some(if sender.as_str() == first { second } else { first }),
            "c" => Some(second),
            _ => None,
        }
    }

    /// What the id says of the conversation.
    #[must_use]
    pub fn kind(&self) -> ConversationKind {
        self.split().unwrap_or(ConversationKind::Group)
    }

    fn split(&self) -> Option<ConversationKind> {
        let (kind, rest) = self.0.split_once(':')?;
        match kind {
            "d" => {
                let (a, b) = rest.split_once(':')?;
                let (a, b) = (UserId::parse(a).ok()?, UserId::parse(b).ok()?);
                (a < b).then_some(ConversationKind::Direct(a, b))
            }
            "g" => (!rest.is_empty() && rest.matches(':').count() <= 1).then_some(ConversationKind::Group),
            "c" => {
                let (account, address) = rest.split_once(':')?;
                Platform::of(address)?;
                Some(ConversationKind::Channel {
                    account: UserId::parse(account).ok()?,
                    address: address.into(),
                })
            }
            _ => None,
        }
    }

    /// The partition of this conversation's records: FNV-1a (64 bit) of the id's bytes, modulo their number.
    /// The same on every engine; changing it would part conversations from their logs.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        let hash = self
            .0
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
    }
}

/// Another platform that people can be written to on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// `whatsapp:<number>`
    Whatsapp,
    /// `instagram:<account>`
    Instagram,
}

impl Platform {
    /// The platform of an address, if it is one.
    #[must_use]
    pub fn of(address: &str) -> Option<Self> {
        let (prefix, rest) = address.split_once(':')?;
        let platform = match prefix {
            "whatsapp" => Self::Whatsapp,
            "instagram" => Self::Instagram,
            _ => return None,
        };
        (!rest.is_empty() && !rest.contains(':') && check(rest).is_ok()).then_some(platform)
    }
}

/// The id of a command, and of the message that a send makes: always derived, so that finding an idempotency
/// key is finding an id.
///
/// 16 bytes: 6 of the conversation's hash, so that the ids of one conversation lie together in an index, and 10
/// of everything. Written as 22 characters of unpadded base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// The id of what `actor` asked of `conversation` under an idempotency `key`; `kind` names the sort of command.
    #[must_use]
    pub fn derive(actor: &UserId, conversation: &ConversationId, kind: &str, key: &str) -> Self {
        let place = Sha256::digest(conversation.as_str().as_bytes());
        let all = hash_parts(&[actor.as_str(), conversation.as_str(), kind, key]);
        let mut id = [0; 16];
        id[..6].copy_from_slice(&place[..6]);
        id[6..].copy_from_slice(&all[..10]);
        Self(id)
    }

    /// The id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the written form.
    ///
    /// # Errors
    /// If it is not 22 characters of base64url.
    pub fn parse(s: &str) -> Result<Self, IdError> {
        use base64::Engine;
        if s.len() != 22 {
            return Err(IdError::Form);
        }
        let mut id = [0; 16];
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode_slice(s, &mut id)
            .map_err(|_| IdError::Form)?;
        if n == 16 { Ok(Self(id)) } else { Err(IdError::Form) }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::{display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let s = <std::borrow::Cow<'de, str>>::deserialize(d)?;
            Self::parse(&s).map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(d).map(Self)
        }
    }
}

/// SHA-256 over length-prefixed parts: no two lists of parts share an input.
#[must_use]
pub fn hash_parts(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The first 64 bits of SHA-256, to tell contents apart.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(s: &str) -> UserId {
        UserId::parse(s).unwrap()
    }

    #[test]
    fn a_direct_conversation_is_the_same_from_both_sides() {
        let (a, b) = (user("alice"), user("bob"));
        assert_eq!(ConversationId::direct(&a, &b), ConversationId::direct(&b, &a));
        assert_eq!(ConversationId::direct(&a, &a), None);
        assert_eq!(ConversationId::direct(&b, &a).unwrap().kind(), ConversationKind::Direct(a, b));
    }

    #[test]
    fn a_message_is_for_the_other_one_or_the_address() {
        let (a, b) = (user("alice"), user("bob"));
        let direct = ConversationId::direct(&a, &b).unwrap();
        assert_eq!((direct.recipient(&a), direct.recipient(&b)), (Some("bob"), Some("alice")));
        let channel = ConversationId::channel(&a, "whatsapp:+55").unwrap();
        assert_eq!(channel.recipient(&a), Some("whatsapp:+55"));
        assert_eq!(ConversationId::chosen_group(&a, "team").unwrap().recipient(&b), None);
    }

    #[test]
    fn forms_that_are_no_conversation_are_refused() {
        for bad in [
            "",
            "x",
            "d:b:a",
            "d:a:a",
            "d:a",
            "g:",
            "g:a:b:c",
            "c:a:b",
            "c:a:whatsapp:",
            "q:1",
            "g:ä",
            "g:a b",
        ] {
            assert!(ConversationId::parse(bad).is_err(), "{bad}");
        }
        for good in ["d:a:b", "g:1", "g:a:b", "c:a:whatsapp:+5511", "c:a:instagram:x"] {
            assert!(ConversationId::parse(good).is_ok(), "{good}");
        }
        assert!(ConversationId::parse(&format!("g:{}", "a".repeat(127))).is_err());
    }

    #[test]
    fn record_ids_differ_by_every_part_and_survive_writing() {
        let (a, c) = (user("a"), ConversationId::parse("g:1").unwrap());
        let id = RecordId::derive(&a, &c, "send", "k");
        assert_eq!(RecordId::parse(&id.to_string()), Ok(id));
        for other in [
            RecordId::derive(&user("b"), &c, "send", "k"),
            RecordId::derive(&a, &ConversationId::parse("g:2").unwrap(), "send", "k"),
            RecordId::derive(&a, &c, "edit", "k"),
            RecordId::derive(&a, &c, "send", "k2"),
        ] {
            assert_ne!(id, other);
        }
        assert!(RecordId::parse("AAAAAAAAAAAAAAAAAAAAA!").is_err());
    }

    #[test]
    fn partitions_never_move() {
        let id = |s| ConversationId::parse(s).unwrap();
        assert_eq!(id("g:1").partition(1), 0);
        assert_eq!([id("g:1").partition(4), id("g:2").partition(4), id("d:a:b").partition(32)], [3, 2, 10]);
    }
}
