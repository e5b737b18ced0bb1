//! The tree from `main` on: sums, order of inlined functions, and equality with a slow and obvious twin.

#[path = "oracle/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use proptest::prelude::*;
use twinheap_native::{Cost, Costs, FrameView, NativeHeap, Suppressions, TopDown, top_down};
use twinheap_trace::{IpId, Parser};

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

/// Paths from the outermost function on, by the positions of their names in a list, with the last one's own cost,
/// that of all below it, and whether it is inlined.
type Paths = BTreeMap<Vec<usize>, (Cost, Cost, bool)>;

/// Numbers for names: paths are many, and long.
#[derive(Default)]
struct Names(Vec<Name>);

impl Names {
    fn number(&mut self, frame: &FrameView<'_>) -> usize {
        let name = (text(frame.function), text(frame.module));
        self.0.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.0.push(name);
            self.0.len() - 1
        })
    }
}

fn paths(heap: &NativeHeap, tree: &TopDown, names: &mut Names) -> Paths {
    let mut all = BTreeMap::new();
    let mut path_of: Vec<Vec<usize>> = Vec::new();
    for node in &tree.nodes {
        let frame = node.view(heap);
        let mut path = node.caller.map_or_else(Vec::new, |caller| path_of[caller as usize].clone());
        path.push(names.number(&frame));
        path_of.push(path.clone());
        assert_eq!(all.insert(path, (node.own, node.cost, node.is_inlined)), None, "a path is there once");
    }
    all
}

/// The same stack by stack.
fn slowly(heap: &NativeHeap, costs: &Costs, names: &mut Names) -> Paths {
    let mut all = Paths::new();
    let nothing = FrameView::default();
    // A place's frames are the same wherever it is called.
    let mut frames_of: BTreeMap<IpId, Vec<(usize, bool)>> = BTreeMap::new();
    for stack in costs.stacks.iter().filter(|stack| stack.cost != Cost::default()) {
        // From the leaf on, inlined functions first.
        let mut frames: Vec<(usize, bool)> = Vec::new();
        for ip in heap.places(stack.stack) {
            let number = |frame: FrameView<'_>| (names.number(&frame), frame.is_inlined);
            frames
                .extend(frames_of.entry(ip).or_insert_with(|| heap.frames(ip).map(number).collect()).iter());
        }
        if frames.is_empty() {
            frames.push((names.number(&nothing), false));
        }
        frames.reverse();
        for end in 1..=frames.len() {
            let path = frames[..end].iter().map(|(name, _)| *name).collect();
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
    let mut names = Names::default();
    let (ours, slow) = (paths(heap, &tree, &mut names), slowly(heap, &costs, &mut names));
    // Not printed whole: there may be a hundred thousand.
    let differs = ours.iter().zip(&slow).find(|(a, b)| a != b);
    assert_eq!((differs, ours.len()), (None, slow.len()));
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
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_tree_has_what_its_stacks_have(seed in 0..u64::from(u32::MAX), version in 0..=3_u32) {
        check(&heap(random::file(seed, version).as_bytes()), &Suppressions::built_in());
    }
}

#[test]
fn inlined_functions_lie_below_the_one_that_they_are_in() {
    // `leaf` is inlined into `middle`, and that into `step`, which `main` calls. Elsewhere `step` calls `middle`.
    let heap = heap(
        b"v 10400 3\ns 4 leaf\ns 6 middle\ns 4 step\ns 4 main\ns 3 a.c\ns 4 /bin\ns 4 core\n\
          i 10 6 1 5 1 2 5 2 3 5 3\ni 20 6 4\ni 30 6 3\ni 40 6 2\ni 50 6 7\n\
          t 5 0\nt 2 1\nt 1 2\nt 3 2\nt 4 4\na 8 3\na 10 5\na 20 0\n+ 0\n+ 1\n+ 2\nc 1\n",
    );
    let costs = heap.costs(None, &Suppressions::none());
    let tree = top_down(&heap, &costs);
    let mut names = Names::default();
    let mut lines: Vec<String> = paths(&heap, &tree, &mut names)
        .into_iter()
        .map(|(path, (own, cost, is_inlined))| {
            let path: Vec<&str> = path.into_iter().map(|name| names.0[name].0.as_str()).collect();
            let inlined = if is_inlined { " inlined" } else { "" };
            format!("{} {} {}{inlined}", path.join("/"), own.peak, cost.peak)
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            // Without a stack.
            " 32 32",
            // What is around `main` is left out.
            "main 0 24",
            "main/step 0 24",
            "main/step/middle 16 24",
            "main/step/middle/leaf 8 8 inlined",
        ]
    );
    let places: Vec<(String, u32)> =
        tree.nodes.iter().map(|node| node.view(&heap)).map(|frame| (text(frame.file), frame.line)).collect();
    assert_eq!(places[1..4], [("a.c".to_owned(), 3), ("a.c".to_owned(), 2), ("a.c".to_owned(), 1)]);
}
