//! Events since the last segment: a bit for each, and columns of numbers.

use crate::heaptrace::columns::{Layout, put_column};
use crate::heaptrace::layout::{NEAR, WIDE, column};
use crate::heaptrace::numbers::{put, put_bytes, zigzag};

/// Events of a full segment. Larger ones compress hardly better; smaller ones lose what repeats.
pub(super) const SEGMENT_EVENTS: u32 = 1 << 18;

/// Events on their way out, and where the next segment begins.
pub(super) struct EventColumns {
    /// 64 bits each, of the events before the ones in `word`.
    ops: Vec<u64>,
    word: u64,
    count: u32,
    infos: Vec<u32>,
    near: Vec<u8>,
    far: Vec<u32>,
    wide: Vec<u8>,
    /// The latest allocation that was freed and was not near.
    last_far: u64,
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
    pub(super) allocations: u64,
    pub(super) ns: u64,
    pub(super) thread: u32,
}

impl EventColumns {
    pub(super) fn new() -> Self {
        // Half of the events are of one kind, more or less.
        let half = SEGMENT_EVENTS as usize / 2 + SEGMENT_EVENTS as usize / 16;
        EventColumns {
            ops: Vec::with_capacity(SEGMENT_EVENTS as usize / 64),
            word: 0,
            count: 0,
            infos: Vec::with_capacity(half),
            near: Vec::with_capacity(half),
            far: Vec::new(),
            wide: Vec::new(),
            last_far: 0,
            ticks: Vec::new(),
            threads: Vec::new(),
            reallocs: Vec::new(),
            events_before: 0,
            allocations_before: 0,
            start_ns: 0,
            start_thread: 0,
            allocations: 0,
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
        self.count >= SEGMENT_EVENTS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.ticks.is_empty()
    }

    #[inline]
    fn push_op(&mut self, is_free: bool) {
        self.word |= u64::from(is_free) << (self.count & 63);
        self.count += 1;
        if self.count & 63 == 0 {
            self.ops.push(self.word);
            self.word = 0;
        }
    }

    /// The allocation's number.
    #[inline]
    pub(super) fn alloc(&mut self, info: u32) -> u64 {
        let number = self.allocations;
        self.allocations += 1;
        self.infos.push(info);
        self.push_op(false);
        number
    }

    #[inline]
    pub(super) fn free(&mut self, allocation: u64) {
        debug_assert!(allocation < self.allocations, "a block is freed after it was allocated");
        let distance = self.allocations.wrapping_sub(allocation).wrapping_sub(1);
        if distance < u64::from(NEAR) {
            self.near.push(distance as u8);
        } else {
            self.near.push(NEAR);
            let step = zigzag(allocation.wrapping_sub(self.last_far).cast_signed());
            self.last_far = allocation;
            if step < u64::from(WIDE) {
                self.far.push(step as u32);
            } else {
                self.far.push(WIDE);
                put(&mut self.wide, step);
            }
        }
        self.push_op(true);
    }

    #[inline]
    pub(super) fn realloc_free(&mut self, allocation: u64) {
        self.reallocs.push(self.count);
        self.free(allocation);
    }

    pub(super) fn tick(&mut self, ns: u64) {
        // The clock of a reader must not run backwards.
        self.ns = self.ns.max(ns);
        match self.ticks.last_mut() {
            // Nothing happened since the last one: the later one says as much.
            Some((at, last)) if *at == self.count => *last = self.ns,
            _ => self.ticks.push((self.count, self.ns)),
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
            Some((at, last)) if *at == self.count => *last = thread,
            _ => self.threads.push((self.count, thread)),
        }
    }

    /// Appends what waits and forgets it.
    pub(super) fn put_to(&mut self, out: &mut Vec<u8>) {
        put(out, self.events_before);
        put(out, self.allocations_before);
        put(out, self.start_ns);
        put(out, u64::from(self.start_thread));
        put(out, u64::from(self.count));
        put(out, self.infos.len() as u64);

        if self.count & 63 != 0 {
            self.ops.push(self.word);
            self.word = 0;
        }
        let bytes: Vec<u8> = self.ops.iter().flat_map(|word| word.to_le_bytes()).collect();
        out.push(column::OPS);
        put_bytes(out, &bytes[..self.count.div_ceil(8) as usize]);
        put_column(out, column::INFOS, Layout::Rows, &self.infos);
        out.push(column::NEAR);
        put_bytes(out, &self.near);
        put_column(out, column::FAR, Layout::Planes, &self.far);
        put_rare(out, column::WIDE, &self.wide);
        put_rare(out, column::TICKS, &pairs(&self.ticks, self.start_ns));
        let threads: Vec<(u32, u64)> = self.threads.iter().map(|&(at, no)| (at, u64::from(no))).collect();
        put_rare(out, column::THREADS, &positions(threads.iter().map(|&(at, no)| (at, Some(no)))));
        put_rare(out, column::REALLOCS, &positions(self.reallocs.iter().map(|&at| (at, None))));

        self.events_before += u64::from(self.count);
        self.allocations_before = self.allocations;
        self.last_far = self.allocations;
        self.start_ns = self.ns;
        self.start_thread = self.thread;
        self.count = 0;
        self.ops.clear();
        self.infos.clear();
        self.near.clear();
        self.far.clear();
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
