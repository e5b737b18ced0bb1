//! What grows: live bytes by call site, over several recordings or over moments of one.

use std::cmp::Reverse;
use std::ops::Range;

use rustc_hash::FxHashMap;
use twinheap_trace::{FrameKind, TraceId};
use twinheap_trend::{Confidence, Pattern, Trend, Verdict, trend};

use crate::blame::blame;
use crate::cost::Costs;
use crate::diff::Side;
use crate::heap::{FrameView, NativeHeap};

/// What a call site must have gained to be told of: bytes, and a share of what is alive in the end.
const LEAST_BYTES: u64 = 1024;
const LEAST_SHARE: f64 = 0.01;
/// A site that grows irregularly is a suspect only if it gained this share.
const NOISY_SHARE: f64 = 0.1;

/// A call site over all steps; bytes and blocks are those alive.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteGrowth {
    /// The step with the example: the last that has the site.
    pub step: usize,
    /// The stack of that step that holds most for the site.
    pub stack: TraceId,
    /// Bytes alive at each step.
    pub bytes: Vec<u64>,
    /// Blocks alive at each step.
    pub blocks: Vec<u64>,
    /// Different stacks that hold something at the step of the example.
    pub stacks: u64,
    /// How the bytes go.
    pub trend: Trend,
    /// What is said of it.
    pub verdict: Verdict,
}

impl SiteGrowth {
    /// Bytes more at the end than at the start.
    pub fn gained(&self) -> u64 {
        let ends = self.bytes.first().zip(self.bytes.last());
        ends.map_or(0, |(&first, &last)| last.saturating_sub(first))
    }
}

/// Growth over a ladder of recordings, or of moments of one.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeGrowth {
    /// Bytes alive at each step, all sites together.
    pub live_bytes: Vec<u64>,
    /// What is said of all: the worst of the sites' verdicts.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// Sites that grow and are worth a word: leaks first, then those that gained most.
    pub sites: Vec<SiteGrowth>,
}

/// Compares the steps, oldest first.
///
/// A call site is the line of a stack that its owner can change, as [`blame`] finds it; the same line in two
/// recordings is told by module, function, file, and line. What V8's heap profiler holds is left out.
pub fn growth(steps: &[Side<'_>]) -> NativeGrowth {
    let mut sites: Vec<SiteGrowth> = Vec::new();
    let mut known: FxHashMap<Key, usize> = FxHashMap::default();
    for (step, side) in steps.iter().enumerate() {
        let blocks = live_blocks(side.heap, side.costs);
        // The most that a stack of the site holds at this step.
        let mut most: FxHashMap<usize, i64> = FxHashMap::default();
        for (stack, blocks) in side.costs.stacks.iter().zip(blocks) {
            let bytes = stack.cost.leaked;
            if bytes <= 0 {
                continue;
            }
            let blame = blame(side.heap, stack.stack);
            let Some(site) = blame.site.filter(|_| !blame.is_profiler) else { continue };
            let at = *known.entry(Key::of(&site.frame)).or_insert_with(|| {
                sites.push(SiteGrowth::empty(steps.len(), stack.stack));
                sites.len() - 1
            });
            let site = &mut sites[at];
            site.bytes[step] = site.bytes[step].saturating_add(bytes.unsigned_abs());
            site.blocks[step] = site.blocks[step].saturating_add(blocks.max(0).unsigned_abs());
            if std::mem::replace(&mut site.step, step) != step {
                site.stacks = 0;
            }
            site.stacks += 1;
            let most = most.entry(at).or_insert(0);
            if bytes > *most {
                *most = bytes;
                site.stack = stack.stack;
            }
        }
    }
    let live_bytes: Vec<u64> =
        steps.iter().map(|side| side.costs.total.cost.leaked.max(0).unsigned_abs()).collect();
    let live = live_bytes.last().copied().unwrap_or(0);
    for site in &mut sites {
        site.judge(live);
    }
    sites.retain(|site| site.verdict != Verdict::None);
    sites.sort_by_key(|site| (Reverse(site.verdict), Reverse(site.gained())));
    let verdict = sites.first().map_or(Verdict::None, |site| site.verdict);
    let of_verdict = sites.iter().filter(|site| site.verdict == verdict);
    let confidence = of_verdict.map(|site| site.trend.confidence).max();
    // Two steps that are alike are no proof that a third would be.
    let none = if steps.len() > 2 { Confidence::High } else { Confidence::Medium };
    NativeGrowth { live_bytes, verdict, confidence: confidence.unwrap_or(none), sites }
}

impl SiteGrowth {
    fn empty(steps: usize, stack: TraceId) -> Self {
        SiteGrowth {
            step: 0,
            stack,
            bytes: vec![0; steps],
            blocks: vec![0; steps],
            stacks: 0,
            trend: trend(&[]),
            verdict: Verdict::None,
        }
    }

    fn judge(&mut self, live: u64) {
        self.trend = trend(&self.bytes);
        let gained = self.gained();
        let has_gained = |share: f64| gained >= LEAST_BYTES && gained as f64 >= share * live as f64;
        let is_sure = self.trend.confidence > Confidence::Low;
        self.verdict = match self.trend.pattern {
            Some(Pattern::Steady) if is_sure && has_gained(LEAST_SHARE) => Verdict::Leak,
            Some(Pattern::Steady | Pattern::Noisy) if has_gained(NOISY_SHARE) => Verdict::Suspect,
            _ => Verdict::None,
        };
    }
}

/// What makes two lines the same call site.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    module: Vec<u8>,
    function: Vec<u8>,
    file: Vec<u8>,
    line: u32,
}

