//! A recording in columns.

use std::ops::Range;

use crate::events::Events;
use crate::ids::{InfoIdx, IpId, StringId, TraceId};
use crate::recording::{Culled, Recording};
use crate::strings::Strings;

/// How the file told which allocation a free belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// heaptrack had matched them and kept only size and stack: whether a free is of the latest block or of one
    /// like it can't be told. Interpreted files of version 1 and later.
    #[default]
    ByInfo,
    /// By address, as recorded. Raw files, and our own.
    ByPointer,
    /// By address, in an interpreted file of version 0, whose readers count temporary allocations by address too.
    ByPointerInterpreted,
}

/// A recording of a process's calls to malloc and free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Version of the heaptrack that wrote the file, `0x10400` for 1.4.0; 0 if it does not say, and in our own.
    pub heaptrack_version: u64,
    /// Version of the file format: 0 to 3 of heaptrack's, 1 of our own.
    pub file_version: u32,
    /// True for the raw form: addresses have modules, but no functions, files or lines.
    pub is_raw: bool,
    /// Whether frees were matched by address.
    pub matching: Matching,
    /// The command line, its arguments joined by spaces; empty if the file has none.
    pub command: Vec<u8>,
    /// True if the recorder was attached to a running process, so that older blocks are unknown.
    pub is_attached: bool,
    /// Bytes of a page of memory, the unit of [`RssSample::pages`].
    pub page_size: Option<u64>,
    /// The machine's memory in pages.
    pub physical_pages: Option<u64>,
    /// Names of modules, functions and files.
    pub strings: Strings,
    /// Places in the code.
    pub ips: Ips,
    /// Call stacks as a tree.
    pub tree: TraceTree,
    /// Pairs of size and call stack.
    pub infos: Infos,
    /// Calls to malloc and free in order.
    pub events: Events,
    /// When they happened.
    pub clock: Clock,
    /// The process's resident memory, in order.
    pub rss: Vec<RssSample>,
    /// Leaks that the recorded program itself asked not to report, as its `__lsan_default_suppressions`.
    pub suppressions: Vec<EmbeddedSuppression>,
    /// If only some allocations were recorded: bytes between two of them on average. One of `s` bytes then stands
    /// for `1 / (1 - exp(-s / sample_bytes))` of its kind; the events here are as recorded.
    pub sample_bytes: Option<u64>,
    /// What only our own recordings know; absent in heaptrack's.
    pub recording: Option<Box<Recording>>,
}

/// A line of the program's own suppressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSuppression {
    /// The line, such as `leak:pattern`.
    pub text: Vec<u8>,
    /// True if its length stood in front of it. heaptrack writes all of them so since 1.3, and can't read them.
    pub is_sized: bool,
}

/// A function, and a line of source in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame {
    /// The function's name, demangled.
    pub function: StringId,
    /// The source file.
    pub file: StringId,
    /// The line, from 1; 0 is unknown.
    pub line: u32,
    /// The column, from 1; 0 is unknown.
    pub column: u32,
    /// What kind of code it is.
    pub kind: FrameKind,
}

/// What kind of code a function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// Nobody knows: it has no name.
    #[default]
    Unknown,
    /// A compiler's machine code.
    Native,
    /// JavaScript, interpreted or compiled.
    Js,
    /// A part of V8 that is neither: its interpreter, a function of the language.
    Builtin,
}

impl FrameKind {
    /// The kind as far as a function's name tells, of a recorder that knows nothing of V8.
    pub fn of_name(function: &[u8]) -> Self {
        // `--perf-basic-prof` names interpreted and compiled functions so.
        const JS: [&[u8]; 4] = [b"JS:", b"LazyCompile:", b"Function:", b"Script:"];
        const BUILTIN: [&[u8]; 2] = [b"Builtins_", b"Builtin:"];
        let begins = |starts: &[&[u8]]| starts.iter().any(|start| function.starts_with(start));
        match function {
            [] => FrameKind::Unknown,
            _ if begins(&BUILTIN) => FrameKind::Builtin,
            _ if begins(&JS) => FrameKind::Js,
            _ => FrameKind::Native,
        }
    }
}

/// Places in the code, as columns by [`IpId`]; place 0 is "none" and has no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ips {
    /// The address of the call, which is one byte before the address that it returns to.
    address: Vec<u64>,
    /// Name of the executable or library.
    module: Vec<StringId>,
    /// Where each place's frames begin in `frames`, with one more entry for the end of the last.
    first_frame: Vec<u32>,
    frames: Vec<Frame>,
}

impl Default for Ips {
    fn default() -> Self {
        Ips { address: vec![0], module: vec![StringId(0)], first_frame: vec![0, 0], frames: Vec::new() }
    }
}

