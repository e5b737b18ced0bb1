//! A recording, made ready for questions: stacks without `operator new`, places without addresses.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;
use twinheap_trace::{Frame, FrameKind, InfoIdx, IpId, Matching, StringId, Trace, TraceId};

use crate::estimate::Scale;
use crate::stacks::same_names;

/// Functions that every C++ allocation goes through: a stack begins with their caller.
const OPERATOR_NEW: [&[u8]; 4] = [
    b"operator new(unsigned long)",
    b"operator new[](unsigned long)",
    b"operator new(unsigned int)",
    b"operator new[](unsigned int)",
];

/// Functions that a stack ends with: what is around them is the same in every program.
const STOPS: [&[u8]; 3] = [b"main", b"__libc_start_main", b"__static_initialization_and_destruction_0"];

/// A recording, ready for questions.
#[derive(Debug)]
pub struct NativeHeap {
    /// The recording.
    pub trace: Trace,
    /// For each node of the tree the nearest node at or above it that is no `operator new`; 0 if there is none.
    visible: Vec<TraceId>,
    /// For each place the number of what it says without its address.
    sites: Vec<SiteId>,
    site_count: usize,
    /// For each place whether stacks end there.
    stops: Vec<bool>,
    /// For each info the number of its stack, in order of first appearance.
    pub(crate) stack_of_info: Vec<u32>,
    /// The stacks that allocate.
    pub(crate) stacks: Vec<TraceId>,
    /// What blocks stand for, if only a sample was recorded.
    pub(crate) scale: Option<Scale>,
    /// See [`NativeHeap::names`].
    names: OnceLock<Vec<u32>>,
}

/// A place without its address: module, function, file and line of its innermost frame. 0 says nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SiteId(pub(crate) u32);

/// A line of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// The function, demangled; empty if unknown.
    pub function: &'a [u8],
    /// The executable or library; empty if unknown.
    pub module: &'a [u8],
    /// The source file; empty if unknown.
    pub file: &'a [u8],
    /// The line, from 1; 0 if unknown.
    pub line: u32,
    /// The column, from 1; 0 if unknown.
    pub column: u32,
    /// What kind of code it is.
    pub kind: FrameKind,
    /// True if the compiler put the function into the one around it, the next in the list.
    pub is_inlined: bool,
    /// The address in the recorded process.
    pub address: u64,
}

impl NativeHeap {
    /// Prepares a recording.
    pub fn new(trace: Trace) -> Self {
        // As in heaptrack, the first string with such a text counts; a sound file has each text once.
        let first = |wanted: &[&[u8]]| -> Vec<StringId> {
            let mut missing = wanted.to_vec();
            let mut found = Vec::new();
            for (id, text) in trace.strings.iter() {
                if let Some(at) = missing.iter().position(|name| *name == text) {
                    missing.swap_remove(at);
                    found.push(id);
                }
            }
            found
        };
        let (news, stops) = (first(&OPERATOR_NEW), first(&STOPS));
        let places = || (0..trace.ips.len() as u32).map(IpId);
        let is_new: Vec<bool> = places().map(|ip| news.contains(&trace.ips.frame(ip).function)).collect();
        let stops = places().map(|ip| stops.contains(&trace.ips.frame(ip).function)).collect();

        let mut known: FxHashMap<(StringId, Frame), SiteId> = FxHashMap::default();
        let sites = places()
            .map(|ip| {
                let next = SiteId(known.len() as u32);
                *known.entry((trace.ips.module(ip), trace.ips.frame(ip))).or_insert(next)
            })
            .collect();

        // A parent stands before its children, so that one pass does for chains of `operator new`.
        let mut visible = Vec::with_capacity(trace.tree.len());
        for node in (0..trace.tree.len() as u32).map(TraceId) {
            let is_new = is_new[trace.tree.ip(node).index()];
            visible.push(if is_new { visible[trace.tree.parent(node).index()] } else { node });
        }

        let mut number_of = vec![u32::MAX; trace.tree.len()];
        let mut stacks = Vec::new();
        let stack_of_info = (0..trace.infos.len() as u32)
            .map(|info| {
                let stack = trace.infos.trace(InfoIdx(info));
                let number = &mut number_of[stack.index()];
                if *number == u32::MAX {
                    *number = stacks.len() as u32;
                    stacks.push(stack);
                }
                *number
            })
            .collect();
        let scale = Scale::of(&trace);
        let names = OnceLock::new();
        NativeHeap {
            site_count: known.len(),
            visible,
            sites,
            stops,
            stack_of_info,
            stacks,
            scale,
            names,
            trace,
        }
    }

