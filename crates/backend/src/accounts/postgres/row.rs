//! Rows of accounts and what they stand for.

use super::super::{Account, AuditEntry, Bot, Credentials, MAX_ENTRIES, NewAccount, Refusal, SessionId};
use crate::postgres::{Cell, Fault, Row, Step, Text, column, number, unsigned};
use crate::{Error, ErrorKind, Result};
use chat4all_model::api::{LastSeenTo, QuietHours, Scope};
use chat4all_model::id::{IdError, UserId};

/// The columns that [`account`] reads, of `users a`.
macro_rules! account_columns {
    () => {
        "a.user_id, a.username, a.email, a.display_name, a.avatar_file_id, a.time_zone, a.last_seen_to, \
         a.quiet_from, a.quiet_to, a.permissions, a.owner, a.created_at"
    };
}

pub(super) const ACCOUNT: &str = account_columns!();

/// By id, the id once more at the end.
pub(super) const ACCOUNTS_BY_ID: &str = concat!(
    "SELECT ",
    account_columns!(),
    ", a.password_hash, a.user_id FROM users a WHERE a.user_id > $1 ORDER BY a.user_id LIMIT $2"
);

macro_rules! bot {
    ($which:literal) => {
        concat!(
            "SELECT ",
            account_columns!(),
            ", s.session_id, k.scopes FROM users a JOIN sessions s ON s.user_id = a.user_id
             JOIN api_keys k ON k.session_id = s.session_id WHERE s.ended_at IS NULL AND ",
            $which
        )
    };
}

pub(super) const BOTS: &str = bot!("a.owner = $1 ORDER BY a.user_id LIMIT $2");
pub(super) const BOT_OF_KEY: &str = bot!("k.hash = $1");

/// What the server said was taken, as a refusal.
pub(super) fn taken(fault: Fault) -> Fault {
    match fault.violated() {
        // The same account once more: its name is taken, by itself.
        Some("users_username" | "users_pkey") => refused(Refusal::UsernameTaken),
        Some("users_email") => refused(Refusal::EmailTaken),
        _ => fault,
    }
}

pub(super) fn refused(refusal: Refusal) -> Fault {
    Error::new(ErrorKind::Conflict, refusal).into()
}

/// Makes an account, or says what is in the way.
pub(super) async fn insert_account(step: &Step, new: &NewAccount) -> Result<(), Fault> {
    let account = &new.account;
    let sql =
        "INSERT INTO users (user_id, username, email, email_key, display_name, avatar_file_id, time_zone,
            last_seen_to, quiet_from, quiet_to, permissions, owner, created_at, password_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let (from, to) = quiet(account);
    let username = account.username.to_lowercase();
    let email_key = account.email.as_ref().map(|email| email.to_lowercase());
    step.run(
        sql,
        &[
            &account.user_id.as_str(),
            &Cell(&username),
            &account.email.as_deref().map(Cell),
            &email_key.as_deref().map(Cell),
            &account.display_name.as_deref().map(Cell),
            &account.avatar_file_id.as_deref().map(Cell),
            &account.time_zone.as_deref().map(Cell),
            &last_seen_to(account.last_seen_to),
            &from,
            &to,
            &cells(&account.permissions),
            &account.owner.as_ref().map(UserId::as_str),
            &number(account.created_at),
            &new.password_hash.as_deref().map(Cell),
        ],
    )
    .await
    .map_err(taken)?;
    if let Some(invite) = &new.invite {
        let sql = "UPDATE invites SET spent_by = $2 WHERE hash = $1 AND spent_by IS NULL AND expires_at > $3";
        let spender = account.user_id.as_str();
        if step.run(sql, &[&invite.as_slice(), &spender, &number(account.created_at)]).await? == 0 {
            return Err(refused(Refusal::InviteSpent));
        }
    }
    insert_names(step, account).await
}

/// Writes all of a profile that its owner may change.
pub(super) async fn update_profile(step: &Step, account: &Account) -> Result<(), Fault> {
    let sql =
        "UPDATE users SET display_name = $2, email = $3, email_key = $4, avatar_file_id = $5, time_zone = $6,
        last_seen_to = $7, quiet_from = $8, quiet_to = $9 WHERE user_id = $1";
    let (from, to) = quiet(account);
    let email_key = account.email.as_ref().map(|email| email.to_lowercase());
    step.run(
        sql,
        &[
            &account.user_id.as_str(),
            &account.display_name.as_deref().map(Cell),
            &account.email.as_deref().map(Cell),
            &email_key.as_deref().map(Cell),
            &account.avatar_file_id.as_deref().map(Cell),
            &account.time_zone.as_deref().map(Cell),
            &last_seen_to(account.last_seen_to),
            &from,
            &to,
        ],
    )
    .await
    .map(|_| ())
}

/// Writes what an account is found by.
pub(super) async fn insert_names(step: &Step, account: &Account) -> Result<(), Fault> {
    let shown = account.display_name.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let tails = (0..words.len()).map(|first| words[first..].join(" "));
    let names: Vec<String> = std::iter::once(account.username.to_lowercase()).chain(tails).collect();
    let sql = "INSERT INTO user_names (name, user_id) SELECT name, $2 FROM unnest($1::text[]) AS new (name)
        ON CONFLICT DO NOTHING";
    step.run(sql, &[&cells(&names), &account.user_id.as_str()]).await.map(|_| ())
}

