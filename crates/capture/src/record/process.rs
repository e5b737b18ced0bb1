//! One recorded process: its ring on one side, its file on the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

use rustc_hash::FxHashMap;
use twinheap_trace::heaptrace::Writer;
use twinheap_trace::{
    InfoIdx, MapEvent, MapKind, MapOp, MemoryLook, MemoryPart, MemorySample, ThreadNo, TraceId,
};
use twinheap_wire::record::{self, module};

use super::blocks::{Block, Blocks};
use super::clock::Clock;
use super::jit::JitCode;
use super::js::JsFrames;
use super::kernel::read_start;
use super::leaks::{self, Stopped};
use super::look::look;
use super::mapped::Mapped;
use super::output::{Output, Plain};
use super::places::{Module, Places};
use super::ring::Ring;
use super::stream::{Mapping, Note, Sink, Stream};
use twinheap_wire::lease;

/// Nanoseconds by which a thread's events may run ahead of another's: they go to the file in runs of one thread, since
/// each change of thread costs room and time there. What is matched by address stays right.
const RUN: u64 = 50_000;
/// Nanoseconds that events are left in the ring before they are taken: a thread looks at the clock a little before its
/// record is there.
const SETTLE: u64 = 200_000;
/// Nanoseconds between ticks in the file.
const TICK: u64 = 1_000_000;

/// Blocks whose addresses are looked up when it is asked whose memory is whose.
const LOOKED_UP: usize = 200_000;

/// What turns a process's records into a trace.
pub(super) struct Recording<W: Write> {
    pub(super) ring: Ring,
    clock: Clock,
    streams: Vec<Stream>,
    number_of: FxHashMap<u32, usize>,
    sorter: Sorter<W>,
    /// The stream of the only thread that recorded lately.
    lease: Option<usize>,
    /// What the look at the process's memory gave, if there was one.
    leaks: Option<Result<LostByAddress, String>>,
}

/// Blocks that were lost when the process exited: what they were, and whether another of them points to them.
type LostByAddress = FxHashMap<u64, (InfoIdx, bool)>;

/// Where sorted events go.
struct Sorter<W: Write> {
    places: Places,
    blocks: Blocks,
    output: Output<W>,
    jit: JitCode,
    js: JsFrames,
    /// The clock's value from which on the next tick is due.
    next_tick: u64,
    times: Times,
    mapped: Mapped,
    is_sampled: bool,
    pid: u32,
    threads: FxHashMap<(u32, u32), ThreadNo>,
}

/// The latest time in each of the file's tables.
#[derive(Default)]
struct Times {
    tick: Latest,
    sample: Latest,
    map: Latest,
    look: Latest,
}

/// A time that never goes back. The clock does, by little, whenever its speed is measured anew, and threads' events come
/// in runs.
#[derive(Default)]
struct Latest(u64);

impl Latest {
    fn at_least(&mut self, ns: u64) -> u64 {
        self.0 = self.0.max(ns);
        self.0
    }
}

/// What remains to be said when a recording is over.
pub(super) struct Finished<W: Write> {
    pub(super) writer: Writer<W>,
    pub(super) places: Places,
    pub(super) jit: JitCode,
    pub(super) js: JsFrames,
    pub(super) live: Vec<(u64, u64)>,
    /// Allocations of lost blocks in order, and whether another of them points to them; or why nobody knows.
    pub(super) lost: Option<Result<Vec<(u64, bool)>, String>>,
    pub(super) unmatched: u64,
    pub(super) ring: Ring,
    pub(super) allocations: u64,
}

impl<W: Write> Recording<W> {
    /// The recording of a process that has claimed the ring.
    pub(super) fn new(
        ring: Ring,
        clock: Clock,
        output: Output<W>,
        jit: JitCode,
        js: JsFrames,
        pid: u32,
    ) -> Self {
        let is_sampled = ring.header().sample.load(std::sync::atomic::Ordering::Relaxed) != 0;
        Recording {
            ring,
            clock,
            streams: Vec::new(),
            number_of: FxHashMap::default(),
            lease: None,
            leaks: None,
            sorter: Sorter {
                places: Places::default(),
                blocks: Blocks::default(),
                output,
                jit,
                js,
                next_tick: 0,
                times: Times::default(),
                mapped: Mapped::default(),
                is_sampled,
                pid,
                threads: FxHashMap::default(),
            },
        }
    }

