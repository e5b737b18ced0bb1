//! Comparisons of recordings: totals are heaptrack's, stacks those of a slow and obvious twin.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "oracle/heaptrack.rs"]
#[expect(dead_code, reason = "recording is the other test's business")]
mod heaptrack;
#[path = "oracle/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fs;

use heaptrack::{Printed, printed_bytes};
use twinheap_native::{CostDelta, Costs, Measure, NativeHeap, Side, StackDiff, Suppressions, stack_diffs};
use twinheap_trace::{Parser, TraceId};

fn heap(text: &str) -> NativeHeap {
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).unwrap();
    NativeHeap::new(parser.finish().unwrap().trace)
}

fn costs(heap: &NativeHeap) -> Costs {
    heap.costs(None, &Suppressions::none())
}

/// A stack from its root on.
fn words(heap: &NativeHeap, stack: TraceId) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines: Vec<String> = heap
        .places(stack)
        .flat_map(|ip| heap.frames(ip))
        .map(|f| format!("{}|{}|{}|{}", text(f.module), text(f.function), text(f.file), f.line))
        .collect();
    lines.reverse();
    lines.join(";")
}

fn diffs(base: &NativeHeap, new: &NativeHeap, by: Measure) -> Vec<StackDiff> {
    let (base_costs, new_costs) = (costs(base), costs(new));
    let side = |heap, costs| Side { heap, costs };
    stack_diffs(side(base, &base_costs), side(new, &new_costs), by)
}

fn as_numbers(delta: &CostDelta) -> [i64; 5] {
    let CostDelta { allocations, temporary, bytes, leaked, peak } = *delta;
    [allocations, temporary, bytes, leaked, peak]
}

/// Rows by what their stacks read.
fn named(rows: &[StackDiff], base: &NativeHeap, new: &NativeHeap) -> BTreeMap<String, [i64; 5]> {
    let name = |row: &StackDiff| {
        let in_new = row.new.map(|stack| words(new, stack));
        let in_base = row.base.map(|stack| words(base, stack));
        assert!(in_new.is_none() || in_base.is_none() || in_new == in_base);
        in_new.or(in_base).unwrap()
    };
    let all: BTreeMap<_, _> = rows.iter().map(|row| (name(row), as_numbers(&row.delta()))).collect();
    assert_eq!(all.len(), rows.len(), "no stack is there twice");
    all
}

#[test]
fn stacks_differ_as_the_obvious_way_has_it() {
    for seed in 0..12 {
        // The same names and stacks, other events; or quite another file.
        let (one, other) = (random::file(seed, 3), random::file(seed + u64::from(seed % 3 == 0), 3));
        let cut = one.len() - one.len() / 5;
        let base = heap(&one[..one[..cut].rfind('\n').unwrap() + 1]);
        let new = heap(&other);
        let mut slow: BTreeMap<String, [i64; 5]> = BTreeMap::new();
        for (heap, sign) in [(&base, -1), (&new, 1)] {
            for stack in costs(heap).stacks {
                let row = slow.entry(words(heap, stack.stack)).or_default();
                let cost = as_numbers(&CostDelta::between(&Default::default(), &stack.cost));
                row.iter_mut().zip(cost).for_each(|(sum, number)| *sum += sign * number);
            }
        }
        slow.retain(|_, row| *row != [0; 5]);
        for by in [Measure::Peak, Measure::Leaked, Measure::Allocations, Measure::Temporary] {
            let rows = diffs(&base, &new, by);
            assert_eq!(named(&rows, &base, &new), slow, "seed {seed}");
            assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.delta().of(by).unsigned_abs())));
        }
        let negative: BTreeMap<_, _> = slow.into_iter().map(|(k, row)| (k, row.map(|n| -n))).collect();
        assert_eq!(named(&diffs(&new, &base, Measure::Peak), &new, &base), negative);
        assert_eq!(diffs(&new, &new, Measure::Peak), []);
    }
}

#[test]
fn what_one_build_inlines_and_the_other_calls_is_the_same_stack() {
    let head = "v 10400 3\ns 2 /m\ns 4 leaf\ns 3 mid\ns 4 main\ns 3 a.c\n";
    let called = heap(&format!(
        "{head}i 10 1 4 5 1e\ni 20 1 3 5 14\ni 30 1 2 5 a\nt 1 0\nt 2 1\nt 3 2\na 40 3\n+ 0\nc 1\n"
    ));
    let inlined =
        heap(&format!("{head}i 99 1 2 5 a 3 5 14\ni 50 1 4 5 1e\nt 2 0\nt 1 1\na 64 2\n+ 0\nc 1\n"));
    let rows = diffs(&called, &inlined, Measure::Peak);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].base.is_some() && rows[0].new.is_some());
    assert_eq!(as_numbers(&rows[0].delta()), [0, 0, 36, 36, 36]);
}

