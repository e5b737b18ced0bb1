//! Which line to look at.
//!
//! A snapshot knows where functions and classes begin, and for each object of a class where the class is. For plain
//! objects, strings and Buffers it knows nothing, but somebody put them where they pile up: a function that can see
//! the variable or mentions the property, and that mentions what fills such a collection (`set`, `add`, `push`) and
//! the names or the hidden class of what was put there.

use rustc_hash::FxHashSet;
use twinheap_snapshot::{EdgeType, NodeIdx, NodeType, StringId};

use crate::leaks::code::{Function, Mentions, Origin};
use crate::leaks::naming::is_part;
use crate::leaks::scene::Scene;
use crate::leaks::{Accumulation, AccumulationKind, Location, LocationRole};
use crate::npm::package_of;

/// Objects inside a leaking one that are looked at for code.
const MOST_INSIDE: usize = 300;

/// From this score on, a function is the one that stores the objects: it can reach the place, calls what fills it, and
/// is of the same file or knows the objects.
const SURE: u32 = 9;
/// From this score on, it also knows what is stored.
const MAKES: u32 = 8;

/// Finds the line for objects like `example` that pile up in `place`.
///
/// A listener is where its function is, since that is where it was added. Everything else is where it was stored, if
/// the program stores it itself; then where its class is.
pub(crate) fn locate(scene: &Scene<'_>, example: NodeIdx, place: &Accumulation) -> Option<Location> {
    let is_value = is_value(scene, example);
    let stored = best_function(scene, example, place);
    let is_surely_stored =
        place.kind != AccumulationKind::Listeners && stored.as_ref().is_some_and(|(score, _)| *score >= SURE);
    let stored = stored.map(|(_, location)| location);
    let found = if is_surely_stored { stored.clone() } else { own(scene, example, place) };
    found
        .or_else(|| if is_value { None } else { inside(scene, example) })
        .or(stored)
        .or_else(|| owner_class(scene, place.node))
        .or_else(|| function_on_the_way(scene, place.node))
        .or_else(|| if is_value { inside(scene, example) } else { None })
}

/// The function or class of the objects themselves. A class of a package says little if others keep its instances: the
/// entries of a cache are made by a list.
fn own(scene: &Scene<'_>, example: NodeIdx, place: &Accumulation) -> Option<Location> {
    let own = of_program(scene, example)?;
    let package = package_of(&own.script);
    let is_instance = own.role == LocationRole::Class && package.is_some();
    let owner = if is_instance { owner_class(scene, place.node) } else { None };
    Some(owner.filter(|owner| package_of(&owner.script) != package).unwrap_or(own))
}

/// True for what a program makes without a class: the code that put it there says more than what is in it.
fn is_value(scene: &Scene<'_>, node: NodeIdx) -> bool {
    let snapshot = &scene.heap.snapshot;
    match snapshot.node_type(node) {
        NodeType::OBJECT => {
            let name = snapshot.raw_name_text(node).to_string_lossy();
            matches!(
                &*name,
                "Object" | "Array" | "Map" | "Set" | "Date" | "RegExp" | "Error" | "ArrayBuffer" | "WeakRef"
            ) || name.ends_with("Array")
                || name.ends_with("Error")
                || name == "Buffer"
        }
        NodeType::CLOSURE => false,
        _ => true,
    }
}

/// The function or class itself, if it is not Node's.
fn of_program(scene: &Scene<'_>, node: NodeIdx) -> Option<Location> {
    let snapshot = &scene.heap.snapshot;
    let is_function = snapshot.node_type(node) == NodeType::CLOSURE;
    let code = if is_function { scene.code.unbound(node) } else { node };
    if scene.origin_of(code)? == Origin::Runtime {
        return None;
    }
    scene.location(code, if is_function { LocationRole::Function } else { LocationRole::Class })
}