    /// Takes what is in the ring; how many events. With `everything`, nothing is left to settle: the process is gone.
    pub(super) fn drain(&mut self, everything: bool) -> u64 {
        self.clock.measure();
        let horizon = match everything {
            true => u64::MAX,
            false => self.clock.now().saturating_sub(self.clock.units(SETTLE)),
        };
        self.sorter.jit.update();
        self.find_chunks();
        let run = self.clock.units(RUN);
        let mut events = 0;
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        for at in 0..self.streams.len() {
            if let Some(time) = self.peek(at).filter(|time| *time <= horizon) {
                heads.push(Reverse((time, at)));
            }
        }
        let mut only = None;
        while let Some(Reverse((_, at))) = heads.pop() {
            let next = heads.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
            let until = next.saturating_add(run).min(horizon);
            only = if events == 0 || only == Some(at) { Some(at) } else { None };
            events += self.run(at, until);
            if let Some(time) = self.peek(at).filter(|time| *time <= horizon) {
                heads.push(Reverse((time, at)));
            }
        }
        if !everything {
            self.sorter.blocks.forget_early(horizon.saturating_sub(self.clock.units(20 * SETTLE)));
        }
        self.lease = if events > 0 { only } else { self.lease };
        events
    }

    /// Lets the only thread that records do so without a clock of its own until the next look, if that is soon.
    pub(super) fn lease(&mut self, is_soon: bool) {
        // Its times are those of our looks, which is too coarse where blocks are left out by their lifetime.
        let only = self.lease.filter(|_| is_soon && !self.sorter.output.is_culling());
        self.lease =
            only.filter(|&only| (0..self.streams.len()).all(|at| at == only || self.peek(at).is_none()));
        let mark = self.lease.map(|at| lease::mark(self.streams[at].number));
        self.ring.lease(mark.map_or(lease::NONE, |mark| lease::new(self.clock.now(), mark)));
    }

    /// Memory of the process, as the kernel counts it.
    pub(super) fn sample(&mut self, rss: Option<u64>) {
        let ns = self.sorter.times.sample.at_least(self.clock.nanoseconds(self.clock.now()));
        self.sorter.output.writer.sample(&MemorySample { ns, rss, heap: None, v8: None });
    }

    /// Looks what the process's memory is made of. Nothing comes of it if the kernel doesn't tell.
    pub(super) fn look(&mut self, rss: u64, own_folder: &str) {
        let Sorter { mapped, blocks, output, times, pid, .. } = &mut self.sorter;
        let Some(parts) = look(*pid, mapped, blocks.addresses(LOOKED_UP), own_folder) else { return };
        let ns = times.look.at_least(self.clock.nanoseconds(self.clock.now()));
        let writer = &mut output.writer;
        let parts = parts
            .into_iter()
            .map(|(owner, part)| MemoryPart { owner: owner.in_file(|text| writer.string(text)), ..part })
            .collect();
        writer.look(&MemoryLook { ns, rss, parts });
    }