impl Key {
    fn of(frame: &FrameView<'_>) -> Key {
        // Generated code is in no file that could be told, and in another one in each process.
        let module = if frame.kind == FrameKind::Js { &[][..] } else { frame.module };
        let [module, function, file] = [module, frame.function, frame.file].map(<[u8]>::to_vec);
        Key { module, function, file, line: frame.line }
    }
}

/// Blocks alive at the end of a stretch, for each of [`Costs::stacks`].
fn live_blocks(heap: &NativeHeap, costs: &Costs) -> Vec<i64> {
    let mut blocks = vec![0_i64; costs.stacks.len()];
    for (info, cost) in costs.infos.iter().enumerate() {
        blocks[heap.stack_of_info[info] as usize] += cost.leaked;
    }
    blocks
}

/// Cuts a recording into `count` stretches of equal length and gives a moment of each, in milliseconds since the
/// recording began: the one with the least memory alive. A garbage collector lets native memory grow until it runs;
/// what is alive after it ran is what counts.
///
/// A program that ends frees what it has; that is no moment of its life and left out. There are fewer moments if the
/// recorder's clock had fewer ticks. The costs of a moment `m` are those of `0..m`.
pub fn moments(heap: &NativeHeap, ms: Option<&Range<u64>>, count: usize) -> Vec<u64> {
    let mut ticks = ticks(heap);
    ticks.truncate(life(&ticks));
    let start = ms.map_or(0, |ms| ms.start);
    let last = ticks.last().map_or(0, |tick| tick.ms);
    let end = ms.map_or(u64::MAX, |ms| ms.end).min(last.saturating_add(1));
    let length = end.saturating_sub(start).max(1);
    let count = count.max(1) as u64;
    let mut least: Vec<Option<(i64, u64)>> = vec![None; count as usize];
    for tick in ticks.iter().filter(|tick| (start..end).contains(&tick.ms)) {
        let slice = u128::from(tick.ms - start) * u128::from(count) / u128::from(length);
        let least = &mut least[slice as usize];
        if least.is_none_or(|(least, _)| tick.live <= least) {
            *least = Some((tick.live, tick.ms));
        }
    }
    least.into_iter().flatten().map(|(_, ms)| ms).filter(|&ms| ms > 0).collect()
}

/// Frees for an allocation, from which on a program is ending.
const MOSTLY: u64 = 4;

/// Ticks until a program began to end: to free what it has, and then to do nothing. All of them if it was stopped in
/// the middle of its work, or of a rest.
fn life(ticks: &[Tick]) -> usize {
    let is_idle = |tick: &Tick| tick.allocations + tick.frees == 0;
    let until = |end: usize, is: &dyn Fn(&Tick) -> bool| {
        ticks[..end].iter().rposition(|tick| !is(tick)).map_or(0, |last| last + 1)
    };
    let active = until(ticks.len(), &is_idle);
    let ending = until(active, &|tick| tick.frees >= MOSTLY * tick.allocations);
    if ending < active { ending } else { ticks.len() }
}

/// A tick of the recorder's clock, and what happened since the one before.
struct Tick {
    ms: u64,
    live: i64,
    allocations: u64,
    frees: u64,
}

fn ticks(heap: &NativeHeap) -> Vec<Tick> {
    let sizes = heap.trace.infos.sizes();
    let mut stamps = heap.trace.clock.stamps().iter().peekable();
    let mut ticks = Vec::with_capacity(stamps.len());
    let (mut live, mut allocations, mut frees) = (0_i64, 0, 0);
    let mut tick = |ms: u64, live: i64, allocations: &mut u64, frees: &mut u64| {
        ticks.push(Tick { ms, live, allocations: std::mem::take(allocations), frees: std::mem::take(frees) });
    };
    heap.trace.events.replay(0..heap.trace.events.len(), |first, run| {
        for (at, event) in run.iter().enumerate() {
            while let Some(stamp) = stamps.next_if(|stamp| stamp.event <= first + at as u64) {
                tick(stamp.ms, live, &mut allocations, &mut frees);
            }
            let size = sizes[event.info().index()].cast_signed();
            if event.is_free() {
                live = live.wrapping_sub(size);
                frees += 1;
            } else {
                live = live.wrapping_add(size);
                allocations += 1;
            }
        }
    });
    stamps.for_each(|stamp| tick(stamp.ms, live, &mut allocations, &mut frees));
    ticks
}
