//! Costs of stretches of time, and of trees, against slow and obvious twins.

use std::ops::Range;

use proptest::prelude::*;
use twinheap_native::{Cost, NativeHeap, Suppressions, bottom_up};
use twinheap_trace::{Parser, TraceId};

const HEAD: &str = "v 10400 3\nI 1000 100\ns 1 a\ns 1 b\ns 4 main\ni 10 0 1\ni 20 0 2\ni 30 0 3\n\
                    t 3 0\nt 1 1\nt 2 2\nt 2 1\na 8 2\na 10 3\na 20 4\n";

fn heap(events: &str) -> NativeHeap {
    let mut parser = Parser::new();
    parser.feed(format!("{HEAD}{events}").as_bytes()).expect("a sound file");
    let parsed = parser.finish().expect("a sound file");
    assert_eq!(parsed.damage, []);
    NativeHeap::new(parsed.trace)
}

/// Totals of a stretch: allocations, bytes alive at the peak, when, bytes not freed, pages of RSS.
#[track_caller]
fn check(ms: Option<&Range<u64>>, expected: (u64, i64, u64, i64, Option<u64>)) {
    let heap = heap("+ 0\nc 5\nR 3\n+ 1\nc a\nR 9\n- 1\n+ 2\nc f\nR 4\n- 0\n- 2\n");
    let total = heap.costs(ms, &Suppressions::none()).total;
    let rss = total.peak_rss.map(|bytes| bytes / 4096);
    assert_eq!((total.cost.allocations, total.cost.peak, total.peak_ms, total.cost.leaked, rss), expected);
    assert_eq!(total.runtime_ms, 16, "of the whole recording");
}

#[test]
fn a_stretch_of_time_counts_what_happened_in_it() {
    check(None, (3, 40, 10, 0, Some(9)));
    check(Some(&(0..u64::MAX)), (3, 40, 10, 0, Some(9)));
    check(Some(&(0..5)), (1, 8, 0, 8, None));
    check(Some(&(5..10)), (1, 16, 5, 16, Some(3)));
    check(Some(&(5..15)), (2, 32, 10, 32, Some(9)));
    check(Some(&(10..15)), (1, 16, 10, 16, Some(9)));
    check(Some(&(15..16)), (0, 0, 0, -40, Some(4)));
    check(Some(&(6..7)), (0, 0, 0, 0, None));
    check(Some(&(100..200)), (0, 0, 0, 0, None));
    #[expect(clippy::reversed_empty_ranges, reason = "a user may give them so")]
    check(Some(&(15..5)), (0, 0, 0, 0, None));
}

/// The obvious way: one event after the other, with a copy of everything at each new peak.
fn slowly(events: &[(bool, usize)], sizes: [i64; 3]) -> (Vec<Cost>, i64) {
    let mut costs = [Cost::default(); 3];
    let (mut live, mut peak, mut latest) = (0, 0, 0);
    for &(is_free, info) in events {
        let cost = &mut costs[info];
        if is_free {
            cost.leaked -= sizes[info];
            cost.temporary += u64::from(latest == info);
            live -= sizes[info];
            latest = 0;
        } else {
            cost.leaked += sizes[info];
            cost.bytes += sizes[info] as u64;
            cost.allocations += 1;
            live += sizes[info];
            latest = info;
        }
        if live > peak {
            peak = live;
            costs.iter_mut().for_each(|cost| cost.peak = cost.leaked);
        }
    }
    (costs.to_vec(), peak)
}

proptest! {
    #[test]
    fn a_replay_gives_what_the_obvious_way_gives(
        events in prop::collection::vec((any::<bool>(), 0..3_usize), 0..200),
        cut in 0..200_usize,
    ) {
        let cut = cut.min(events.len());
        let line = |&(is_free, info): &(bool, usize)| format!("{} {info}\n", if is_free { '-' } else { '+' });
        let lines = |events: &[(bool, usize)]| events.iter().map(line).collect::<String>();
        let heap = heap(&format!("{}c 7\n{}", lines(&events[..cut]), lines(&events[cut..])));
        for (stretch, events) in [(None, &events[..]), (Some(0..7), &events[..cut]), (Some(7..9), &events[cut..])] {
            let costs = heap.costs(stretch.as_ref(), &Suppressions::none());
            let (expected, peak) = slowly(events, [8, 16, 32]);
            prop_assert_eq!(costs.stacks.iter().map(|stack| stack.cost).collect::<Vec<_>>(), expected);
            prop_assert_eq!(costs.total.cost.peak, peak);
        }
    }
}

#[test]
fn the_tree_from_the_leaves_adds_up_what_calls_the_same() {
    let heap = heap("+ 0\n+ 1\n+ 1\n+ 2\nc 1\n");
    let costs = heap.costs(None, &Suppressions::none());
    let tree = bottom_up(&heap, &costs);
    let name = |at: u32| {
        let node = &tree.nodes[at as usize];
        String::from_utf8_lossy(heap.trace.strings.get(heap.trace.ips.frame(node.ip).function)).into_owned()
    };
    let mut lines: Vec<String> = (0..tree.nodes.len() as u32)
        .map(|at| {
            let node = &tree.nodes[at as usize];
            let callees = std::iter::successors(Some(at), |&at| tree.nodes[at as usize].callee);
            format!(
                "{} {} {}",
                callees.map(name).collect::<Vec<_>>().join(" → "),
                node.cost.allocations,
                node.cost.peak
            )
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        ["a 1 8", "a → b 2 32", "b 3 64", "main → a 1 8", "main → a → b 2 32", "main → b 1 32"]
    );
    assert_eq!(heap.places(TraceId(3)).count(), 3);
}
