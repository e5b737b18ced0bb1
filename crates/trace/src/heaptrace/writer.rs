//! Writes a recording, as it happens.

mod defs;
mod events;
mod sink;

use std::io::{self, Write};

pub use defs::NewModule;

use self::defs::Defs;
use self::events::{Adding, EventColumns};
use self::sink::Sink;
use super::layout::kind;
use super::meta::{End, Meta};
use super::numbers::{put, put_bytes, put_signed};
use super::rows::{frame_kind_byte, map_op_byte, owner_bytes};
use crate::ids::{InfoIdx, IpId, ModuleNo, StringId, ThreadNo, TraceId};
use crate::memory_look::MemoryLook;
use crate::recording::{MapEvent, MemorySample};
use crate::trace::Frame;

/// Bytes of definitions or rows that make a segment of their own.
const FULL: usize = 1 << 20;

/// Live blocks of one segment.
const LIVE_BLOCKS: usize = 1 << 16;

/// Writes a recording to `out`, in order of time.
///
/// Definitions are numbered as they come, and each is given once: who calls keeps the tables that tell whether a
/// place, a node or an info is new. Events cost a few nanoseconds and allocate nothing but a segment's buffers; every
/// quarter of a million a segment is compressed and written with one call of `write_all`.
///
/// A failed write, such as on a full disk, is kept and comes back from [`Writer::flush`] and [`Writer::finish`]. What
/// was written before it stays readable; what comes after it is dropped.
pub struct Writer<W: Write> {
    sink: Sink<W>,
    defs: Defs,
    events: EventColumns,
    /// Size of each info, for the bytes that are alive.
    sizes: Vec<u64>,
    live_bytes: u64,
    /// What was alive when the segment that waits began.
    live_bytes_at_start: u64,
    threads: Rows,
    samples: Rows,
    maps: Rows,
    looks: Rows,
    culled: Rows,
    symbols: Rows,
    suppressions: Rows,
    index: Rows,
    /// A segment's payload, kept for its room.
    payload: Vec<u8>,
}

/// Allocations and frees in a row, of one thread and before the next tick.
pub struct Batch<'w> {
    adding: Adding<'w>,
    sizes: &'w [u64],
    live_bytes: &'w mut u64,
}

impl Batch<'_> {
    /// No event may be added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.adding.is_full()
    }

    /// Allocations so far: the number that the next one gets.
    #[inline]
    pub fn allocations(&self) -> u64 {
        self.adding.allocations()
    }

    /// As [`Writer::alloc`].
    #[inline]
    pub fn alloc(&mut self, info: InfoIdx) -> u64 {
        *self.live_bytes = self.live_bytes.wrapping_add(size(self.sizes, info));
        self.adding.alloc(info.0)
    }

    /// As [`Writer::free`].
    #[inline]
    pub fn free(&mut self, allocation: u64, info: InfoIdx) {
        *self.live_bytes = self.live_bytes.wrapping_sub(size(self.sizes, info));
        self.adding.free(allocation);
    }
}

/// An info's size in bytes.
#[inline]
fn size(sizes: &[u64], info: InfoIdx) -> u64 {
    sizes.get(info.index()).copied().unwrap_or(0)
}

/// Rows of a table on their way out, and what the next one's differences count from.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    last: [u64; 4],
}

impl Rows {
    /// Appends the difference to what the last row had in this place.
    fn difference(&mut self, place: usize, value: u64) {
        put_signed(&mut self.bytes, value.wrapping_sub(self.last[place]).cast_signed());
        self.last[place] = value;
    }

    fn number(&mut self, value: u64) {
        put(&mut self.bytes, value);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.last = [0; 4];
    }
}

impl<W: Write> Writer<W> {
    /// Begins a file with what is known at its start. `level` is zstd's, 3 if in doubt.
    ///
    /// # Errors
    /// Those of `out`, and of a level that zstd does not have.
    pub fn new(out: W, meta: &Meta, level: i32) -> io::Result<Self> {
        let mut sink = Sink::new(out, level)?;
        sink.segment(kind::META, &serde_json::to_vec(meta)?);
        sink.check()?;
        Ok(Writer {
            sink,
            defs: Defs::default(),
            events: EventColumns::new(),
            sizes: Vec::new(),
            live_bytes: 0,
            live_bytes_at_start: 0,
            threads: Rows::default(),
            samples: Rows::default(),
            maps: Rows::default(),
            looks: Rows::default(),
            culled: Rows::default(),
            symbols: Rows::default(),
            suppressions: Rows::default(),
            index: Rows::default(),
            payload: Vec::new(),
        })
    }

    /// The number of a string, the same for the same text; 0 for an empty one. Beyond 1 MiB it is cut.
    pub fn string(&mut self, text: &[u8]) -> StringId {
        let id = self.defs.string(text);
        self.cut_defs_if_full();
        id
    }

    /// A module that is mapped from now on.
    pub fn module(&mut self, module: &NewModule<'_>) -> ModuleNo {
        let number = self.defs.module(module);
        self.cut_defs_if_full();
        number
    }

