//! Trees, callers, owners, sizes and the filter, against slow and obvious twins on random recordings.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "oracle/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use twinheap_native::{
    Cost, Costs, Cut, Direction, FrameNo, FrameTable, FrameTree, Identity, Measure, NativeHeap, Sizes,
    Suppressions, caller_callee, frame_tree, groups, histogram, lifetime_buckets, size_buckets, thread_costs,
};
use twinheap_trace::{InfoIdx, Parser, TraceId};

const MEASURES: [Measure; 4] = [Measure::Peak, Measure::Leaked, Measure::Allocations, Measure::Temporary];

fn heap(text: &str) -> NativeHeap {
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).unwrap();
    let parsed = parser.finish().unwrap();
    assert_eq!(parsed.damage, []);
    NativeHeap::new(parsed.trace)
}

fn costs(heap: &NativeHeap) -> Costs {
    heap.costs(None, &Suppressions::built_in())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stack's lines from its leaf on, as the identity has them.
fn lines(heap: &NativeHeap, stack: TraceId, identity: Identity) -> Vec<String> {
    let frames = heap.places(stack).flat_map(|ip| heap.frames(ip));
    let line = |frame: twinheap_native::FrameView<'_>| match identity {
        Identity::Function => format!("{}|{}", text(frame.function), text(frame.module)),
        Identity::Line => {
            format!("{}|{}|{}|{}", text(frame.function), text(frame.module), text(frame.file), frame.line)
        }
    };
    frames.map(line).collect()
}

fn name(table: &FrameTable<'_>, frame: FrameNo, identity: Identity) -> String {
    let frame = table.view(frame).unwrap();
    match identity {
        Identity::Function => format!("{}|{}", text(frame.function), text(frame.module)),
        Identity::Line => {
            format!("{}|{}|{}|{}", text(frame.function), text(frame.module), text(frame.file), frame.line)
        }
    }
}

/// Each path of the tree with what it costs.
fn paths(table: &FrameTable<'_>, tree: &FrameTree, identity: Identity) -> BTreeMap<Vec<String>, Cost> {
    let mut path = Vec::new();
    let mut all = BTreeMap::new();
    for node in &tree.nodes {
        path.truncate(node.depth as usize);
        path.push(name(table, node.frame, identity));
        assert_eq!(path.len(), node.depth as usize + 1);
        assert_eq!(all.insert(path.clone(), node.cost), None, "{path:?} is there twice");
    }
    all
}

/// The same from all beginnings of all stacks.
fn slow_paths(
    heap: &NativeHeap,
    costs: &Costs,
    direction: Direction,
    identity: Identity,
) -> BTreeMap<Vec<String>, Cost> {
    let mut all: BTreeMap<Vec<String>, Cost> = BTreeMap::new();
    for stack in &costs.stacks {
        let mut lines = lines(heap, stack.stack, identity);
        if direction == Direction::TopDown {
            lines.reverse();
        }
        for len in 1..=lines.len() {
            *all.entry(lines[..len].to_vec()).or_default() += stack.cost;
        }
    }
    all
}

fn check_trees(heap: &NativeHeap, costs: &Costs) {
    for direction in [Direction::BottomUp, Direction::TopDown] {
        for identity in [Identity::Function, Identity::Line] {
            let table = FrameTable::new(heap, identity);
            let slow = slow_paths(heap, costs, direction, identity);
            for by in MEASURES {
                for (least, depth) in [(0, u32::MAX), (0, 2), (by.of(&costs.sum()).unsigned_abs() / 10, 5)] {
                    let cut = Cut { by, least, depth };
                    let tree = frame_tree(&table, costs, direction, &cut);
                    let got = paths(&table, &tree, identity);
                    let least = i64::try_from(least.max(1)).unwrap();
                    let stays = |path: &Vec<String>| {
                        path.len() <= depth as usize
                            && (1..=path.len()).all(|len| by.of(&slow[&path[..len]]) >= least)
                    };
                    let expected: BTreeMap<_, _> =
                        slow.iter().filter(|(path, _)| stays(path)).map(|(p, c)| (p.clone(), *c)).collect();
                    assert_eq!(got, expected, "{direction:?} {identity:?} {cut:?}");
                    check_order(&tree, by);
                    check_hidden(&table, &tree, identity, by, &slow, &expected);
                }
            }
        }
    }
}

/// Siblings fall by the measure.
fn check_order(tree: &FrameTree, by: Measure) {
    let mut last: Vec<i64> = Vec::new();
    for node in &tree.nodes {
        let depth = node.depth as usize;
        last.truncate(depth + 1);
        if let Some(last) = last.get(depth) {
            assert!(*last >= by.of(&node.cost), "siblings in order");
        }
        last.truncate(depth);
        last.push(by.of(&node.cost));
    }
}