impl Ips {
    /// Number of places with the 0 that is none: ids are below it.
    #[inline]
    pub fn len(&self) -> usize {
        self.address.len()
    }

    /// True if there is none but the place 0.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// The address in the recorded process.
    ///
    /// # Panics
    /// If there is no such place, as a slice does; so do the other methods.
    pub fn address(&self, ip: IpId) -> u64 {
        self.address[ip.index()]
    }

    /// Name of the executable or library that the address is in.
    pub fn module(&self, ip: IpId) -> StringId {
        self.module[ip.index()]
    }

    /// The functions at this address: the innermost first, then those that it was inlined into, and the one that
    /// really has the address last. Empty without debug information and symbols.
    pub fn frames(&self, ip: IpId) -> &[Frame] {
        let range = self.first_frame[ip.index()] as usize..self.first_frame[ip.index() + 1] as usize;
        &self.frames[range]
    }

    /// The innermost function, or nothing known.
    pub fn frame(&self, ip: IpId) -> Frame {
        self.frames(ip).first().copied().unwrap_or_default()
    }

    pub(crate) fn frame_count(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn push(&mut self, address: u64, module: StringId) -> IpId {
        self.address.push(address);
        self.module.push(module);
        self.first_frame.push(self.frames.len() as u32);
        IpId(self.address.len() as u32 - 1)
    }

    /// Gives places the frames in their range of `frames`; the last word about a place counts.
    pub(crate) fn set_frames(&mut self, named: &[(IpId, Range<u32>)], frames: &[Frame]) {
        if named.is_empty() {
            return;
        }
        let mut ranges: Vec<Range<u32>> = vec![0..0; self.len()];
        named.iter().for_each(|(ip, range)| ranges[ip.index()] = range.clone());
        self.frames.clear();
        self.first_frame.clear();
        for range in ranges {
            self.first_frame.push(self.frames.len() as u32);
            self.frames.extend_from_slice(&frames[range.start as usize..range.end as usize]);
        }
        self.first_frame.push(self.frames.len() as u32);
    }

    /// Adds a frame to the place that was pushed last.
    pub(crate) fn push_frame(&mut self, frame: Frame) {
        self.frames.push(frame);
        if let Some(end) = self.first_frame.last_mut() {
            *end = self.frames.len() as u32;
        }
    }
}

/// Call stacks as a tree: a node is a call, its parent the call around it. Columns by [`TraceId`]; node 0 is "none".
/// A parent stands before its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceTree {
    ip: Vec<IpId>,
    parent: Vec<TraceId>,
}

impl Default for TraceTree {
    fn default() -> Self {
        TraceTree { ip: vec![IpId(0)], parent: vec![TraceId(0)] }
    }
}

impl TraceTree {
    /// Number of nodes with the 0 that is none: ids are below it.
    #[inline]
    pub fn len(&self) -> usize {
        self.ip.len()
    }

    /// True if there is none but node 0.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// Where the call is.
    ///
    /// # Panics
    /// If there is no such node, as a slice does; so does [`TraceTree::parent`].
    #[inline]
    pub fn ip(&self, node: TraceId) -> IpId {
        self.ip[node.index()]
    }

    /// The call around it; 0 at the root.
    #[inline]
    pub fn parent(&self, node: TraceId) -> TraceId {
        self.parent[node.index()]
    }

    pub(crate) fn push(&mut self, ip: IpId, parent: TraceId) {
        self.ip.push(ip);
        self.parent.push(parent);
    }
}

/// What was allocated: each pair of size and stack once, as columns by [`InfoIdx`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Infos {
    size: Vec<u64>,
    trace: Vec<TraceId>,
}

impl Infos {
    /// Number of pairs.
    #[inline]
    pub fn len(&self) -> usize {
        self.size.len()
    }

    /// True without pairs.
    pub fn is_empty(&self) -> bool {
        self.size.is_empty()
    }

    /// Bytes asked for in one call.
    ///
    /// # Panics
    /// If there is no such pair, as a slice does; so does [`Infos::trace`].
    #[inline]
    pub fn size(&self, info: InfoIdx) -> u64 {
        self.size[info.index()]
    }

    /// The stack of the call.
    #[inline]
    pub fn trace(&self, info: InfoIdx) -> TraceId {
        self.trace[info.index()]
    }

    /// All sizes.
    pub fn sizes(&self) -> &[u64] {
        &self.size
    }

    pub(crate) fn push(&mut self, size: u64, trace: TraceId) {
        self.size.push(size);
        self.trace.push(trace);
    }
}

/// A tick of the recorder's clock, about one every 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Position of the first event after it.
    pub event: u64,
    /// Milliseconds since the recording began.
    pub ms: u64,
}

