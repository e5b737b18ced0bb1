//! Events: a bit each, and columns of numbers beside it.
//!
//! Whether an event allocates or frees can't be guessed, so the inner loop has no branch on it: an allocation and a
//! free both read and write one entry of the ring of live blocks. What is rare, a tick of the clock or a realloc, has
//! a list of positions, and the loop runs from one to the next.

use std::ops::Range;

use super::Wrong;
use super::live::{Entry, LiveSet};
use crate::events::Event;
use crate::heaptrace::columns::{Layout, take_column};
use crate::heaptrace::layout::{MAX_EVENTS, NEAR, WIDE, column};
use crate::heaptrace::numbers::{Numbers, unzigzag};
use crate::ids::{InfoIdx, ThreadNo};
use crate::lifetimes::{Chain, ChainCounts, LifetimeCounts, Lifetimes, ReallocChains};
use crate::recording::Recording;
use crate::trace::Trace;

const EVENTS: Wrong = "a segment of events contradicts itself";
const GAP: Wrong = "a segment of events does not follow the one before it";
const NO_INFO: Wrong = "an event refers to an allocation that the file has not defined";
const NOT_ALIVE: Wrong = "a free names a block that is not alive; it was left out";
const BACKWARDS: Wrong = "the clock runs out of its 64 bits";

/// Events that are decoded at once: they fit the first-level cache.
const RUN: usize = 1 << 12;
/// Entries of a ring of live blocks that fits the second-level cache.
const CACHED: usize = 1 << 17;

/// Decodes events, and counts what only their order tells.
pub(super) struct EventDecoder {
    pub(super) live: LiveSet,
    births: Births,
    lifetimes: Option<LifetimeCounts>,
    chains: ChainCounts,
    /// Events in the file so far, those included that were left out.
    events: u64,
    /// Now, and how many ticks there were.
    ns: u64,
    tick: usize,
    /// Whether the latest event allocated.
    after_allocation: bool,
    /// Reallocations up to the block that the next event allocates, if a realloc freed one.
    chain: Option<Chain>,
    /// Columns of a segment, kept for their room.
    infos: Vec<u32>,
    steps: Vec<u32>,
    far: Vec<u64>,
    /// The allocation that each free of the segment names, and what was found there.
    named: Vec<u64>,
    freed: Vec<Entry>,
    /// Frees whose entries were fetched into the cache.
    fetched: usize,
    /// Events of a run: room for [`RUN`], of which so many are there.
    out: Vec<Event>,
    out_len: usize,
}

impl Default for EventDecoder {
    fn default() -> Self {
        EventDecoder {
            live: LiveSet::default(),
            births: Births::default(),
            lifetimes: None,
            chains: ChainCounts::default(),
            events: 0,
            ns: 0,
            tick: 0,
            after_allocation: false,
            chain: None,
            infos: Vec::new(),
            steps: Vec::new(),
            far: Vec::new(),
            named: Vec::new(),
            freed: Vec::new(),
            fetched: 0,
            out: vec![Event::allocation(0); RUN],
            out_len: 0,
        }
    }
}

/// When allocations happened: a tick of the clock for each, without a number for each.
#[derive(Default)]
struct Births {
    /// The first allocation after each tick.
    first: Vec<u64>,
    /// For each [`Births::PAGE`] of allocations the ticks before its first.
    pages: Vec<u32>,
    /// The first allocation after the latest tick.
    since_tick: u64,
}

impl Births {
    const PAGE: u64 = 1 << 10;

    /// The clock ticked so often; the next allocation has this number.
    fn tick(&mut self, ticks: usize, next: u64) {
        // A tick may have taken the place of another.
        if self.first.len() < ticks {
            self.first.push(next);
        }
        self.since_tick = next;
    }

    /// All allocations before `next` that are new happened after so many ticks.
    fn reach(&mut self, ticks: usize, next: u64) {
        while (self.pages.len() as u64) * Self::PAGE < next {
            self.pages.push(ticks as u32);
        }
    }

    /// How many ticks came before an allocation, of `ticks` so far.
    fn tick_of(&self, number: u64, ticks: usize) -> usize {
        let page = (number / Self::PAGE) as usize;
        let before = |page: usize| self.pages.get(page).map_or(ticks, |&ticks| ticks as usize);
        let (low, high) = (before(page), before(page + 1));
        low + self.first[low..high].partition_point(|&first| first <= number)
    }
}

/// The columns of a segment.
#[derive(Default)]
struct Columns<'a> {
    ops: &'a [u8],
    infos: &'a [u8],
    near: &'a [u8],
    far: &'a [u8],
    wide: Numbers<'a>,
    ticks: Positions<'a>,
    threads: Positions<'a>,
    reallocs: Positions<'a>,
}