/// What is left out of a node is what its children that are not there cost.
fn check_hidden(
    table: &FrameTable<'_>,
    tree: &FrameTree,
    identity: Identity,
    by: Measure,
    slow: &BTreeMap<Vec<String>, Cost>,
    kept: &BTreeMap<Vec<String>, Cost>,
) {
    let expected = |parent: &[String]| {
        let is_child = |path: &Vec<String>| path.len() == parent.len() + 1 && path.starts_with(parent);
        let hidden = slow
            .iter()
            .filter(|(path, cost)| is_child(path) && by.of(cost) != 0 && !kept.contains_key(*path));
        let mut sum = (0, Cost::default());
        hidden.for_each(|(_, cost)| {
            sum.0 += 1;
            sum.1 += *cost;
        });
        sum
    };
    assert_eq!((tree.hidden.nodes, tree.hidden.cost), expected(&[]));
    let mut path = Vec::new();
    for node in &tree.nodes {
        path.truncate(node.depth as usize);
        path.push(name(table, node.frame, identity));
        assert_eq!((node.hidden.nodes, node.hidden.cost), expected(&path), "{path:?}");
    }
}

fn check_callers(heap: &NativeHeap, costs: &Costs) {
    let identity = Identity::Function;
    let table = FrameTable::new(heap, identity);
    let (mut own, mut inclusive) = (BTreeMap::<String, Cost>::new(), BTreeMap::<String, Cost>::new());
    let mut calls: BTreeMap<(String, String), Cost> = BTreeMap::new();
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        let lines = lines(heap, stack.stack, identity);
        if let Some(leaf) = lines.first() {
            *own.entry(leaf.clone()).or_default() += stack.cost;
        }
        for line in lines.iter().collect::<BTreeSet<_>>() {
            *inclusive.entry(line.clone()).or_default() += stack.cost;
        }
        for pair in lines.windows(2).collect::<BTreeSet<_>>() {
            *calls.entry((pair[1].clone(), pair[0].clone())).or_default() += stack.cost;
        }
    }
    for by in MEASURES {
        let all = caller_callee(&table, costs, by);
        let name = |frame| name(&table, frame, identity);
        let got: BTreeMap<_, _> = all.functions.iter().map(|f| (name(f.frame), f.inclusive)).collect();
        assert_eq!(got, inclusive);
        let got: BTreeMap<_, _> = all
            .functions
            .iter()
            .filter(|f| f.own != Cost::default())
            .map(|f| (name(f.frame), f.own))
            .collect();
        assert_eq!(got, own);
        assert!(all.functions.is_sorted_by_key(|f| std::cmp::Reverse(by.of(&f.inclusive))));
        for ends in [false, true] {
            let mut got = BTreeMap::new();
            for function in &all.functions {
                let edges = if ends { all.callers(function.frame) } else { all.callees(function.frame) };
                assert!(edges.is_sorted_by_key(|edge| std::cmp::Reverse(by.of(&edge.cost))));
                for edge in edges {
                    assert_eq!(if ends { edge.callee } else { edge.caller }, function.frame);
                    got.insert((name(edge.caller), name(edge.callee)), edge.cost);
                }
            }
            assert_eq!(got, calls);
        }
    }
}

fn check_groups(heap: &NativeHeap, costs: &Costs) {
    let owner = |module: &str| module.strip_prefix("module ").map(|n| n.as_bytes().to_vec());
    let table = FrameTable::new(heap, Identity::Line);
    let mut expected: BTreeMap<Option<Vec<u8>>, (Cost, Cost)> = BTreeMap::new();
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        let frames = heap.places(stack.stack).flat_map(|ip| heap.frames(ip));
        let owners: Vec<Option<Vec<u8>>> =
            frames.filter_map(|frame| owner(&text(frame.module))).map(Some).collect();
        let first = owners.first().cloned().unwrap_or_default();
        expected.entry(first).or_default().0 += stack.cost;
        let mut all: BTreeSet<Option<Vec<u8>>> = owners.into_iter().collect();
        if all.is_empty() {
            all.insert(None);
        }
        all.into_iter().for_each(|owner| expected.entry(owner).or_default().1 += stack.cost);
    }
    for by in MEASURES {
        let got = groups(&table, costs, by, |frame| owner(&text(frame.module)));
        assert!(got.is_sorted_by_key(|group| std::cmp::Reverse(by.of(&group.own))));
        let got: BTreeMap<_, _> = got.into_iter().map(|g| (g.name, (g.own, g.inclusive))).collect();
        assert_eq!(got, expected);
    }
}