/// When events happened: ticks in order of time and of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    stamps: Vec<Stamp>,
    /// For each tick the nanoseconds beyond its milliseconds; empty if the file's clock knows none.
    beyond_ms: Vec<u32>,
}

const NS_PER_MS: u64 = 1_000_000;

impl Clock {
    /// The ticks.
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// Milliseconds of the latest tick before the event at this position; 0 before the first.
    pub fn at(&self, event: u64) -> u64 {
        self.tick_before(event).map_or(0, |tick| self.stamps[tick].ms)
    }

    /// The same in nanoseconds. heaptrack's clock has milliseconds.
    pub fn ns_at(&self, event: u64) -> u64 {
        self.tick_before(event).map_or(0, |tick| self.ns(tick))
    }

    /// Nanoseconds of a tick by its place in [`Clock::stamps`].
    ///
    /// # Panics
    /// If there is no such tick, as a slice does.
    #[inline]
    pub fn ns(&self, tick: usize) -> u64 {
        let beyond = self.beyond_ms.get(tick).copied().unwrap_or(0);
        self.stamps[tick].ms.saturating_mul(NS_PER_MS).saturating_add(u64::from(beyond))
    }

    fn tick_before(&self, event: u64) -> Option<usize> {
        self.stamps.partition_point(|stamp| stamp.event <= event).checked_sub(1)
    }

    pub(crate) fn push_ms(&mut self, event: u64, ms: u64) {
        self.stamps.push(Stamp { event, ms });
    }

    /// A tick that takes the place of one after which nothing happened: an idle process has but a clock.
    pub(crate) fn push_ns(&mut self, event: u64, ns: u64) {
        if self.stamps.last().is_some_and(|last| last.event == event) {
            self.stamps.pop();
            self.beyond_ms.pop();
        }
        self.stamps.push(Stamp { event, ms: ns / NS_PER_MS });
        self.beyond_ms.push((ns % NS_PER_MS) as u32);
    }

    /// How long the recording lasted in milliseconds: one more than the last tick, since something came after it.
    pub fn runtime_ms(&self) -> u64 {
        self.stamps.last().map_or(0, |stamp| stamp.ms).saturating_add(1)
    }

    /// Positions of the events from one time to another, in milliseconds; the end is not included.
    pub fn events_between(&self, ms: Range<u64>, all: u64) -> Range<u64> {
        let position = |ms: u64| match self.stamps.get(self.stamps.partition_point(|stamp| stamp.ms < ms)) {
            _ if ms == 0 => 0,
            Some(stamp) => stamp.event,
            None => all,
        };
        let start = position(ms.start);
        start..position(ms.end).max(start)
    }
}

/// How much of the process was in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssSample {
    /// Milliseconds since the recording began.
    pub ms: u64,
    /// Resident pages, the recorder's own included.
    pub pages: u64,
}

impl Trace {
    /// Blocks of `size` bytes that one stands for: 1, or more if only a sample was recorded, see
    /// [`Trace::sample_bytes`]. Blocks of no bytes are never drawn; if there is one, nobody knows what it stands for.
    pub fn sample_weight(&self, size: u64) -> f64 {
        match self.sample_bytes {
            Some(interval) if interval > 0 && size > 0 => -1.0 / (-(size as f64) / interval as f64).exp_m1(),
            _ => 1.0,
        }
    }

    /// Blocks that were left out since they lived too short, and their bytes: counted, or estimated from a sample. `None`
    /// if none was to be left out.
    pub fn culled(&self) -> Option<(u64, u64)> {
        let recording = self.recording.as_ref()?;
        recording.meta.min_lifetime_ns?;
        let sum = |number: fn(&Culled) -> u64| -> u64 {
            let scaled = |culled: &Culled| match self.sample_bytes {
                Some(_) => {
                    (number(culled) as f64 * self.sample_weight(self.infos.size(culled.info))).round() as u64
                }
                None => number(culled),
            };
            recording.culled.iter().map(scaled).fold(0, u64::saturating_add)
        };
        Some((sum(|culled| culled.allocations), sum(|culled| culled.bytes)))
    }

    /// Gives back the room that growing columns hold in reserve.
    pub(crate) fn shrink(&mut self) {
        self.strings.shrink();
        self.ips.address.shrink_to_fit();
        self.ips.module.shrink_to_fit();
        self.ips.first_frame.shrink_to_fit();
        self.ips.frames.shrink_to_fit();
        self.tree.ip.shrink_to_fit();
        self.tree.parent.shrink_to_fit();
        self.infos.size.shrink_to_fit();
        self.infos.trace.shrink_to_fit();
        self.events.shrink();
        self.clock.stamps.shrink_to_fit();
        self.clock.beyond_ms.shrink_to_fit();
        self.rss.shrink_to_fit();
    }
}
