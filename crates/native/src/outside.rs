//! Memory that malloc's calls don't show: what else a process's resident memory is made of.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use twinheap_trace::heaptrace::EmbeddedAllocator;
use twinheap_trace::{MemoryLook, MemoryOwner, TraceId};

use crate::heap::NativeHeap;

/// Frames of a stack that tell what the memory is for; what is around them is the program.
const TELLING_FRAMES: usize = 16;

/// Resident memory, at the look with the most of it and at the last one. Parts and what is not explained add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Milliseconds since the recording began, of the look with the most resident memory.
    pub peak_ms: u64,
    /// Resident bytes then, as the kernel counts them.
    pub peak_rss: u64,
    /// Milliseconds since the recording began, of the last look.
    pub end_ms: u64,
    /// Resident bytes then.
    pub end_rss: u64,
    /// What it is made of, the largest part at the peak first.
    pub parts: Vec<OutsidePart>,
}

/// A part of the resident memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsidePart {
    /// What it is for.
    pub kind: OutsideKind,
    /// The file that is mapped, or the module that asked for the memory, or the kernel's name for it; empty for kinds
    /// that are one part.
    pub name: Vec<u8>,
    /// The allocator inside the module, if it is known to have one.
    pub allocator: Option<String>,
    /// Recorded blocks lie in it, so that calls show it too.
    pub is_recorded: bool,
    /// Resident bytes at the peak.
    pub at_peak: u64,
    /// Resident bytes at the last look.
    pub at_end: u64,
    /// Ranges of addresses at the peak, or at the last look if there were none.
    pub ranges: u32,
}

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutsideKind {
    /// The C library's malloc: blocks, and what is free between them.
    Malloc,
    /// V8's heap.
    V8Heap,
    /// Code that V8 made.
    V8Code,
    /// WebAssembly's memories, and array buffers that can grow.
    Wasm,
    /// Stacks of threads.
    Stack,
    /// Files: code and data of executables and libraries, other mapped files.
    File,
    /// A module asked for it by mmap.
    Module,
    /// The kernel has a name for it.
    Named,
    /// The recorder's own.
    Recorder,
    /// Anonymous memory that no call of mmap asked for.
    Unknown,
}

impl OutsideKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            OutsideKind::Malloc => "malloc",
            OutsideKind::V8Heap => "v8-heap",
            OutsideKind::V8Code => "v8-code",
            OutsideKind::Wasm => "wasm",
            OutsideKind::Stack => "stack",
            OutsideKind::File => "file",
            OutsideKind::Module => "module",
            OutsideKind::Named => "named",
            OutsideKind::Recorder => "recorder",
            OutsideKind::Unknown => "unknown",
        }
    }
}

impl OutsidePart {
    /// True if recorded calls show it too.
    pub fn is_inside(&self) -> bool {
        self.kind == OutsideKind::Malloc || self.is_recorded
    }
}

impl Outside {
    /// Resident bytes at the peak outside of every heap whose calls are recorded.
    pub fn peak(&self) -> u64 {
        self.parts.iter().filter(|part| !part.is_inside()).map(|part| part.at_peak).sum()
    }

    /// The same at the last look.
    pub fn end(&self) -> u64 {
        self.parts.iter().filter(|part| !part.is_inside()).map(|part| part.at_end).sum()
    }

    /// Resident bytes at the peak that no part has. The kernel counts pages and tells of them at different moments, and
    /// a page of zeros is in a mapping without being resident: it may be a little below 0.
    pub fn unexplained_at_peak(&self) -> i64 {
        difference(self.peak_rss, self.parts.iter().map(|part| part.at_peak).sum())
    }

    /// The same at the last look.
    pub fn unexplained_at_end(&self) -> i64 {
        difference(self.end_rss, self.parts.iter().map(|part| part.at_end).sum())
    }
}

fn difference(all: u64, known: u64) -> i64 {
    all.wrapping_sub(known).cast_signed()
}

/// What the resident memory was made of over the stretches of a [`crate::Timeline`], as columns. A stretch has the look
/// with the most resident memory in it, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsideTimeline {
    /// Resident bytes outside of every heap whose calls are recorded.
    pub bytes: Vec<Option<u64>>,
    /// Kinds that the process has had, the largest first: which, and whether recorded calls show it too.
    pub kinds: Vec<KindTimeline>,
}