fn check_sizes(heap: &NativeHeap, costs: &Costs) {
    let exact = size_buckets(heap, costs, Sizes::Exact, Measure::Allocations);
    let counts: Vec<_> = exact.iter().filter(|b| b.cost.allocations > 0).collect();
    let expected = histogram(heap, costs);
    assert_eq!(counts.len(), expected.len());
    for (bucket, size) in counts.iter().zip(&expected) {
        assert_eq!(
            (bucket.sizes.clone(), bucket.cost.allocations),
            (size.size..=size.size, size.allocations)
        );
        assert_eq!(bucket.cost.bytes, size.size * size.allocations);
    }
    let powers = size_buckets(heap, costs, Sizes::PowersOfTwo, Measure::Peak);
    assert!(powers.windows(2).all(|pair| *pair[0].sizes.end() + 1 == *pair[1].sizes.start()));
    let sum = costs.sum();
    for buckets in [&exact, &powers] {
        let add =
            |of: fn(&twinheap_native::SizeCost) -> i64| buckets.iter().map(|b| of(&b.cost)).sum::<i64>();
        assert_eq!(add(|cost| cost.allocations as i64), sum.allocations as i64);
        assert_eq!(add(|cost| cost.bytes as i64), sum.bytes as i64);
        assert_eq!(add(|cost| cost.leaked), sum.leaked);
        assert_eq!(add(|cost| cost.peak), sum.peak);
        for bucket in buckets.iter().filter(|bucket| bucket.top.is_some()) {
            let inside = exact.iter().filter(|one| bucket.sizes.contains(one.sizes.start()));
            assert_eq!(inside.map(|one| one.cost.allocations).sum::<u64>(), bucket.cost.allocations);
            let top = bucket.top.unwrap().cost;
            assert!(top.allocations <= bucket.cost.allocations && top.peak <= bucket.cost.peak);
        }
    }
}

fn check_filter(heap: &NativeHeap, all: &Costs, part: &str) {
    let mut some = all.clone();
    heap.keep_function(&mut some, part.as_bytes());
    let mut expected = Cost::default();
    for stack in &all.stacks {
        let frames = heap.places(stack.stack).flat_map(|ip| {
            // What a stack ends with is not asked, nor what is inlined into it.
            let is_end = heap.frames(ip).next().is_some_and(|frame| frame.function == b"main");
            heap.frames(ip).filter(move |_| !is_end)
        });
        if frames.into_iter().any(|frame| text(frame.function).contains(part)) {
            expected += stack.cost;
        }
    }
    assert_eq!(some.sum(), expected, "{part}");
    assert_eq!(some.total, all.total);
    check_sizes(heap, &some);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn groupings_add_up_to_what_the_obvious_way_gives(seed in any::<u32>(), version in 0..4_u32) {
        let heap = heap(&random::file(u64::from(seed), version));
        let costs = costs(&heap);
        check_trees(&heap, &costs);
        check_callers(&heap, &costs);
        check_groups(&heap, &costs);
        check_sizes(&heap, &costs);
        for part in ["function 1", "main", "function 7 x", "operator", "nothing like it"] {
            check_filter(&heap, &costs, part);
        }
    }
}

