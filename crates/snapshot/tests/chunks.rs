//! However a file is cut and however many threads read it, the result is the same.

mod file;

use std::sync::atomic::{AtomicUsize, Ordering};

use file::{File, assert_consistent, parse};
use proptest::prelude::*;
use twinheap_snapshot::{Damage, Parsed, Section, sequential};

/// Runs both tasks at once, as a caller with two threads does.
fn two_threads(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    std::thread::scope(|scope| {
        scope.spawn(a);
        b();
    });
}

/// Runs the second task first: neither may lean on what the other does.
fn backwards(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    b();
    a();
}

/// Parses `bytes` in one piece with one thread, and as `sizes` say with one and two; all must agree.
#[track_caller]
fn check(bytes: &[u8], sizes: &[usize]) -> Option<Parsed> {
    let whole = parse(bytes, &[bytes.len()], None);
    assert_eq!(parse(bytes, sizes, None), whole, "pieces of {sizes:?}");
    assert_eq!(parse(bytes, sizes, Some(&backwards)), whole, "pieces of {sizes:?}, shared");
    assert_eq!(parse(bytes, &[bytes.len()], Some(&two_threads)), whole, "one piece, two threads");
    let parsed = whole.ok()?;
    assert_consistent(&parsed, bytes.len() as u64);
    Some(parsed)
}

/// What to do to a byte of a file.
#[derive(Clone, Copy, Debug)]
enum Change {
    Replace(u8),
    Insert(u8),
    Remove,
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop::sample::select(b",,,0129[]{}\":\\ \n-.eu\xFF\xE2\x82".to_vec());
    prop_oneof![byte.clone().prop_map(Change::Replace), byte.prop_map(Change::Insert), Just(Change::Remove)]
}

/// Applies changes at places given as parts of the length.
fn apply(text: &mut Vec<u8>, changes: &[(f64, Change)]) {
    for &(place, change) in changes {
        let at = (place * text.len() as f64) as usize;
        match change {
            Change::Replace(byte) => text[at] = byte,
            Change::Insert(byte) => text.insert(at, byte),
            Change::Remove => drop(text.remove(at)),
        }
    }
}

/// Strings of a large file.
const NAMES: u64 = 5000;

/// A large file by its choices.
#[derive(Clone, Debug)]
struct Large {
    seed: u64,
    nodes: usize,
    edges: usize,
    /// One record a line, as V8 wrote until Node 22.
    lines: bool,
    /// Fields of a node record, 5 to 8.
    node_fields: usize,
    /// What the header claims as a part of the truth.
    claim: f64,
    defects: Vec<(f64, Defect)>,
}

/// What can be wrong among the integers.
#[derive(Clone, Copy, Debug)]
enum Defect {
    /// A comma too many.
    Comma,
    /// A comma too few, with a space instead.
    Space,
    /// Two such that cancel each other out.
    Both,
    /// A number too many.
    Number,
    /// A number of 25 digits.
    Long,
    /// Something that ends the section.
    Bracket,
    /// A sign behind a number.
    Minus,
    /// Something that does not belong there.
    Word,
}

fn large() -> impl Strategy<Value = Large> {
    let defect = prop::sample::select(vec![
        Defect::Comma,
        Defect::Space,
        Defect::Both,
        Defect::Number,
        Defect::Long,
        Defect::Bracket,
        Defect::Minus,
        Defect::Word,
    ]);
    (
        any::<u64>(),
        1000..400_000usize,
        0..800_000usize,
        any::<bool>(),
        5..9usize,
        prop::sample::select(vec![0.0, 0.4, 1.0, 1.5]),
        prop::collection::vec((0.0..1.0, defect), 0..4),
    )
        .prop_map(|(seed, nodes, edges, lines, node_fields, claim, defects)| Large {
            seed,
            nodes,
            edges,
            lines,
            node_fields,
            claim,
            defects,
        })
}

