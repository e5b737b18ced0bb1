//! A recording brought into the form that other profilers leave: stacks and their costs, and memory over time.

use std::ops::Range;

use rustc_hash::FxHashMap;
use twinheap_trace::{
    CostType, Detail, FrameId, FrameKind, IpId, Profile, ProfileBuilder, ProfileClock, ProfileFrame,
    Snapshot, StackId, TooLarge, TraceId,
};

use crate::cost::{Costs, StackCost};
use crate::heap::NativeHeap;

/// Snapshots of a profile, at most, beside the peak: as many as massif keeps.
const SNAPSHOTS: u64 = 100;

/// Blocks that live no longer than this count as short-lived, in microseconds: one tick of the clock.
const SHORT_LIVED: f64 = 10_000.0;

/// Parts of a block. What a block of a sample stands for is rounded to them, so that what was added for an allocation
/// is taken off for its free.
const PARTS: f64 = 1024.0;

/// The columns in their order.
const COLUMNS: [CostType; 10] = [
    CostType::Allocations,
    CostType::AllocatedBytes,
    CostType::LiveBlocks,
    CostType::LiveBytes,
    CostType::PeakBlocks,
    CostType::PeakBytes,
    CostType::Temporary,
    CostType::OwnPeakBlocks,
    CostType::OwnPeakBytes,
    CostType::Lifetime,
];

/// The costs of a stretch of time as a profile; `ms` is the stretch that `costs` are of. Stacks are those that the
/// summary shows: without `operator new`, and not beyond `main`.
///
/// Times are in microseconds; the recorder's clock ticks about every ten milliseconds. What is suppressed is not
/// leaked. The series has up to a hundred snapshots and the peak.
///
/// Of a sampled recording all numbers are estimates, and the period of the samples says so. Temporary allocations are
/// absent then.
///
/// # Errors
/// If the recording has more stacks than can be numbered.
pub fn profile(heap: &NativeHeap, costs: &Costs, ms: Option<&Range<u64>>) -> Result<Profile, TooLarge> {
    let columns: Vec<CostType> =
        COLUMNS.into_iter().filter(|&cost| heap.has_temporary() || cost != CostType::Temporary).collect();
    let mut builder = ProfileBuilder::new(&columns);
    let stack_of = stacks(heap, &costs.stacks, &mut builder)?;
    let lives = Lives::follow(heap, costs, ms);
    for (at, stack) in costs.stacks.iter().enumerate() {
        let life = &lives.stacks[at];
        let cost = &stack.cost;
        // A suppressed leak is none.
        let live_blocks = if cost.leaked == 0 { 0 } else { life.live_blocks };
        let value = |column: &CostType| match column {
            CostType::Allocations => count(cost.allocations),
            CostType::AllocatedBytes => count(cost.bytes),
            CostType::LiveBlocks => whole(live_blocks),
            CostType::LiveBytes => cost.leaked,
            CostType::PeakBlocks => whole(lives.peak[at].0),
            CostType::PeakBytes => cost.peak,
            CostType::Temporary => count(cost.temporary),
            CostType::OwnPeakBlocks => whole(life.own_peak.0),
            CostType::OwnPeakBytes => life.own_peak.1,
            CostType::Lifetime => life.lifetime,
            _ => 0,
        };
        let values: Vec<i64> = columns.iter().map(value).collect();
        if values.iter().any(|&value| value != 0) {
            builder.sample(stack_of[at], 0, &values);
        }
    }
    let mut profile = builder.profile;
    profile.snapshots = lives.snapshots;
    for snapshot in &mut profile.snapshots {
        match snapshot.detail {
            Detail::Totals => {}
            Detail::Peak => snapshot.stacks = alive(&stack_of, lives.peak.iter().map(|&(_, bytes)| bytes)),
            Detail::Stacks => {
                snapshot.stacks = alive(&stack_of, lives.stacks.iter().map(|life| life.live_bytes));
            }
        }
    }
    let meta = &mut profile.meta;
    meta.command.clone_from(&heap.trace.command);
    meta.description = b"twinheap".to_vec();
    meta.sampling_period = Some(heap.sample_interval().unwrap_or(1));
    let end = ms.map_or(costs.total.runtime_ms, |ms| ms.end.min(costs.total.runtime_ms));
    meta.clock = Some(ProfileClock {
        unit: "µs".as_bytes().to_vec(),
        million: b"s".to_vec(),
        end: micros(end),
        peak: Some(micros(costs.total.peak_ms)),
        short_lived: Some(SHORT_LIVED),
    });
    Ok(profile)
}

