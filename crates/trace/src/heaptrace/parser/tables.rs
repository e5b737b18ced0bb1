//! The tables that nothing else is built on.

use super::Wrong;
use super::builder::Builder;
use super::defs::moved;
use crate::heaptrace::numbers::Numbers;
use crate::heaptrace::rows::{frame_kind, map_op, owner};
use crate::ids::{InfoIdx, IpId, StringId, ThreadNo, TraceId};
use crate::memory_look::{MemoryLook, MemoryOwner, MemoryPart};
use crate::recording::{Culled, LiveBlock, LostBlock, MapEvent, MemorySample, Thread};
use crate::trace::{EmbeddedSuppression, Frame, RssSample};

const ROW: Wrong = "a row of a table is incomplete; the rest of its segment was skipped";
const REFERENCE: Wrong =
    "a row of a table refers to what the file does not define; the rest of its segment was skipped";
const BACKWARDS: Wrong = "the times of a table run backwards; the rest of its segment was skipped";
const NOT_ALIVE: Wrong =
    "the list of live blocks names one that is not alive, or one twice; the rest of it was skipped";

const NOT_LOST: Wrong =
    "the list of lost blocks names one that is not alive, or one twice; the rest of it was skipped";

const NS_PER_MS: u64 = 1_000_000;

/// Values that differ from those of the row before.
#[derive(Default)]
struct Last([u64; 4]);

impl Last {
    fn next(&mut self, place: usize, numbers: &mut Numbers<'_>) -> Result<u64, Wrong> {
        let value = self.0[place].wrapping_add_signed(numbers.signed().ok_or(ROW)?);
        self.0[place] = value;
        Ok(value)
    }
}

