//! Do two programs give the same class table?

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, de::IgnoredAny};

/// The part of a program's answer that is compared.
#[derive(Deserialize)]
struct Answer {
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    key: String,
    count: u64,
    shallow_size: u64,
    retained_size: u64,
}

/// How twinheap's class table compares with the DevTools engine's.
pub(super) struct Agreement {
    /// Classes in either table.
    pub(super) classes: usize,
    /// One sentence for each class that differs, largest retained size first.
    pub(super) differences: Vec<String>,
}

/// Count, shallow and retained bytes.
type Figures = (u64, u64, u64);

impl Agreement {
    pub(super) fn compare(ours: &Path, theirs: &Path) -> Result<Agreement> {
        Ok(Agreement::of(&table(ours)?, &table(theirs)?))
    }

    fn of(ours: &BTreeMap<String, Figures>, theirs: &BTreeMap<String, Figures>) -> Agreement {
        let mut differences = Vec::new();
        for (key, their_row) in theirs {
            match ours.get(key) {
                Some(our_row) if our_row == their_row => {}
                Some(our_row) => differences.push((
                    their_row.2.max(our_row.2),
                    format!("`{key}`: twinheap {}, DevTools {}", sentence(our_row), sentence(their_row)),
                )),
                None => differences.push((their_row.2, format!("`{key}` is missing in twinheap's table"))),
            }
        }
        for (key, row) in ours {
            if !theirs.contains_key(key) {
                differences.push((row.2, format!("`{key}` is missing in DevTools' table")));
            }
        }
        differences.sort_by(|(a, _), (b, _)| b.cmp(a));
        let missing_there = ours.keys().filter(|key| !theirs.contains_key(*key)).count();
        Agreement {
            classes: theirs.len() + missing_there,
            differences: differences.into_iter().map(|(_, text)| text).collect(),
        }
    }
}

/// Whether a program's answer is a class table at all.
pub(super) fn has_classes(answer: &Path) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        classes: Vec<IgnoredAny>,
    }
    let Ok(file) = File::open(answer) else { return false };
    serde_json::from_reader(BufReader::new(file)).is_ok_and(|shape: Shape| !shape.classes.is_empty())
}

fn sentence((count, shallow, retained): &Figures) -> String {
    format!("{count} objects, {shallow} B shallow, {retained} B retained")
}

fn table(path: &Path) -> Result<BTreeMap<String, Figures>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let answer: Answer = serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is not the expected JSON", path.display()))?;
    let row = |class: Class| (class.key, (class.count, class.shallow_size, class.retained_size));
    Ok(answer.classes.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_of(rows: &[(&str, Figures)]) -> BTreeMap<String, Figures> {
        rows.iter().map(|(key, row)| ((*key).to_owned(), *row)).collect()
    }

    #[test]
    fn equal_tables_have_no_differences() {
        let table = table_of(&[(",Map", (1, 2, 3)), (",Set", (4, 5, 6))]);
        let agreement = Agreement::of(&table, &table);
        assert_eq!((agreement.classes, agreement.differences.len()), (2, 0));
    }

    #[test]
    fn differences_come_largest_first() {
        let ours = table_of(&[(",A", (1, 2, 3)), (",Only ours", (1, 1, 9))]);
        let theirs = table_of(&[(",A", (1, 2, 4)), (",Only theirs", (1, 1, 5))]);
        let agreement = Agreement::of(&ours, &theirs);
        assert_eq!(agreement.classes, 3);
        assert!(agreement.differences[0].contains("Only ours"), "{:?}", agreement.differences);
        assert!(agreement.differences[2].contains("3 B retained"), "{:?}", agreement.differences);
    }
}
