//! Costs of many stretches of time, each in a fraction of the time that a replay takes.

use std::ops::Range;

use crate::cost::Costs;
use crate::heap::NativeHeap;
use crate::replay::{Count, Counted, Peak, Replay, change};
use crate::suppressions::Suppressions;

/// Events of a piece, whose largest rise is known. It is what a recording packs into a chunk, so that none is unpacked
/// twice.
const PIECE: u64 = 1 << 16;
/// Pieces between two checkpoints, if there is memory for so many of them.
const PIECES: u64 = 8;

/// What lets a [`NativeHeap`] answer for any stretch of time without going through all its events.
///
/// It has checkpoints: what was counted up to there, by info. A stretch costs what was counted at its end less what was
/// counted at its start, and either is a checkpoint and a replay from there on. Of each piece between it knows how far
/// memory rises within it, so that the peak of a stretch is found without its events.
#[derive(Debug)]
pub struct RangeIndex {
    /// Events from one checkpoint to the next.
    every: u64,
    /// What was counted before each multiple of `every`, and the info of the latest allocation.
    checkpoints: Vec<(Vec<Count>, u32)>,
    pieces: Vec<Piece>,
}

/// So many events, what they do to the bytes alive, and how many more there are at most within them.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    change: i64,
    peak: i64,
}

impl RangeIndex {
    /// Goes through the recording twice, and takes up to `memory` bytes, or what two checkpoints take.
    pub fn new(heap: &NativeHeap, memory: u64) -> Self {
        let events = heap.trace.events.len();
        let checkpoint = (heap.trace.infos.len() * size_of::<Count>()) as u64;
        let most = (memory / checkpoint.max(1)).max(2);
        let mut every = PIECE * PIECES;
        while events / every + 1 > most {
            every *= 2;
        }
        let mut replay = Replay::new(heap);
        let mut checkpoints = vec![(replay.counts.clone(), 0)];
        let mut at = every;
        while at <= events {
            replay.run(at - every..at);
            checkpoints.push((replay.counts.clone(), replay.latest));
            at += every;
        }
        let sizes = heap.block_bytes();
        let pieces = (0..events / PIECE)
            .map(|piece| {
                let mut found = Piece::default();
                heap.trace.events.replay(piece * PIECE..(piece + 1) * PIECE, |_, run| {
                    for event in run {
                        found.change = found.change.wrapping_add(change(event, sizes));
                        found.peak = found.peak.max(found.change);
                    }
                });
                found
            })
            .collect();
        RangeIndex { every, checkpoints, pieces }
    }

    /// Bytes that the checkpoints take.
    pub fn memory(&self) -> u64 {
        self.checkpoints.iter().map(|(counts, _)| (counts.len() * size_of::<Count>()) as u64).sum()
    }

    /// The same as [`NativeHeap::costs`], of the recording that the index was made for.
    pub fn costs(&self, heap: &NativeHeap, ms: Option<&Range<u64>>, suppressions: &Suppressions) -> Costs {
        let events = heap.events_in(ms);
        // A few events are gone through as fast; what was alive before them only a sample's errors need.
        if heap.scale.is_none() && events.end - events.start < self.every {
            return heap.costs(ms, suppressions);
        }
        let peak = self.peak(heap, events.clone());
        let start = self.at(heap, events.start);
        let since = |position: u64| {
            let mut counts = self.at(heap, position).counts;
            for (count, before) in counts.iter_mut().zip(&start.counts) {
                count.allocations -= before.allocations;
                count.live -= before.live;
                count.temporary = count.temporary.wrapping_sub(before.temporary);
                count.temporary_exact = count.temporary_exact.wrapping_sub(before.temporary_exact);
            }
            // A stretch knows nothing of the allocation before it, see `Replay::latest`.
            heap.trace.events.replay(events.start..(events.start + 1).min(position), |_, run| {
                for event in run.iter().filter(|event| event.is_free()) {
                    let info = event.info().0;
                    let count = &mut counts[info as usize].temporary;
                    *count = count.wrapping_add(u32::from(info == 0));
                    *count = count.wrapping_sub(u32::from(info == start.latest));
                }
            });
            counts
        };
        let counted = Counted {
            peak,
            at_peak: since(peak.behind(&events)),
            at_end: since(events.end),
            before: (heap.scale.is_some() && events.start > 0).then(|| start.counts.clone()),
        };
        heap.costs_of(ms, &counted, suppressions, suppressions.of_nodes(heap))
    }

    /// What was counted before the event at a position.
    fn at<'a>(&self, heap: &'a NativeHeap, position: u64) -> Replay<'a> {
        let number = (position / self.every).min(self.checkpoints.len() as u64 - 1);
        let (counts, latest) = &self.checkpoints[number as usize];
        let mut replay = Replay::from(heap, counts.clone(), *latest);
        replay.run(number * self.every..position);
        replay
    }

    /// The same as [`NativeHeap::peak`].
    fn peak(&self, heap: &NativeHeap, events: Range<u64>) -> Peak {
        let (first, end) = (events.start.div_ceil(PIECE), events.end / PIECE);
        if first >= end {
            return heap.peak(events);
        }
        // The start up to the first whole piece, the pieces, and what is left.
        let head = events.start..first * PIECE;
        let mut found = heap.peak(head.clone());
        let mut live = self.live(heap, head);
        let mut highest = None;
        for piece in first..end {
            let Piece { change, peak } = self.pieces[piece as usize];
            if live.wrapping_add(peak) > found.live {
                found.live = live.wrapping_add(peak);
                highest = Some(piece);
            }
            live = live.wrapping_add(change);
        }
        let tail = heap.peak(end * PIECE..events.end);
        if live.wrapping_add(tail.live) > found.live {
            return Peak { live: live.wrapping_add(tail.live), event: tail.event };
        }
        if let Some(piece) = highest {
            found.event = heap.peak(piece * PIECE..(piece + 1) * PIECE).event;
        }
        found
    }

    /// What a few events do to the bytes alive.
    fn live(&self, heap: &NativeHeap, events: Range<u64>) -> i64 {
        let sizes = heap.block_bytes();
        let mut live = 0_i64;
        heap.trace.events.replay(events, |_, run| {
            run.iter().for_each(|event| live = live.wrapping_add(change(event, sizes)));
        });
        live
    }
}
