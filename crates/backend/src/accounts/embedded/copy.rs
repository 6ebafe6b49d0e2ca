//! All that the file holds, page by page, and taking such pages over.

use super::super::{Credentials, Kept, MAX_ENTRIES, NewAccount, TokenHash};
use super::row::{self, ACCOUNT, ms, one, run, to_json};
use super::{cut, select_account};
use crate::sqlite::failed;
use crate::{Error, ErrorKind, Result};
use rusqlite::{Connection, Row, params};

/// What is kept of one kind.
struct Kind {
    name: &'static str,
    /// Columns, the first of them the key as text.
    columns: &'static str,
    /// From where: those whose key is greater than `?1`, by key, at most `?2`.
    from: &'static str,
    read: fn(&Row<'_>) -> rusqlite::Result<Kept>,
}

/// In the order in which they are given.
const KINDS: [Kind; 6] = [
    Kind {
        name: "account",
        columns: ACCOUNT,
        from: ", a.password_hash FROM accounts a WHERE a.user_id > ?1 ORDER BY a.user_id LIMIT ?2",
        read: |r| Ok(Kept::Account(Credentials { account: row::account(r)?, password_hash: r.get(12)? })),
    },
    Kind {
        name: "session",
        columns: "session_id, user_id, created_at, expires_at, ended_at",
        from: "FROM sessions WHERE session_id > ?1 ORDER BY session_id LIMIT ?2",
        read: |r| {
            Ok(Kept::Session {
                session_id: row::session(r, 0)?,
                user_id: row::user(r, 1)?,
                created_at: row::time(r, 2)?,
                expires_at: row::time(r, 3)?,
                ended_at: row::time_if_any(r, 4)?,
            })
        },
    },
    Kind {
        name: "key",
        columns: "hex(k.hash), k.hash, s.session_id, s.user_id, k.scopes",
        from: "FROM keys k JOIN sessions s ON s.session_id = k.session_id \
               WHERE k.hash > unhex(?1) ORDER BY k.hash LIMIT ?2",
        read: |r| {
            Ok(Kept::Key {
                hash: r.get::<_, TokenHash>(1)?,
                session_id: row::session(r, 2)?,
                user_id: row::user(r, 3)?,
                scopes: row::json(r, 4)?,
            })
        },
    },
    Kind {
        name: "token",
        columns: "hex(t.hash), t.hash, s.session_id, s.user_id, t.expires_at, t.spent_at",
        from: "FROM refresh_tokens t JOIN sessions s ON s.session_id = t.session_id \
               WHERE t.hash > unhex(?1) ORDER BY t.hash LIMIT ?2",
        read: |r| {
            Ok(Kept::Token {
                hash: r.get::<_, TokenHash>(1)?,
                session_id: row::session(r, 2)?,
                user_id: row::user(r, 3)?,
                expires_at: row::time(r, 4)?,
                spent_at: row::time_if_any(r, 5)?,
            })
        },
    },
    Kind {
        name: "invite",
        columns: "hex(hash), hash, expires_at, spent_by",
        from: "FROM invites WHERE hash > unhex(?1) ORDER BY hash LIMIT ?2",
        read: |r| {
            Ok(Kept::Invite {
                hash: r.get::<_, TokenHash>(1)?,
                expires_at: row::time(r, 2)?,
                spent_by: row::user_if_any(r, 3)?,
            })
        },
    },
    Kind {
        name: "audit",
        columns: "entry_id, at, actor, action, target, detail",
        from: "FROM audit WHERE entry_id > ?1 ORDER BY entry_id LIMIT ?2",
        read: |r| row::entry(r).map(Kept::Audit),
    },
];

/// A page, and where the next one begins: `<kind>:<key of the last>`.
pub(super) fn export(
    c: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Kept>, Option<String>)> {
    let unknown = || Error::new(ErrorKind::Invalid, "this is no place in the list of what is kept");
    let (name, after) = after.unwrap_or("account:").split_once(':').ok_or_else(unknown)?;
    let place = KINDS.iter().position(|kind| kind.name == name).ok_or_else(unknown)?;
    let Kind { columns, from, read, .. } = KINDS[place];
    let mut query = c.prepare_cached(&format!("SELECT {columns} {from}")).map_err(failed)?;
    let mut rows = query.query(params![after, cut(limit)]).map_err(failed)?;
    let (mut page, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next().map_err(failed)? {
        last = Some(row.get::<_, String>(0).map_err(failed)?);
        page.push(read(row).map_err(failed)?);
    }
    let next = match last {
        Some(last) if page.len() >= limit.min(MAX_ENTRIES) => Some(format!("{name}:{last}")),
        _ => KINDS.get(place + 1).map(|kind| format!("{}:", kind.name)),
    };
    Ok((page, next))
}

/// Writes what is not there yet.
pub(super) fn import(c: &Connection, kept: &Kept) -> Result<()> {
    match kept {
        Kept::Account(Credentials { account, password_hash }) => {
            let id = account.user_id.as_str();
            if one(c, &select_account("WHERE a.user_id = ?1"), [id], row::account)?.is_some() {
                return Ok(());
            }
            let (account, password_hash) = (account.clone(), password_hash.clone());
            row::insert_account(c, &NewAccount { account, password_hash, invite: None })
        }
        Kept::Session { session_id, user_id, created_at, expires_at, ended_at } => insert(
            c,
            "sessions (session_id, user_id, created_at, expires_at, ended_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                session_id.as_str(),
                user_id.as_str(),
                ms(*created_at),
                ms(*expires_at),
                ended_at.map(ms)
            ],
        ),
        Kept::Key { hash, session_id, scopes, .. } => insert(
            c,
            "keys (hash, session_id, scopes) VALUES (?1, ?2, ?3)",
            params![hash.as_slice(), session_id.as_str(), to_json(scopes)?],
        ),
        Kept::Token { hash, session_id, expires_at, spent_at, .. } => insert(
            c,
            "refresh_tokens (hash, session_id, expires_at, spent_at) VALUES (?1, ?2, ?3, ?4)",
            params![hash.as_slice(), session_id.as_str(), ms(*expires_at), spent_at.map(ms)],
        ),
        Kept::Invite { hash, expires_at, spent_by } => insert(
            c,
            "invites (hash, expires_at, spent_by) VALUES (?1, ?2, ?3)",
            params![hash.as_slice(), ms(*expires_at), spent_by.as_ref().map(|user| user.as_str())],
        ),
        Kept::Audit(entry) => insert(
            c,
            "audit (entry_id, at, actor, action, target, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![entry.entry_id, ms(entry.at), entry.actor, entry.action, entry.target, entry.detail],
        ),
    }
}

fn insert(c: &Connection, what: &str, params: impl rusqlite::Params) -> Result<()> {
    run(c, &format!("INSERT OR IGNORE INTO {what}"), params).map(|_| ())
}
