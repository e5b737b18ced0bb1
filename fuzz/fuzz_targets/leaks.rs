//! Hostile snapshots through the search for leaks, one alone and two as a ladder: no panic, whatever they claim to
//! hold, and no place in a source without a line.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use twinheap_fuzz::parse;
use twinheap_jsheap::leaks::{Findings, Ladder, Verdict, compare};
use twinheap_jsheap::{Heap, Resources};
use twinheap_snapshot::sequential;

/// Names that the search knows, so that nonsense gets into every branch of it.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "", "x", "items", "sessions", "7", "12 / handle", "user-17", "Object", "Array", "Map", "Set", "WeakMap", "Session",
    "Buffer", "ArrayBuffer", "Uint8Array", "Promise", "Generator", "Module", "Error", "Timeout", "AbortSignal",
    "WeakRef", "FinalizationRegistry", "AsyncLocalStorage", "AsyncContextFrame", "Counter", "Listener",
    "system / Context", "system / WeakCell", "system / PromiseReaction", "system / Oddball", "system / FeedbackVector",
    "system / Map", "system / ScopeInfo", "true", "null", "undefined", "(GC roots)", "(Handle scope)",
    "__proto__", "constructor", "map", "shared", "context", "previous", "scope_info", "feedback_cell", "value", "code",
    "function_data", "trusted_function_data", "name_or_scope_info", "script", "script_or_debug_info", "name",
    "bound_function", "bound_this", "elements", "properties", "table", "next", "listener", "target", "back_pointer",
    "reactions_or_result", "reactions", "promise_or_capability", "fulfill_handler", "reject_handler",
    "parameters_and_registers", "function", "parent", "first", "second", "backing_store", "buffer",
    "_events", "_subscribers", "_onTimeout", "_handle", "_repeat", "_idleNext", "destroyed", "closed", "status",
    "readyState", "buffered", "hashMap", "labelNames", "labels", "filename", "exports", "_cache",
    "<symbol kEvents>", "<symbol kAborted>", "<symbol kComposite>", "<symbol kDependantSignals>",
    "<symbol kResourceStore>", "<symbol context_frame>", "<symbol kAsyncContextFrame>", "<symbol kBufferedValue>",
    "push", "set", "add", "delete", "shift", "splice", "on", "off", "addEventListener",
    "/srv/app/server.js", "/srv/app/node_modules/pkg/index.js", "node:events", "file:///srv/a/x.mjs",
    "2 / part of key (a @3) -> value (b @5) pair in WeakMap (table @1)", "system / NativeContext",
];
const NODE_TYPES: u64 = 15;
const EDGE_TYPES: u64 = 7;
/// The most objects of one recipe.
const MANY: u64 = 160;

/// Objects that are alike.
#[derive(Debug)]
struct Recipe {
    kind: u64,
    name: u64,
    /// Objects in the older and in the newer dump.
    count: [u64; 2],
    size: u64,
    /// Script, line and column.
    location: Option<(u64, u64, u64)>,
    edges: Vec<Link>,
}

/// An edge of each object of a recipe.
#[derive(Debug)]
struct Link {
    kind: u64,
    name: u64,
    recipe: usize,
    /// To the object of the same number, to the next one, to all, or to the first.
    to: u64,
}

#[derive(Debug)]
struct Ladders {
    recipes: Vec<Recipe>,
}

impl<'a> Arbitrary<'a> for Ladders {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let most = u.int_in_range(1..=14)?;
        let mut recipes = Vec::new();
        for _ in 0..most {
            let many: bool = u.arbitrary()?;
            let newer = if many { u.int_in_range(0..=MANY)? } else { u.int_in_range(0..=2)? };
            let size = if u.ratio(1, 8)? { u.int_in_range(0..=1 << 40)? } else { u.int_in_range(0..=4096)? };
            let location = if u.ratio(1, 3)? {
                let odd = |u: &mut Unstructured<'a>| u.choose(&[0, 1, 7, 1 << 20, 4_294_967_295]).copied();
                Some((u.int_in_range(0..=3)?, odd(u)?, odd(u)?))
            } else {
                None
            };
            let mut edges = Vec::new();
            for _ in 0..u.int_in_range(0..=5)? {
                edges.push(Link {
                    kind: u.int_in_range(0..=EDGE_TYPES - 1)?,
                    name: u.choose_index(WORDS.len())? as u64,
                    recipe: u.int_in_range(0..=most - 1)?,
                    to: u.int_in_range(0..=3)?,
                });
            }
            recipes.push(Recipe {
                kind: u.int_in_range(0..=NODE_TYPES - 1)?,
                name: u.choose_index(WORDS.len())? as u64,
                count: [u.int_in_range(0..=newer)?, newer],
                size,
                location,
                edges,
            });
        }
        Ok(Ladders { recipes })
    }
}

