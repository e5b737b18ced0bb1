//! Collections without a bound: which functions fill them, and whether any takes something out.

use rustc_hash::FxHashSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, StringId};

use super::findings::{Finding, named};
use crate::leaks::code::Mentions;
use crate::leaks::keys::is_key;
use crate::leaks::naming::{self, Holding};
use crate::leaks::{Accumulation, AccumulationKind, Evidence, Scene, Strength};

pub(crate) const NAME: &str = "cache";

/// Entries that make a collection worth a look.
const MANY: usize = 100;
/// Collections of one heap that are looked at: those that retain most.
const MOST: usize = 200;

/// What puts something into a collection.
const FILLS: &[&str] = &["set", "add", "push", "unshift", "append", "splice", "concat", "assign"];
/// What takes something out.
const EMPTIES: &[&str] =
    &["delete", "clear", "shift", "pop", "splice", "deleteProperty", "length", "filter", "slice"];

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let mut collections: Vec<(NodeIdx, Vec<NodeIdx>)> =
        candidates(scene).into_iter().filter(|(_, members)| members.len() >= MANY).collect();
    collections.sort_by_key(|(node, _)| (std::cmp::Reverse(scene.heap.retained_size(*node)), *node));
    collections.truncate(MOST);
    for (node, members) in collections {
        let place = naming::accumulation(scene, node, None, Holding::Entries);
        // A listener list, a timer list and the like have detectors that know more.
        if place.kind == AccumulationKind::Listeners || is_runtime(scene, node) {
            continue;
        }
        let (words, advice) = describe(scene, &place, node, members.len());
        found.push(
            Finding {
                function: None,
                detector: NAME,
                members,
                holder: node,
                key: place.name,
                words,
                advice,
                strength: Strength::Note,
            }
            .evidence(scene),
        );
    }
}

/// Maps, Sets, arrays and dictionaries with their entries.
fn candidates(scene: &Scene<'_>) -> Vec<(NodeIdx, Vec<NodeIdx>)> {
    let snapshot = &scene.heap.snapshot;
    let survey = scene.survey();
    let tables = survey.edges(super::survey::Word::Table).iter();
    let tables = tables
        .filter(|fact| {
            snapshot.node_type(fact.to) == NodeType::ARRAY && snapshot.edges(fact.to).len() >= MANY
        })
        .map(|fact| (fact.from, super::findings::entries(scene, fact.from).collect()));
    let broad = survey.broad.iter().map(|&node| {
        let edges = snapshot.edges(node);
        let is_member = |edge| match snapshot.edge_type(edge) {
            EdgeType::Element => true,
            EdgeType::Property => is_key(&scene.heap.edge_text(edge)),
            _ => false,
        };
        let members = edges.filter(|&edge| is_member(edge)).map(|edge| snapshot.edge_to(edge));
        (node, members.filter(|&to| !super::findings::is_oddball(scene.heap, to)).collect())
    });
    tables.chain(broad).collect()
}

/// What belongs to Node.js itself: its modules' tables of functions and constants.
fn is_runtime(scene: &Scene<'_>, node: NodeIdx) -> bool {
    use crate::leaks::code::Origin;
    let path = scene.path(node);
    !path.iter().any(|step| matches!(scene.origin_of(step.node), Some(Origin::Program | Origin::Package)))
        && !path.is_empty()
        && path.iter().any(|step| scene.origin_of(step.node) == Some(Origin::Runtime))
}

fn describe(scene: &Scene<'_>, place: &Accumulation, node: NodeIdx, members: usize) -> (String, String) {
    let what = place.kind.words();
    let count = entry_count(scene, node, place.kind, members);
    // Assigning and deleting properties leaves no names in the code.
    let is_dictionary = place.kind == AccumulationKind::Dictionary;
    let users = users(scene, node, place.property.as_deref());
    let fills: Vec<&User> = users.iter().filter(|user| user.fills).collect();
    let empties: Vec<&User> = users.iter().filter(|user| user.empties).collect();
    let head = format!("{} is {what} with {count} entries", place.name)
        .replace("is the ", "is a ")
        .replace("is a array", "is an array")
        .replace("is a object", "is an object");
    let list =
        |users: &[&User]| users.iter().take(3).map(|user| user.words.as_str()).collect::<Vec<_>>().join(", ");
    match (fills.is_empty() || is_dictionary, empties.is_empty() || is_dictionary) {
        (true, true) => {
            (head, "Give it a limit or an age: an LRU cache, a queue with a length, a sweep".to_owned())
        }
        (_, true) => (
            format!(
                "{head}; {} seems to fill it, and no function that uses it seems to take anything out",
                list(&fills)
            ),
            "Give it a limit or an age: an LRU cache, a queue with a length, a sweep".to_owned(),
        ),
        (_, false) => (
            format!("{head}; what seems to take something out is {}", list(&empties)),
            format!("See why what takes things out does not run, or not often enough: {}", list(&empties)),
        ),
    }
}