/// The nearest code of the program that an object holds: a timer's callback, the function that awaits a promise.
fn inside(scene: &Scene<'_>, node: NodeIdx) -> Option<Location> {
    let snapshot = &scene.heap.snapshot;
    let mut seen: FxHashSet<NodeIdx> = FxHashSet::default();
    seen.insert(node);
    let mut level = vec![node];
    let mut found: Option<Location> = None;
    while !level.is_empty() && seen.len() < MOST_INSIDE {
        let mut next = Vec::new();
        for &at in &level {
            for edge in snapshot.edges(at) {
                let to = snapshot.edge_to(edge);
                // Only what is there because of the object: what others hold as well is not its doing.
                let is_inside = scene.heap.dominators.dominates(node.0, to.0);
                let is_code = snapshot.node_type(to) == NodeType::CLOSURE;
                if !crate::edges::is_strong(snapshot.edge_type(edge))
                    || snapshot.edge_type(edge) == EdgeType::Shortcut
                    || is_bookkeeping(scene, edge)
                    || !(is_inside || is_code)
                    || !seen.insert(to)
                {
                    continue;
                }
                let location = of_program(scene, to);
                // Of what is equally near, functions first.
                if location.as_ref().is_some_and(|l| l.role == LocationRole::Function) && is_inside {
                    return location;
                }
                found = found.or(location);
                if is_inside {
                    next.push(to);
                }
            }
        }
        if found.is_some() {
            return found;
        }
        level = next;
    }
    None
}

/// Edges that every object of a kind has, to what they share.
fn is_bookkeeping(scene: &Scene<'_>, edge: twinheap_snapshot::EdgeIdx) -> bool {
    let snapshot = &scene.heap.snapshot;
    snapshot.edge_name(edge).is_some_and(|name| {
        matches!(
            snapshot.strings.get(name).as_bytes(),
            b"map" | b"__proto__" | b"shared" | b"feedback_cell" | b"code" | b"constructor" | b"scope_info"
        )
    })
}

/// What there is to recognise the function by.
struct Clues {
    /// The variables that the place hangs on; `None` if it hangs on no variable.
    context: Option<NodeIdx>,
    /// Names on the way from the owner to the place: property and variable.
    way: Vec<StringId>,
    /// Scripts of the classes on the way.
    scripts: Vec<u32>,
    /// Its class, unless any object has it.
    class: Option<StringId>,
    /// Names of the leaking object's properties.
    properties: Vec<StringId>,
    /// Its hidden class and the ones it came from.
    shapes: Vec<NodeIdx>,
}

/// The function of the program that most probably puts objects like `example` into `place`.
fn best_function(scene: &Scene<'_>, example: NodeIdx, place: &Accumulation) -> Option<(u32, Location)> {
    let clues = clues(scene, example, place);
    let fillers = fillers(scene, place);
    let mut best: Option<(bool, u32, usize, &Function)> = None;
    for (function, mentions) in scene.functions() {
        let score = score(scene, function, mentions, &clues, &fillers);
        if score == 0 {
            continue;
        }
        // What filled the place with many objects ran more than a few times. Of equals, the one that mentions less
        // does less else.
        let (often, names) = (mentions.ran_often, mentions.names.len());
        let is_better = best.is_none_or(|(top_often, top, top_names, other)| {
            (often, score, std::cmp::Reverse(names), std::cmp::Reverse(function.place))
                > (top_often, top, std::cmp::Reverse(top_names), std::cmp::Reverse(other.place))
        });
        if is_better {
            best = Some((often, score, names, function));
        }
    }
    let (_, score, _, function) = best?;
    let role = if score >= MAKES { LocationRole::Maker } else { LocationRole::User };
    Some((score, scene.location(function.closure, role)?))
}

/// How well a function fits the clues; 0 if it can't be the one.
fn score(
    scene: &Scene<'_>,
    function: &Function,
    mentions: &Mentions,
    clues: &Clues,
    fillers: &[StringId],
) -> u32 {
    let names_way = clues.way.iter().filter(|name| mentions.names.contains(name)).count().min(2) as u32;
    let sees = clues.context.is_some_and(|context| scene.code.can_see(function, context));
    let is_near = clues.scripts.contains(&function.place.0);
    if !(sees || names_way > 0) {
        return 0;
    }
    let fills = fillers.is_empty() || fillers.iter().any(|name| mentions.names.contains(name));
    let known = clues.properties.iter().filter(|name| mentions.names.contains(name)).count();
    // Half of the names and more is no accident.
    let makes = if clues.properties.is_empty() {
        0
    } else {
        2 * known.min(clues.properties.len()) / clues.properties.len()
    };
    let meets = clues.shapes.iter().any(|shape| mentions.shapes.contains(shape));
    let names_class = clues.class.is_some_and(|class| mentions.names.contains(&class));
    let is_program = scene.code.origin(function.place.0) == Origin::Program;
    3 * u32::from(sees)
        + 3 * names_way
        + 2 * u32::from(is_near)
        + 3 * u32::from(fills)
        + 2 * makes as u32
        + 2 * u32::from(meets)
        + 2 * u32::from(names_class)
        + u32::from(is_program)
}

