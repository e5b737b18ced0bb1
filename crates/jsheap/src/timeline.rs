//! Allocation timelines: when what is alive was allocated, and by whom.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{Snapshot, TraceFunction};

use crate::heap::Heap;

/// An interval of a timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Its end in microseconds since tracking began.
    pub timestamp_us: u64,
    /// The largest id given out until then.
    pub last_assigned_id: u64,
    /// Objects allocated in it that are alive in the snapshot.
    pub count: u64,
    /// Their shallow sizes, in bytes.
    pub size: u64,
}

/// The live bytes of each interval; empty for an ordinary snapshot. DevTools: `buildSamples`.
///
/// An object belongs to the first interval whose last id is not below its own. Embedder objects (even ids) and
/// objects that came after the last sample belong to none.
pub fn intervals(heap: &Heap) -> Vec<Interval> {
    let samples = &heap.snapshot.samples;
    let mut list: Vec<Interval> = samples
        .iter()
        .map(|s| Interval {
            timestamp_us: s.timestamp_us,
            last_assigned_id: s.last_assigned_id,
            count: 0,
            size: 0,
        })
        .collect();
    if list.is_empty() {
        return list;
    }
    for node in heap.snapshot.nodes() {
        let id = heap.snapshot.id(node);
        if id % 2 == 0 {
            continue;
        }
        let at = samples.partition_point(|s| s.last_assigned_id < id);
        if let Some(interval) = list.get_mut(at) {
            interval.count += 1;
            interval.size = interval.size.saturating_add(heap.shallow_size(node));
        }
    }
    list
}

/// A function with what it allocated itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationSite {
    /// The function.
    pub function: TraceFunction,
    /// Objects allocated while tracking, dead ones too.
    pub allocated_count: u64,
    /// Their bytes.
    pub allocated_size: u64,
    /// Those alive in the snapshot.
    pub live_count: u64,
    /// Their shallow sizes, in bytes.
    pub live_size: u64,
}

/// Functions by the bytes they allocated that are alive, then by all they allocated; empty without stacks.
pub fn allocation_sites(heap: &Heap) -> Vec<AllocationSite> {
    let snapshot = &heap.snapshot;
    let mut by_function: FxHashMap<u32, AllocationSite> = FxHashMap::default();
    let mut function_of_trace: FxHashMap<u32, u32> = FxHashMap::default();
    for frame in &snapshot.trace_nodes {
        function_of_trace.insert(frame.id, frame.function);
        if frame.count > 0
            && let Some(site) = site(snapshot, &mut by_function, frame.function)
        {
            site.allocated_count += frame.count;
            site.allocated_size = site.allocated_size.saturating_add(frame.size);
        }
    }
    for node in snapshot.nodes() {
        let Some(trace) = snapshot.trace_node(node) else { continue };
        let Some(&function) = function_of_trace.get(&trace) else { continue };
        if let Some(site) = site(snapshot, &mut by_function, function) {
            site.live_count += 1;
            site.live_size = site.live_size.saturating_add(heap.shallow_size(node));
        }
    }
    let mut list: Vec<AllocationSite> = by_function.into_values().collect();
    list.sort_by_key(|s| {
        (std::cmp::Reverse(s.live_size), std::cmp::Reverse(s.allocated_size), s.function.id, s.function.line)
    });
    list
}

fn site<'a>(
    snapshot: &Snapshot,
    sites: &'a mut FxHashMap<u32, AllocationSite>,
    function: u32,
) -> Option<&'a mut AllocationSite> {
    let info = *snapshot.trace_functions.get(function as usize)?;
    Some(sites.entry(function).or_insert(AllocationSite {
        function: info,
        allocated_count: 0,
        allocated_size: 0,
        live_count: 0,
        live_size: 0,
    }))
}
