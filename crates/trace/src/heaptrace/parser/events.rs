//! Events: a bit each, and columns of numbers beside it.
//!
//! Whether an event allocates or frees can't be guessed, so the inner loop has no branch on it: an allocation and a
//! free both read and write one entry of the ring of live blocks. What is rare, a tick of the clock or a realloc, has
//! a list of positions, and the loop runs from one to the next.

use super::Wrong;
use super::live::{Entry, LiveSet};
use crate::events::Event;
use crate::heaptrace::columns::take_column;
use crate::heaptrace::layout::{FAR, MAX_EVENTS, column};
use crate::heaptrace::numbers::Numbers;
use crate::ids::{InfoIdx, ThreadNo};
use crate::lifetimes::{ChainCounts, LifetimeCounts, Lifetimes, ReallocChains};
use crate::recording::Recording;
use crate::trace::Trace;

const EVENTS: Wrong = "a segment of events contradicts itself";
const GAP: Wrong = "a segment of events does not follow the one before it";
const NO_INFO: Wrong = "an event refers to an allocation that the file has not defined";
const NOT_ALIVE: Wrong = "a free names a block that is not alive; it was left out";
const BACKWARDS: Wrong = "the clock runs out of its 64 bits";

/// Events that are decoded at once: they fit the first-level cache.
const RUN: usize = 1 << 12;

/// Decodes events, and counts what only their order tells.
#[derive(Default)]
pub(super) struct EventDecoder {
    pub(super) live: LiveSet,
    lifetimes: LifetimeCounts,
    chains: ChainCounts,
    /// Events in the file so far, those included that were left out.
    events: u64,
    /// Now, and how many ticks there were.
    ns: u64,
    tick: u32,
    /// Whether the latest event allocated.
    after_allocation: bool,
    /// Reallocations up to the block that the next event allocates, if a realloc freed one.
    chain: Option<u32>,
    /// Columns of a segment, kept for their room.
    infos: Vec<u32>,
    distances: Vec<u32>,
    /// Events and freed blocks of a run.
    out: Vec<Event>,
    freed: Vec<Entry>,
}

/// The columns of a segment.
#[derive(Default)]
struct Columns<'a> {
    ops: &'a [u8],
    infos: &'a [u8],
    distances: &'a [u8],
    far: Numbers<'a>,
    ticks: Positions<'a>,
    threads: Positions<'a>,
    reallocs: Positions<'a>,
}

/// How far a segment is decoded.
#[derive(Default)]
struct Cursor {
    event: usize,
    allocation: usize,
    free: usize,
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
        take_column(columns.infos, allocations, &mut self.infos).ok_or(EVENTS)?;
        take_column(columns.distances, count - allocations, &mut self.distances).ok_or(EVENTS)?;
        if self.infos.iter().any(|&info| info as usize >= trace.infos.len()) {
            return Err(NO_INFO);
        }
        // The loop looks at both columns for each event, and at the end one of them has no number left.
        self.infos.push(0);
        self.distances.push(0);
        self.lifetimes.resize(trace.infos.len());