fn clues(scene: &Scene<'_>, example: NodeIdx, place: &Accumulation) -> Clues {
    let snapshot = &scene.heap.snapshot;
    let mut clues = Clues {
        context: None,
        way: Vec::new(),
        scripts: Vec::new(),
        class: (snapshot.node_type(example) == NodeType::OBJECT && !is_value(scene, example))
            .then(|| snapshot.raw_name(example)),
        properties: Vec::new(),
        shapes: Vec::new(),
    };
    let mut at = place.node;
    for _ in 0..12 {
        if let Some(location) = snapshot.location(at)
            && scene.code.origin(location.script_id) != Origin::Runtime
        {
            clues.scripts.push(location.script_id);
            if clues.way.is_empty() && snapshot.node_type(at) != NodeType::CLOSURE {
                // The place is the object itself, such as a class derived from Map.
                clues.way.push(snapshot.raw_name(at));
            }
            // What holds the owner says little about what the owner does.
            if !clues.way.is_empty() {
                break;
            }
        }
        if scene.is_context(at) {
            clues.context = Some(at);
            break;
        }
        // A place that hangs on a function, as a value of a WeakMap whose key it is, is that function's: what holds
        // the function does not matter.
        if clues.way.is_empty()
            && !clues.scripts.is_empty()
            && snapshot.node_type(at) == NodeType::CLOSURE
            && let Some(context) = scene.internal(at, "context")
        {
            clues.context = Some(context);
            break;
        }
        let Some((holder, edge)) = scene.holder(at) else { break };
        if matches!(snapshot.edge_type(edge), EdgeType::Property | EdgeType::Context)
            && let Some(name) = snapshot.edge_name(edge)
        {
            clues.way.push(name);
        }
        at = holder;
    }
    if place.kind == AccumulationKind::LinkedList
        && let Some(name) = place.property.as_deref().and_then(|name| snapshot.strings.find(name))
    {
        clues.way.push(name);
    }
    if snapshot.node_type(example) == NodeType::OBJECT {
        for edge in snapshot.edges(example).filter(|&edge| snapshot.edge_type(edge) == EdgeType::Property) {
            if let Some(name) = snapshot.edge_name(edge)
                && snapshot.strings.get(name) != "__proto__"
                && clues.properties.len() < 20
            {
                clues.properties.push(name);
            }
        }
        let mut shape = scene.internal(example, "map");
        for _ in 0..8 {
            let Some(at) = shape else { break };
            clues.shapes.push(at);
            shape = scene.internal(at, "back_pointer");
        }
        // The last of the line is the empty object that all others come from.
        if clues.shapes.len() > 1 {
            clues.shapes.pop();
        }
    }
    clues
}

/// Names of what puts something into such a place, as far as the snapshot has them.
fn fillers(scene: &Scene<'_>, place: &Accumulation) -> Vec<StringId> {
    let names: &[&str] = match place.kind {
        AccumulationKind::Map | AccumulationKind::WeakMap => &["set"],
        AccumulationKind::Set => &["add"],
        AccumulationKind::Array => &["push", "unshift", "splice", "concat"],
        AccumulationKind::Listeners => {
            &["on", "once", "addListener", "addEventListener", "prependListener", "prependOnceListener"]
        }
        _ => &[],
    };
    names.iter().filter_map(|name| scene.heap.snapshot.strings.find(name)).collect()
}

/// The class of the nearest owner that is the program's.
fn owner_class(scene: &Scene<'_>, place: NodeIdx) -> Option<Location> {
    let mut at = place;
    for _ in 0..12 {
        if scene.heap.snapshot.node_type(at) == NodeType::OBJECT
            && !is_part(scene, at)
            && scene.origin_of(at).is_some_and(|origin| origin != Origin::Runtime)
        {
            return scene.location(at, LocationRole::Owner);
        }
        at = scene.holder(at)?.0;
    }
    None
}

/// The nearest function of the program on the path to the place.
fn function_on_the_way(scene: &Scene<'_>, place: NodeIdx) -> Option<Location> {
    let mut at = place;
    loop {
        if scene.heap.snapshot.node_type(at) == NodeType::CLOSURE
            && scene.origin_of(at).is_some_and(|origin| origin != Origin::Runtime)
        {
            return scene.location(at, LocationRole::User);
        }
        at = scene.holder(at)?.0;
    }
}
