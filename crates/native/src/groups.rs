//! Costs by something that owns code: a module, a package.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use crate::cost::{Cost, Costs, Measure};
use crate::frames::FrameTable;
use crate::heap::FrameView;

/// What an owner costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCost {
    /// The owner; `None` for stacks in which nobody owns anything.
    pub name: Option<Vec<u8>>,
    /// Stacks whose innermost owned line is the owner's. The sum over all owners is that of all stacks.
    pub own: Cost,
    /// Stacks that pass through the owner, each counted once.
    pub inclusive: Cost,
}

/// Adds up costs by owner, what costs most by itself first. `owner` is asked once for each line.
pub fn groups(
    table: &FrameTable<'_>,
    costs: &Costs,
    by: Measure,
    owner: impl Fn(&FrameView<'_>) -> Option<Vec<u8>>,
) -> Vec<GroupCost> {
    let group = |name| GroupCost { name, own: Cost::default(), inclusive: Cost::default() };
    let mut groups = vec![group(None)];
    let mut known: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    let mut of_frame = vec![0_u32; table.len()];
    for (at, number) in of_frame.iter_mut().enumerate() {
        let view = table.view(crate::frames::FrameNo(at as u32));
        let Some(name) = view.and_then(|view| owner(&view)) else { continue };
        let next = groups.len() as u32;
        *number = *known.entry(name.clone()).or_insert(next);
        if *number == next {
            groups.push(group(Some(name)));
        }
    }
    // The last stack, from 1, that was counted for the owner.
    let mut counted = vec![0_u32; groups.len()];
    let mut stack_number = 0;
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        stack_number += 1;
        let mut innermost = 0;
        for frame in table.stack(stack.stack) {
            let number = of_frame[frame.index()];
            if number == 0 {
                continue;
            }
            innermost = if innermost == 0 { number } else { innermost };
            if std::mem::replace(&mut counted[number as usize], stack_number) != stack_number {
                groups[number as usize].inclusive += stack.cost;
            }
        }
        groups[innermost as usize].own += stack.cost;
        if innermost == 0 {
            groups[0].inclusive += stack.cost;
        }
    }
    groups.retain(|group| group.inclusive != Cost::default());
    let weight = |cost: &Cost| Reverse(by.of(cost).unsigned_abs());
    groups.sort_by(|a, b| {
        let key = |g: &GroupCost| (weight(&g.own), weight(&g.inclusive));
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    groups
}