/// Resident memory of a kind over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindTimeline {
    /// What it is for.
    pub kind: OutsideKind,
    /// Calls that were recorded show it too.
    pub is_inside: bool,
    /// Resident bytes.
    pub bytes: Vec<Option<u64>>,
}

/// What the memory was made of between these edges, in milliseconds; `None` if the recording does not know.
pub(crate) fn outside_timeline(heap: &NativeHeap, edges: &[u64]) -> Option<OutsideTimeline> {
    let looks = heap.trace.recording.as_ref().map(|recording| recording.looks.as_slice())?;
    if looks.is_empty() {
        return None;
    }
    let mut naming = Naming { heap, allocators: &[], known: FxHashMap::default() };
    let mut timeline = OutsideTimeline::default();
    let stretches = edges.len().saturating_sub(1);
    for (at, edge) in edges.windows(2).enumerate() {
        // A look at the very end belongs to the last stretch.
        let is_last = at + 1 == stretches;
        let is_in = |look: &&MemoryLook| {
            let ms = ms(look.ns);
            (edge[0]..edge[1]).contains(&ms)
                || is_last && ms >= edge[1] && edge[1] >= heap.trace.clock.runtime_ms()
        };
        let look = looks.iter().filter(is_in).min_by_key(|look| Reverse(look.rss));
        timeline.bytes.push(look.map(|_| 0));
        for kind in &mut timeline.kinds {
            kind.bytes.push(look.map(|_| 0));
        }
        for part in look.iter().flat_map(|look| &look.parts) {
            let kind = naming.name(part.owner).0;
            let is_inside = kind == OutsideKind::Malloc || kind == OutsideKind::Module && part.has_blocks;
            let known = timeline.kinds.iter().position(|of| (of.kind, of.is_inside) == (kind, is_inside));
            let known = known.unwrap_or_else(|| {
                // Where nobody looked nothing is known; where somebody did, there was none of this kind.
                let bytes = timeline.bytes.iter().map(|bytes| bytes.map(|_| 0)).collect();
                timeline.kinds.push(KindTimeline { kind, is_inside, bytes });
                timeline.kinds.len() - 1
            });
            let add = |column: &mut Vec<Option<u64>>| {
                if let Some(Some(bytes)) = column.last_mut() {
                    *bytes += part.resident;
                }
            };
            add(&mut timeline.kinds[known].bytes);
            if !is_inside {
                add(&mut timeline.bytes);
            }
        }
    }
    timeline
        .kinds
        .sort_by_key(|of| (Reverse(of.bytes.iter().copied().flatten().max()), of.kind, of.is_inside));
    Some(timeline)
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

/// What the process's memory was made of; `None` if the recording does not know.
pub fn outside_malloc(heap: &NativeHeap) -> Option<Outside> {
    let recording = heap.trace.recording.as_ref()?;
    // The first of several with the same.
    let peak = recording.looks.iter().min_by_key(|look| Reverse(look.rss))?;
    let end = recording.looks.last()?;
    let allocators = recording.end.as_ref().map(|end| end.allocators.as_slice()).unwrap_or_default();
    let mut naming = Naming { heap, allocators, known: FxHashMap::default() };
    let mut parts: FxHashMap<(OutsideKind, Vec<u8>, bool), OutsidePart> = FxHashMap::default();
    let mut add = |look: &MemoryLook, is_peak: bool| {
        for part in &look.parts {
            let (kind, name) = naming.name(part.owner);
            let is_recorded = part.has_blocks && kind == OutsideKind::Module;
            let entry = parts.entry((kind, name.clone(), is_recorded)).or_insert_with(|| OutsidePart {
                kind,
                allocator: naming.allocator(kind, &name),
                name,
                is_recorded,
                at_peak: 0,
                at_end: 0,
                ranges: 0,
            });
            if is_peak {
                entry.at_peak += part.resident;
                entry.ranges += part.ranges;
            } else {
                entry.at_end += part.resident;
            }
        }
    };
    add(peak, true);
    add(end, false);
    let mut parts: Vec<OutsidePart> = parts.into_values().collect();
    for part in parts.iter_mut().filter(|part| part.ranges == 0) {
        let of_part = end.parts.iter().filter(|other| {
            naming.name(other.owner) == (part.kind, part.name.clone())
                && (other.has_blocks && part.kind == OutsideKind::Module) == part.is_recorded
        });
        part.ranges = of_part.map(|other| other.ranges).sum();
    }
    parts.sort_by(|a, b| {
        let key = |part: &OutsidePart| (Reverse(part.at_peak), Reverse(part.at_end), part.kind);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Some(Outside { peak_ms: ms(peak.ns), peak_rss: peak.rss, end_ms: ms(end.ns), end_rss: end.rss, parts })
}

/// Finds words for owners.
struct Naming<'a> {
    heap: &'a NativeHeap,
    allocators: &'a [EmbeddedAllocator],
    known: FxHashMap<TraceId, (OutsideKind, Vec<u8>)>,
}

impl Naming<'_> {
    fn name(&mut self, owner: MemoryOwner) -> (OutsideKind, Vec<u8>) {
        let string = |id| self.heap.trace.strings.get(id).to_vec();
        match owner {
            MemoryOwner::Malloc => (OutsideKind::Malloc, Vec::new()),
            MemoryOwner::Stack => (OutsideKind::Stack, Vec::new()),
            MemoryOwner::Recorder => (OutsideKind::Recorder, Vec::new()),
            MemoryOwner::Unknown => (OutsideKind::Unknown, Vec::new()),
            MemoryOwner::File(path) => (OutsideKind::File, string(path)),
            MemoryOwner::Named(name) => match string(name) {
                name if name.starts_with(b"v8") => (OutsideKind::V8Heap, Vec::new()),
                name => (OutsideKind::Named, name),
            },
            MemoryOwner::Mapped(trace) => {
                let heap = self.heap;
                self.known.entry(trace).or_insert_with(|| by_stack(heap, trace)).clone()
            }
        }
    }

    fn allocator(&self, kind: OutsideKind, name: &[u8]) -> Option<String> {
        let of_module = |allocator: &&EmbeddedAllocator| allocator.module.as_bytes() == name;
        let found = self.allocators.iter().find(of_module).filter(|_| kind == OutsideKind::Module);
        found.map(|allocator| allocator.name.clone())
    }
}

/// What memory is for that this stack asked for.
fn by_stack(heap: &NativeHeap, trace: TraceId) -> (OutsideKind, Vec<u8>) {
    let frames = || heap.places(trace).flat_map(|ip| heap.frames(ip)).take(TELLING_FRAMES);
    let has = |words: &[&str]| {
        frames().any(|frame| {
            let name = String::from_utf8_lossy(frame.function);
            words.iter().any(|word| name.contains(word))
        })
    };
    let is_v8 = frames()
        .take(6)
        .any(|frame| frame.function.starts_with(b"v8::") || frame.function.starts_with(b"cppgc::"));
    if is_v8 {
        let kind = match () {
            () if has(&["BackingStore::", "WasmMemoryObject"]) => OutsideKind::Wasm,
            () if has(&["CodeRange", "WasmCodeManager", "wasm::NativeModule"]) => OutsideKind::V8Code,
            () => OutsideKind::V8Heap,
        };
        return (kind, Vec::new());
    }
    let module = frames().map(|frame| frame.module).find(|module| !module.is_empty() && !is_system(module));
    match module.or_else(|| frames().map(|frame| frame.module).find(|module| !module.is_empty())) {
        Some(module) => (OutsideKind::Module, module.to_vec()),
        None => (OutsideKind::Unknown, Vec::new()),
    }
}

/// Whether a module is a part of the C library, which asks for others.
fn is_system(module: &[u8]) -> bool {
    let name = module.rsplit(|&byte| byte == b'/').next().unwrap_or(module);
    [&b"libc.so"[..], b"libc-", b"ld-linux", b"libpthread", b"libdl.", b"libdl-"]
        .iter()
        .any(|start| name.starts_with(start))
}
