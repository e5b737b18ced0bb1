//! What a recording cost over its time.

use std::ops::Range;

use twinheap_trace::{IpId, Matching};

use crate::estimate::{Rounding, Variance};
use crate::heap::NativeHeap;
use crate::outside::{OutsideTimeline, outside_timeline};
use crate::replay::change;
use crate::sites::CallSite;

/// Numbers of equal stretches of time, as columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Where each stretch begins in milliseconds, with one more entry for the end of the last.
    pub ms: Vec<u64>,
    /// The most bytes alive at once within the stretch, of all that was allocated since the recording began.
    pub live: Vec<i64>,
    /// Calls that allocate.
    pub allocations: Vec<u64>,
    /// Calls whose block was freed before the next call, as [`crate::Cost::temporary`] counts them; absent if only a
    /// sample was recorded.
    pub temporary: Option<Vec<u64>>,
    /// How exact `live` and `allocations` are, if only a sample was recorded.
    pub variance: Option<TimelineVariance>,
    /// The most resident memory in bytes; `None` without a sample in the stretch.
    pub rss: Vec<Option<u64>>,
    /// What resident memory was made of; `None` if the recording does not know.
    pub outside: Option<OutsideTimeline>,
    /// The call sites that were asked for.
    pub sites: Vec<SiteTimeline>,
}

/// How exact the numbers of a timeline are, as columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineVariance {
    /// Of the bytes alive.
    pub live: Vec<Variance>,
    /// Of the calls.
    pub allocations: Vec<Variance>,
}

/// A call site over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTimeline {
    /// A place with the site's text.
    pub ip: IpId,
    /// Its bytes alive at the moment when all sites together had the most of the stretch.
    pub live: Vec<i64>,
}

impl Timeline {
    /// Number of stretches.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// True without a stretch.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

/// Cuts `ms`, or the whole recording, into at most `buckets` stretches and counts in each. There are no more of them
/// than the recorder's clock had ticks and the process was looked at, since nothing is known of what lies between two.
///
/// With `function`, only stacks count that pass through a function with this in its name, as
/// [`NativeHeap::keep_function`] has it; resident memory is that of the process all the same.
pub fn timeline(
    heap: &NativeHeap,
    ms: Option<&Range<u64>>,
    buckets: usize,
    sites: &[CallSite],
    function: Option<&[u8]>,
) -> Timeline {
    let trace = &heap.trace;
    let (start, end) = ms.map_or((0, trace.clock.runtime_ms()), |ms| {
        (ms.start, ms.end.min(trace.clock.runtime_ms()).max(ms.start))
    });
    let edges = edges(heap, start, end, buckets);
    let is_kept = match function {
        Some(part) => heap.stacks_through(part),
        None => vec![true; heap.stacks.len()],
    };
    let is_kept = heap.stack_of_info.iter().map(|&stack| is_kept[stack as usize]).collect();
    let mut run = Run { heap, is_kept, live: 0, spread: 0.0, latest: 0 };
    // What was allocated before is alive too.
    run.stretch(0..events_until(heap, start));
    let mut timeline = Timeline {
        temporary: heap.has_temporary().then(Vec::new),
        variance: heap.sample_interval().map(|_| TimelineVariance::default()),
        ..Timeline::default()
    };
    let mut calls = Rounding::default();
    let mut maxima = Vec::with_capacity(edges.len());
    for edge in edges.windows(2) {
        let events = events_until(heap, edge[0])..events_until(heap, edge[1]);
        let stretch = run.stretch(events);
        timeline.live.push(stretch.max_live);
        match &mut timeline.variance {
            Some(variance) => {
                timeline.allocations.push(calls.count(stretch.estimated));
                variance.live.push(Variance(stretch.spread_at_max.max(0.0)));
                variance.allocations.push(stretch.variance);
            }
            None => timeline.allocations.push(stretch.allocations),
        }
        if let Some(temporary) = &mut timeline.temporary {
            temporary.push(stretch.temporary);
        }
        maxima.push(stretch.max_at);
        timeline.rss.push(rss(heap, edge[0]..edge[1]));
    }
    timeline.outside = outside_timeline(heap, &edges);
    timeline.ms = edges;
    timeline.sites = live_of_sites(heap, &run.is_kept, &maxima, sites);
    timeline
}

fn edges(heap: &NativeHeap, start: u64, end: u64, buckets: usize) -> Vec<u64> {
    let stamps = heap.trace.clock.stamps();
    let before = |ms: u64| stamps.partition_point(|stamp| stamp.ms < ms);
    let mut ticks: Vec<u64> = stamps[before(start)..before(end)].iter().map(|stamp| stamp.ms).collect();
    // Where nothing was allocated the process's memory may have been looked at.
    let looked = heap.trace.rss.iter().map(|sample| sample.ms);
    ticks.extend(looked.filter(|ms| (start..end).contains(ms)));
    ticks.sort_unstable();
    ticks.dedup();
    // One more for what came before the first tick.
    let most = (ticks.len() as u64 + 1).min(end - start).max(1);
    let count = (buckets as u64).clamp(1, most);
    (0..=count)
        .map(|at| start + (u128::from(end - start) * u128::from(at) / u128::from(count)) as u64)
        .collect()
}

/// How many events there are before this time.
fn events_until(heap: &NativeHeap, ms: u64) -> u64 {
    heap.trace.clock.events_between(0..ms, heap.trace.events.len()).end
}

fn rss(heap: &NativeHeap, ms: Range<u64>) -> Option<u64> {
    let samples = &heap.trace.rss;
    let at = |ms: u64| samples.partition_point(|sample| sample.ms < ms);
    // The last look comes at the very end.
    let is_last = ms.end >= heap.trace.clock.runtime_ms();
    let end = if is_last { samples.len() } else { at(ms.end) };
    let pages = samples.get(at(ms.start)..end)?.iter().map(|sample| sample.pages).max()?;
    Some(pages.saturating_mul(heap.trace.page_size?))
}

/// The state of a replay.
struct Run<'a> {
    heap: &'a NativeHeap,
    /// By info.
    is_kept: Vec<bool>,
    live: i64,
    /// The variance of `live`.
    spread: f64,
    /// The info of the latest allocation; 0 after a free, as in [`NativeHeap::costs`].
    latest: u32,
}