impl Large {
    fn text(&self) -> Vec<u8> {
        let fields =
            ["type", "name", "id", "self_size", "edge_count", "trace_node_id", "detachedness", "new"];
        let file = File::small();
        let mut header = file.sections[0].1.clone();
        let listed = r#"["type","name","id","self_size","edge_count","trace_node_id","detachedness"]"#;
        header = header.replace(listed, &format!("{:?}", &fields[..self.node_fields]));
        let claim = |count: usize| (count as f64 * self.claim) as usize;
        header = header.replace("\"node_count\":4", &format!("\"node_count\":{}", claim(self.nodes)));
        header = header.replace("\"edge_count\":5", &format!("\"edge_count\":{}", claim(self.edges)));
        let mut random = Random(self.seed | 1);
        let nodes = self.section(self.nodes, self.node_fields, |node, field| match field {
            0 => random.below(10),
            1 => random.of_few_digits() % NAMES,
            2 => random.of_any_length(),
            3 if random.below(4) == 0 => random.of_any_length(),
            4 => (self.edges / self.nodes + usize::from(node < self.edges % self.nodes)) as u64,
            5 if node % 100_000 > 300 => 0,
            6 => random.below(3),
            _ => random.of_few_digits(),
        });
        let edges = self.section(self.edges, 3, |_, field| match field {
            0 => random.below(7),
            1 if random.below(64) == 0 => random.of_any_length(),
            1 => random.of_few_digits(),
            _ => random.below(self.nodes as u64) * self.node_fields as u64,
        });
        let names: Vec<String> = (0..NAMES).map(|name| format!("\"n{name}\"")).collect();
        let strings = format!("[{}]", names.join(","));
        let file = file.with("snapshot", header).with("nodes", nodes).with("edges", edges);
        let mut text = file.with("strings", strings).text().into_bytes();
        let start = text.len() / 64;
        for &(place, defect) in &self.defects {
            let from = start + (place * (text.len() - 2 * start) as f64) as usize;
            let Some(at) = text[from..].iter().position(|&byte| byte == b',').map(|at| from + at) else {
                continue;
            };
            let inserted: &[u8] = match defect {
                Defect::Comma => b",",
                Defect::Both => b",1 ",
                Defect::Space => {
                    text[at] = b' ';
                    continue;
                }
                Defect::Number => b",12",
                Defect::Long => b",1111111111222222222233333",
                Defect::Bracket => b"]",
                Defect::Minus => b"-",
                Defect::Word => b"x",
            };
            text.splice(at..at, inserted.iter().copied());
        }
        text
    }

    /// An array of integers.
    fn section(&self, records: usize, fields: usize, mut value: impl FnMut(usize, usize) -> u64) -> String {
        let mut text = Vec::with_capacity(records * fields * 4);
        text.push(b'[');
        for record in 0..records {
            for field in 0..fields {
                if record + field > 0 {
                    text.push(b',');
                }
                push_number(&mut text, value(record, field));
            }
            if self.lines {
                text.push(b'\n');
            }
        }
        text.push(b']');
        String::from_utf8(text).expect("digits")
    }
}