    /// Writes out what waits, so that it is kept whatever happens to us.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.sorter.output.writer.flush()
    }

    /// What writing failed with, if it did.
    pub(super) fn check(&self) -> std::io::Result<()> {
        self.sorter.output.writer.check()
    }

    /// Bytes that are alive, and allocations so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.sorter.output.writer.live_bytes(), self.sorter.output.allocations)
    }

    /// If the process exits and waits for it, looks which of its blocks are lost.
    pub(super) fn check_leaks(&mut self) {
        if self.ring.begin_leak_check() {
            self.leaks = Some(self.find_lost());
            self.ring.end_leak_check();
        }
    }

    fn find_lost(&mut self) -> Result<LostByAddress, String> {
        use std::sync::atomic::Ordering;
        let deadline = leaks::deadline();
        let stopped = Stopped::all(self.sorter.pid, deadline)?;
        // Threads are stopped: what they did so far is in the ring.
        while self.drain(true) > 0 {}
        if self.ring.header().lost_allocations.load(Ordering::Relaxed) > 0 {
            return Err("not all of its blocks are known".to_owned());
        }
        let Sorter { blocks, places, .. } = &self.sorter;
        let size = |info: InfoIdx| places.sizes.get(info.index()).copied().unwrap_or(0);
        let all = blocks.iter().map(|(address, block)| (address, size(block.info))).collect();
        let lost = leaks::find_lost(&stopped, all, self.ring.states(), deadline)?;
        let known: FxHashMap<u64, InfoIdx> =
            blocks.iter().map(|(address, block)| (address, block.info)).collect();
        Ok(lost.iter().map(|lost| (lost.address, (known[&lost.address], lost.is_indirect))).collect())
    }

    /// See [`JitCode::close`].
    pub(super) fn close_jit(&mut self) {
        self.sorter.jit.close();
    }

    pub(super) fn finish(self) -> Finished<W> {
        let Sorter { mut output, mut blocks, places, jit, js, .. } = self.sorter;
        output.finish(&mut blocks);
        let lost = self.leaks.map(|lost| {
            // What a destructor freed after the look is not lost.
            let lost = lost?;
            let number = |(address, block): (u64, Block)| {
                let &(_, is_indirect) = lost.get(&address).filter(|(info, _)| *info == block.info)?;
                Some((block.allocation, is_indirect))
            };
            let mut all: Vec<(u64, bool)> = blocks.iter().filter_map(number).collect();
            all.sort_unstable();
            Ok(all)
        });
        Finished {
            lost,
            allocations: output.allocations,
            writer: output.writer,
            unmatched: blocks.unmatched,
            live: blocks.into_live(),
            places,
            jit,
            js,
            ring: self.ring,
        }
    }

    /// Looks which chunks threads have taken since.
    fn find_chunks(&mut self) {
        use std::sync::atomic::Ordering;
        for chunk in 0..self.ring.used() {
            let descriptor = self.ring.descriptor(chunk);
            let Some(thread) = descriptor.thread.load(Ordering::Acquire).checked_sub(1) else { continue };
            let sequence = descriptor.sequence.load(Ordering::Relaxed);
            let streams = &mut self.streams;
            let at = *self.number_of.entry(thread).or_insert_with(|| {
                streams.push(Stream::new(thread));
                streams.len() - 1
            });
            self.streams[at].offer(sequence, chunk);
        }
    }

    #[inline]
    fn peek(&mut self, at: usize) -> Option<u64> {
        let (ring, clock, sorter) = (&self.ring, &self.clock, &mut self.sorter);
        self.streams[at].peek(ring, &mut |stream, note| sorter.note(stream, note, clock, ring))
    }

    /// Takes a thread's events up to a time.
    fn run(&mut self, at: usize, until: u64) -> u64 {
        let (ring, clock, sorter) = (&self.ring, &self.clock, &mut self.sorter);
        let stream = &mut self.streams[at];
        let mut events = 0;
        sorter.thread(stream);
        while stream
            .peek(ring, &mut |stream, note| sorter.note(stream, note, clock, ring))
            .is_some_and(|time| time <= until)
        {
            events += stream.take(ring, until, &mut InOrder { sorter, clock, ring });
        }
        events
    }
}

/// A thread's events, as they come to be sorted.
struct InOrder<'r, W: Write> {
    sorter: &'r mut Sorter<W>,
    clock: &'r Clock,
    ring: &'r Ring,
}

impl<W: Write> InOrder<'_, W> {
    #[inline(always)]
    fn tick(&mut self, time: u64) {
        if time >= self.sorter.next_tick {
            self.sorter.tick(time, self.clock);
        }
    }
}