/// A comparison as `heaptrack_print -d` has it: totals, and stacks if no function is inlined, since it does not look
/// at these.
#[track_caller]
fn check_as_heaptrack(base: &str, new: &str, has_inlined: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (base_file, new_file) = (file("base", base), file("new", new));
    let (base, new) = (heap(base), heap(new));
    let [base_costs, new_costs] = [&base, &new].map(|heap| heap.costs(None, &Suppressions::built_in()));
    let delta = CostDelta::between(&base_costs.total.cost, &new_costs.total.cost);
    let measures = [
        (Measure::Allocations, "allocations"),
        (Measure::Peak, "peak"),
        (Measure::Leaked, "leaked"),
        (Measure::Temporary, "temporary"),
    ];
    for (by, cost_type) in measures {
        let printed = Printed::of(&new_file, cost_type, &["-d", base_file.to_str().unwrap()]);
        assert_eq!(printed.total("calls to allocation functions"), delta.allocations.to_string());
        assert_eq!(printed.total("temporary memory allocations"), delta.temporary.to_string());
        assert_eq!(printed.total("peak heap memory consumption"), printed_bytes(delta.peak));
        assert_eq!(printed.total("total memory leaked"), printed_bytes(delta.leaked));
        if has_inlined {
            continue;
        }
        let side = |heap, costs| Side { heap, costs };
        let rows = stack_diffs(side(&base, &base_costs), side(&new, &new_costs), by);
        let ours = rows.iter().map(|row| {
            let (heap, stack) = row.new.map_or_else(|| (&base, row.base.unwrap()), |stack| (&new, stack));
            (flame(heap, stack), row.delta().of(by))
        });
        let theirs = printed.flames.iter().map(|line| {
            let (stack, number) = line.rsplit_once(' ').unwrap();
            (without_addresses(stack), number.parse().unwrap())
        });
        let (ours, theirs) = (added_up(ours), added_up(theirs));
        assert_eq!(ours, theirs, "{cost_type}");
    }
}

/// What reads the same as one: the text lacks modules and lines, and heaptrack does not always see that stacks which
/// are nothing but `main` are the same.
fn added_up(rows: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    rows.for_each(|(stack, number)| *sums.entry(stack).or_default() += number);
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// A stack as heaptrack's flame graphs have it, addresses left out.
fn flame(heap: &NativeHeap, stack: TraceId) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines: Vec<String> = heap
        .places(stack)
        .flat_map(|ip| heap.frames(ip))
        .map(|frame| {
            let name = if frame.function.is_empty() { "0x".into() } else { text(frame.function) };
            let file = text(frame.file);
            let file = file.rsplit('/').next().unwrap();
            if file.is_empty() { format!("{name};") } else { format!("{name} ({file});") }
        })
        .collect();
    lines.reverse();
    lines.concat()
}

/// Which of several addresses without a name stands for all of them is anybody's choice.
fn without_addresses(line: &str) -> String {
    let hides = |part: &str| if part.starts_with("0x") { "0x".to_owned() } else { part.to_owned() };
    line.split(';').map(hides).collect::<Vec<_>>().join(";")
}

#[test]
fn totals_and_stacks_differ_as_in_heaptrack() {
    // heaptrack_print aborts on a comparison of allocations without a stack.
    let file = |seed, version| -> String {
        let text = random::file(seed, version);
        let has_stack = |line: &str| !(line.starts_with("a ") && line.ends_with(" 0"));
        text.lines()
            .map(|line| if has_stack(line) { format!("{line}\n") } else { "a 7 1\n".into() })
            .collect()
    };
    for seed in 0..4 {
        check_as_heaptrack(&file(seed, 3), &file(seed + 1, 3), true);
        let (whole, other) = (file(seed, 1), file(seed + 1, 1));
        let part = &whole[..whole[..whole.len() * 3 / 4].rfind('\n').unwrap() + 1];
        check_as_heaptrack(part, &whole, false);
        check_as_heaptrack(&whole, &other, false);
    }
}