/// Threads that take turns of random length, against one event after the other.
fn check_threads(heap: &NativeHeap, ms: Option<&Range<u64>>, part: &str, turns: &[(u64, u32)]) {
    let mut costs = heap.costs(ms, &Suppressions::none());
    heap.keep_function(&mut costs, part.as_bytes());
    let kept: BTreeSet<TraceId> =
        costs.stacks.iter().filter(|stack| stack.cost != Cost::default()).map(|stack| stack.stack).collect();
    let mut runs = Vec::new();
    let mut position = 0;
    for &(len, thread) in turns {
        runs.push((position, thread));
        position += len;
    }
    let thread_of = |event: u64| runs.iter().rfind(|run| run.0 <= event).map_or(0, |run| run.1);
    let range =
        ms.map_or(0..u64::MAX, |ms| heap.trace.clock.events_between(ms.clone(), heap.trace.events.len()));
    let mut calls: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut users: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    heap.trace.events.replay(range, |first, run| {
        for (at, event) in run.iter().enumerate().filter(|(_, event)| !event.is_free()) {
            let thread = thread_of(first + at as u64);
            if kept.contains(&heap.trace.infos.trace(event.info())) {
                let sums = calls.entry(thread).or_default();
                sums.0 += 1;
                sums.1 += heap.trace.infos.size(event.info());
            }
            users.entry(event.info().0).or_default().insert(thread);
        }
    });
    for by in MEASURES {
        let got = thread_costs(heap, &costs, ms, runs.iter().copied(), by);
        let got_calls: BTreeMap<u32, (u64, u64)> = got
            .threads
            .iter()
            .filter(|thread| thread.cost.allocations > 0)
            .map(|thread| (thread.thread, (thread.cost.allocations, thread.cost.bytes)))
            .collect();
        assert_eq!(got_calls, calls);
        assert!(got.threads.is_sorted_by_key(|t| std::cmp::Reverse(by.of(&t.cost).unsigned_abs())));
        let mut sum = got.shared;
        got.threads.iter().for_each(|thread| sum += thread.cost);
        if part.is_empty() {
            assert_eq!(sum, costs.sum(), "nothing is lost");
        }
        assert_eq!((sum.leaked, sum.peak), (costs.sum().leaked, costs.sum().peak));
        if users.values().all(|threads| threads.len() == 1) && ms.is_none() {
            assert_eq!(got.shared, Cost::default());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn threads_cost_what_the_obvious_way_gives(
        seed in any::<u32>(),
        version in 0..4_u32,
        turns in prop::collection::vec((0..60_u64, 0..3_u32), 0..20),
        from in 0..400_u64,
    ) {
        let heap = heap(&random::file(u64::from(seed), version));
        for ms in [None, Some(&(from..from + 200))] {
            for part in ["", "function 1"] {
                check_threads(&heap, ms, part, &turns);
            }
        }
    }
}

/// Rows of lifetimes come out as buckets without a gap.
#[test]
fn lifetimes_are_added_up_by_power() {
    let heap = heap(
        "v 10400 3\ns 1 f\ns 1 g\ni 10 0 1\ni 20 0 2\nt 1 0\nt 2 0\na 8 1\na 10 1\na 20 2\n\
                     + 0\n+ 1\n+ 2\nc 1\n",
    );
    let mut costs = costs(&heap);
    let rows = [(0, 0, 5), (1, 0, 1), (2, 0, 7), (2, 3, 2), (0, 5, 1), (9, 1, 1), (1, 4, 0)];
    let rows = || rows.map(|(info, power, blocks)| (InfoIdx(info), power, blocks));
    let numbers = |costs: &Costs| -> Vec<_> {
        let buckets = lifetime_buckets(&heap, costs, rows());
        buckets.iter().map(|b| (b.ns.clone(), b.blocks, b.bytes, b.top.map(|(ip, n)| (ip.0, n)))).collect()
    };
    assert_eq!(
        numbers(&costs),
        [
            (0..=0, 13, 5 * 8 + 16 + 7 * 32, Some((2, 7))),
            (4..=7, 2, 64, Some((2, 2))),
            (8..=15, 0, 0, None),
            (16..=31, 1, 8, Some((1, 1))),
        ]
    );
    heap.keep_function(&mut costs, b"g");
    assert_eq!(numbers(&costs).len(), 2);
    assert_eq!(lifetime_buckets(&heap, &costs, []), []);
}

/// A function that calls itself counts once a stack, and a module that is named twice is one.
#[test]
fn recursion_counts_once_and_equal_names_are_one() {
    let recursive = heap(
        "v 10400 3\ns 1 m\ns 1 f\ns 4 main\ni 10 1 2\ni 20 1 3\nt 2 0\nt 1 1\nt 1 2\nt 1 3\na 8 4\na 8 2\n\
         + 0\n+ 1\nc 1\n",
    );
    let costs_of = costs(&recursive);
    let table = FrameTable::new(&recursive, Identity::Function);
    let all = caller_callee(&table, &costs_of, Measure::Peak);
    let f = all.functions.iter().find(|f| name(&table, f.frame, Identity::Function) == "f|m").unwrap();
    assert_eq!((f.own.peak, f.inclusive.peak), (16, 16));
    let calls: Vec<i64> = all.callers(f.frame).iter().map(|edge| edge.cost.peak).collect();
    assert_eq!(calls, [16, 8], "main calls it in both stacks, it calls itself in one");

    let raw = heap(
        "v 10400 3\nx 3 /me\nm 1 -\nm 4 /lib 1000 0 1000\nt 1010 0\n+ 8 1 a000\nm 1 -\nm 4 /lib 1000 0 1000\n\
         t 1020 0\n+ 8 2 b000\nc 1\n",
    );
    let costs_of = costs(&raw);
    let table = FrameTable::new(&raw, Identity::Function);
    let cut = Cut { by: Measure::Peak, least: 0, depth: 9 };
    let tree = frame_tree(&table, &costs_of, Direction::BottomUp, &cut);
    assert_eq!(tree.nodes.len(), 1, "{tree:?}");
    assert_eq!(tree.nodes[0].cost.allocations, 2);
}
