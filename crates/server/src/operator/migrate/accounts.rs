use super::Note;
use crate::engines::Engines;
use chat4all_backend::Result;
use chat4all_backend::accounts::{Accounts, Kept, MAX_ENTRIES};
use std::collections::BTreeMap;

use super::super::digest::Tally;

/// What is kept of accounts, by kind.
pub(super) type Kinds = BTreeMap<&'static str, Tally>;

/// Copies everything.
pub(super) async fn copy(from: &Engines, to: &Engines, note: Note<'_>) -> Result<()> {
    let (mut after, mut done) = (None, 0);
    loop {
        let (page, next) = from.accounts.export(after, MAX_ENTRIES).await?;
        done += page.len() as u64;
        to.accounts.import(page).await?;
        note("rows of accounts copied", done);
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// How much there is of each kind, with secrets included in the sums.
pub(super) async fn kinds(accounts: &dyn Accounts) -> Result<Kinds> {
    let (mut kinds, mut after) = (Kinds::new(), None);
    loop {
        let (page, next) = accounts.export(after, MAX_ENTRIES).await?;
        for kept in &page {
            kinds.entry(kind(kept)).or_default().add_bytes(format!("{kept:?}").as_bytes());
        }
        after = next;
        if after.is_none() {
            return Ok(kinds);
        }
    }
}

fn kind(kept: &Kept) -> &'static str {
    match kept {
        Kept::Account(_) => "accounts",
        Kept::Session { .. } => "sessions",
        Kept::Key { .. } => "keys of bots",
        Kept::Token { .. } => "refresh tokens",
        Kept::Invite { .. } => "invites",
        Kept::Audit(_) => "entries of the audit log",
    }
}