impl Builder {
    pub(super) fn samples(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), Last::default());
        while !rows.is_empty() {
            let ns = last.next(0, &mut rows)?;
            if self.recording.memory.last().is_some_and(|before| before.ns > ns) {
                return Err(BACKWARDS);
            }
            let mut values = [None; 3];
            for place in 0..rows.next().ok_or(ROW)? {
                match (rows.byte().ok_or(ROW)?, values.get_mut(place as usize)) {
                    (0, _) => {}
                    (_, Some(value)) => *value = Some(last.next(place as usize + 1, &mut rows)?),
                    // What a newer version added.
                    (_, None) => _ = rows.signed().ok_or(ROW)?,
                }
            }
            let [rss, heap, v8] = values;
            self.recording.memory.push(MemorySample { ns, rss, heap, v8 });
            if let Some(rss) = rss {
                self.resident(ns, rss);
            }
        }
        Ok(())
    }

    /// Resident memory in bytes, by a sample or a look. Of both kinds each has its own times.
    fn resident(&mut self, ns: u64, bytes: u64) {
        if let Some(page) = self.trace.page_size {
            self.trace.rss.push(RssSample { ms: ns / NS_PER_MS, pages: bytes / page });
        }
    }

    pub(super) fn symbols(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), [0; 3]);
        while !rows.is_empty() {
            last[0] = moved(last[0], rows.signed())?;
            if last[0] as usize >= self.trace.ips.len() {
                return Err(REFERENCE);
            }
            let count = rows.next().ok_or(ROW)?;
            let start = self.frames.len() as u32;
            for _ in 0..count {
                let kind = frame_kind(rows.byte().ok_or(ROW)?);
                last[1] = moved(last[1], rows.signed())?;
                last[2] = moved(last[2], rows.signed())?;
                let (line, column) = rows.short().zip(rows.short()).ok_or(ROW)?;
                if last[1].max(last[2]) as usize > self.trace.strings.len()
                    || self.frames.len() as u32 == u32::MAX
                {
                    return Err(REFERENCE);
                }
                let (function, file) = (StringId(last[1]), StringId(last[2]));
                self.frames.push(Frame { function, file, line, column, kind });
            }
            self.named.push((IpId(last[0]), start..self.frames.len() as u32));
        }
        Ok(())
    }

    pub(super) fn suppressions(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let mut rows = Numbers(payload);
        while !rows.is_empty() {
            let text = rows.bytes().ok_or(ROW)?.to_vec();
            self.trace.suppressions.push(EmbeddedSuppression { text, is_sized: false });
        }
        Ok(())
    }

    pub(super) fn threads(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let mut rows = Numbers(payload);
        while !rows.is_empty() {
            let (thread, tid) = rows.short().zip(rows.short()).ok_or(ROW)?;
            let name = rows.bytes().ok_or(ROW)?.to_vec();
            self.recording.threads.insert(ThreadNo(thread), Thread { tid, name });
        }
        Ok(())
    }

    pub(super) fn maps(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), Last::default());
        while let Some(op) = rows.byte() {
            let (ns, address) = (last.next(0, &mut rows)?, last.next(1, &mut rows)?);
            let (len, trace) = rows.next().zip(rows.short()).ok_or(ROW)?;
            if trace as usize >= self.trace.tree.len() {
                return Err(REFERENCE);
            }
            if self.recording.maps.last().is_some_and(|before| before.ns > ns) {
                return Err(BACKWARDS);
            }
            let event = MapEvent { ns, op: map_op(op), address, len, trace: TraceId(trace) };
            self.recording.maps.push(event);
        }
        Ok(())
    }

    pub(super) fn looks(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), Last::default());
        while !rows.is_empty() {
            let ns = last.next(0, &mut rows)?;
            let (rss, count) = rows.next().zip(rows.next()).ok_or(ROW)?;
            let mut look = MemoryLook { ns, rss, parts: Vec::new() };
            for _ in 0..count {
                let (byte, number) = rows.byte().zip(rows.short()).ok_or(ROW)?;
                let owner = owner(byte, number);
                let is_defined = match owner {
                    MemoryOwner::Mapped(trace) => trace.index() < self.trace.tree.len(),
                    MemoryOwner::File(name) | MemoryOwner::Named(name) => {
                        name.index() <= self.trace.strings.len()
                    }
                    _ => true,
                };
                if !is_defined {
                    return Err(REFERENCE);
                }
                let (resident, mapped) = rows.next().zip(rows.next()).ok_or(ROW)?;
                let (ranges, has_blocks) = rows.short().zip(rows.byte()).ok_or(ROW)?;
                let has_blocks = has_blocks != 0;
                look.parts.push(MemoryPart { owner, resident, mapped, ranges, has_blocks });
            }
            self.resident(ns, rss);
            if self.recording.looks.last().is_some_and(|before| before.ns > ns) {
                return Err(BACKWARDS);
            }
            self.recording.looks.push(look);
        }
        Ok(())
    }

    pub(super) fn culled(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), 0);
        while !rows.is_empty() {
            last = moved(last, rows.signed())?;
            let (allocations, bytes) = rows.next().zip(rows.next()).ok_or(ROW)?;
            if last as usize >= self.trace.infos.len() {
                return Err(REFERENCE);
            }
            self.recording.culled.push(Culled { info: InfoIdx(last), allocations, bytes });
        }
        Ok(())
    }

    pub(super) fn lost(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), Last::default());
        let blocks = self.recording.lost.get_or_insert_default();
        while !rows.is_empty() {
            let allocation = last.next(0, &mut rows)?;
            let is_indirect = rows.byte().ok_or(ROW)? & 1 != 0;
            let is_behind = blocks.last().is_none_or(|before| before.allocation < allocation);
            let entry = self.events.live.get(allocation).filter(|_| is_behind).ok_or(NOT_LOST)?;
            blocks.push(LostBlock { allocation, info: InfoIdx(entry.info()), is_indirect });
        }
        Ok(())
    }

    pub(super) fn live(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let (mut rows, mut last) = (Numbers(payload), Last::default());
        let blocks = self.recording.live.get_or_insert_default();
        while !rows.is_empty() {
            let (allocation, address) = (last.next(0, &mut rows)?, last.next(1, &mut rows)?);
            let is_behind = blocks.last().is_none_or(|before| before.allocation < allocation);
            let entry = self.events.live.get(allocation).filter(|_| is_behind).ok_or(NOT_ALIVE)?;
            blocks.push(LiveBlock { allocation, info: InfoIdx(entry.info()), address });
        }
        Ok(())
    }
}