    /// For each node of the tree a number that is the same for nodes whose stacks read the same, below the number of
    /// nodes.
    pub(crate) fn names(&self) -> &[u32] {
        self.names.get_or_init(|| same_names(self))
    }

    /// If only a sample was recorded, bytes between two samples on average. All costs are estimates then, with
    /// [`crate::Variances`].
    pub fn sample_interval(&self) -> Option<u64> {
        self.scale.as_ref().and(self.trace.sample_bytes)
    }

    /// True if [`crate::Cost::temporary`] means something. Of a sample it doesn't: the call after a block's is most
    /// likely not in it.
    pub fn has_temporary(&self) -> bool {
        self.scale.is_none()
    }

    /// True if the recording has addresses, so that [`crate::Cost::temporary_exact`] means something.
    pub fn has_exact_temporary(&self) -> bool {
        self.has_temporary() && self.trace.matching != Matching::ByInfo
    }

    /// Bytes that a block stands for, by info: its size, if all blocks were recorded.
    pub(crate) fn block_bytes(&self) -> &[u64] {
        self.scale.as_ref().map_or(self.trace.infos.sizes(), Scale::bytes)
    }

    /// Blocks that a block stands for.
    #[inline]
    pub(crate) fn weight(&self, info: InfoIdx) -> f64 {
        self.scale.as_ref().map_or(1.0, |scale| scale.weight(info))
    }

    /// The call that a stack begins with, `operator new` left out; 0 if nothing else is there.
    #[inline]
    pub(crate) fn visible(&self, node: TraceId) -> TraceId {
        self.visible[node.index()]
    }

    /// The place of a call that [`NativeHeap::visible`] or [`NativeHeap::caller`] gave.
    #[inline]
    pub(crate) fn ip(&self, node: TraceId) -> IpId {
        self.trace.tree.ip(node)
    }

    /// The call around a call, `operator new` left out, down to the function that stacks end with.
    #[inline]
    pub(crate) fn caller(&self, node: TraceId) -> TraceId {
        if self.ends_at(node) { TraceId(0) } else { self.outer(node) }
    }

    /// True for a call that stacks end with.
    #[inline]
    pub(crate) fn ends_at(&self, node: TraceId) -> bool {
        self.stops[self.ip(node).index()]
    }

    /// The call around a call, without an end at `main`.
    #[inline]
    pub(crate) fn outer(&self, node: TraceId) -> TraceId {
        self.visible[self.trace.tree.parent(node).index()]
    }

    #[inline]
    pub(crate) fn site(&self, ip: IpId) -> SiteId {
        self.sites[ip.index()]
    }

    pub(crate) fn site_count(&self) -> usize {
        self.site_count
    }

    /// The places of a stack from its leaf on, `operator new` left out, to `main` or the end.
    pub fn places(&self, stack: TraceId) -> impl Iterator<Item = IpId> + '_ {
        let mut node = self.visible(stack);
        std::iter::from_fn(move || {
            let ip = self.ip(node);
            node = self.caller(node);
            (!ip.is_zero()).then_some(ip)
        })
    }

    /// The lines of a place: what was inlined first, the function that really has the address last.
    pub fn frames(&self, ip: IpId) -> impl Iterator<Item = FrameView<'_>> {
        let (ips, strings) = (&self.trace.ips, &self.trace.strings);
        let frames = ips.frames(ip);
        let module = strings.get(ips.module(ip));
        let address = ips.address(ip);
        (0..frames.len().max(1)).map(move |at| {
            let frame = frames.get(at).copied().unwrap_or_default();
            FrameView {
                function: strings.get(frame.function),
                module,
                file: strings.get(frame.file),
                line: frame.line,
                column: frame.column,
                kind: frame.kind,
                is_inlined: at + 1 < frames.len(),
                address,
            }
        })
    }
}
