//! The calls to malloc and free in their order.

use std::ops::Range;

use crate::ids::InfoIdx;

/// One call to malloc or free.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Event(u32);

impl Event {
    const FREE: u32 = 1;
    const FREES_LATEST: u32 = 2;
    /// Infos beyond this number have no place beside the two marks.
    pub(crate) const MAX_INFO: u32 = u32::MAX >> 2;

    pub(crate) const fn allocation(info: u32) -> Self {
        Event(info << 2)
    }

    pub(crate) const fn free(info: u32, frees_latest: bool) -> Self {
        Event(info << 2 | Self::FREE | if frees_latest { Self::FREES_LATEST } else { 0 })
    }

    /// An event by its marks, 0 or 1, for who can't afford a branch.
    #[inline]
    pub(crate) const fn of_marks(info: u32, is_free: u32, frees_latest: u32) -> Self {
        Event(info << 2 | frees_latest << 1 | is_free)
    }

    /// What is allocated or freed: its size and the stack that allocated it.
    #[inline]
    pub const fn info(self) -> InfoIdx {
        InfoIdx(self.0 >> 2)
    }

    /// True for a free, false for an allocation.
    #[inline]
    pub const fn is_free(self) -> bool {
        self.0 & Self::FREE != 0
    }

    /// True for the free of the very block that the latest allocation returned, with no other free between. Known
    /// only where the file has pointers.
    #[inline]
    pub const fn frees_latest(self) -> bool {
        self.0 & Self::FREES_LATEST != 0
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_free() { '-' } else { '+' };
        write!(f, "{sign}{}{}", self.info().0, if self.frees_latest() { "!" } else { "" })
    }
}

/// Events of a chunk. A chunk is also what a replay decodes at once: it fits the second-level cache.
const CHUNK: usize = 1 << 16;

/// All events of a recording, packed: a recording of minutes has hundreds of millions.
///
/// No header says how many will come, so they lie in chunks of equal length rather than in a column that doubles.
/// Each chunk gives every event the bytes that its largest number needs, which is two or three.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Events {
    chunks: Vec<Packed>,
    /// The chunk that is not full.
    open: Vec<Event>,
}

#[derive(Clone, PartialEq, Eq)]
struct Packed {
    /// Bytes an event.
    width: u8,
    bytes: Box<[u8]>,
}

impl Events {
    /// Number of events.
    pub fn len(&self) -> u64 {
        (self.chunks.len() * CHUNK + self.open.len()) as u64
    }

    /// True without events.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_empty()
    }

    /// Bytes that the events take.
    pub fn size(&self) -> u64 {
        let packed: usize = self.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        (packed + self.open.len() * size_of::<Event>()) as u64
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        if self.open.len() == CHUNK {
            self.pack();
        }
        self.open.push(event);
    }

    pub(crate) fn extend(&mut self, mut events: &[Event]) {
        while !events.is_empty() {
            if self.open.len() == CHUNK {
                self.pack();
            }
            let (now, later) = events.split_at(events.len().min(CHUNK - self.open.len()));
            self.open.extend_from_slice(now);
            events = later;
        }
    }

    #[cold]
    fn pack(&mut self) {
        let largest = self.open.iter().fold(0, |all, event| all | event.0);
        let width = (4 - largest.leading_zeros() as usize / 8).max(1);
        let mut bytes = vec![0; width * self.open.len()].into_boxed_slice();
        match width {
            1 => bytes.iter_mut().zip(&self.open).for_each(|(byte, event)| *byte = event.0 as u8),
            2 => pack_as::<2>(&mut bytes, &self.open),
            3 => pack_as::<3>(&mut bytes, &self.open),
            _ => pack_as::<4>(&mut bytes, &self.open),
        }
        self.chunks.push(Packed { width: width as u8, bytes });
        self.open.clear();
    }

    pub(crate) fn shrink(&mut self) {
        self.chunks.shrink_to_fit();
        self.open.shrink_to_fit();
    }

    /// Hands on the events of `range` in order and in runs; the number is the position of a run's first event. A
    /// range that reaches beyond the end is cut.
    pub fn replay(&self, range: Range<u64>, mut run: impl FnMut(u64, &[Event])) {
        let end = range.end.min(self.len());
        let mut at = range.start;
        let mut unpacked = Vec::new();
        while at < end {
            let number = (at / CHUNK as u64) as usize;
            let base = number as u64 * CHUNK as u64;
            let inside = (at - base) as usize..(end - base).min(CHUNK as u64) as usize;
            match self.chunks.get(number) {
                Some(chunk) => {
                    chunk.unpack(&mut unpacked);
                    run(at, &unpacked[inside.clone()]);
                }
                None => run(at, &self.open[inside.clone()]),
            }
            at += inside.len() as u64;
        }
    }
}

fn pack_as<const WIDTH: usize>(bytes: &mut [u8], events: &[Event]) {
    for (bytes, event) in bytes.as_chunks_mut::<WIDTH>().0.iter_mut().zip(events) {
        bytes.copy_from_slice(&event.0.to_le_bytes()[..WIDTH]);
    }
}

impl Packed {
    fn unpack(&self, out: &mut Vec<Event>) {
        out.clear();
        match self.width {
            1 => out.extend(self.bytes.iter().map(|&byte| Event(u32::from(byte)))),
            2 => out.extend(
                self.bytes.as_chunks().0.iter().map(|&[a, b]| Event(u32::from_le_bytes([a, b, 0, 0]))),
            ),
            3 => out.extend(
                self.bytes.as_chunks().0.iter().map(|&[a, b, c]| Event(u32::from_le_bytes([a, b, c, 0]))),
            ),
            _ => out.extend(self.bytes.as_chunks().0.iter().map(|&word| Event(u32::from_le_bytes(word)))),
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut list = f.debug_list();
        self.replay(0..self.len(), |_, run| {
            list.entries(run);
        });
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs these infos and wants them back, whole and from the middle.
    #[track_caller]
    fn check(infos: &[u32], width: u8) {
        let expected: Vec<Event> = infos
            .iter()
            .map(|&info| match info % 3 {
                0 => Event::allocation(info),
                1 => Event::free(info, false),
                _ => Event::free(info, true),
            })
            .collect();
        let mut events = Events::default();
        expected.iter().for_each(|&event| events.push(event));
        events.shrink();
        assert_eq!(events.len(), infos.len() as u64);
        for start in [0, 1, CHUNK as u64 - 1, CHUNK as u64, CHUNK as u64 + 7] {
            let mut got = Vec::new();
            events.replay(start..u64::MAX, |first, run| {
                assert_eq!(first, start + got.len() as u64);
                got.extend_from_slice(run);
            });
            assert_eq!(got, &expected[start as usize..]);
        }
        assert_eq!(events.chunks[0].width, width);
    }

    #[test]
    fn events_come_back_as_they_were_pushed() {
        let many = |info: &dyn Fn(u32) -> u32| (0..2 * CHUNK as u32 + 9).map(info).collect::<Vec<_>>();
        check(&many(&|i| i % 60), 1);
        check(&many(&|i| i % 16_000), 2);
        check(&many(&|i| i), 3);
        check(&many(&|i| Event::MAX_INFO - i), 4);
    }
}