    /// A module that is no longer mapped.
    pub fn module_unmapped(&mut self, module: ModuleNo, ns: u64) {
        self.defs.unmapped(module, ns);
    }

    /// A new place: the address of a call, which is one byte before the address that it returns to. It has a number
    /// of its own even if an earlier place has the same address, since code comes and goes.
    pub fn ip(&mut self, address: u64, module: Option<ModuleNo>) -> IpId {
        let id = self.defs.ip(address, module);
        self.cut_defs_if_full();
        id
    }

    /// A new node of the tree of stacks; its parent is the call around it, 0 at the root.
    pub fn node(&mut self, ip: IpId, parent: TraceId) -> TraceId {
        let id = self.defs.node(ip, parent);
        self.cut_defs_if_full();
        id
    }

    /// A new pair of size in bytes and stack.
    pub fn info(&mut self, size: u64, trace: TraceId) -> InfoIdx {
        self.sizes.push(size);
        let info = self.defs.info(size, trace);
        self.cut_defs_if_full();
        info
    }

    /// An allocation. The number that it gets counts allocations from 0 and names the block in [`Writer::free`].
    #[inline]
    pub fn alloc(&mut self, info: InfoIdx) -> u64 {
        self.batch().alloc(info)
    }

    /// The free of the block of an allocation, which had this info.
    #[inline]
    pub fn free(&mut self, allocation: u64, info: InfoIdx) {
        self.batch().free(allocation, info);
    }

    /// The free of a realloc's old block. Its new block is the allocation that must follow at once.
    #[inline]
    pub fn realloc_free(&mut self, allocation: u64, info: InfoIdx) {
        if self.events.is_full() {
            self.cut_events();
        }
        self.live_bytes = self.live_bytes.wrapping_sub(size(&self.sizes, info));
        self.events.realloc_free(allocation);
    }

