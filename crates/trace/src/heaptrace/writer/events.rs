//! Events since the last segment: a bit for each, and columns of numbers.

use crate::heaptrace::columns::{Layout, put_column};
use crate::heaptrace::layout::{NEAR, WIDE, column};
use crate::heaptrace::numbers::{put, put_bytes, zigzag};

/// Events of a full segment. Larger ones compress hardly better; smaller ones lose what repeats.
pub(super) const SEGMENT_EVENTS: u32 = 1 << 18;
/// Events that columns have room for at first.
const FIRST_ROOM: usize = 1 << 12;

/// Events on their way out, and where the next segment begins.
pub(super) struct EventColumns {
    /// A bit an event, zero behind those that wait. This and the next three have room for as many events, which grows to
    /// that of a segment: most of many processes that are recorded at once have few.
    ops: Vec<u64>,
    infos: Vec<u32>,
    near: Vec<u8>,
    far: Vec<u32>,
    wide: Vec<u8>,
    counts: Counts,
    /// Position and nanoseconds.
    ticks: Vec<(u32, u64)>,
    /// Position and thread.
    threads: Vec<(u32, u32)>,
    reallocs: Vec<u32>,
    /// Events and allocations in earlier segments.
    events_before: u64,
    allocations_before: u64,
    /// At the start of the segment.
    start_ns: u64,
    start_thread: u32,
    /// Now.
    pub(super) ns: u64,
    pub(super) thread: u32,
}

/// What changes with every event.
#[derive(Clone, Copy, Default)]
struct Counts {
    events: u32,
    allocations: u32,
    far: u32,
    /// The latest allocation that was freed and was not near.
    last_far: u64,
}

/// Adds events, with all that changes at hand: what would be read and written for each is so once for many.
pub(super) struct Adding<'c> {
    ops: &'c mut [u64],
    infos: &'c mut [u32],
    near: &'c mut [u8],
    far: &'c mut [u32],
    wide: &'c mut Vec<u8>,
    allocations_before: u64,
    counts: Counts,
    /// Where they are put in the end.
    kept: &'c mut Counts,
}

impl Adding<'_> {
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.counts.events as usize >= self.infos.len()
    }

    /// Allocations so far.
    #[inline]
    pub(super) fn allocations(&self) -> u64 {
        self.allocations_before + u64::from(self.counts.allocations)
    }

    /// The allocation's number.
    #[inline]
    pub(super) fn alloc(&mut self, info: u32) -> u64 {
        let number = self.allocations();
        set(self.infos, self.counts.allocations, info);
        self.counts.allocations += 1;
        self.counts.events += 1;
        number
    }

    #[inline]
    pub(super) fn free(&mut self, allocation: u64) {
        debug_assert!(allocation < self.allocations(), "a block is freed after it was allocated");
        let distance = self.allocations().wrapping_sub(allocation).wrapping_sub(1);
        let Counts { events, allocations, far, last_far } = self.counts;
        set(self.near, events - allocations, distance.min(u64::from(NEAR)) as u8);
        // Whether a block is near is often as good as chance, and a wrong guess of the processor costs more than all
        // this: what is written for a near one is written over by the next.
        let step = zigzag(allocation.wrapping_sub(last_far).cast_signed());
        set(self.far, far, step.min(u64::from(WIDE)) as u32);
        let is_far = distance >= u64::from(NEAR);
        self.counts.far += u32::from(is_far);
        self.counts.last_far ^= (allocation ^ last_far) & u64::from(is_far).wrapping_neg();
        if step >= u64::from(WIDE) {
            put_wide(self.wide, is_far, step);
        }
        if let Some(word) = self.ops.get_mut(events as usize / 64) {
            *word |= 1 << (events & 63);
        }
        self.counts.events += 1;
    }
}

impl Drop for Adding<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.kept = self.counts;
    }
}

/// Writes a column's number. There is room for it: every column has that of as many events.
#[inline]
fn set<T>(column: &mut [T], at: u32, value: T) {
    if let Some(place) = column.get_mut(at as usize) {
        *place = value;
    }
}

#[cold]
fn put_wide(out: &mut Vec<u8>, is_far: bool, step: u64) {
    if is_far {
        put(out, step);
    }
}

impl EventColumns {
    pub(super) fn new() -> Self {
        EventColumns {
            ops: Vec::new(),
            infos: Vec::new(),
            near: Vec::new(),
            far: Vec::new(),
            wide: Vec::new(),
            counts: Counts::default(),
            ticks: Vec::new(),
            threads: Vec::new(),
            reallocs: Vec::new(),
            events_before: 0,
            allocations_before: 0,
            start_ns: 0,
            start_thread: 0,
            ns: 0,
            thread: 0,
        }
    }

    /// Position of the segment's first event, and the time of the last tick before it.
    pub(super) fn start(&self) -> (u64, u64) {
        (self.events_before, self.start_ns)
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.counts.events >= SEGMENT_EVENTS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.events == 0 && self.ticks.is_empty()
    }

    /// Allocations so far.
    pub(super) fn allocations(&self) -> u64 {
        self.allocations_before + u64::from(self.counts.allocations)
    }

