//! Lines of stacks as numbers: what reads the same has the same number, inlined functions included.

use rustc_hash::FxHashMap;
use twinheap_trace::{Frame, FrameKind, IpId, StringId, Strings, TraceId};

use crate::heap::{FrameView, NativeHeap};

/// What makes two lines of stacks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Function and module, as in heaptrack's trees; of a JavaScript function its script and position. Without a
    /// function's name all of a module is one.
    Function,
    /// Function, module, file and line.
    Line,
}

/// A line of stacks, by the order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNo(pub u32);

impl FrameNo {
    /// The number as a slice index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The lines of a recording's stacks.
#[derive(Clone, Debug)]
pub struct FrameTable<'a> {
    heap: &'a NativeHeap,
    /// Where each place's lines begin in `of_place`, with one more entry for the end of the last.
    first: Vec<u32>,
    /// Innermost first.
    of_place: Vec<FrameNo>,
    /// For each line where it was met first: the place, and the position in it.
    example: Vec<(IpId, u32)>,
}

impl<'a> FrameTable<'a> {
    /// Numbers the lines of all places.
    pub fn new(heap: &'a NativeHeap, identity: Identity) -> Self {
        let ips = &heap.trace.ips;
        let text = same_texts(&heap.trace.strings);
        let same = |id: StringId| text[id.index()];
        let mut known: FxHashMap<(StringId, Frame), FrameNo> = FxHashMap::default();
        let mut table = FrameTable {
            heap,
            first: Vec::with_capacity(ips.len() + 1),
            of_place: Vec::new(),
            example: Vec::new(),
        };
        for ip in (0..ips.len() as u32).map(IpId) {
            table.first.push(table.of_place.len() as u32);
            if ip.is_zero() {
                continue;
            }
            let frames = ips.frames(ip);
            for at in 0..frames.len().max(1) {
                let frame = frames.get(at).copied().unwrap_or_default();
                let function = same(frame.function);
                let frame = match identity {
                    // A JavaScript function has no module, and its line is where it begins: both are its name.
                    Identity::Function if frame.kind == FrameKind::Js => {
                        Frame { function, file: same(frame.file), ..frame }
                    }
                    Identity::Function => Frame { function, ..Frame::default() },
                    Identity::Line => Frame { function, file: same(frame.file), ..frame },
                };
                let next = FrameNo(table.example.len() as u32);
                let number = *known.entry((same(ips.module(ip)), frame)).or_insert(next);
                if number == next {
                    table.example.push((ip, at as u32));
                }
                table.of_place.push(number);
            }
        }
        table.first.push(table.of_place.len() as u32);
        table
    }

    /// Number of different lines: each [`FrameNo`] is below it.
    pub fn len(&self) -> usize {
        self.example.len()
    }

    /// True without lines.
    pub fn is_empty(&self) -> bool {
        self.example.is_empty()
    }

    /// The recording.
    pub fn heap(&self) -> &'a NativeHeap {
        self.heap
    }

    /// A stack's lines from its leaf on, as [`NativeHeap::places`] has its places.
    pub fn stack(&self, stack: TraceId) -> impl Iterator<Item = FrameNo> + '_ {
        self.heap.places(stack).flat_map(|ip| self.place(ip).iter().copied())
    }

    /// The line where it was met first. File, line and address may differ elsewhere, depending on [`Identity`].
    pub fn view(&self, frame: FrameNo) -> Option<FrameView<'a>> {
        let &(ip, at) = self.example.get(frame.index())?;
        self.heap.frames(ip).nth(at as usize)
    }

    /// The lines of a place, innermost first; none for place 0.
    #[inline]
    pub(crate) fn place(&self, ip: IpId) -> &[FrameNo] {
        &self.of_place[self.first[ip.index()] as usize..self.first[ip.index() + 1] as usize]
    }
}

/// For each string the first with the same text: raw files name their modules anew after each `dlopen`.
pub(crate) fn same_texts(strings: &Strings) -> Vec<StringId> {
    let mut known: FxHashMap<&[u8], StringId> = FxHashMap::default();
    let mut same = Vec::with_capacity(strings.len() + 1);
    same.push(StringId(0));
    same.extend(strings.iter().map(|(id, text)| match text {
        b"" => StringId(0),
        text => *known.entry(text).or_insert(id),
    }));
    same
}
