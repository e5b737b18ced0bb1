//! Who asked for which range of addresses, as far as calls of the mmap family and the recorder tell.

use std::collections::BTreeMap;

use twinheap_trace::{MapKind, TraceId};

/// Ranges of addresses that were mapped and not unmapped.
#[derive(Default)]
pub(super) struct Mapped {
    /// By their starts; they don't overlap.
    ranges: BTreeMap<u64, Range>,
}

/// A range, without its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) end: u64,
    pub(super) kind: MapKind,
    /// The stack of the call; 0 without one.
    pub(super) trace: TraceId,
    /// The clock when it was mapped.
    time: u64,
}

impl Mapped {
    /// A range was mapped. What was there before is replaced.
    pub(super) fn map(&mut self, start: u64, length: u64, kind: MapKind, trace: TraceId, time: u64) {
        let end = start.saturating_add(length.checked_next_multiple_of(PAGE).unwrap_or(length));
        if end > start {
            self.cut(start, end, u64::MAX);
            self.ranges.insert(start, Range { end, kind, trace, time });
        }
    }

    /// A range was unmapped. Threads' events come in runs, so that somebody may have mapped it again already.
    pub(super) fn unmap(&mut self, start: u64, length: u64, time: u64) {
        let end = start.saturating_add(length.checked_next_multiple_of(PAGE).unwrap_or(length));
        self.cut(start, end, time);
    }

    /// Takes addresses away from ranges that were mapped up to a time.
    fn cut(&mut self, start: u64, end: u64, time: u64) {
        let first = self.ranges.range(..start).next_back().map_or(start, |(&first, _)| first);
        let touched: Vec<(u64, Range)> = self
            .ranges
            .range(first..end)
            .filter(|(_, range)| range.end > start && range.time <= time)
            .map(|(&at, &range)| (at, range))
            .collect();
        for (at, range) in touched {
            self.ranges.remove(&at);
            if at < start {
                self.ranges.insert(at, Range { end: start, ..range });
            }
            if range.end > end {
                self.ranges.insert(end, range);
            }
        }
    }

    /// The parts of a range of addresses, in order: each with who asked for it, if that is known.
    pub(super) fn parts(&self, start: u64, end: u64) -> Vec<(u64, u64, Option<Range>)> {
        let mut parts = Vec::new();
        let mut at = start;
        let first = self.ranges.range(..=start).next_back().map_or(start, |(&first, _)| first);
        for (&from, &range) in self.ranges.range(first..end).filter(|(_, range)| range.end > start) {
            if from > at {
                parts.push((at, from, None));
            }
            let (from, to) = (from.max(at), range.end.min(end));
            parts.push((from, to, Some(range)));
            at = to;
        }
        if at < end {
            parts.push((at, end, None));
        }
        parts
    }
}

/// Bytes of a page.
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0x10_0000;

    fn mapped(calls: &[(u64, u64, u32)]) -> Mapped {
        let mut mapped = Mapped::default();
        for (at, &(start, pages, trace)) in calls.iter().enumerate() {
            let (start, time) = (A + start * PAGE, at as u64);
            match trace {
                0 => mapped.unmap(start, pages * PAGE, time),
                _ => mapped.map(start, pages * PAGE, MapKind::Anonymous, TraceId(trace), time),
            }
        }
        mapped
    }

    #[track_caller]
    fn check(mapped: &Mapped, from: u64, to: u64, expected: &[(u64, u64, u32)]) {
        let parts = mapped.parts(A + from * PAGE, A + to * PAGE);
        let parts: Vec<_> = parts
            .iter()
            .map(|(from, to, range)| {
                ((from - A) / PAGE, (to - A) / PAGE, range.map_or(0, |range| range.trace.0))
            })
            .collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn parts_tell_who_mapped_them() {
        let all = mapped(&[(0, 10, 1), (20, 10, 2)]);
        check(&all, 0, 40, &[(0, 10, 1), (10, 20, 0), (20, 30, 2), (30, 40, 0)]);
        check(&all, 5, 8, &[(5, 8, 1)]);
        check(&all, 12, 14, &[(12, 14, 0)]);
        check(&all, 5, 25, &[(5, 10, 1), (10, 20, 0), (20, 25, 2)]);
    }

    #[test]
    fn what_is_mapped_over_or_unmapped_is_cut_out() {
        check(&mapped(&[(0, 10, 1), (3, 2, 2)]), 0, 10, &[(0, 3, 1), (3, 5, 2), (5, 10, 1)]);
        check(&mapped(&[(0, 10, 1), (3, 2, 0)]), 0, 10, &[(0, 3, 1), (3, 5, 0), (5, 10, 1)]);
        check(&mapped(&[(0, 4, 1), (4, 4, 2), (2, 4, 0)]), 0, 8, &[(0, 2, 1), (2, 6, 0), (6, 8, 2)]);
        check(&mapped(&[(0, 4, 1), (0, 4, 0)]), 0, 4, &[(0, 4, 0)]);
    }

    #[test]
    fn an_unmapping_that_comes_late_does_not_take_what_was_mapped_since() {
        let mut all = Mapped::default();
        all.map(A, 4 * PAGE, MapKind::Anonymous, TraceId(1), 10);
        all.map(A, 4 * PAGE, MapKind::Anonymous, TraceId(2), 30);
        all.unmap(A, 4 * PAGE, 20);
        check(&all, 0, 4, &[(0, 4, 2)]);
    }

    #[test]
    fn lengths_that_can_t_be_do_no_harm() {
        let mut all = Mapped::default();
        all.map(A, u64::MAX, MapKind::Anonymous, TraceId(1), 1);
        all.map(A, 0, MapKind::Anonymous, TraceId(2), 2);
        all.unmap(A, u64::MAX, 3);
        check(&all, 0, 1, &[(0, 1, 0)]);
    }
}