fn micros(ms: u64) -> f64 {
    ms as f64 * 1e3
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Parts of blocks as blocks.
fn whole(parts: i64) -> i64 {
    (parts as f64 / PARTS).round() as i64
}

/// Bytes by stack where there are any.
fn alive(stack_of: &[StackId], bytes: impl Iterator<Item = i64>) -> Vec<(StackId, u64)> {
    let mut place: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut all: Vec<(StackId, u64)> = Vec::new();
    for (&stack, bytes) in stack_of.iter().zip(bytes) {
        let Some(bytes) = u64::try_from(bytes).ok().filter(|&bytes| bytes > 0) else { continue };
        let at = *place.entry(stack).or_insert(all.len());
        match all.get_mut(at) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => all.push((stack, bytes)),
        }
    }
    all
}

/// The stacks in the profile's tree, with each frame that a place has as a node.
fn stacks(
    heap: &NativeHeap,
    costs: &[StackCost],
    builder: &mut ProfileBuilder,
) -> Result<Vec<StackId>, TooLarge> {
    let trace = &heap.trace;
    let mut node_of: Vec<Option<StackId>> = vec![None; trace.tree.len()];
    let mut frames_of: FxHashMap<IpId, Vec<FrameId>> = FxHashMap::default();
    let mut path = Vec::new();
    let mut all = Vec::with_capacity(costs.len());
    for stack in costs {
        let mut node = heap.visible(stack.stack);
        path.clear();
        let mut known = StackId(0);
        while !node.is_zero() {
            if let Some(stack) = node_of[node.index()] {
                known = stack;
                break;
            }
            path.push(node);
            node = heap.caller(node);
        }
        for &node in path.iter().rev() {
            let frames = frames_of.entry(heap.ip(node)).or_insert_with(|| frames(heap, node, builder));
            for &frame in frames.iter() {
                known = builder.child(known, frame)?;
            }
            node_of[node.index()] = Some(known);
        }
        all.push(known);
    }
    Ok(all)
}

/// The frames of a place, the function that really has the address first.
fn frames(heap: &NativeHeap, node: TraceId, builder: &mut ProfileBuilder) -> Vec<FrameId> {
    let ip = heap.ip(node);
    // A place that the file does not have.
    if ip.is_zero() {
        return Vec::new();
    }
    let mut frames: Vec<FrameId> = heap
        .frames(ip)
        .map(|view| {
            let frame = ProfileFrame {
                function: builder.string(view.function),
                module: builder.string(view.module),
                file: builder.string(view.file),
                line: view.line,
                column: view.column,
                address: view.address,
                is_inlined: view.is_inlined,
                kind: match view.kind {
                    FrameKind::Unknown if !view.module.is_empty() => FrameKind::Native,
                    kind => kind,
                },
            };
            builder.frame(frame)
        })
        .collect();
    frames.reverse();
    frames
}

/// What happened to a stack's blocks.
#[derive(Clone, Copy, Default)]
struct Life {
    /// In [`PARTS`].
    live_blocks: i64,
    live_bytes: i64,
    /// Blocks, in [`PARTS`], and bytes when it had the most bytes.
    own_peak: (i64, i64),
    /// Times that its blocks were freed less those when they were allocated: milliseconds times [`PARTS`].
    ages: i128,
    /// Microseconds that its blocks lived, all together.
    lifetime: i64,
}