/// How far a segment is decoded: events, and allocations among them. The others are frees.
#[derive(Clone, Copy, Default)]
struct Cursor {
    event: usize,
    allocation: usize,
}

impl Cursor {
    fn free(self) -> usize {
        self.event - self.allocation
    }
}

/// Positions of what is rare, in order.
#[derive(Clone, Copy, Default)]
struct Positions<'a> {
    numbers: Numbers<'a>,
    /// The next position; `usize::MAX` behind the last.
    at: usize,
}

impl<'a> Positions<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Wrong> {
        let mut positions = Positions { numbers: Numbers(bytes), at: 0 };
        positions.advance()?;
        Ok(positions)
    }

    /// Goes to the next position; what stands beside this one was read.
    fn advance(&mut self) -> Result<(), Wrong> {
        if self.numbers.is_empty() {
            self.at = usize::MAX;
            return Ok(());
        }
        let since = self.numbers.next().filter(|&since| since <= MAX_EVENTS).ok_or(EVENTS)?;
        self.at += since as usize;
        Ok(())
    }
}

impl EventDecoder {
    /// Takes a segment's events.
    pub(super) fn segment(
        &mut self,
        payload: &[u8],
        trace: &mut Trace,
        recording: &mut Recording,
        complaints: &mut Vec<(Wrong, u64)>,
    ) -> Result<(), Wrong> {
        let mut payload = Numbers(payload);
        let mut head = [0; 6];
        for number in &mut head {
            *number = payload.next().ok_or(EVENTS)?;
        }
        let [first_event, first_allocation, start_ns, thread, count, allocations] = head;
        if first_event != self.events || first_allocation != self.live.next || start_ns != self.ns {
            return Err(GAP);
        }
        if count > MAX_EVENTS || allocations > count {
            return Err(EVENTS);
        }
        let mut columns = columns(payload)?;
        let (count, allocations) = (count as usize, allocations as usize);
        if columns.ops.len() != count.div_ceil(8) || ones(columns.ops, count) != count - allocations {
            return Err(EVENTS);
        }
        take_column(columns.infos, Layout::Rows, allocations, &mut self.infos).ok_or(EVENTS)?;
        if self.infos.iter().any(|&info| info as usize >= trace.infos.len()) {
            return Err(NO_INFO);
        }
        self.frees(&mut columns, count - allocations, first_allocation)?;
        // The loop looks at both columns for each event, and at the end one of them has no number left.
        self.infos.push(0);
        self.named.push(0);
        self.freed.clear();
        self.freed.resize(self.named.len(), Entry::NONE);
        self.fetched = 0;
        if let Some(lifetimes) = &mut self.lifetimes {
            lifetimes.resize(trace.infos.len());
        }

        let events_before = trace.events.len();
        self.threads(thread, &mut columns.threads, count, events_before, recording)?;
        let mut cursor = Cursor::default();
        loop {
            while columns.ticks.at <= cursor.event {
                let since = columns.ticks.numbers.next().ok_or(EVENTS)?;
                self.ns = self.ns.checked_add(since).ok_or(BACKWARDS)?;
                trace.clock.push_ns(trace.events.len(), self.ns);
                self.tick = trace.clock.stamps().len();
                self.births.tick(self.tick, self.live.next);
                columns.ticks.advance()?;
            }
            if cursor.event == count {
                break;
            }
            let is_realloc = columns.reallocs.at <= cursor.event;
            if is_realloc {
                columns.reallocs.advance()?;
            }
            let next = cursor.event + RUN;
            let end = next.min(count).min(columns.ticks.at).min(columns.reallocs.at);
            self.live.reserve(RUN);
            let first_free = cursor.free();
            let outcome = if is_realloc || self.chain.is_some() {
                self.one(columns.ops, &mut cursor, is_realloc, trace)
            } else {
                self.run(columns.ops, &mut cursor, end, trace)
            };
            self.births.reach(self.tick, self.live.next);
            trace.events.extend(&self.out[..self.out_len]);
            self.out_len = 0;
            self.count_lifetimes(first_free..cursor.free(), trace);
            outcome?;
        }
        self.events += count as u64;
        let missing = events_before + count as u64 - trace.events.len();
        if missing > 0 {
            complaints.push((NOT_ALIVE, missing));
        }
        Ok(())
    }

