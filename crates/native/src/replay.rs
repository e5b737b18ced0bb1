//! Events gone through one by one.

use std::ops::Range;

use twinheap_trace::Event;

use crate::heap::NativeHeap;

/// What happened to one info. One cache line holds three of them: a replay touches one at random for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) allocations: u64,
    pub(crate) live: i64,
    pub(crate) temporary: u32,
    pub(crate) temporary_exact: u32,
}

/// What was counted of a stretch, from its start on.
pub(crate) struct Counted {
    pub(crate) peak: Peak,
    /// By info: what was counted up to the peak; nothing if there is none.
    pub(crate) at_peak: Vec<Count>,
    /// By info: what was counted in all.
    pub(crate) at_end: Vec<Count>,
    /// What was alive at the start, if a sample's errors need it.
    pub(crate) before: Option<Vec<Count>>,
}

/// The most bytes alive, less those at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peak {
    pub(crate) live: i64,
    /// The event that reached them first, if there were ever more than at the start.
    pub(crate) event: Option<u64>,
}

impl Peak {
    /// The position behind it, or the start of the events if there is none.
    pub(crate) fn behind(&self, events: &Range<u64>) -> u64 {
        self.event.map_or(events.start, |event| event + 1)
    }
}

/// The state of a replay.
pub(crate) struct Replay<'a> {
    /// By info.
    pub(crate) counts: Vec<Count>,
    /// The info of the latest allocation; 0 after a free. That is heaptrack's rule: a free of info 0 after another
    /// free counts as temporary.
    pub(crate) latest: u32,
    heap: &'a NativeHeap,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(heap: &'a NativeHeap) -> Self {
        Replay { counts: vec![Count::default(); heap.trace.infos.len()], latest: 0, heap }
    }

    /// One that goes on from what was counted.
    pub(crate) fn from(heap: &'a NativeHeap, counts: Vec<Count>, latest: u32) -> Self {
        Replay { counts, latest, heap }
    }

    pub(crate) fn run(&mut self, events: Range<u64>) {
        let (counts, mut latest) = (&mut self.counts[..], self.latest);
        // No branch: whether an event allocates or frees can't be guessed.
        self.heap.trace.events.replay(events, |_, run| {
            for event in run {
                let info = event.info().0;
                let freed = u32::from(event.is_free());
                let count = &mut counts[info as usize];
                count.allocations += u64::from(1 - freed);
                count.live += 1 - 2 * i64::from(freed);
                // It is a difference that counts.
                count.temporary = count.temporary.wrapping_add(freed & u32::from(latest == info));
                count.temporary_exact = count.temporary_exact.wrapping_add(u32::from(event.frees_latest()));
                latest = info * (1 - freed);
            }
        });
        self.latest = latest;
    }
}

impl NativeHeap {
    /// The most bytes alive within these events.
    pub(crate) fn peak(&self, events: Range<u64>) -> Peak {
        let sizes = self.block_bytes();
        let mut live = 0_i64;
        let mut found = Peak::default();
        self.trace.events.replay(events, |first, run| {
            let start = live;
            let mut peak = found.live;
            for event in run {
                live = live.wrapping_add(change(event, sizes));
                peak = peak.max(live);
            }
            if peak > found.live {
                // Which event it was is asked again only in the runs that raise the peak.
                let mut live = start;
                let offset = run.iter().position(|event| {
                    live = live.wrapping_add(change(event, sizes));
                    live == peak
                });
                found = Peak { live: peak, event: offset.map(|offset| first + offset as u64) };
            }
        });
        found
    }
}

/// What an event does to the bytes alive.
#[inline]
pub(crate) fn change(event: &Event, sizes: &[u64]) -> i64 {
    let size = sizes[event.info().index()].cast_signed();
    if event.is_free() { size.wrapping_neg() } else { size }
}
