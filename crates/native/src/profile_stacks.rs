//! Stacks of a profile that read the same, as one.

use rustc_hash::FxHashMap;
use twinheap_trace::{CostType, FrameId, Profile, StackId};

/// Stacks with the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileStack {
    /// One of them, the first in the profile.
    pub stack: StackId,
    costs: [Option<i64>; CostType::ALL.len()],
}

impl ProfileStack {
    /// Their sum; `None` if the profiler did not count it.
    pub fn cost(&self, cost: CostType) -> Option<i64> {
        self.costs[cost as usize]
    }
}

/// The `most` stacks that cost most, those with equal frames as one, and how many there are in all; `None` if the
/// profiler did not count it. Frames are equal if their module, function, file, line and column are; where no function
/// is known, the address has to be equal too.
pub fn profile_stacks(profile: &Profile, by: CostType, most: usize) -> Option<(Vec<ProfileStack>, usize)> {
    let samples = &profile.samples;
    samples.column(by)?;
    let names = same_names(profile);
    let costs: Vec<CostType> = samples.costs().collect();
    let mut merged: Vec<ProfileStack> = Vec::new();
    let mut number_of: FxHashMap<u32, usize> = FxHashMap::default();
    for (sample, &stack) in samples.stacks().iter().enumerate() {
        let at = *number_of.entry(names[stack.index()]).or_insert(merged.len());
        if at == merged.len() {
            let mut none = [None; CostType::ALL.len()];
            costs.iter().for_each(|&cost| none[cost as usize] = Some(0));
            merged.push(ProfileStack { stack, costs: none });
        }
        for &cost in &costs {
            let value = samples.column(cost).map_or(0, |column| column[sample]);
            let sum = &mut merged[at].costs[cost as usize];
            *sum = sum.map(|sum| sum.saturating_add(value));
        }
    }
    let weight = |stack: &ProfileStack| stack.cost(by).unwrap_or(0).unsigned_abs();
    merged.retain(|stack| weight(stack) != 0);
    merged.sort_by_key(|stack| std::cmp::Reverse(weight(stack)));
    let all = merged.len();
    merged.truncate(most);
    Some((merged, all))
}

/// For each node of the tree a number that is the same for nodes whose stacks read the same.
fn same_names(profile: &Profile) -> Vec<u32> {
    let mut places = FxHashMap::default();
    let place_of: Vec<u32> = profile
        .frames
        .iter()
        .map(|(_, mut frame)| {
            if !frame.function.is_zero() {
                frame.address = 0;
            }
            let next = places.len() as u32;
            *places.entry(frame).or_insert(next)
        })
        .collect();
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    let mut names = vec![0; profile.stacks.len()];
    for node in (1..profile.stacks.len() as u32).map(StackId) {
        let next = known.len() as u32 + 1;
        let outer = names[profile.stacks.parent(node).index()];
        let frame = profile.stacks.frames(node).next().map_or(0, FrameId::index);
        names[node.index()] = *known.entry((outer, place_of[frame])).or_insert(next);
    }
    names
}