/// A function of the program that has to do with a collection.
struct User {
    words: String,
    fills: bool,
    empties: bool,
}

/// Functions that mention the collection's property, or can see its variable. By the names in their code: what they
/// do with it can't be seen.
fn users(scene: &Scene<'_>, node: NodeIdx, property: Option<&str>) -> Vec<User> {
    let heap = scene.heap;
    let Some((holder, edge)) = scene.holder(node) else { return Vec::new() };
    let is_variable = heap.snapshot.edge_type(edge) == EdgeType::Context;
    let name: Option<StringId> = heap.snapshot.edge_name(edge);
    if !is_variable && property.is_none() {
        return Vec::new();
    }
    let uses = |function: &crate::leaks::code::Function, mentions: &Mentions| {
        if is_variable {
            scene.code.can_see(function, holder)
        } else {
            name.is_some_and(|name| mentions.names.contains(&name))
        }
    };
    let mentions_any = |mentions: &Mentions, list: &[&str]| {
        mentions.names.iter().any(|&id| {
            let text = heap.snapshot.strings.get(id).as_bytes();
            list.iter().any(|word| word.as_bytes() == text)
        })
    };
    let mut seen: FxHashSet<String> = FxHashSet::default();
    let mut users = Vec::new();
    for (function, mentions) in scene.functions() {
        if !uses(function, mentions) {
            continue;
        }
        let (fills, empties) = (mentions_any(mentions, FILLS), mentions_any(mentions, EMPTIES));
        let words = named(scene, function.closure).words;
        if (fills || empties) && seen.insert(words.clone()) {
            users.push(User { words, fills, empties });
        }
    }
    users
}

/// Where something is, in a few words: owner and property.
pub(super) fn place_words(scene: &Scene<'_>, node: NodeIdx) -> String {
    let own = naming::accumulation(scene, node, None, Holding::Entries).name;
    // `Promise` and `Writable` name themselves and not where they are.
    let is_class = own == scene.heap.snapshot.raw_name_text(node).to_string_lossy();
    let Some((holder, edge)) = scene.holder(node).filter(|_| is_class) else { return own };
    match scene.heap.snapshot.edge_type(edge) {
        EdgeType::Property => {
            let property = String::from_utf8_lossy(&scene.heap.edge_text(edge)).into_owned();
            format!("{}.{property}", naming::accumulation(scene, holder, Some(edge), Holding::Entries).name)
        }
        EdgeType::Context => String::from_utf8_lossy(&scene.heap.edge_text(edge)).into_owned(),
        _ => own,
    }
}

/// Entries of a Map: V8 lists key, value and a link one after the other, and numbers are no edges.
fn entry_count(scene: &Scene<'_>, node: NodeIdx, kind: AccumulationKind, members: usize) -> usize {
    let snapshot = &scene.heap.snapshot;
    let Some(table) = scene.internal(node, "table").filter(|_| kind == AccumulationKind::Map) else {
        return members;
    };
    let numbers = snapshot.edges(table).filter_map(|edge| {
        let name = snapshot.edge_name(edge)?;
        let text = std::str::from_utf8(snapshot.strings.get(name).as_bytes()).ok()?;
        let at: u64 = text.parse().ok()?;
        (!super::findings::is_oddball(scene.heap, snapshot.edge_to(edge))).then_some(at)
    });
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    let Some(&first) = numbers.first() else { return members };
    numbers.iter_mut().for_each(|at| *at = (*at - first) / 3);
    numbers.dedup();
    numbers.len()
}
