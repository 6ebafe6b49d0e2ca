//! Values of columns.

use crate::{Error, ErrorKind, Result};
use bytes::BytesMut;
use std::borrow::Cow;
use std::error::Error as StdError;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Stands in a column, with a digit behind it, for what a column cannot hold or would be mistaken for this.
const ESCAPE: char = '\u{1a}';

/// A text on its way into a column. PostgreSQL's texts cannot hold U+0000, ours can: it is written as U+001A and
/// `0`, and U+001A as U+001A and `1`. All others stand as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell<'a>(pub(crate) &'a str);

/// A text as it was before [`Cell`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(|byte| byte == 0 || byte == ESCAPE as u8) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            out.extend_from_slice(&[ESCAPE as u8, if rest.as_bytes()[at] == 0 { b'0' } else { b'1' }]);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Text<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let mut rest = <&str as FromSql>::from_sql(ty, raw)?;
        let Some(mut at) = rest.find(ESCAPE) else { return Ok(Self(rest.into())) };
        let mut text = String::with_capacity(rest.len());
        loop {
            text.push_str(&rest[..at]);
            text.push(if rest[at + 1..].starts_with('0') { '\0' } else { ESCAPE });
            rest = rest.get(at + 2..).unwrap_or_default();
            match rest.find(ESCAPE) {
                Some(next) => at = next,
                None => break,
            }
        }
        text.push_str(rest);
        Ok(Self(text.into()))
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}

/// PostgreSQL's integers are signed; none of ours comes near their end, which stands for "never".
pub(crate) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A column of a row.
pub(crate) fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|e| Error::new(ErrorKind::Corrupt, e))
}

/// A column that [`number`] wrote.
pub(crate) fn unsigned(row: &Row, index: usize) -> Result<u64> {
    column::<i64>(row, index).map(i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let written = |text: &str| {
            let mut out = BytesMut::new();
            let _ = Cell(text).to_sql(&Type::TEXT, &mut out).unwrap();
            out.to_vec()
        };
        for text in ["", "plain", "é漢👍\u{10ffff}", "\0", "a\0b\0", "\u{1a}", "\u{1a}0\u{1a}1\0", "\u{1a}é"]
        {
            let out = written(text);
            assert!(!out.contains(&0), "{text:?}");
            assert_eq!(Text::from_sql(&Type::TEXT, &out).unwrap().0, text);
        }
        // The start of a text is written as the start of the whole: prefixes can be looked for.
        assert!(written("a\0\u{1a}b").starts_with(&written("a\0")));
        assert_eq!(
            Text::from_sql(&Type::TEXT, b"torn\x1a").unwrap().0,
            "torn\u{1a}",
            "nothing of ours, no panic"
        );
    }

    #[test]
    fn never_is_the_end_of_the_numbers() {
        assert_eq!(number(7), 7);
        assert_eq!(number(u64::MAX), i64::MAX);
    }
}