/// The file of the older dump, 0, or the newer one, 1.
fn file(recipes: &[Recipe], dump: usize) -> String {
    let mut first = vec![1u64];
    for recipe in recipes {
        first.push(first.last().copied().unwrap_or(1) + recipe.count[dump]);
    }
    let (mut nodes, mut edges, mut locations) = (Vec::new(), Vec::new(), Vec::new());
    // The root holds the first recipe's objects.
    nodes.extend([9, 0, 1, 0, recipes[0].count[dump]]);
    (0..recipes[0].count[dump]).for_each(|at| edges.extend([1, at, 5 * (1 + at)]));
    for (number, recipe) in recipes.iter().enumerate() {
        for at in 0..recipe.count[dump] {
            let id = 2 * (number as u64 * MANY * 2 + at) + 3;
            let before = edges.len();
            for link in &recipe.edges {
                let (begin, count) = (first[link.recipe], recipes[link.recipe].count[dump]);
                if count == 0 {
                    continue;
                }
                let targets = match link.to {
                    0 => begin + at % count..begin + at % count + 1,
                    1 => begin + (at + 1) % count..begin + (at + 1) % count + 1,
                    // All, but not from everywhere: files stay small.
                    2 if at == 0 => begin..begin + count,
                    _ => begin..begin + 1,
                };
                for (index, target) in targets.enumerate() {
                    let name = if matches!(link.kind, 1 | 4) { index as u64 } else { link.name };
                    edges.extend([link.kind, name, 5 * target]);
                }
            }
            nodes.extend([recipe.kind, recipe.name, id, recipe.size, (edges.len() - before) as u64 / 3]);
            if let Some((script, line, column)) = recipe.location {
                locations.extend([5 * (first[number] + at), script, line, column]);
            }
        }
    }
    let numbers = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count"],
        "node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string","sliced string","symbol","bigint","object shape"],"string","number","number","number"],
        "edge_fields":["type","name_or_index","to_node"],
        "edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],
        "location_fields":["object_index","script_id","line","column"]}},"node_count":{},"edge_count":{}}},
        "nodes":[{}],"edges":[{}],"locations":[{}],"strings":{WORDS:?}}}"#,
        nodes.len() / 5,
        edges.len() / 3,
        numbers(&nodes),
        numbers(&edges),
        numbers(&locations),
    )
}

fn heap(text: &str) -> Option<Heap> {
    let parsed = parse(text.as_bytes(), &[text.len()], false).ok()?;
    Some(Heap::new(parsed.snapshot, Resources::default()))
}

fn check(findings: &Findings, heap: &Heap, dumps: usize) {
    let nodes = heap.snapshot.node_count();
    assert_eq!(findings.suspects.is_empty(), findings.verdict == Verdict::None);
    for suspect in &findings.suspects {
        assert!(suspect.verdict <= findings.verdict);
        assert!(suspect.accumulation.node.index() < nodes && suspect.example.index() < nodes);
        assert!(
            [&suspect.count, &suspect.shallow_size, &suspect.retained_size].iter().all(|s| s.len() == dumps)
        );
        assert!(suspect.location.as_ref().is_none_or(|place| place.line > 0 && place.column > 0));
        assert!(suspect.growth_per_step.is_finite() && suspect.retained_per_step.is_finite());
        assert_eq!(suspect.signature.len(), 16);
    }
}

fuzz_target!(|ladders: Ladders| {
    let texts = [0, 1].map(|dump| file(&ladders.recipes, dump));
    let (Some(older), Some(newer)) = (heap(&texts[0]), heap(&texts[1])) else { return };
    let alone = Ladder::new().finish(&newer, &sequential);
    check(&alone, &newer, 1);
    let mut ladder = Ladder::new();
    ladder.add(&older, &sequential);
    let both = ladder.finish(&newer, &sequential);
    check(&both, &newer, 2);
    let _outcomes = compare(&alone, &both);
});
