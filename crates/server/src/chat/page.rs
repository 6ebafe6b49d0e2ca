//! Cursors of lists: opaque to clients, checked when they come back.

use crate::error::{Failure, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// Entries of a page, unless asked otherwise.
pub const DEFAULT_LIMIT: usize = 50;
/// The most entries of a page.
pub const MAX_LIMIT: usize = 200;

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// How many entries.
    pub limit: Option<usize>,
}

impl Paging {
    /// The number of entries to give.
    ///
    /// # Errors
    /// `InvalidRequest` unless it is 1 to [`MAX_LIMIT`].
    pub fn limit(&self) -> Result<usize> {
        limit(self.limit)
    }

    /// Where the page before ended.
    ///
    /// # Errors
    /// `InvalidRequest` if the cursor is none of this list's.
    pub(super) fn after<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let read = |text: &str| postcard::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let bad = || Failure::invalid("cursor", "must be `next` of the page before");
        (cursor.len() <= 1024).then(|| read(cursor)).flatten().map(Some).ok_or_else(bad)
    }
}

/// A number of entries, checked.
pub(super) fn limit(limit: Option<usize>) -> Result<usize> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(n) if (1..=MAX_LIMIT).contains(&n) => Ok(n),
        Some(_) => Err(Failure::invalid("limit", format!("must be 1 to {MAX_LIMIT}"))),
    }
}

/// A cursor that says where a page ended.
pub(super) fn cursor<T: Serialize>(at: &T) -> Option<String> {
    postcard::to_allocvec(at).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

/// A page of `items`, of which there may be one too many: then there is a next page, after the last one kept.
pub(super) fn cut<T, C: Serialize>(
    mut items: Vec<T>,
    limit: usize,
    at: impl FnOnce(&T) -> C,
) -> (Vec<T>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).and_then(|last| cursor(&at(last)));
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_rubbish_is_refused() {
        let (items, next) = cut(vec![1_u64, 2, 3], 2, |n| *n);
        assert_eq!(items, [1, 2]);
        let paging = Paging { cursor: next, limit: None };
        assert_eq!(paging.after::<u64>().unwrap(), Some(2));
        assert_eq!(cut(vec![1_u64, 2], 2, |n| *n).1, None);
        for bad in ["!", "é", &"A".repeat(2000), ""] {
            let paging = Paging { cursor: Some(bad.to_owned()), limit: None };
            assert!(paging.after::<(u64, String)>().is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_checked() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(200)).unwrap(), 200);
        assert!(limit(Some(0)).is_err() && limit(Some(201)).is_err());
    }
}