struct Stretch {
    max_live: i64,
    /// Events before the moment with the most bytes alive, that which reached it included.
    max_at: u64,
    allocations: u64,
    temporary: u64,
    /// Calls as estimated from a sample, and how exact that is.
    estimated: f64,
    variance: Variance,
    /// The variance of `max_live`.
    spread_at_max: f64,
}

impl Run<'_> {
    fn stretch(&mut self, events: Range<u64>) -> Stretch {
        let trace = &self.heap.trace;
        let (sizes, scale, is_kept) = (self.heap.block_bytes(), self.heap.scale.as_ref(), &self.is_kept);
        let by_pointer = trace.matching == Matching::ByPointerInterpreted;
        let mut stretch = Stretch {
            max_live: self.live,
            max_at: events.start,
            allocations: 0,
            temporary: 0,
            estimated: 0.0,
            variance: Variance::default(),
            spread_at_max: self.spread,
        };
        let (mut live, mut spread, mut latest) = (self.live, self.spread, self.latest);
        trace.events.replay(events, |first, run| {
            for (at, event) in run.iter().enumerate() {
                let info = event.info().0;
                let before = std::mem::replace(&mut latest, if event.is_free() { 0 } else { info });
                if !is_kept[info as usize] {
                    continue;
                }
                live = live.wrapping_add(change(event, sizes));
                if let Some(scale) = scale {
                    let Variance(of_block) = scale.spread(event.info(), 1);
                    if event.is_free() {
                        spread -= of_block;
                    } else {
                        spread += of_block;
                        stretch.estimated += scale.weight(event.info());
                        stretch.variance += scale.calls(event.info(), 1);
                    }
                }
                if event.is_free() {
                    let is_temporary = if by_pointer { event.frees_latest() } else { before == info };
                    stretch.temporary += u64::from(is_temporary);
                } else {
                    stretch.allocations += 1;
                }
                if live > stretch.max_live {
                    stretch.max_live = live;
                    stretch.max_at = first + at as u64 + 1;
                    stretch.spread_at_max = spread;
                }
            }
        });
        (self.live, self.spread, self.latest) = (live, spread, latest);
        stretch
    }
}

/// Bytes of each site alive after so many events, for each entry of `moments`, which rise.
fn live_of_sites(
    heap: &NativeHeap,
    is_kept: &[bool],
    moments: &[u64],
    sites: &[CallSite],
) -> Vec<SiteTimeline> {
    if sites.is_empty() {
        return Vec::new();
    }
    let mut number_of_site = vec![sites.len() as u32; heap.site_count()];
    for (at, site) in sites.iter().enumerate() {
        number_of_site[heap.site(site.ip).0 as usize] = at as u32;
    }
    let site_of_stack: Vec<u32> = heap
        .stacks
        .iter()
        .map(|&stack| number_of_site[heap.site(heap.ip(heap.visible(stack))).0 as usize])
        .collect();
    let sizes = heap.block_bytes();
    // The last one is for all other sites.
    let mut live = vec![0_i64; sites.len() + 1];
    let empty = |site: &CallSite| SiteTimeline { ip: site.ip, live: Vec::with_capacity(moments.len()) };
    let mut all: Vec<SiteTimeline> = sites.iter().map(empty).collect();
    let mut done = 0;
    for &moment in moments {
        heap.trace.events.replay(done..moment, |_, run| {
            for event in run.iter().filter(|event| is_kept[event.info().index()]) {
                let site = site_of_stack[heap.stack_of_info[event.info().index()] as usize];
                let live = &mut live[site as usize];
                *live = live.wrapping_add(change(event, sizes));
            }
        });
        done = moment;
        all.iter_mut().zip(&live).for_each(|(site, &live)| site.live.push(live));
    }
    all
}
