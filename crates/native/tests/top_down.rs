//! The tree from `main` on: sums, order of inlined functions, and equality with a slow and obvious twin.

#[path = "oracle/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use proptest::prelude::*;
use twinheap_native::{Cost, Costs, NativeHeap, Suppressions, TopDown, top_down};
use twinheap_trace::Parser;

fn heap(bytes: &[u8]) -> NativeHeap {
    let mut parser = Parser::new();
    bytes.chunks(100_000).for_each(|chunk| parser.feed(chunk).expect("a sound file"));
    let parsed = parser.finish().expect("a sound file");
    assert_eq!(parsed.damage, []);
    NativeHeap::new(parsed.trace)
}

/// A function and its module.
type Name = (String, String);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Each path from the outermost function on, with its own cost and that of all below it.
fn paths(heap: &NativeHeap, tree: &TopDown) -> BTreeMap<Vec<Name>, (Cost, Cost, bool)> {
    let mut all = BTreeMap::new();
    let mut path_of: Vec<Vec<Name>> = Vec::new();
    for node in &tree.nodes {
        let frame = node.view(heap);
        let mut path = node.caller.map_or_else(Vec::new, |caller| path_of[caller as usize].clone());
        path.push((text(frame.function), text(frame.module)));
        path_of.push(path.clone());
        assert_eq!(all.insert(path, (node.own, node.cost, node.is_inlined)), None, "a path is there once");
    }
    all
}

/// The same stack by stack.
fn slowly(heap: &NativeHeap, costs: &Costs) -> BTreeMap<Vec<Name>, (Cost, Cost, bool)> {
    let mut all: BTreeMap<Vec<Name>, (Cost, Cost, bool)> = BTreeMap::new();
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        // From the leaf on, inlined functions first.
        let mut frames: Vec<(Name, bool)> = heap
            .places(stack.stack)
            .flat_map(|ip| heap.frames(ip))
            .map(|frame| ((text(frame.function), text(frame.module)), frame.is_inlined))
            .collect();
        if frames.is_empty() {
            frames.push(((String::new(), String::new()), false));
        }
        frames.reverse();
        for end in 1..=frames.len() {
            let path = frames[..end].iter().map(|(name, _)| name.clone()).collect();
            let (own, cost, is_inlined) = all.entry(path).or_insert((Cost::default(), Cost::default(), true));
            *cost += stack.cost;
            if end == frames.len() {
                *own += stack.cost;
            }
            *is_inlined &= frames[end - 1].1;
        }
    }
    all
}

#[track_caller]
fn check(heap: &NativeHeap, suppressions: &Suppressions) {
    let costs = heap.costs(None, suppressions);
    let tree = top_down(heap, &costs);
    let mut roots = Cost::default();
    for (at, node) in tree.nodes.iter().enumerate() {
        match node.caller {
            None => roots += node.cost,
            Some(caller) => assert!((caller as usize) < at, "a caller stands first"),
        }
    }
    assert_eq!(roots, costs.total.cost, "the outermost functions add up to all");
    let mut below = vec![Cost::default(); tree.nodes.len()];
    for node in tree.nodes.iter().rev() {
        if let Some(caller) = node.caller {
            below[caller as usize] += node.cost;
        }
    }
    for (node, mut below) in tree.nodes.iter().zip(below) {
        assert!(below.allocations <= node.cost.allocations && below.peak <= node.cost.peak);
        below += node.own;
        assert_eq!(below, node.cost, "own cost and callees add up");
    }
    assert_eq!(paths(heap, &tree), slowly(heap, &costs));
}

#[test]
fn the_start_of_node_adds_up() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node22-start.heaptrack.zst");
    let mut bytes = Vec::new();
    let file = File::open(path).expect("the fixture");
    zstd::stream::read::Decoder::new(file).expect("zstd").read_to_end(&mut bytes).expect("zstd");
    let heap = heap(&bytes);
    check(&heap, &Suppressions::none());
    check(&heap, &Suppressions::built_in());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_tree_has_what_its_stacks_have(seed in 0..u64::from(u32::MAX), version in 0..=3_u32) {
        check(&heap(random::file(seed, version).as_bytes()), &Suppressions::built_in());
    }
}

#[test]
fn inlined_functions_lie_below_the_one_that_they_are_in() {
    // `leaf` is inlined into `middle`, and that into `work`, which `main` calls. Elsewhere `work` calls `middle`.
    let heap = heap(
        b"v 10400 3\ns 4 leaf\ns 6 middle\ns 4 work\ns 4 main\ns 3 a.c\ns 4 /bin\ns 4 core\n\
          i 10 6 1 5 1 2 5 2 3 5 3\ni 20 6 4\ni 30 6 3\ni 40 6 2\ni 50 6 7\n\
          t 5 0\nt 2 1\nt 1 2\nt 3 2\nt 4 4\na 8 3\na 10 5\na 20 0\n+ 0\n+ 1\n+ 2\nc 1\n",
    );
    let costs = heap.costs(None, &Suppressions::none());
    let tree = top_down(&heap, &costs);
    let lines: Vec<String> = paths(&heap, &tree)
        .into_iter()
        .map(|(path, (own, cost, is_inlined))| {
            let path: Vec<String> = path.into_iter().map(|(function, _)| function).collect();
            let inlined = if is_inlined { " inlined" } else { "" };
            format!("{} {} {}{inlined}", path.join("/"), own.peak, cost.peak)
        })
        .collect();
    assert_eq!(
        lines,
        [
            // Without a stack.
            " 32 32",
            // What is around `main` is left out.
            "main 0 24",
            "main/work 0 24",
            "main/work/middle 16 24",
            "main/work/middle/leaf 8 8 inlined",
        ]
    );
    let places: Vec<(String, u32)> =
        tree.nodes.iter().map(|node| node.view(&heap)).map(|frame| (text(frame.file), frame.line)).collect();
    assert_eq!(places[1..4], [("a.c".to_owned(), 3), ("a.c".to_owned(), 2), ("a.c".to_owned(), 1)]);
}