    /// Events can be added until [`Adding::is_full`]: one at least, unless [`EventColumns::is_full`].
    #[inline]
    pub(super) fn add(&mut self) -> Adding<'_> {
        if self.counts.events as usize >= self.infos.len() {
            self.grow();
        }
        Adding {
            ops: &mut self.ops,
            infos: &mut self.infos,
            near: &mut self.near,
            far: &mut self.far,
            wide: &mut self.wide,
            allocations_before: self.allocations_before,
            counts: self.counts,
            kept: &mut self.counts,
        }
    }

    #[cold]
    fn grow(&mut self) {
        let room = (2 * self.infos.len()).clamp(FIRST_ROOM, SEGMENT_EVENTS as usize);
        self.ops.resize(room / 64, 0);
        self.infos.resize(room, 0);
        self.near.resize(room, 0);
        self.far.resize(room, 0);
    }

    pub(super) fn realloc_free(&mut self, allocation: u64) {
        self.reallocs.push(self.counts.events);
        self.add().free(allocation);
    }

    pub(super) fn tick(&mut self, ns: u64) {
        // The clock of a reader must not run backwards.
        self.ns = self.ns.max(ns);
        match self.ticks.last_mut() {
            // Nothing happened since the last one: the later one says as much.
            Some((at, last)) if *at == self.counts.events => *last = self.ns,
            _ => self.ticks.push((self.counts.events, self.ns)),
        }
    }

    #[inline]
    pub(super) fn thread(&mut self, thread: u32) {
        if thread != self.thread {
            self.switch(thread);
        }
    }

    fn switch(&mut self, thread: u32) {
        self.thread = thread;
        match self.threads.last_mut() {
            Some((at, last)) if *at == self.counts.events => *last = thread,
            _ => self.threads.push((self.counts.events, thread)),
        }
    }

    /// Appends what waits and forgets it.
    pub(super) fn put_to(&mut self, out: &mut Vec<u8>) {
        let Counts { events, allocations, far, .. } = self.counts;
        put(out, self.events_before);
        put(out, self.allocations_before);
        put(out, self.start_ns);
        put(out, u64::from(self.start_thread));
        put(out, u64::from(events));
        put(out, u64::from(allocations));

        let (events, frees) = (events as usize, (events - allocations) as usize);
        let words = &mut self.ops[..events.div_ceil(64)];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        words.fill(0);
        out.push(column::OPS);
        put_bytes(out, &bytes[..events.div_ceil(8)]);
        put_column(out, column::INFOS, Layout::Rows, &self.infos[..allocations as usize]);
        out.push(column::NEAR);
        put_bytes(out, &self.near[..frees]);
        put_column(out, column::FAR, Layout::Planes, &self.far[..far as usize]);
        put_rare(out, column::WIDE, &self.wide);
        put_rare(out, column::TICKS, &pairs(&self.ticks, self.start_ns));
        let threads: Vec<(u32, u64)> = self.threads.iter().map(|&(at, no)| (at, u64::from(no))).collect();
        put_rare(out, column::THREADS, &positions(threads.iter().map(|&(at, no)| (at, Some(no)))));
        put_rare(out, column::REALLOCS, &positions(self.reallocs.iter().map(|&at| (at, None))));

        self.events_before += events as u64;
        self.allocations_before += u64::from(allocations);
        self.counts = Counts { last_far: self.allocations_before, ..Counts::default() };
        self.start_ns = self.ns;
        self.start_thread = self.thread;
        self.wide.clear();
        self.ticks.clear();
        self.threads.clear();
        self.reallocs.clear();
    }
}

fn put_rare(out: &mut Vec<u8>, column: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push(column);
        put_bytes(out, bytes);
    }
}

/// Positions as differences, and what stands beside each.
fn positions(items: impl Iterator<Item = (u32, Option<u64>)>) -> Vec<u8> {
    let (mut out, mut last) = (Vec::new(), 0);
    for (at, beside) in items {
        put(&mut out, u64::from(at - last));
        last = at;
        if let Some(beside) = beside {
            put(&mut out, beside);
        }
    }
    out
}

/// Ticks: both numbers as differences.
fn pairs(ticks: &[(u32, u64)], start_ns: u64) -> Vec<u8> {
    let mut last = start_ns;
    positions(ticks.iter().map(|&(at, ns)| {
        let since = ns - last;
        last = ns;
        (at, Some(since))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frees these blocks of so many earlier allocations; the columns that say which, up to what was written.
    #[track_caller]
    fn check(allocations: u64, frees: &[u64], near: &[u8], far: &[u32], wide: &[u64]) {
        let mut columns = EventColumns { allocations_before: allocations, ..EventColumns::new() };
        let mut adding = columns.add();
        frees.iter().for_each(|&block| adding.free(block));
        drop(adding);
        assert_eq!(columns.near[..frees.len()], *near);
        assert_eq!(columns.far[..columns.counts.far as usize], *far);
        let mut expected = Vec::new();
        wide.iter().for_each(|&step| put(&mut expected, step));
        assert_eq!(columns.wide, expected);
        assert_eq!(columns.ops[0], (1 << frees.len()) - 1);
    }

    #[test]
    fn a_free_says_how_far_its_allocation_is() {
        // Steps count from the far one before, whatever near ones lie between.
        check(1_000, &[999, 937, 936, 998, 935, 940], &[0, 62, 63, 1, 64, 59], &[2 * 935], &[]);
        check(1_000, &[10, 999, 12, 990, 11], &[64, 0, 64, 9, 64], &[20, 4, 1], &[]);
    }

    #[test]
    fn a_step_that_fits_no_column_stands_in_its_own() {
        let most = u64::from(WIDE) / 2;
        let all = 1 << 40;
        check(all, &[most, 0, all - 1], &[64, 64, 0], &[WIDE - 1, WIDE - 2], &[]);
        check(
            all,
            &[most + 1, all - 1, 1 << 39],
            &[64, 0, 64],
            &[WIDE, WIDE],
            &[1 << 32, (1 << 40) - (1 << 32)],
        );
    }
}
