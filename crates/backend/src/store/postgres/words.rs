//! Choices as they stand in columns, for people too.

use crate::{Error, ErrorKind, Result};
use chat4all_model::api::{History, Role};
use chat4all_model::command::Marker;

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

pub(super) fn to_role(word: &str) -> Result<Role> {
    match word {
        "admin" => Ok(Role::Admin),
        "member" => Ok(Role::Member),
        other => Err(unknown(other)),
    }
}

pub(super) fn history(history: History) -> &'static str {
    match history {
        History::Joined => "joined",
        History::All => "all",
    }
}

pub(super) fn to_history(word: &str) -> Result<History> {
    match word {
        "joined" => Ok(History::Joined),
        "all" => Ok(History::All),
        other => Err(unknown(other)),
    }
}

pub(super) fn marker(marker: Marker) -> &'static str {
    match marker {
        Marker::Delivered => "delivered",
        Marker::Read => "read",
    }
}

pub(super) fn to_marker(word: &str) -> Result<Marker> {
    match word {
        "delivered" => Ok(Marker::Delivered),
        "read" => Ok(Marker::Read),
        other => Err(unknown(other)),
    }
}

fn unknown(word: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{word}` in a row of the store is nothing that is known"))
}