    /// Finds the allocation that each free names; `start` is the number of the segment's first.
    fn frees(&mut self, columns: &mut Columns<'_>, count: usize, start: u64) -> Result<(), Wrong> {
        let near = columns.near;
        if near.len() != count {
            return Err(EVENTS);
        }
        let far = near.iter().filter(|&&distance| distance >= NEAR).count();
        take_column(columns.far, Layout::Planes, far, &mut self.steps).ok_or(EVENTS)?;
        self.far.clear();
        let mut allocation = start;
        for &step in &self.steps {
            let step = if step == WIDE { columns.wide.next().ok_or(EVENTS)? } else { u64::from(step) };
            allocation = allocation.wrapping_add_signed(unzigzag(step));
            self.far.push(allocation);
        }
        // The loop looks at this one for each free, and in the end none is left.
        self.far.push(0);

        self.named.clear();
        self.named.resize(count, 0);
        let (mut free, mut at_far) = (0, 0);
        for (at, bytes) in columns.ops.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let mut frees = u64::from_le_bytes(word);
            while frees != 0 && free < count {
                let event = at * 64 + frees.trailing_zeros() as usize;
                frees &= frees - 1;
                let distance = near[free];
                let near_one = (start + (event - free) as u64).wrapping_sub(u64::from(distance) + 1);
                // All ones or nothing: what is chosen by such a mask needs no branch.
                let is_far = u64::from(distance >= NEAR);
                self.named[free] = near_one ^ ((near_one ^ self.far[at_far]) & is_far.wrapping_neg());
                at_far += is_far as usize;
                free += 1;
            }
        }
        Ok(())
    }

    fn threads(
        &mut self,
        start: u64,
        changes: &mut Positions<'_>,
        count: usize,
        events_before: u64,
        recording: &mut Recording,
    ) -> Result<(), Wrong> {
        let number = |thread| u32::try_from(thread).map(ThreadNo).map_err(|_| EVENTS);
        recording.thread_runs.push(events_before, number(start)?);
        while changes.at <= count {
            let thread = changes.numbers.next().ok_or(EVENTS)?;
            recording.thread_runs.push(events_before + changes.at as u64, number(thread)?);
            changes.advance()?;
        }
        Ok(())
    }

    /// Decodes events up to `end`.
    fn run(&mut self, ops: &[u8], cursor: &mut Cursor, end: usize, trace: &Trace) -> Result<(), Wrong> {
        if self.live.ring.len() > CACHED {
            self.fetch(cursor.free() + end - cursor.event);
        }
        while cursor.event < end {
            self.ordinary(ops, cursor, end);
            if cursor.event < end {
                self.one(ops, cursor, false, trace)?;
            }
        }
        Ok(())
    }

    /// Looks at the entries that frees up to `end` will need. They are far apart where blocks live long, and this loop
    /// waits for dozens of them at once, the one behind it for a few.
    fn fetch(&mut self, end: usize) {
        let ring = &self.live.ring[..];
        let last = ring.len() as u64 - 1;
        let end = end.min(self.named.len()).max(self.fetched);
        let named = &self.named[self.fetched..end];
        self.fetched = end;
        let all = named.iter().fold(0, |all, number| all | ring[(number & last) as usize].0);
        // Or else the compiler sees that nobody wants them.
        std::hint::black_box(all);
    }

    /// Decodes events up to `end` without looking at what each is; stops before one that it can't do: the free of a
    /// block that is not in the ring, or is not alive, or came out of a realloc.
    fn ordinary(&mut self, ops: &[u8], cursor: &mut Cursor, end: usize) {
        let (ring, infos) = (&mut self.live.ring[..], &self.infos[..]);
        let (named, freed) = (&self.named[..], &mut self.freed[..]);
        let (last, base) = (ring.len() as u64 - 1, self.live.base);
        // A run is no longer than this.
        let out = &mut self.out[self.out_len..];

        let start = cursor.event;
        let Cursor { mut event, mut allocation } = *cursor;
        let mut next = self.live.next;
        let mut after_allocation = u64::from(self.after_allocation);
        while event < end {
            let is_free = u64::from(ops[event >> 3] >> (event & 7) & 1);
            // All ones for a free, and nothing for an allocation: what is chosen by it needs no branch.
            let for_free = is_free.wrapping_neg();
            let free = event - allocation;
            let number = next ^ ((next ^ named[free]) & for_free);
            // The allocation that comes next has its place too; a free that names it finds nothing there.
            if number.wrapping_sub(base) > next - base {
                break;
            }
            let place = &mut ring[(number & last) as usize];
            let fresh = infos[allocation];
            let entry = Entry(fresh ^ ((fresh ^ place.0) & for_free as u32));
            if entry.is_rare() {
                break;
            }
            place.0 = fresh ^ ((fresh ^ Entry::NONE.0) & for_free as u32);
            // For an allocation this is overwritten.
            freed[free] = entry;
            let is_latest = is_free & after_allocation & u64::from(number.wrapping_add(1) == next);
            out[event - start] = Event::of_marks(entry.info(), is_free as u32, is_latest as u32);
            after_allocation = 1 - is_free;
            allocation += (1 - is_free) as usize;
            next += 1 - is_free;
            event += 1;
        }
        self.out_len += event - start;
        self.live.next = next;
        self.after_allocation = after_allocation != 0;
        *cursor = Cursor { event, allocation };
        // The last allocation left its mark where the next free belongs.
        self.freed[cursor.free()] = Entry::NONE;
    }

    /// Decodes one event, whatever it is.
    fn one(&mut self, ops: &[u8], cursor: &mut Cursor, is_realloc: bool, trace: &Trace) -> Result<(), Wrong> {
        let is_free = ops[cursor.event >> 3] >> (cursor.event & 7) & 1 != 0;
        let free = cursor.free();
        cursor.event += 1;
        let chain = self.chain.take();
        if !is_free {
            if is_realloc {
                return Err(EVENTS);
            }
            let info = self.infos[cursor.allocation];
            let mut entry = Entry::new(info);
            if let Some(chain) = chain {
                entry = entry.in_chain();
                self.chains.begin(self.live.next, chain.and(trace.infos.size(InfoIdx(info))));
            }
            self.live.push(entry);
            self.put(Event::allocation(info));
            self.after_allocation = true;
            cursor.allocation += 1;
            return Ok(());
        }
        let number = self.named[free];
        let is_latest = self.after_allocation && number.wrapping_add(1) == self.live.next;
        self.after_allocation = false;
        let Some(entry) = self.live.take(number) else { return Ok(()) };
        let info = InfoIdx(entry.info());
        let chain = if entry.is_in_chain() { self.chains.take(number) } else { None };
        if is_realloc {
            self.chain = Some(chain.unwrap_or_else(|| Chain::of(trace.infos.size(info))));
        } else if let Some(chain) = chain {
            self.chains.end_with(info, chain);
        }
        self.put(Event::free(entry.info(), is_latest));
        self.births.reach(self.tick, self.live.next);
        self.count_lifetime(entry.info(), number, trace);
        Ok(())
    }

    fn put(&mut self, event: Event) {
        self.out[self.out_len] = event;
        self.out_len += 1;
    }

    /// From here on it is counted how long blocks live.
    pub(super) fn count_all_lifetimes(&mut self) {
        self.lifetimes.get_or_insert_default();
    }

    /// Counts the blocks that were freed; those that [`EventDecoder::one`] frees are counted there.
    fn count_lifetimes(&mut self, frees: Range<usize>, trace: &Trace) {
        if self.lifetimes.is_none() {
            return;
        }
        for free in frees {
            let entry = self.freed[free];
            if !entry.is_freed() {
                self.count_lifetime(entry.info(), self.named[free], trace);
            }
        }
    }

    #[inline]
    fn count_lifetime(&mut self, info: u32, number: u64, trace: &Trace) {
        let Some(lifetimes) = &mut self.lifetimes else { return };
        if number >= self.births.since_tick {
            return lifetimes.count_short(info);
        }
        // Ticks count from 1: a block of before the first was born at 0.
        let tick = self.births.tick_of(number, self.tick);
        let born = tick.checked_sub(1).map_or(0, |tick| trace.clock.ns(tick));
        lifetimes.count(info, self.ns - born);
    }

    /// How long blocks lived, and how often they were reallocated.
    pub(super) fn finish(self) -> (Option<Lifetimes>, ReallocChains) {
        let live = self.live;
        let lifetimes = self.lifetimes.map(LifetimeCounts::finish);
        (lifetimes, self.chains.finish(|number| live.get(number).map(Entry::info)))
    }
}