        let events_before = trace.events.len();
        self.threads(thread, &mut columns.threads, count, events_before, recording)?;
        let mut cursor = Cursor::default();
        loop {
            while columns.ticks.at <= cursor.event {
                let since = columns.ticks.numbers.next().ok_or(EVENTS)?;
                self.ns = self.ns.checked_add(since).ok_or(BACKWARDS)?;
                trace.clock.push_ns(trace.events.len(), self.ns);
                self.tick = trace.clock.stamps().len() as u32;
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
            let outcome = if is_realloc || self.chain.is_some() {
                self.one(&mut columns, &mut cursor, is_realloc)
            } else {
                self.run(&mut columns, &mut cursor, end)
            };
            trace.events.extend(&self.out);
            self.count_lifetimes(trace);
            self.out.clear();
            self.freed.clear();
            outcome?;
        }
        self.events += count as u64;
        let missing = events_before + count as u64 - trace.events.len();
        if missing > 0 {
            complaints.push((NOT_ALIVE, missing));
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
    fn run(&mut self, columns: &mut Columns<'_>, cursor: &mut Cursor, end: usize) -> Result<(), Wrong> {
        while cursor.event < end {
            self.ordinary(columns.ops, cursor, end);
            if cursor.event < end {
                self.one(columns, cursor, false)?;
            }
        }
        Ok(())
    }

    /// Decodes events up to `end` without looking at what each is; stops before one that it can't do: the free of a
    /// block that is not in the ring, or is not alive, or came out of a realloc.
    fn ordinary(&mut self, ops: &[u8], cursor: &mut Cursor, end: usize) {
        let (ring, infos, distances) = (&mut self.live.ring[..], &self.infos[..], &self.distances[..]);
        let (mask, base, tick) = (ring.len() as u64 - 1, self.live.base, self.tick);
        let (out_before, freed_before) = (self.out.len(), self.freed.len());
        self.out.resize(out_before + end - cursor.event, Event::allocation(0));
        self.freed.resize(freed_before + end - cursor.event, Entry::NONE);
        let (out, freed) = (&mut self.out[out_before..], &mut self.freed[freed_before..]);

        let start = cursor.event;
        let (mut allocation, mut free) = (cursor.allocation, cursor.free);
        let (mut next, mut freed_now) = (self.live.next, 0);
        let mut after_allocation = u32::from(self.after_allocation);
        let mut event = start;
        while event < end {
            let is_free = u32::from(ops[event >> 3] >> (event & 7) & 1);
            let distance = distances[free];
            let back = u64::from(is_free) * (u64::from(distance) + 1);
            let number = next.wrapping_sub(back);
            let place = (number & mask) as usize;
            let fresh = Entry::new(infos[allocation], tick);
            let entry = if is_free == 0 { fresh } else { ring[place] };
            let is_outside = number.wrapping_sub(base) >= next - base + u64::from(1 - is_free);
            if is_outside || entry.is_rare() {
                break;
            }
            ring[place] = if is_free == 0 { fresh } else { Entry::NONE };
            freed[freed_now] = entry;
            let is_latest = is_free & after_allocation & u32::from(distance == 0);
            out[event - start] = Event::of_marks(entry.info(), is_free, is_latest);
            after_allocation = 1 - is_free;
            free += is_free as usize;
            freed_now += is_free as usize;
            allocation += (1 - is_free) as usize;
            next += u64::from(1 - is_free);
            event += 1;
        }
        self.out.truncate(out_before + event - start);
        self.freed.truncate(freed_before + freed_now);
        self.live.next = next;
        self.after_allocation = after_allocation != 0;
        *cursor = Cursor { event, allocation, free };
    }

    /// Decodes one event, whatever it is.
    fn one(&mut self, columns: &mut Columns<'_>, cursor: &mut Cursor, is_realloc: bool) -> Result<(), Wrong> {
        let is_free = columns.ops[cursor.event >> 3] >> (cursor.event & 7) & 1 != 0;
        cursor.event += 1;
        let chain = self.chain.take();
        if !is_free {
            if is_realloc {
                return Err(EVENTS);
            }
            let info = self.infos[cursor.allocation];
            let mut entry = Entry::new(info, self.tick);
            if let Some(length) = chain {
                entry = entry.in_chain();
                self.chains.begin(self.live.next, length);
            }
            self.live.push(entry);
            self.out.push(Event::allocation(info));
            self.after_allocation = true;
            cursor.allocation += 1;
            return Ok(());
        }
        let distance = self.distances[cursor.free];
        cursor.free += 1;
        let is_latest = self.after_allocation && distance == 0;
        self.after_allocation = false;
        let distance = if distance == FAR { columns.far.next().ok_or(EVENTS)? } else { u64::from(distance) };
        let number = self.live.next.checked_sub(1).and_then(|latest| latest.checked_sub(distance));
        let Some((number, entry)) = number.and_then(|number| Some((number, self.live.take(number)?))) else {
            return Ok(());
        };
        let length = if entry.is_in_chain() { self.chains.take(number) } else { 0 };
        if is_realloc {
            self.chain = Some(length.saturating_add(1));
        } else {
            self.chains.end_with(InfoIdx(entry.info()), length);
        }
        self.out.push(Event::free(entry.info(), is_latest));
        self.freed.push(entry);
        Ok(())
    }

    fn count_lifetimes(&mut self, trace: &Trace) {
        for entry in &self.freed {
            if entry.tick() == self.tick {
                self.lifetimes.count_short(entry.info());
                continue;
            }
            // Ticks count from 1: a block of before the first was born at 0.
            let born = (entry.tick() as usize).checked_sub(1).map_or(0, |tick| trace.clock.ns(tick));
            self.lifetimes.count(entry.info(), self.ns - born);
        }
    }

    /// How long blocks lived, and how often they were reallocated.
    pub(super) fn finish(self) -> (Lifetimes, ReallocChains) {
        let live = self.live;
        (self.lifetimes.finish(), self.chains.finish(|number| live.get(number).map(Entry::info)))
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
            column::DISTANCES => columns.distances = bytes,
            column::FAR_DISTANCES => columns.far = Numbers(bytes),
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
