//! Sessions, their refresh tokens and keys.

use super::super::{NewKey, Rotated, Rotation, SessionId, TokenHash};
use super::row;
use crate::Result;
use crate::postgres::{Fault, Step, column, number};
use chat4all_model::id::UserId;

pub(super) async fn insert(
    step: &Step,
    session: &SessionId,
    user: &UserId,
    created_at: u64,
    expires_at: u64,
) -> Result<(), Fault> {
    let sql = "INSERT INTO sessions (session_id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    let times = (number(created_at), number(expires_at));
    step.run(sql, &[&session.as_str(), &user.as_str(), &times.0, &times.1]).await.map(|_| ())
}

pub(super) async fn insert_refresh(
    step: &Step,
    hash: &TokenHash,
    session: &SessionId,
    expires_at: u64,
) -> Result<(), Fault> {
    let sql = "INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)";
    step.run(sql, &[&hash.as_slice(), &session.as_str(), &number(expires_at)]).await.map(|_| ())
}

pub(super) async fn insert_key(step: &Step, key: &NewKey) -> Result<(), Fault> {
    let scopes: Vec<_> = key.scopes.iter().copied().map(row::scope).collect();
    let sql = "INSERT INTO api_keys (hash, session_id, scopes) VALUES ($1, $2, $3)";
    step.run(sql, &[&key.hash.as_slice(), &key.session_id.as_str(), &scopes]).await.map(|_| ())
}

/// Of several at once the first spends the token, for its row is locked; the others find it spent.
pub(super) async fn rotate(step: &Step, rotation: &Rotation) -> Result<Rotated, Fault> {
    let sql = "SELECT s.session_id, s.user_id, t.spent_at FROM refresh_tokens t
        JOIN sessions s ON s.session_id = t.session_id
        WHERE t.hash = $1 AND t.expires_at > $2 AND s.ended_at IS NULL FOR UPDATE";
    let Some(found) = step.row(sql, &[&rotation.spent.as_slice(), &number(rotation.now)]).await? else {
        return Ok(Rotated::Gone);
    };
    let (session_id, user_id) = (row::session(&found, 0)?, row::user(&found, 1)?);
    if let Some(spent_at) = column::<Option<i64>>(&found, 2)?.map(i64::unsigned_abs) {
        if rotation.now.saturating_sub(spent_at) <= rotation.grace_ms {
            return Ok(Rotated::Successor { session_id, user_id, spent_at });
        }
        end_one(step, &user_id, &session_id, rotation.now).await?;
        return Ok(Rotated::Reused { session_id, user_id });
    }
    let spent = "UPDATE refresh_tokens SET spent_at = $2 WHERE hash = $1";
    step.run(spent, &[&rotation.spent.as_slice(), &number(rotation.now)]).await?;
    insert_refresh(step, &rotation.next, &session_id, rotation.expires_at).await?;
    let prolonged = "UPDATE sessions SET expires_at = $2 WHERE session_id = $1";
    step.run(prolonged, &[&session_id.as_str(), &number(rotation.expires_at)]).await?;
    Ok(Rotated::Successor { session_id, user_id, spent_at: rotation.now })
}

/// Ends the living sessions of an account but `keep`, and gives them.
pub(super) async fn end_all(
    step: &Step,
    user: &UserId,
    keep: Option<&SessionId>,
    now: u64,
) -> Result<Vec<SessionId>, Fault> {
    let sql = "UPDATE sessions SET ended_at = $3 WHERE user_id = $1 AND ended_at IS NULL AND session_id <> $2
        RETURNING session_id";
    let keep = keep.map_or("", SessionId::as_str);
    let ended = step.rows(sql, &[&user.as_str(), &keep, &number(now)]).await?;
    Ok(ended.iter().map(|row| row::session(row, 0)).collect::<Result<_>>()?)
}

/// Ends one session of an account if it lives, and gives it if it did.
pub(super) async fn end_one(
    step: &Step,
    user: &UserId,
    which: &SessionId,
    now: u64,
) -> Result<Vec<SessionId>, Fault> {
    let sql = "UPDATE sessions SET ended_at = $3 WHERE session_id = $2 AND user_id = $1 AND ended_at IS NULL";
    let ended = step.run(sql, &[&user.as_str(), &which.as_str(), &number(now)]).await?;
    Ok(if ended > 0 { vec![which.clone()] } else { Vec::new() })
}

/// Forgets what is over. What another process sweeps at the same time is left to it.
pub(super) async fn sweep(step: &Step, before: i64, limit: i64) -> Result<usize, Fault> {
    let over = "SELECT session_id FROM sessions WHERE session_id IN (
            (SELECT session_id FROM sessions WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)
            UNION
            (SELECT session_id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
            LIMIT $2
        ) FOR UPDATE SKIP LOCKED";
    let over = step.rows(over, &[&before, &limit]).await?;
    let over: Vec<&str> = over.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    for sql in [
        "DELETE FROM refresh_tokens WHERE session_id = ANY ($1)",
        "DELETE FROM api_keys WHERE session_id = ANY ($1)",
        "DELETE FROM sessions WHERE session_id = ANY ($1)",
    ] {
        step.run(sql, &[&over]).await?;
    }
    let mut forgotten = over.len();
    for sql in [
        "DELETE FROM refresh_tokens WHERE hash = ANY (ARRAY(
            SELECT hash FROM refresh_tokens WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM invites WHERE hash = ANY (ARRAY(
            SELECT hash FROM invites WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    ] {
        let deleted = step.run(sql, &[&before, &limit]).await?;
        forgotten = forgotten.saturating_add(usize::try_from(deleted).unwrap_or(usize::MAX));
    }
    Ok(forgotten)
}
