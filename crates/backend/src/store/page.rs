//! Pages and keys of lists, as every engine cuts and reads them.

use chat4all_model::rows::Position;

/// The key of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LetterId {
    pub(super) partition: u32,
    pub(super) position: i64,
    pub(super) part: u32,
}

/// Reads the written form of a dead letter's id.
pub(super) fn letter_id(id: &str) -> Option<LetterId> {
    let mut parts = id.split('-');
    let id = LetterId {
        partition: parts.next()?.parse().ok()?,
        position: parts.next()?.parse().ok()?,
        part: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(id)
}

/// A page whose positions are whole.
pub(super) enum Whole<T> {
    Page(Vec<T>),
    /// This one alone is longer than the page.
    Position(Position),
}

/// Cuts a list with one more than `limit` to a page that ends with a whole position.
pub(super) fn whole<T>(mut found: Vec<T>, limit: usize, position: impl Fn(&T) -> Position) -> Whole<T> {
    let (Some(first), true) = (found.first().map(&position), found.len() > limit) else {
        return Whole::Page(found);
    };
    let last = position(&found[limit]);
    found.retain(|item| position(item) < last);
    if found.is_empty() && limit > 0 { Whole::Position(first) } else { Whole::Page(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_a_whole_position() {
        let cut = |positions: &[u64], limit| match whole(positions.to_vec(), limit, |p| Position(*p)) {
            Whole::Page(page) => Ok(page),
            Whole::Position(only) => Err(only.0),
        };
        assert_eq!(cut(&[1, 2, 2], 3), Ok(vec![1, 2, 2]), "all of it");
        assert_eq!(cut(&[1, 2, 2], 2), Ok(vec![1]), "2 would be parted");
        assert_eq!(cut(&[1, 2, 3], 2), Ok(vec![1, 2]));
        assert_eq!(cut(&[2, 2, 2], 2), Err(2), "2 alone is too long");
        assert_eq!(cut(&[], 0), Ok(vec![]));
        assert_eq!(cut(&[1], 0), Ok(vec![]));
    }

    #[test]
    fn ids_of_dead_letters_are_read_strictly() {
        assert_eq!(letter_id("3-99-1"), Some(LetterId { partition: 3, position: 99, part: 1 }));
        for bad in ["", "3", "3-99", "3-99-1-1", "a-1-1", "3--99-1", "3-99-99999999999"] {
            assert_eq!(letter_id(bad), None, "{bad}");
        }
    }
}
