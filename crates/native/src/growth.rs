//! What grew from each moment of a recording to the next.

use rustc_hash::FxHashMap;
use twinheap_trace::{FrameKind, IpId, TraceId};

use crate::cost::Costs;
use crate::heap::{FrameView, NativeHeap};

/// A place whose bytes alive grew from each moment to the next: a call site, as called by one function of the
/// program's own scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeGrowth {
    /// The stack that has most at the last moment.
    pub stack: TraceId,
    /// Bytes alive at each moment.
    pub alive: Vec<i64>,
    /// Calls until the last moment.
    pub allocations: u64,
    /// Whether a function of the program's own scripts is in its stacks.
    pub has_script: bool,
}

impl FrameView<'_> {
    /// Whether this is JavaScript of the program itself: Node's own scripts have names such as `node:net` or `buffer`,
    /// and no path.
    pub fn is_own_script(&self) -> bool {
        self.kind == FrameKind::Js && (self.file.starts_with(b"/") || self.file.starts_with(b"file:"))
    }
}

/// What grew steadily over moments, whose costs all count from the recording's beginning. What grew most comes first.
pub fn native_growth(heap: &NativeHeap, moments: &[Costs]) -> Vec<NativeGrowth> {
    let Some((last, earlier)) = moments.split_last() else { return Vec::new() };
    let mut places: Vec<(NativeGrowth, i64)> = Vec::new();
    let mut number_of = FxHashMap::default();
    // All costs of a recording list its stacks in the same order.
    for (at, stack) in last.stacks.iter().enumerate().filter(|(_, stack)| stack.cost.allocations > 0) {
        let script = own_script(heap, stack.stack);
        let leaf = heap.site(heap.ip(heap.visible(stack.stack)));
        let number = *number_of.entry((leaf, script.map(|ip| heap.site(ip)))).or_insert_with(|| {
            let (alive, has_script) = (vec![0; moments.len()], script.is_some());
            places.push((NativeGrowth { stack: stack.stack, alive, allocations: 0, has_script }, 0));
            places.len() - 1
        });
        let (place, most) = &mut places[number];
        place.allocations += stack.cost.allocations;
        for (sum, costs) in place.alive.iter_mut().zip(earlier.iter().chain([last])) {
            *sum += costs.stacks.get(at).map_or(0, |stack| stack.cost.leaked);
        }
        if stack.cost.leaked > *most {
            (place.stack, *most) = (stack.stack, stack.cost.leaked);
        }
    }
    let mut grown: Vec<NativeGrowth> = places.into_iter().map(|(place, _)| place).collect();
    grown.retain(|place| place.alive.first() > Some(&0) && place.alive.is_sorted_by(|a, b| a < b));
    grown.sort_by_key(|place| {
        std::cmp::Reverse(place.alive.last().unwrap_or(&0) - place.alive.first().unwrap_or(&0))
    });
    grown
}

/// The innermost place of the program's own scripts.
fn own_script(heap: &NativeHeap, stack: TraceId) -> Option<IpId> {
    heap.places(stack).find(|ip| heap.frames(*ip).any(|frame| frame.is_own_script()))
}