impl<W: Write> Sink for InOrder<'_, W> {
    #[inline(always)]
    fn plain(&mut self) -> Option<(Plain<'_>, u64)> {
        let Sorter { places, output, blocks, is_sampled, next_tick, .. } = &mut *self.sorter;
        let before = next_tick.checked_sub(1).filter(|_| !*is_sampled)?;
        Some((output.plain(blocks, places)?, before))
    }

    #[inline(always)]
    fn allocated(
        &mut self,
        address: u64,
        (trace, size): (TraceId, u64),
        info: Option<InfoIdx>,
        time: u64,
    ) -> InfoIdx {
        self.tick(time);
        let Sorter { places, output, blocks, is_sampled, .. } = &mut *self.sorter;
        let info = info.unwrap_or_else(|| places.info(trace, size, &mut output.writer));
        let freed = output.allocate(address, time, info, &places.sizes, blocks);
        if freed && *is_sampled {
            self.ring.unmark_sampled(address);
        }
        info
    }

    #[inline(always)]
    fn freed(&mut self, address: u64, is_realloc: bool, time: u64) {
        self.tick(time);
        let Sorter { places, output, blocks, is_sampled, .. } = &mut *self.sorter;
        let known = output.free(address, time, is_realloc, &places.sizes, blocks);
        if known && *is_sampled {
            self.ring.unmark_sampled(address);
        }
    }

    fn mapped(&mut self, event: Mapping, time: u64) {
        self.tick(time);
        let Sorter { mapped, times, output, .. } = &mut *self.sorter;
        let ns = times.map.at_least(self.clock.nanoseconds(time));
        let event = match event {
            Mapping::Map { address, length, trace, flags } => {
                let kind = map_kind(flags >> 8);
                mapped.map(address, length, kind, trace, time);
                MapEvent { ns, op: MapOp::Map(kind), address, len: length, trace }
            }
            Mapping::Unmap { address, length } => {
                mapped.unmap(address, length, time);
                MapEvent { ns, op: MapOp::Unmap, address, len: length, trace: TraceId(0) }
            }
        };
        output.writer.map(&event);
    }

    #[inline(always)]
    fn soon(&mut self, address: u64) {
        self.sorter.blocks.fetch(address);
    }
}

impl<W: Write> Sorter<W> {
    fn tick(&mut self, time: u64, clock: &Clock) {
        self.next_tick = time + clock.units(TICK);
        let ns = self.times.tick.at_least(clock.nanoseconds(time));
        self.output.tick(ns, &mut self.blocks);
    }

    fn thread(&mut self, stream: &Stream) {
        let next = ThreadNo(self.threads.len() as u32);
        let pid = self.pid;
        let thread = *self.threads.entry((stream.number, stream.tid)).or_insert_with(|| {
            let comm = read_start(&format!("/proc/{pid}/task/{}/comm", stream.tid), 64);
            self.output.writer.thread_info(next, stream.tid, comm.trim_ascii_end());
            next
        });
        self.output.thread(thread);
    }

    fn note(&mut self, stream: &mut Stream, note: Note<'_>, clock: &Clock, ring: &Ring) {
        let writer = &mut self.output.writer;
        let told = &ring.header().v8;
        match note {
            Note::Stack { number, chunk, at, count } => {
                let frames = (at..at + count).map(|at| chunk.word(at));
                let pc = |position: u32| chunk.word(at + position as usize);
                let spots = self.js.stack(stream.number, number, pc, told);
                stream.set_trace(number, self.places.stack(frames, &spots, &self.jit, writer));
            }
            Note::Js { head, chunk, at } => {
                self.js.frame(stream.number, head, std::array::from_fn(|word| chunk.word(at + word)));
            }
            Note::Module { chunk, at } => {
                let word = |offset| chunk.word(at + offset);
                let bytes = |offset, length: u64| chunk.bytes(at + offset, length.min(1 << 13) as usize);
                let found = Module {
                    bias: word(module::BIAS),
                    start: word(module::START),
                    end: word(module::END),
                    build_id: bytes(module::BUILD_ID, word(module::BUILD_ID_LENGTH).min(32)),
                    path: bytes(module::PATH, word(module::PATH_LENGTH)),
                };
                self.js.module(&found.path, &found.build_id, told);
                self.places.module(&found, clock.nanoseconds(clock.now()), writer);
            }
            Note::Suppression(line) => writer.suppression(&line),
            Note::Thread => self.thread(stream),
        }
    }
}

fn map_kind(flags: u32) -> MapKind {
    match flags {
        flags if flags & record::OWN_FLAG != 0 => MapKind::Recorder,
        flags if flags & record::STACK_FLAG != 0 => MapKind::Stack,
        flags if flags & 0x20 != 0 => MapKind::Anonymous,
        _ => MapKind::File,
    }
}
