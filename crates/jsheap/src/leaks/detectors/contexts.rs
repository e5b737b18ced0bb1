//! Closures whose variables hold what they don't use.
//!
//! Functions made in one call share one set of variables, the context. If one of them stays, so do the variables of
//! all, whether the one that stays uses them or not. A snapshot does not tell who reads a variable (V8 has begun to
//! write that; no Node.js does yet), but it shows two consequences: contexts of one function that hold each other in
//! a row, and variables that are held by closures only and make up most of what these closures cost.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType};

use super::findings::{Finding, bytes, named};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "closure-contexts";

/// Contexts of one scope that are worth a look.
const MANY: usize = 20;
/// A row of contexts this long is no accident.
const LONG_ROW: usize = 10;
/// Steps of the dominator tree between two contexts of a row.
const LOOK_BACK: usize = 12;
/// What a variable has to cost in all contexts of a scope together, in bytes.
const COSTLY: u64 = 100_000;
/// Findings of one heap.
const MOST: usize = 20;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let heap = scene.heap;
    let mut scopes: FxHashMap<NodeIdx, Vec<NodeIdx>> = FxHashMap::default();
    for &context in scene.survey().objects(Word::Context) {
        if let Some(scope) = scene.internal(context, "scope_info") {
            scopes.entry(scope).or_default().push(context);
        }
    }
    let mut scopes: Vec<(NodeIdx, Vec<NodeIdx>)> =
        scopes.into_iter().filter(|(_, contexts)| contexts.len() >= MANY).collect();
    let size =
        |contexts: &[NodeIdx]| contexts.iter().map(|&c| heap.retained_size(c)).fold(0, u64::saturating_add);
    scopes.sort_by_cached_key(|(scope, contexts)| (std::cmp::Reverse(size(contexts)), *scope));
    scopes.truncate(MOST);
    for (scope, contexts) in scopes {
        if let Some(evidence) = row(scene, scope, &contexts).or_else(|| variable(scene, &contexts)) {
            found.push(evidence);
        }
    }
}

/// Each context holds the one before by a variable.
fn row(scene: &Scene<'_>, scope: NodeIdx, contexts: &[NodeIdx]) -> Option<Evidence> {
    let heap = scene.heap;
    let inner = |context: NodeIdx| {
        let mut at = context;
        for _ in 0..LOOK_BACK {
            let above = heap.dominator(at);
            if above == at {
                return false;
            }
            at = above;
            if scene.is_context(at) && scene.internal(at, "scope_info") == Some(scope) {
                return true;
            }
        }
        false
    };
    let held: Vec<NodeIdx> = contexts.iter().copied().filter(|&context| inner(context)).collect();
    if held.len() < LONG_ROW || held.len() * 4 < contexts.len() * 3 {
        return None;
    }
    let outermost = contexts.iter().copied().max_by_key(|&context| heap.retained_size(context))?;
    let (variable, _) = largest_variable(scene, outermost)?;
    let closure = closure_of(scene, outermost);
    let maker = closure.map(|closure| named(scene, closure));
    let by = maker.as_ref().map_or_else(|| "a closure".to_owned(), |maker| maker.words.clone());
    let count = held.len();
    Some(
        Finding {
            function: None,
            detector: NAME,
            holder: outermost,
            key: format!("row {variable} {}", maker.map_or(String::new(), |maker| maker.key)),
            words: format!(
                "{count} contexts hold each other in a row by the variable {variable}, which stays because {by} was \
                 made in the same call"
            ),
            advice: format!(
                "Make what stays in another function than what uses {variable}, or set {variable} to null when it is \
                 no longer needed: functions made in one call share all their variables"
            ),
            strength: Strength::Suspicious,
            members: held,
        }
        .evidence(scene),
    )
}

/// One variable is most of what the contexts of a scope retain.
fn variable(scene: &Scene<'_>, contexts: &[NodeIdx]) -> Option<Evidence> {
    let heap = scene.heap;
    let mut costs: FxHashMap<String, (u64, Vec<NodeIdx>)> = FxHashMap::default();
    for &context in contexts {
        if let Some((name, value)) = largest_variable(scene, context) {
            let entry = costs.entry(name).or_default();
            entry.0 = entry.0.saturating_add(heap.retained_size(value));
            entry.1.push(value);
        }
    }
    let (variable, (cost, values)) = costs.into_iter().max_by(|a, b| (a.1.0, &b.0).cmp(&(b.1.0, &a.0)))?;
    if cost < COSTLY || values.len() < MANY {
        return None;
    }
    let context = contexts.iter().copied().max_by_key(|&context| heap.retained_size(context))?;
    let maker = closure_of(scene, context).map(|closure| named(scene, closure));
    let by = maker.as_ref().map_or_else(|| "closures".to_owned(), |maker| maker.words.clone());
    Some(
        Finding {
            function: None,
            detector: NAME,
            holder: super::findings::common_holder(scene, contexts),
            key: format!("variable {variable} {}", maker.map_or(String::new(), |maker| maker.key)),
            words: format!(
                "the variable {variable} of {} closures such as {by} keeps {}, and nothing else holds that",
                values.len(),
                bytes(cost)
            ),
            advice: format!(
                "If the closures don't need {variable}, make them where it can't be seen, or set it to null: all \
                 functions made in one call share its variables"
            ),
            strength: Strength::Note,
            members: values,
        }
        .evidence(scene),
    )
}

/// The variable whose value would be freed with the context, and is the largest.
fn largest_variable(scene: &Scene<'_>, context: NodeIdx) -> Option<(String, NodeIdx)> {
    let snapshot = &scene.heap.snapshot;
    let own = snapshot.edges(context).filter(|&edge| {
        snapshot.edge_type(edge) == EdgeType::Context
            && scene.heap.dominator(snapshot.edge_to(edge)) == context
    });
    let edge = own
        .max_by_key(|&edge| (scene.heap.retained_size(snapshot.edge_to(edge)), std::cmp::Reverse(edge.0)))?;
    Some((String::from_utf8_lossy(&scene.heap.edge_text(edge)).into_owned(), snapshot.edge_to(edge)))
}

/// The closure that holds the context.
fn closure_of(scene: &Scene<'_>, context: NodeIdx) -> Option<NodeIdx> {
    let is_closure = |&node: &NodeIdx| scene.heap.snapshot.node_type(node) == NodeType::CLOSURE;
    let dominator = scene.heap.dominator(context);
    let holder = scene.holder(context).map(|(node, _)| node);
    Some(dominator).filter(is_closure).or(holder.filter(is_closure))
}