    /// For many events in a row: there is room for at least one.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        if self.events.is_full() {
            self.cut_events();
        }
        Batch { adding: self.events.add(), sizes: &self.sizes, live_bytes: &mut self.live_bytes }
    }

    /// Allocations so far: the number that the next one gets.
    pub fn allocations(&self) -> u64 {
        self.events.allocations()
    }

    /// Bytes of the blocks that are alive.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The time, in nanoseconds since the recording began: of the events that follow, up to the next tick. A tick
    /// costs a few bytes if events follow it, and nothing otherwise; one a millisecond is plenty.
    pub fn tick(&mut self, ns: u64) {
        self.events.tick(ns);
    }

    /// The thread of the events that follow; it is 0 at the start.
    #[inline]
    pub fn thread(&mut self, thread: ThreadNo) {
        self.events.thread(thread.0);
    }

    /// What is known about a thread. Later words about the same thread count.
    pub fn thread_info(&mut self, thread: ThreadNo, tid: u32, name: &[u8]) {
        let rows = &mut self.threads;
        rows.number(u64::from(thread.0));
        rows.number(u64::from(tid));
        put_bytes(&mut rows.bytes, name);
    }

    /// How much memory the process has.
    pub fn sample(&mut self, sample: &MemorySample) {
        let rows = &mut self.samples;
        rows.difference(0, sample.ns);
        // Readers of this version pass over values that later ones add.
        rows.number(3);
        for (place, value) in [sample.rss, sample.heap, sample.v8].into_iter().enumerate() {
            rows.bytes.push(u8::from(value.is_some()));
            if let Some(value) = value {
                rows.difference(place + 1, value);
            }
        }
    }

    /// A call of the mmap family.
    pub fn map(&mut self, event: &MapEvent) {
        let rows = &mut self.maps;
        rows.bytes.push(map_op_byte(event.op));
        rows.difference(0, event.ns);
        rows.difference(1, event.address);
        rows.number(event.len);
        rows.number(u64::from(event.trace.0));
        if self.maps.bytes.len() > FULL {
            self.cut_rows();
        }
    }

    /// What the process's memory is made of.
    pub fn look(&mut self, look: &MemoryLook) {
        let rows = &mut self.looks;
        rows.difference(0, look.ns);
        rows.number(look.rss);
        rows.number(look.parts.len() as u64);
        for part in &look.parts {
            let (byte, number) = owner_bytes(part.owner);
            rows.bytes.push(byte);
            for number in [u64::from(number), part.resident, part.mapped, u64::from(part.ranges)] {
                rows.number(number);
            }
            rows.bytes.push(u8::from(part.has_blocks));
        }
        if self.looks.bytes.len() > FULL {
            self.cut_rows();
        }
    }

    /// A line of the program's own suppressions, such as `leak:pattern`.
    pub fn suppression(&mut self, line: &[u8]) {
        put_bytes(&mut self.suppressions.bytes, line);
    }

    /// The functions at a place, as [`Ips::frames`](crate::Ips::frames) gives them: the innermost inlined one first,
    /// the one that really has the address last. Later words about the same place count.
    pub fn symbols(&mut self, ip: IpId, frames: &[Frame]) {
        let rows = &mut self.symbols;
        rows.difference(0, u64::from(ip.0));
        rows.number(frames.len() as u64);
        for frame in frames {
            rows.bytes.push(frame_kind_byte(frame.kind));
            rows.difference(1, u64::from(frame.function.0));
            rows.difference(2, u64::from(frame.file.0));
            rows.number(u64::from(frame.line));
            rows.number(u64::from(frame.column));
        }
        if self.symbols.bytes.len() > FULL {
            self.cut_rows();
        }
    }

    /// Blocks that were left out since they lived too short. Several words about the same info add up.
    pub fn culled(&mut self, info: InfoIdx, allocations: u64, bytes: u64) {
        let rows = &mut self.culled;
        rows.difference(0, u64::from(info.0));
        rows.number(allocations);
        rows.number(bytes);
        if self.culled.bytes.len() > FULL {
            self.cut_rows();
        }
    }

    /// Blocks that are alive at the end: allocation's number and address, in order of the numbers. Nothing may be
    /// allocated or freed afterwards.
    pub fn live(&mut self, blocks: impl IntoIterator<Item = (u64, u64)>) {
        self.cut();
        let mut rows = Rows::default();
        for (at, (allocation, address)) in blocks.into_iter().enumerate() {
            if at % LIVE_BLOCKS == 0 && at > 0 {
                self.sink.segment(kind::LIVE, &rows.bytes);
                rows.clear();
            }
            rows.difference(0, allocation);
            rows.difference(1, address);
        }
        // An empty list says that nothing was alive, and no list that nobody looked.
        self.sink.segment(kind::LIVE, &rows.bytes);
    }

    /// Blocks among those alive at the end that nothing points to: allocation's number, in order of the numbers, and
    /// whether another of them points to it. To be called after [`Writer::live`], and only if somebody looked.
    pub fn lost(&mut self, blocks: impl IntoIterator<Item = (u64, bool)>) {
        let mut rows = Rows::default();
        for (at, (allocation, is_indirect)) in blocks.into_iter().enumerate() {
            if at % LIVE_BLOCKS == 0 && at > 0 {
                self.sink.segment(kind::LOST, &rows.bytes);
                rows.clear();
            }
            rows.difference(0, allocation);
            rows.bytes.push(u8::from(is_indirect));
        }
        // An empty list says that nothing was lost.
        self.sink.segment(kind::LOST, &rows.bytes);
    }

    /// Writes all that waits, so that it can be read even if nothing follows. Each time costs some bytes, since what
    /// a segment repeats of the one before is not known to it: every few seconds is often enough.
    ///
    /// # Errors
    /// Those of writing, also of earlier calls.
    pub fn flush(&mut self) -> io::Result<()> {
        self.cut();
        self.sink.flush()
    }

    /// What writing failed with, if it did: what is written from then on is dropped.
    ///
    /// # Errors
    /// Those of writing, as often as it is asked.
    pub fn check(&self) -> io::Result<()> {
        self.sink.check()
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of writing, also of earlier calls.
    pub fn finish(mut self, end: &End) -> io::Result<W> {
        self.cut();
        self.sink.segment(kind::END, &serde_json::to_vec(end)?);
        let index = self.sink.offset();
        self.sink.segment(kind::INDEX, &self.index.bytes);
        self.sink.raw_segment(kind::TAIL, &index.to_le_bytes());
        self.sink.flush()?;
        Ok(self.sink.into_inner())
    }

    fn cut_defs_if_full(&mut self) {
        if self.defs.len() > FULL {
            self.cut_defs();
        }
    }

    fn cut_defs(&mut self) {
        self.payload.clear();
        self.defs.put_to(&mut self.payload);
        if !self.payload.is_empty() {
            self.sink.segment(kind::DEFS, &self.payload);
        }
    }

    /// Writes the events that wait, after the definitions that they may refer to.
    #[cold]
    fn cut_events(&mut self) {
        self.cut_defs();
        if self.events.is_empty() {
            return;
        }
        let (first, ns) = self.events.start();
        let offset = self.sink.offset();
        for (place, value) in [offset, first, ns, self.live_bytes_at_start].into_iter().enumerate() {
            self.index.difference(place, value);
        }
        self.payload.clear();
        self.events.put_to(&mut self.payload);
        self.sink.segment(kind::EVENTS, &self.payload);
        self.live_bytes_at_start = self.live_bytes;
    }

    fn cut_rows(&mut self) {
        self.cut_defs();
        let tables = [
            (kind::THREADS, &mut self.threads),
            (kind::SUPPRESSIONS, &mut self.suppressions),
            (kind::SAMPLES, &mut self.samples),
            (kind::MAPS, &mut self.maps),
            (kind::LOOKS, &mut self.looks),
            (kind::CULLED, &mut self.culled),
            (kind::SYMBOLS, &mut self.symbols),
        ];
        for (kind, rows) in tables {
            if !rows.bytes.is_empty() {
                self.sink.segment(kind, &rows.bytes);
                rows.clear();
            }
        }
    }

    fn cut(&mut self) {
        self.cut_events();
        self.cut_rows();
    }
}