/// A replay that follows stacks over time.
struct Lives {
    stacks: Vec<Life>,
    /// Blocks, in [`PARTS`], and bytes of each stack when all together had the most bytes.
    peak: Vec<(i64, i64)>,
    snapshots: Vec<Snapshot>,
}

impl Lives {
    fn follow(heap: &NativeHeap, costs: &Costs, ms: Option<&Range<u64>>) -> Lives {
        let trace = &heap.trace;
        let all = trace.events.len();
        let events = ms.map_or(0..all, |ms| trace.clock.events_between(ms.clone(), all));
        let stamps: Vec<_> = trace
            .clock
            .stamps()
            .iter()
            .filter(|stamp| ms.is_none_or(|ms| ms.contains(&stamp.ms)) && events.contains(&stamp.event))
            .collect();
        let start = ms.map_or(0, |ms| ms.start);
        let end = ms.map_or(trace.clock.runtime_ms(), |ms| ms.end.min(trace.clock.runtime_ms()));
        let every = (end.saturating_sub(start) / SNAPSHOTS).max(1);

        let mut lives = Lives {
            stacks: vec![Life::default(); costs.stacks.len()],
            peak: vec![(0, 0); costs.stacks.len()],
            snapshots: vec![Snapshot { time: micros(start), ..Snapshot::default() }],
        };
        let mut stamps = stamps.into_iter().peekable();
        let (mut live, mut now, mut next) = (0_i64, start, start.saturating_add(every));
        let mut is_peak_due = costs.total.cost.peak > 0;
        let sizes = heap.block_bytes();
        trace.events.replay(events, |first, run| {
            for (at, event) in (first..).zip(run) {
                while let Some(stamp) = stamps.next_if(|stamp| stamp.event <= at) {
                    now = stamp.ms;
                    if now >= next && now < end {
                        lives.snapshot(now, live, Detail::Totals);
                        next = now.saturating_add(every);
                    }
                }
                let info = event.info();
                let life = &mut lives.stacks[heap.stack_of_info[info.index()] as usize];
                let sign = if event.is_free() { -1 } else { 1 };
                let size = sizes[info.index()].cast_signed().wrapping_mul(sign);
                let parts = sign * (heap.weight(info) * PARTS).round() as i64;
                life.live_blocks = life.live_blocks.wrapping_add(parts);
                life.live_bytes = life.live_bytes.wrapping_add(size);
                life.ages -= i128::from(parts) * i128::from(now);
                if life.live_bytes > life.own_peak.1 {
                    life.own_peak = (life.live_blocks, life.live_bytes);
                }
                live = live.wrapping_add(size);
                if is_peak_due && live == costs.total.cost.peak {
                    is_peak_due = false;
                    lives.peak =
                        lives.stacks.iter().map(|life| (life.live_blocks, life.live_bytes)).collect();
                    lives.snapshot(now, live, Detail::Peak);
                }
            }
        });
        // What was never freed lived to the end; what was freed but not allocated here came from before the start.
        let mut sum = 0;
        for life in &mut lives.stacks {
            let ages = life.ages + i128::from(life.live_blocks) * i128::from(end);
            life.lifetime = i64::try_from(ages.max(0) * 1000 / PARTS as i128).unwrap_or(i64::MAX);
            sum += u64::try_from(life.live_bytes).unwrap_or(0);
        }
        lives.snapshot(end, count(sum), Detail::Stacks);
        lives
    }

    fn snapshot(&mut self, ms: u64, live: i64, detail: Detail) {
        let heap_bytes = u64::try_from(live).unwrap_or(0);
        self.snapshots.push(Snapshot { time: micros(ms), heap_bytes, detail, ..Snapshot::default() });
    }
}