/// Appends to the audit log; an entry that is there already stays as it is.
pub(super) async fn insert_audit(step: &Step, entry: &AuditEntry) -> Result<(), Fault> {
    let sql =
        "INSERT INTO audit (entry_id, at, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING";
    step.run(
        sql,
        &[
            &Cell(&entry.entry_id),
            &number(entry.at),
            &Cell(&entry.actor),
            &Cell(&entry.action),
            &entry.target.as_deref().map(Cell),
            &entry.detail.as_deref().map(Cell),
        ],
    )
    .await
    .map(|_| ())
}

/// An account that nobody else changes until the transaction ends.
pub(super) async fn locked_account(step: &Step, user: &UserId) -> Result<Option<Account>, Fault> {
    let sql = concat!("SELECT ", account_columns!(), " FROM users a WHERE a.user_id = $1 FOR NO KEY UPDATE");
    let found = step.row(sql, &[&user.as_str()]).await?;
    Ok(found.as_ref().map(account).transpose()?)
}

/// The living bots of an owner, for whom nobody else makes or revokes one until the transaction ends.
pub(super) async fn locked_bots(step: &Step, owner: &str) -> Result<Vec<Bot>, Fault> {
    step.rows("SELECT 1 FROM users WHERE user_id = $1 FOR NO KEY UPDATE", &[&owner]).await?;
    let rows = step.rows(BOTS, &[&owner, &number(MAX_ENTRIES as u64)]).await?;
    Ok(rows.iter().map(bot).collect::<Result<_>>()?)
}

/// Texts of a column that is an array.
pub(super) fn cells(texts: &[String]) -> Vec<Cell<'_>> {
    texts.iter().map(|text| Cell(text)).collect()
}

pub(super) fn user(row: &Row, index: usize) -> Result<UserId> {
    UserId::parse(column(row, index)?).map_err(unreadable)
}

pub(super) fn user_if_any(row: &Row, index: usize) -> Result<Option<UserId>> {
    column::<Option<&str>>(row, index)?.map(UserId::parse).transpose().map_err(unreadable)
}

pub(super) fn session(row: &Row, index: usize) -> Result<SessionId> {
    column(row, index).map(SessionId::new)
}

fn text(row: &Row, index: usize) -> Result<String> {
    column::<Text<'_>>(row, index).map(Text::into_string)
}

fn some_text(row: &Row, index: usize) -> Result<Option<String>> {
    Ok(column::<Option<Text<'_>>>(row, index)?.map(Text::into_string))
}

pub(super) fn account(row: &Row) -> Result<Account> {
    let minute = |index| column::<Option<i16>>(row, index).map(|at| at.map(i16::unsigned_abs));
    let quiet = minute(7)?.zip(minute(8)?);
    let permissions: Vec<Text<'_>> = column(row, 9)?;
    Ok(Account {
        user_id: user(row, 0)?,
        username: text(row, 1)?,
        email: some_text(row, 2)?,
        display_name: some_text(row, 3)?,
        avatar_file_id: some_text(row, 4)?,
        time_zone: some_text(row, 5)?,
        last_seen_to: to_last_seen_to(column(row, 6)?)?,
        quiet_hours: quiet.map(|(from_minute, to_minute)| QuietHours { from_minute, to_minute }),
        permissions: permissions.into_iter().map(Text::into_string).collect(),
        owner: user_if_any(row, 10)?,
        created_at: unsigned(row, 11)?,
    })
}

pub(super) fn credentials(row: &Row) -> Result<Credentials> {
    Ok(Credentials { account: account(row)?, password_hash: some_text(row, 12)? })
}

/// A bot from the columns of [`account`], its session and its scopes.
pub(super) fn bot(row: &Row) -> Result<Bot> {
    Ok(Bot { account: account(row)?, session_id: session(row, 12)?, scopes: scopes(row, 13)? })
}

pub(super) fn entry(row: &Row) -> Result<AuditEntry> {
    Ok(AuditEntry {
        entry_id: text(row, 0)?,
        at: unsigned(row, 1)?,
        actor: text(row, 2)?,
        action: text(row, 3)?,
        target: some_text(row, 4)?,
        detail: some_text(row, 5)?,
    })
}

fn quiet(account: &Account) -> (Option<i16>, Option<i16>) {
    // A minute of the day: far below the end of the column's numbers.
    let minute = |minute: u16| i16::try_from(minute).unwrap_or(i16::MAX);
    let quiet = account.quiet_hours;
    (quiet.map(|quiet| minute(quiet.from_minute)), quiet.map(|quiet| minute(quiet.to_minute)))
}

fn last_seen_to(who: LastSeenTo) -> &'static str {
    match who {
        LastSeenTo::Everyone => "everyone",
        LastSeenTo::Contacts => "contacts",
        LastSeenTo::Nobody => "nobody",
    }
}

fn to_last_seen_to(word: &str) -> Result<LastSeenTo> {
    match word {
        "everyone" => Ok(LastSeenTo::Everyone),
        "contacts" => Ok(LastSeenTo::Contacts),
        "nobody" => Ok(LastSeenTo::Nobody),
        other => Err(unknown(other)),
    }
}

pub(super) fn scopes(row: &Row, index: usize) -> Result<Vec<Scope>> {
    let words: Vec<&str> = column(row, index)?;
    words.into_iter().map(to_scope).collect()
}

pub(super) fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
    }
}

fn to_scope(word: &str) -> Result<Scope> {
    match word {
        "read" => Ok(Scope::Read),
        "write" => Ok(Scope::Write),
        other => Err(unknown(other)),
    }
}

fn unknown(word: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{word}` in a row of the accounts is nothing that is known"))
}

fn unreadable(error: IdError) -> Error {
    Error::new(ErrorKind::Corrupt, error)
}
