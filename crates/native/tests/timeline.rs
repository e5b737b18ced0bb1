//! Timelines against a slow and obvious twin on random recordings.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "oracle/random.rs"]
mod random;

use std::ops::Range;

use proptest::prelude::*;
use twinheap_native::{Cost, Measure, NativeHeap, Suppressions, call_sites, timeline};
use twinheap_trace::{Event, InfoIdx, Parser};

fn heap(text: &str) -> NativeHeap {
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).unwrap();
    NativeHeap::new(parser.finish().unwrap().trace)
}

/// What a stack's first place says, in words.
fn site(heap: &NativeHeap, info: InfoIdx) -> String {
    site_of(heap, heap.places(heap.trace.infos.trace(info)).next().unwrap_or_default())
}

fn site_of(heap: &NativeHeap, ip: twinheap_trace::IpId) -> String {
    let frame = heap.frames(ip).next().unwrap();
    let words = [frame.function, frame.module, frame.file].map(String::from_utf8_lossy);
    format!("{words:?} {}", frame.line)
}

fn check(heap: &NativeHeap, ms: Option<&Range<u64>>, buckets: usize) {
    check_function(heap, ms, buckets, None);
    check_function(heap, ms, buckets, Some("function 1"));
}

fn check_function(heap: &NativeHeap, ms: Option<&Range<u64>>, buckets: usize, function: Option<&str>) {
    let mut costs = heap.costs(ms, &Suppressions::none());
    if let Some(part) = function {
        heap.keep_function(&mut costs, part.as_bytes());
    }
    let mut all = heap.costs(None, &Suppressions::none());
    heap.keep_function(&mut all, function.unwrap_or_default().as_bytes());
    let is_kept = |info: InfoIdx| {
        let stack = all.stacks.iter().find(|one| one.stack == heap.trace.infos.trace(info)).unwrap();
        function.is_none() || stack.cost != Cost::default()
    };
    let mut sites = call_sites(heap, &costs, Measure::Peak).sites;
    sites.truncate(3);
    let got = timeline(heap, ms, buckets, &sites, function.map(str::as_bytes));
    let count = got.len();
    assert!(count >= 1 && count <= buckets.max(1));
    assert_eq!(got.ms.len(), count + 1);
    assert!(got.ms.is_sorted());
    let temporary = got.temporary.as_ref().unwrap();
    for column in [got.allocations.len(), temporary.len(), got.rss.len()] {
        assert_eq!(column, count);
    }
    let mut events: Vec<Event> = Vec::new();
    heap.trace.events.replay(0..u64::MAX, |_, run| events.extend_from_slice(run));
    let time = |at: usize| heap.trace.clock.at(at as u64);
    for bucket in 0..count {
        let range = got.ms[bucket]..got.ms[bucket + 1];
        // All that came before is alive, and then what the stretch does.
        let (mut live, mut allocations) = (0, 0);
        let mut alive: Vec<(InfoIdx, i64)> = Vec::new();
        let mut most: Option<(i64, Vec<(InfoIdx, i64)>)> = None;
        for (at, event) in events.iter().enumerate().filter(|(at, _)| time(*at) < range.end) {
            if time(at) >= range.start {
                most.get_or_insert_with(|| (live, alive.clone()));
            }
            if !is_kept(event.info()) {
                continue;
            }
            if time(at) >= range.start {
                allocations += u64::from(!event.is_free());
            }
            let size = heap.trace.infos.size(event.info()) as i64;
            let change = if event.is_free() { -size } else { size };
            live += change;
            alive.push((event.info(), change));
            if let Some(most) = most.as_mut().filter(|most| live > most.0) {
                *most = (live, alive.clone());
            }
        }
        let (live, alive) = most.unwrap_or((live, alive));
        assert_eq!(got.live[bucket], live, "{ms:?} {buckets} {range:?}");
        assert_eq!(got.allocations[bucket], allocations);
        for site_line in &got.sites {
            let words = site_of(heap, site_line.ip);
            let of_site = alive.iter().filter(|(info, _)| site(heap, *info) == words);
            assert_eq!(site_line.live[bucket], of_site.map(|(_, change)| change).sum::<i64>(), "{words}");
        }
        let samples = heap.trace.rss.iter().filter(|sample| range.contains(&sample.ms));
        assert_eq!(got.rss[bucket], samples.map(|sample| sample.pages * 4096).max());
    }
    if ms.is_none() {
        assert_eq!(got.allocations.iter().sum::<u64>(), costs.sum().allocations);
        assert_eq!(got.temporary.as_ref().unwrap().iter().sum::<u64>(), costs.sum().temporary);
    }
    if ms.is_none() && function.is_none() {
        assert_eq!(*got.live.iter().max().unwrap(), costs.total.cost.peak);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_timeline_has_what_the_obvious_way_gives(
        seed in any::<u32>(),
        version in 0..4_u32,
        buckets in 1..80_usize,
        from in 0..700_u64,
        length in 1..400_u64,
    ) {
        let heap = heap(&random::file(u64::from(seed), version));
        check(&heap, None, buckets);
        check(&heap, Some(&(from..from + length)), buckets);
    }
}

#[test]
fn odd_clocks_have_timelines_too() {
    let head = "v 10400 3\nI 1000 100\nt 0 0\na 8 1\na 10 1\n";
    for tail in
        ["", "+ 0\n", "c 0\n+ 0\n", "+ 0\nc 5\n+ 1\n- 1\nc 5\nR 3\n- 0\n", "+ 0\nc fffffffffffff\n+ 1\n"]
    {
        let heap = heap(&format!("{head}{tail}"));
        for buckets in [0, 1, 7, 1000] {
            check(&heap, None, buckets);
            check(&heap, Some(&(3..u64::MAX)), buckets);
            check(&heap, Some(&(100..101)), buckets);
        }
    }
}