/// Decimal digits, faster than `write!` in a test build.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }

    fn of_few_digits(&mut self) -> u64 {
        let bits = self.below(20);
        self.below(1 << bits)
    }

    fn of_any_length(&mut self) -> u64 {
        let shift = self.below(64);
        (self.below(u64::MAX) << 8 | 0xA5) >> shift
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn small_files_read_the_same_however_they_are_cut(
        changes in prop::collection::vec((0.0..1.0, change()), 0..5),
        moved in prop::collection::vec((0..8usize, 0..8usize), 0..3),
        sizes in prop::collection::vec(1..90usize, 1..6),
    ) {
        let mut file = File::small();
        for (a, b) in moved {
            file.sections.swap(a, b);
        }
        let mut text = file.text().into_bytes();
        apply(&mut text, &changes);
        let parsed = check(&text, &sizes);
        prop_assert!(!changes.is_empty() || parsed.is_some_and(|parsed| parsed.damage.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 14, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn large_files_read_the_same_with_two_threads(
        large in large(),
        sizes in prop::collection::vec(4_200_000..7_000_000usize, 1..4),
    ) {
        let parsed = check(&large.text(), &sizes);
        if large.defects.is_empty() {
            let parsed = parsed.expect("a sound file");
            prop_assert_eq!(parsed.damage, []);
            prop_assert_eq!((parsed.snapshot.node_count(), parsed.snapshot.edge_count()), (large.nodes, large.edges));
        }
    }
}

#[test]
fn large_sections_are_shared() {
    let large = Large {
        seed: 5,
        nodes: 400_000,
        edges: 400_000,
        lines: false,
        node_fields: 7,
        claim: 2.0,
        defects: vec![],
    };
    let text = large.text();
    let calls = AtomicUsize::new(0);
    let join = |a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)| {
        calls.fetch_add(1, Ordering::Relaxed);
        two_threads(a, b);
    };
    let parsed = parse(&text, &[text.len()], Some(&join)).unwrap();
    // Once to count commas and once to read, for a stretch of nodes and one of edges.
    assert!(calls.load(Ordering::Relaxed) >= 4, "{calls:?} calls for {} bytes", text.len());
    assert_eq!(parsed.damage, []);
    assert_eq!(parse(&text, &[text.len()], Some(&sequential)).unwrap(), parsed);
}

#[test]
fn sections_are_shared_to_their_end_if_the_header_is_true() {
    let large = Large {
        seed: 7,
        nodes: 400_000,
        edges: 600_000,
        lines: false,
        node_fields: 7,
        claim: 1.0,
        defects: vec![],
    };
    let text = large.text();
    // Pieces that are a section each: what stands behind it would make the second half look larger than it is.
    let behind = |from: usize, what: &str| from + memmem(&text[from..], what.as_bytes()) + what.len();
    let nodes = behind(0, "\"nodes\":[");
    let nodes_end = behind(nodes, "]");
    let edges = behind(nodes_end, "\"edges\":[");
    let edges_end = behind(edges, "]");
    let sizes = [nodes, nodes_end - nodes, edges - nodes_end, edges_end - edges, text.len() - edges_end];
    let calls = AtomicUsize::new(0);
    let join = |a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)| {
        calls.fetch_add(1, Ordering::Relaxed);
        two_threads(a, b);
    };
    let parsed = parse(&text, &sizes, Some(&join)).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 4, "twice for the nodes and twice for the edges");
    assert_eq!(parsed.damage, []);
    assert_eq!(parse(&text, &sizes, None).unwrap(), parsed);
}

/// Where `what` first stands in `text`.
fn memmem(text: &[u8], what: &[u8]) -> usize {
    text.windows(what.len()).position(|window| window == what).expect("it is there")
}

#[test]
fn signs_read_the_same_with_two_threads() {
    // Wherever the halves are cut, a sign stands in front of the comma or behind it.
    for (comma, damaged) in [("-,", true), (",-", false)] {
        let numbers = ["9", "1", "3", "5", "2", "4", "1"].join(comma);
        let nodes = vec![numbers; 300_000].join(comma);
        let file = File::small().with("nodes", format!("[{nodes}]")).with("edges", "[]");
        let header = file.sections[0].1.replace("\"node_count\":4", "\"node_count\":900000");
        let text = file.with("snapshot", header).text().into_bytes();
        let parsed = check(&text, &[4_300_001]).unwrap();
        let doubtful = parsed.damage.iter().any(|damage| damage.what.contains("alternate"));
        assert_eq!((parsed.snapshot.node_count(), doubtful), (300_000, damaged));
    }
}

#[test]
fn a_defect_in_the_first_half_makes_the_second_be_read_again() {
    // Trace nodes are written only where there are any, so what a second thread wrote in vain must be wiped.
    for defect in [
        Defect::Comma,
        Defect::Space,
        Defect::Number,
        Defect::Both,
        Defect::Long,
        Defect::Minus,
        Defect::Word,
    ] {
        for place in [0.001, 0.1, 0.2499] {
            let defects = vec![(place, defect)];
            let large = Large {
                seed: 9,
                nodes: 400_000,
                edges: 1000,
                lines: true,
                node_fields: 6,
                claim: 1.5,
                defects,
            };
            let parsed = check(&large.text(), &[5_000_000]).unwrap();
            assert!(
                matches!(&parsed.damage[..], [Damage { section: Section::Nodes, .. }, ..])
                    || matches!(defect, Defect::Both),
                "{defect:?} {:?}",
                parsed.damage
            );
        }
    }
}
