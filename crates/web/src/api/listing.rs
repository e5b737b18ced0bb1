//! How a list is asked for: which rows, in which order, which page of them.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::answer::Failure;

/// Rows in one answer.
const MOST_ROWS: usize = 1000;
/// Rows if nobody says how many.
const USUAL_ROWS: usize = 100;

/// The parameters of all lists; each has its own use for some of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    /// `instances`, `children`, `retainers`, `dominated`, `search` or `copies`.
    pub(super) of: String,
    /// The object, for all of these but instances, search and copies.
    pub(super) id: String,
    /// The class or group of strings.
    pub(super) class_id: String,
    /// One of DevTools' filters.
    pub(super) only: String,
    /// The text to search for.
    pub(super) text: String,
    /// The step of merged paths whose children are wanted; the root if left out.
    pub(super) step: usize,
    /// The two files of a comparison.
    pub(super) base: Option<usize>,
    pub(super) new: Option<usize>,
    /// Names that contain this text, in upper or lower case.
    pub(super) filter: String,
    /// The order; the usual one if left out.
    pub(super) sort: String,
    pub(super) ascending: bool,
    offset: usize,
    limit: Option<usize>,
}

/// A number of a row by which rows can be ordered, by its name in an address.
pub(super) type Key<'a, T> = (&'static str, &'a dyn Fn(&T) -> i64);

impl Listing {
    /// A test for names.
    pub(super) fn fits(&self) -> impl Fn(&str) -> bool + use<> {
        let wanted = self.filter.to_lowercase();
        move |name| wanted.is_empty() || name.to_lowercase().contains(&wanted)
    }

    /// Orders rows that come in the usual order, in which `usual` falls; rows that are equal stay as they are.
    pub(super) fn arrange<T, N: Ord>(
        &self,
        rows: &mut [T],
        usual: &str,
        keys: &[Key<'_, T>],
        name: impl Fn(&T) -> N,
    ) -> Result<(), Failure> {
        match self.sort.as_str() {
            "" if !self.ascending => {}
            sort if sort == usual && !self.ascending => {}
            "name" => {
                rows.sort_by_cached_key(name);
                if !self.ascending {
                    rows.reverse();
                }
            }
            sort => {
                let wanted = if sort.is_empty() { usual } else { sort };
                let (_, key) = keys.iter().find(|(name, _)| *name == wanted).ok_or_else(|| no_order(sort))?;
                if self.ascending {
                    rows.sort_by_key(|row| key(row));
                } else {
                    rows.sort_by_key(|row| Reverse(key(row)));
                }
            }
        }
        Ok(())
    }

    /// The rows of the page.
    fn cut<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let from = self.offset.min(all.len());
        let most = self.limit.unwrap_or(USUAL_ROWS).min(MOST_ROWS);
        &all[from..(from + most).min(all.len())]
    }

    /// The page; `row` gets the position of each row, too.
    pub(super) fn page<T, R>(&self, all: &[T], mut row: impl FnMut(usize, &T) -> R) -> PageJson<R> {
        let offset = self.offset.min(all.len());
        let rows = self.cut(all).iter().zip(offset..).map(|(one, at)| row(at, one)).collect();
        PageJson { total: all.len(), offset, rows }
    }
}

pub(super) fn no_order(name: &str) -> Failure {
    Failure::bad(format!("there is no order by `{name}`"), "click on a column's heading")
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct PageJson<T> {
    /// Rows of the whole list.
    total: usize,
    /// Position of the first row here.
    offset: usize,
    rows: Vec<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sort: &str, ascending: bool, expected: &[&str]) {
        let listing = Listing { sort: sort.to_owned(), ascending, ..Listing::default() };
        // By size, the largest first.
        let mut rows = [("b", 9, 1), ("c", 5, 2), ("a", 5, 3)];
        let keys: [Key<'_, (&str, i64, i64)>; 2] = [("size", &|row| row.1), ("count", &|row| row.2)];
        listing.arrange(&mut rows, "size", &keys, |row| row.0).map_err(|_| ()).expect("an order");
        assert_eq!(rows.map(|row| row.0), expected, "{sort} {ascending}");
    }

    #[test]
    fn rows_are_ordered_by_any_key_in_both_directions() {
        check("", false, &["b", "c", "a"]);
        check("size", false, &["b", "c", "a"]);
        check("", true, &["c", "a", "b"]);
        check("size", true, &["c", "a", "b"]);
        check("count", false, &["a", "c", "b"]);
        check("name", true, &["a", "b", "c"]);
        check("name", false, &["c", "b", "a"]);
        let other = Listing { sort: "colour".to_owned(), ..Listing::default() };
        let keys: [Key<'_, u8>; 0] = [];
        assert!(other.arrange(&mut [1, 2], "size", &keys, |row| *row).is_err());
    }

    #[test]
    fn a_page_is_never_more_than_there_is() {
        let all: Vec<usize> = (0..2500).collect();
        let rows = |offset, limit| Listing { offset, limit, ..Listing::default() }.page(&all, |_, &one| one);
        assert_eq!(rows(0, None).rows.len(), 100);
        assert_eq!(rows(0, Some(usize::MAX)).rows.len(), 1000);
        assert_eq!(rows(2499, Some(7)).rows, [2499]);
        let end = rows(usize::MAX, None);
        assert_eq!((end.total, end.offset, end.rows.len()), (2500, 2500, 0));
    }
}
