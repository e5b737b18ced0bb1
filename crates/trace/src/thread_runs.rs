//! Which thread each event is of.

use crate::ids::ThreadNo;

/// Events of a chunk: a position in it takes two bytes.
const CHUNK_BITS: u32 = 16;

/// Which thread each event is of, as runs of events of the same thread. Without runs all are of thread 0.
///
/// Where threads take turns each event is a run of its own, so a run takes but six bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadRuns {
    /// Position of each run's first event in its chunk.
    start: Vec<u16>,
    thread: Vec<ThreadNo>,
    /// For each chunk the number of runs that begin before it.
    chunks: Vec<u64>,
}

impl ThreadRuns {
    /// The thread of the event at this position.
    pub fn at(&self, event: u64) -> ThreadNo {
        let chunk = (event >> CHUNK_BITS) as usize;
        let runs = |chunk: usize| self.chunks.get(chunk).map_or(self.start.len(), |&runs| runs as usize);
        let (first, end) = (runs(chunk), runs(chunk.saturating_add(1)));
        let after = first + self.start[first..end].partition_point(|&start| start <= event as u16);
        after.checked_sub(1).map_or(ThreadNo(0), |run| self.thread[run])
    }

    /// Position of each run's first event, and its thread.
    pub fn iter(&self) -> impl Iterator<Item = (u64, ThreadNo)> + '_ {
        let mut chunk = 0;
        (0..self.start.len()).map(move |run| {
            while self.chunks.get(chunk + 1).is_some_and(|&runs| runs <= run as u64) {
                chunk += 1;
            }
            ((chunk as u64) << CHUNK_BITS | u64::from(self.start[run]), self.thread[run])
        })
    }

    /// From the event at this position on it is another thread. Positions must not go back.
    pub(crate) fn push(&mut self, event: u64, thread: ThreadNo) {
        let chunk = (event >> CHUNK_BITS) as usize;
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, self.start.len() as u64);
        }
        let is_first_of_chunk = self.chunks.last() == Some(&(self.start.len() as u64));
        if !is_first_of_chunk && self.start.last() == Some(&(event as u16)) {
            self.thread.pop();
            self.start.pop();
        }
        if self.thread.last().copied().unwrap_or_default() != thread {
            self.start.push(event as u16);
            self.thread.push(thread);
        }
    }

    pub(crate) fn shrink(&mut self) {
        self.start.shrink_to_fit();
        self.thread.shrink_to_fit();
        self.chunks.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes changes of thread, and asks about positions on both sides of each.
    #[track_caller]
    fn check(changes: &[(u64, u32)]) {
        let mut runs = ThreadRuns::default();
        changes.iter().for_each(|&(event, thread)| runs.push(event, ThreadNo(thread)));
        let expected = |event| changes.iter().rfind(|&&(at, _)| at <= event).map_or(0, |&(_, thread)| thread);
        for &(at, _) in changes {
            for event in [at.saturating_sub(1), at, at + 1, at + 70_000] {
                assert_eq!(runs.at(event).0, expected(event), "{event} of {changes:?}");
            }
        }
        let mut last = 0;
        for (event, thread) in runs.iter() {
            assert_eq!(runs.at(event), thread);
            assert_ne!(thread.0, last);
            last = thread.0;
        }
    }

    #[test]
    fn the_last_change_before_an_event_counts() {
        check(&[]);
        check(&[(0, 1)]);
        check(&[(0, 1), (1, 2), (2, 1), (9, 0)]);
        check(&[(65_535, 1), (65_536, 2), (65_537, 3)]);
        check(&[(5, 1), (200_000, 2), (200_001, 0), (900_000, 7)]);
        check(&[(5, 1), (5, 2), (6, 2), (7, 3), (7, 2), (8, 4)]);
        check(&[(0, 0), (65_536, 1), (65_536, 0), (131_072, 5), (131_072, 6)]);
    }
}
