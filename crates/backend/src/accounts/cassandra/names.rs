//! What people are found by: the username, and the display name from each of its words on.
//!
//! The rows of an account are written anew when its names change, under the step's id, before the step; those count
//! whose id the account names. So rows that are left over, or whose step was never taken, are found by nobody.
//!
//! A name has a row for each of its beginnings of [`LENGTHS`] characters, so that a search reads one partition in the
//! order of usernames, and (up to the longest of them) little but what it gives. With a million users the largest
//! partition, of a common first letter, holds some 400,000 rows, 30 MB.

use super::super::Account;
use crate::Result;
use crate::cassandra::{Cassandra, bind};
use futures_util::future::try_join_all;
use scylla::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Of how many characters beginnings are indexed.
const LENGTHS: [usize; 5] = [1, 2, 3, 5, 8];

/// The table `names`.
pub(super) struct Names {
    cassandra: Arc<Cassandra>,
    put: PreparedStatement,
    remove: PreparedStatement,
    page: PreparedStatement,
}

/// An account that may be found.
#[derive(Debug, Clone, DeserializeRow)]
pub(super) struct Candidate {
    pub(super) username: String,
    name: String,
    pub(super) version: Uuid,
    pub(super) user_id: String,
}

impl Names {
    pub(super) async fn prepare(cassandra: &Arc<Cassandra>) -> Result<Self> {
        let put = "INSERT INTO names (prefix, username, name, version, user_id) VALUES (?, ?, ?, ?, ?)";
        let remove = "DELETE FROM names WHERE prefix = ? AND username = ? AND name = ? AND version = ?";
        let page = "SELECT username, name, version, user_id FROM names \
                    WHERE prefix = ? AND (username, name, version) > (?, ?, ?) LIMIT ?";
        Ok(Self {
            put: cassandra.write_statement(put).await?,
            remove: cassandra.write_statement(remove).await?,
            page: cassandra.read_statement(page).await?,
            cassandra: Arc::clone(cassandra),
        })
    }

    /// Writes what an account is found by once its `names` are `version`.
    pub(super) async fn put(&self, account: &Account, version: Uuid) -> Result<()> {
        let rows = rows_of(account).into_iter().map(|(prefix, name)| async move {
            let row = (prefix, account.username.to_lowercase(), name, version, account.user_id.as_str());
            self.cassandra.write(&bind(&self.put, &row)?).await
        });
        try_join_all(rows).await.map(|_| ())
    }

    /// Forgets what an account was found by when its `names` were `version`.
    pub(super) async fn remove(&self, account: &Account, version: Uuid) -> Result<()> {
        let rows = rows_of(account).into_iter().map(|(prefix, name)| async move {
            let row = (prefix, account.username.to_lowercase(), name, version);
            self.cassandra.write(&bind(&self.remove, &row)?).await
        });
        try_join_all(rows).await.map(|_| ())
    }

    /// Searches for names that begin with `prefix`, of usernames behind `after`. An empty prefix finds nobody.
    pub(super) fn search(&self, prefix: &str, after: Option<&str>) -> Search<'_> {
        let prefix = prefix.to_lowercase();
        // The first place behind all rows of `after`.
        let username = after.map(|after| format!("{after}\0")).unwrap_or_default();
        Search { names: self, prefix, place: Some((username, String::new(), Uuid::nil())) }
    }
}

/// A search under way.
pub(super) struct Search<'a> {
    names: &'a Names,
    prefix: String,
    /// Behind which row to go on; none at the end.
    place: Option<(String, String, Uuid)>,
}

impl Search<'_> {
    /// Up to about `limit` further candidates by username, one of them perhaps several times; none at the end.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Option<Vec<Candidate>>> {
        let Some((username, name, version)) = &self.place else { return Ok(None) };
        let Some(partition) = beginnings(&self.prefix).last() else { return Ok(None) };
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (partition, username, name, version, limit);
        let mut rows: Vec<Candidate> = self.names.cassandra.rows(&self.names.page, &values).await?;
        let last = rows.last().map(|row| (row.username.clone(), row.name.clone(), row.version));
        self.place = last;
        rows.retain(|row| row.name.starts_with(&self.prefix));
        Ok(Some(rows))
    }
}

/// What an account is found by, and by which beginnings of it.
fn rows_of(account: &Account) -> Vec<(String, String)> {
    let shown = account.display_name.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let tails = (0..words.len()).map(|first| words[first..].join(" "));
    let names: BTreeSet<String> = std::iter::once(account.username.to_lowercase()).chain(tails).collect();
    names.iter().flat_map(|name| beginnings(name).map(|prefix| (prefix.to_owned(), name.clone()))).collect()
}

/// The beginnings of a text that are indexed, shortest first.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    let end = move |length: usize| text.char_indices().map(|(at, c)| at + c.len_utf8()).nth(length - 1);
    LENGTHS.into_iter().map_while(end).map(|end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::beginnings;

    #[test]
    fn a_text_has_the_beginnings_that_it_is_long_enough_for() {
        let all = |text| beginnings(text).collect::<Vec<_>>();
        assert_eq!(all("éclair"), ["é", "éc", "écl", "éclai"]);
        assert_eq!(all("ab"), ["a", "ab"]);
        assert!(all("").is_empty());
        assert_eq!(all("ana maria silva").last(), Some(&"ana mari"));
    }
}
