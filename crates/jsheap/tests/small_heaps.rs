//! Heaps drawn by hand, for what real programs rarely do.

use twinheap_jsheap::{Heap, Paths, Resources, duplicate_strings};
use twinheap_snapshot::{NodeIdx, Options, Parser};

/// Types of nodes and edges, by V8's numbers.
const STRING: u32 = 2;
const OBJECT: u32 = 3;
const SYNTHETIC: u32 = 9;
const ROPE: u32 = 10;
const ELEMENT: u32 = 1;
const PROPERTY: u32 = 2;
const INTERNAL: u32 = 3;

/// A node: type, name (a position in `STRINGS`), edges as type, name and target.
type Node = (u32, u32, Vec<(u32, u32, usize)>);

const STRINGS: [&str; 6] = ["", "first", "second", "xyz", "global", "next"];

/// The heap of these nodes, of 16 bytes each; the first is the root.
fn heap(nodes: &[Node]) -> Heap {
    let mut records = Vec::new();
    let mut edges = Vec::new();
    for (at, (kind, name, out)) in nodes.iter().enumerate() {
        records.push(format!("{kind},{name},{},16,{},0", 2 * at + 1, out.len()));
        edges.extend(out.iter().map(|(kind, name, to)| format!("{kind},{name},{}", to * 6)));
    }
    let strings = STRINGS.map(|s| format!("\"{s}\"")).join(",");
    let text = format!(
        r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","detachedness"],
"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string"]],
"edge_fields":["type","name_or_index","to_node"],
"edge_types":[["context","element","property","internal","hidden","shortcut","weak"]]}},
"node_count":{},"edge_count":{}}},"nodes":[{}],"edges":[{}],"strings":[{strings}]}}"#,
        nodes.len(),
        edges.len(),
        records.join(","),
        edges.join(","),
    );
    let mut parser = Parser::new(Options::default());
    parser.feed(text.as_bytes()).expect("a snapshot");
    let parsed = parser.finish().expect("a snapshot");
    assert_eq!(parsed.damage, []);
    Heap::new(parsed.snapshot, Resources::default())
}

#[test]
fn a_rope_of_a_million_nodes_is_read_once() {
    // Root, a flat string, and what `s += "xyz"` makes of it.
    const LENGTH: usize = 1_000_000;
    let mut nodes: Vec<Node> = vec![(SYNTHETIC, 0, vec![(ELEMENT, 1, LENGTH + 1)]), (STRING, 3, Vec::new())];
    nodes.extend((0..LENGTH).map(|at| (ROPE, 0, vec![(INTERNAL, 1, 1 + at), (INTERNAL, 2, 1)])));
    let heap = heap(&nodes);
    let text = |node: usize| String::from_utf8(heap.node_name(NodeIdx(node as u32))).expect("text");
    assert_eq!(text(2), "xyzxyz");
    // Cut behind the part that reaches 1024 characters.
    assert_eq!(text(LENGTH + 1), "xyz".repeat(342));
    assert_eq!(text(LENGTH / 2), text(LENGTH));

    let duplicates = duplicate_strings(&heap);
    assert_eq!(duplicates.len(), 1, "all but the first few hundred ropes have the same start");
    assert_eq!(duplicates[0].nodes.len(), LENGTH - 340);
    assert!(duplicates[0].may_differ);
    let mut fits = heap.name_search("XYZXYZ");
    assert_eq!(heap.snapshot.nodes().filter(|&node| fits(node)).count(), LENGTH);
}

#[test]
fn a_rope_that_contains_itself_ends() {
    let ring: Vec<Node> = vec![
        (SYNTHETIC, 0, vec![(ELEMENT, 1, 1)]),
        (ROPE, 0, vec![(INTERNAL, 1, 2), (INTERNAL, 2, 3)]),
        (ROPE, 0, vec![(INTERNAL, 1, 1), (INTERNAL, 2, 2)]),
        (STRING, 3, Vec::new()),
    ];
    let heap = heap(&ring);
    assert_eq!(heap.snapshot.node_count(), 4);
    for node in 1..3 {
        heap.node_name(NodeIdx(node));
    }
    assert_eq!(duplicate_strings(&heap).len(), 0);
}

#[test]
fn an_ignored_root_is_no_way_in() {
    // The root holds two globals; the target hangs below both, nearer to the first.
    let nodes: Vec<Node> = vec![
        (SYNTHETIC, 0, vec![(PROPERTY, 4, 1), (PROPERTY, 4, 2)]),
        (OBJECT, 4, vec![(PROPERTY, 5, 4)]),
        (OBJECT, 4, vec![(PROPERTY, 5, 3)]),
        (OBJECT, 3, vec![(PROPERTY, 5, 4)]),
        (OBJECT, 3, Vec::new()),
    ];
    let heap = heap(&nodes);
    let path = |ignored: &[u32]| -> Option<Vec<u32>> {
        let ignored: Vec<NodeIdx> = ignored.iter().copied().map(NodeIdx).collect();
        let steps = Paths::new(&heap, &ignored).to(NodeIdx(4))?;
        Some(steps.iter().map(|step| step.node.0).collect())
    };
    assert_eq!(path(&[]), Some(vec![0, 1, 4]));
    assert_eq!(path(&[1]), Some(vec![0, 2, 3, 4]));
    assert_eq!(path(&[1, 2]), None);
    assert_eq!(path(&[1, 3]), None);
    assert_eq!(path(&[4]), None);
}