/// Finds the columns; those of a later version are passed over.
fn columns(mut payload: Numbers<'_>) -> Result<Columns<'_>, Wrong> {
    let nothing = Positions::new(&[])?;
    let mut columns = Columns { ticks: nothing, threads: nothing, reallocs: nothing, ..Columns::default() };
    while let Some(column) = payload.byte() {
        let bytes = payload.bytes().ok_or(EVENTS)?;
        match column {
            column::OPS => columns.ops = bytes,
            column::INFOS => columns.infos = bytes,
            column::NEAR => columns.near = bytes,
            column::FAR => columns.far = bytes,
            column::WIDE => columns.wide = Numbers(bytes),
            column::TICKS => columns.ticks = Positions::new(bytes)?,
            column::THREADS => columns.threads = Positions::new(bytes)?,
            column::REALLOCS => columns.reallocs = Positions::new(bytes)?,
            _ => {}
        }
    }
    Ok(columns)
}

/// How many of the first `count` bits are set.
fn ones(bits: &[u8], count: usize) -> usize {
    let (whole, rest) = bits.split_at(count / 8);
    let whole: usize = whole.iter().map(|byte| byte.count_ones() as usize).sum();
    let rest = rest.first().map_or(0, |byte| (byte & ((1 << (count % 8)) - 1)).count_ones() as usize);
    whole + rest
}
