//! Classes over the dumps of a ladder: which become more, without a word on who holds them.

use rustc_hash::FxHashMap;
use twinheap_trend::{Confidence, Pattern, trend};

use crate::aggregates::class_rows;
use crate::heap::Heap;

/// Objects of one class at one dump. Sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassSums {
    count: u64,
    shallow_size: u64,
    retained_size: u64,
}

/// The classes of a dump by name: script ids, which tell classes of one name apart, are not the same in each process.
pub(crate) fn class_sums(heap: &Heap) -> FxHashMap<Vec<u8>, ClassSums> {
    let mut sums: FxHashMap<Vec<u8>, ClassSums> = FxHashMap::default();
    for row in class_rows(heap, None, &twinheap_snapshot::sequential) {
        let name = heap.classes().get(row.class).name().as_bytes();
        let sums = sums.entry(name.to_vec()).or_default();
        sums.count += row.count;
        sums.shallow_size = sums.shallow_size.saturating_add(row.shallow_size);
        sums.retained_size = sums.retained_size.saturating_add(row.retained_size);
    }
    sums
}

/// A class that has more objects, or larger ones, in the newest dump than in the first. One number for each dump,
/// oldest first; sizes are bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassGrowth {
    /// The class, as `summary` shows it.
    pub name: String,
    /// Its objects.
    pub count: Vec<u64>,
    /// Their shallow sizes.
    pub shallow_size: Vec<u64>,
    /// What they retain; those inside each other once.
    pub retained_size: Vec<u64>,
    /// Objects more with each dump.
    pub growth_per_step: f64,
    /// How the objects become more; or their shallow sizes, if the objects don't.
    pub pattern: Pattern,
    /// How sure that is.
    pub confidence: Confidence,
}

/// The classes that grow, the one whose shallow size grew most first. Shallow sizes can be added up; retained ones of
/// several classes hold each other's.
pub(crate) fn growing(dumps: &[&FxHashMap<Vec<u8>, ClassSums>]) -> Vec<ClassGrowth> {
    let Some((now, [first, ..])) = dumps.split_last().map(|(now, earlier)| (*now, earlier)) else {
        return Vec::new();
    };
    let rise = |name: &[u8]| {
        let bytes = |dump: &FxHashMap<Vec<u8>, ClassSums>| dump.get(name).map_or(0, |sums| sums.shallow_size);
        bytes(now).saturating_sub(bytes(first))
    };
    let mut names: Vec<(std::cmp::Reverse<u64>, &[u8])> =
        now.keys().map(|name| (std::cmp::Reverse(rise(name)), name.as_slice())).collect();
    names.sort_unstable();
    let growth = |(_, name): (_, &[u8])| {
        let series = |figure: fn(&ClassSums) -> u64| -> Vec<u64> {
            dumps.iter().map(|dump| dump.get(name).map_or(0, figure)).collect()
        };
        let (count, shallow_size) = (series(|sums| sums.count), series(|sums| sums.shallow_size));
        let objects = trend(&count);
        let judged = if objects.pattern.is_some() { objects } else { trend(&shallow_size) };
        Some(ClassGrowth {
            name: String::from_utf8_lossy(name).into_owned(),
            growth_per_step: objects.slope,
            pattern: judged.pattern?,
            confidence: judged.confidence,
            count,
            shallow_size,
            retained_size: series(|sums| sums.retained_size),
        })
    };
    names.into_iter().filter_map(growth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each class with its objects and their bytes at each dump, and the classes that grow, in order.
    #[track_caller]
    fn check(classes: &[(&str, &[(u64, u64)])], expected: &[(&str, Pattern)]) {
        let dumps = classes.first().map_or(0, |(_, series)| series.len());
        let of_dump = |at: usize| {
            let sums =
                |&(count, shallow_size): &(u64, u64)| ClassSums { count, shallow_size, retained_size: 0 };
            classes.iter().map(|(name, series)| (name.as_bytes().to_vec(), sums(&series[at]))).collect()
        };
        let dumps: Vec<FxHashMap<Vec<u8>, ClassSums>> = (0..dumps).map(of_dump).collect();
        let growing = growing(&dumps.iter().collect::<Vec<_>>());
        let found: Vec<(&str, Pattern)> = growing.iter().map(|one| (&*one.name, one.pattern)).collect();
        assert_eq!(found, expected);
        for one in &growing {
            assert_eq!((one.count.len(), one.shallow_size.len(), one.retained_size.len()), {
                (dumps.len(), dumps.len(), dumps.len())
            });
        }
    }

    #[test]
    fn classes_that_grow_most_come_first() {
        check(
            &[
                ("Session", &[(10, 1000), (20, 2000), (30, 3000)]),
                ("Page", &[(100, 9000), (90, 8000), (101, 9050)]),
                ("Timer", &[(1, 100), (2, 200), (3, 300)]),
                ("Config", &[(5, 50), (5, 50), (5, 50)]),
            ],
            &[("Session", Pattern::Steady), ("Timer", Pattern::Steady)],
        );
    }

    #[test]
    fn objects_that_become_larger_are_growth_too() {
        check(&[("Array", &[(7, 1000), (7, 2000), (7, 3000)])], &[("Array", Pattern::Steady)]);
    }

    #[test]
    fn one_dump_shows_no_growth() {
        check(&[("Session", &[(10, 1000)])], &[]);
        check(&[], &[]);
    }
}
