//! `path` and `retainers`.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::{Link, MergedStep, Step, Via};
use twinheap_snapshot::{EdgeType, NodeIdx, StringId};

use crate::describe::{Describer, EdgeJson, NodeJson, distance_words};
use crate::names::{clean, json};
use crate::{SCHEMA_VERSION, Style};

#[derive(Serialize)]
struct PathDocument<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    id: u64,
    /// False if no path leads there; then there are no nodes.
    reachable: bool,
    nodes: Vec<StepJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
pub(crate) struct StepJson {
    #[serde(flatten)]
    node: NodeJson,
    /// How the node before refers to this one; missing for the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<EdgeJson>,
}

/// A shortest path from the root, first step first.
pub fn path_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    node: NodeIdx,
    path: Option<&[Step]>,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    PathDocument {
        schema_version: SCHEMA_VERSION,
        kind: "js-path",
        file,
        id: describer.heap.snapshot.id(node),
        reachable: path.is_some(),
        nodes: steps_json(describer, path.unwrap_or_default()),
        warnings,
    }
}

/// The steps of a path, first step first.
pub(crate) fn steps_json(describer: &Describer<'_>, path: &[Step]) -> Vec<StepJson> {
    let step = |step: &Step| StepJson {
        node: describer.node_json(step.node),
        edge: step.edge.map(|edge| describer.edge_json(edge)),
    };
    path.iter().map(step).collect()
}

/// A path longer than this is shown with its middle left out: linked lists have paths of a million steps.
const MOST_STEPS: usize = 60;

/// Why no path leads to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPath {
    /// Nothing strong holds it.
    WeaklyHeld,
    /// All paths go through objects that the user wants ignored.
    AllIgnored,
    /// The file is damaged: what holds it may be missing.
    Damaged,
}

impl NoPath {
    /// Completes "The object …" and "They …".
    fn words(self) -> &'static str {
        match self {
            NoPath::WeaklyHeld => "held by weak edges only: the next garbage collection may free it",
            NoPath::AllIgnored => "reached through ignored objects only",
            NoPath::Damaged => "not reached from the roots in this file, which is damaged",
        }
    }
}

/// A path in words, a line a step.
pub fn path_text(
    describer: &Describer<'_>,
    node: NodeIdx,
    path: Result<&[Step], NoPath>,
    style: &Style,
) -> String {
    let heap = describer.heap;
    let path = match path {
        Ok(path) => path,
        Err(why) => return format!("{} is {}.\n", describer.node_words(node, 100), why.words()),
    };
    let mut out = String::new();
    let hidden = path.len().saturating_sub(MOST_STEPS);
    for (at, step) in path.iter().enumerate() {
        if hidden > 0 && at == MOST_STEPS / 2 {
            out.push_str(&style.dim(&format!("   … {} more steps …\n", style.count(hidden as u64))));
        }
        if hidden > 0 && (MOST_STEPS / 2..MOST_STEPS / 2 + hidden).contains(&at) {
            continue;
        }
        let lead = match step.edge {
            Some(edge) => format!("└ {} → ", describer.edge_words(edge, 60)),
            None => String::new(),
        };
        let indent = " ".repeat(at.min(MOST_STEPS / 2).min(20));
        let size = format!("  {} retained", style.size(heap.retained_size(step.node)));
        out.push_str(&format!("{indent}{lead}{}{}\n", describer.node_words(step.node, 80), style.dim(&size)));
    }
    out
}

/// A tree of merged paths, and what was asked.
pub struct MergedView<'a> {
    /// The class or question, in words.
    pub class: &'a str,
    /// Instances asked for.
    pub instances: usize,
    /// Instances that no path reaches.
    pub unreachable: usize,
    /// Why not.
    pub no_path: NoPath,
    /// The tree; parents before children.
    pub steps: &'a [MergedStep],
}

#[derive(Serialize)]
struct MergedDocument<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    class: &'a str,
    instances: usize,
    unreachable: usize,
    /// A flat tree: `parent` is a position in this list, and parents come first.
    steps: Vec<MergedStepJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct MergedStepJson {
    parent: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<MergedEdgeJson>,
    class: Box<RawValue>,
    objects: u64,
    instances: u64,
    shallow_size: u64,
    retained_size: u64,
}

#[derive(Serialize)]
struct MergedEdgeJson {
    r#type: &'static str,
    /// Missing for numbered edges, which are merged whatever their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<RawValue>>,
}

/// What all the edges of WeakMap entries are called where they are merged; V8 names each after its objects' ids.
const WEAK_MAP_ENTRY: &str = "WeakMap entry";

/// Merged paths as a flat tree.
pub fn merged_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    view: &MergedView<'a>,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    let heap = describer.heap;
    MergedDocument {
        schema_version: SCHEMA_VERSION,
        kind: "js-merged-paths",
        file,
        class: view.class,
        instances: view.instances,
        unreachable: view.unreachable,
        steps: view
            .steps
            .iter()
            .map(|step| MergedStepJson {
                parent: step.parent,
                edge: match step.via {
                    Via::Root => None,
                    Via::Named(kind, name) => Some(MergedEdgeJson {
                        r#type: kind.name(),
                        name: Some(json(heap.snapshot.strings.get(StringId(name)))),
                    }),
                    Via::Numbered(kind) => Some(MergedEdgeJson { r#type: kind.name(), name: None }),
                    Via::WeakMapEntry => {
                        let name = Some(json(WEAK_MAP_ENTRY.into()));
                        Some(MergedEdgeJson { r#type: EdgeType::Internal.name(), name })
                    }
                },
                class: json(heap.classes().get(step.class).name()),
                objects: step.objects,
                instances: step.instances,
                shallow_size: step.shallow_size,
                retained_size: step.retained_size,
            })
            .collect(),
        warnings,
    }
}

/// Merged paths in words, at most `most` lines; the heaviest branches first.
pub fn merged_text(describer: &Describer<'_>, view: &MergedView<'_>, style: &Style, most: usize) -> String {
    let heap = describer.heap;
    let steps = view.steps;
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (at, step) in steps.iter().enumerate() {
        if let Some(parent) = step.parent {
            children[parent].push(at);
        }
    }
    for list in &mut children {
        list.sort_by_key(|&at| {
            (std::cmp::Reverse(steps[at].retained_size), std::cmp::Reverse(steps[at].instances))
        });
    }
    let total = steps.first().map_or(0, |root| root.retained_size);
    let mut out = format!(
        "{} instances of {}, {} shallow, {} retained\n",
        style.count(view.instances as u64),
        style.bold(&clean(view.class, 100)),
        style.size(steps.first().map_or(0, |root| root.shallow_size)),
        style.size(total),
    );
    if view.unreachable > 0 {
        let many = style.count(view.unreachable as u64);
        out.push_str(&format!("{many} of them are {}\n", view.no_path.words()));
    }
    out.push_str("\ninstances    retained\n");
    // Depth first, but only forks indent: a long chain stays on the screen.
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    let mut lines = 0;
    let mut left_out = 0u64;
    while let Some((at, indent)) = open.pop() {
        let step = &steps[at];
        if lines == most {
            left_out += 1;
            continue;
        }
        lines += 1;
        let class = clean(&heap.classes().get(step.class).name().to_string_lossy(), 60);
        let many = if step.objects > 1 { format!(" ×{}", style.count(step.objects)) } else { String::new() };
        let edge = via_words(describer, step.via);
        out.push_str(&format!(
            "{:>9}  {:>10}  {}{edge}{class}{many}\n",
            style.count(step.instances),
            style.size(step.retained_size),
            "  ".repeat(indent.min(30)),
        ));
        let deeper = indent + usize::from(children[at].len() > 1 || at == 0);
        open.extend(children[at].iter().rev().map(|&child| (child, deeper)));
    }
    if left_out > 0 {
        out.push_str(&style.dim("… lighter branches left out (--limit N)\n"));
    }
    out
}

fn via_words(describer: &Describer<'_>, via: Via) -> String {
    match via {
        Via::Root => String::new(),
        Via::Numbered(EdgeType::Element) => "[…] → ".to_owned(),
        Via::Numbered(_) => "<…> → ".to_owned(),
        Via::WeakMapEntry => format!("<{WEAK_MAP_ENTRY}> → "),
        Via::Named(kind, name) => {
            let text = clean(&describer.heap.snapshot.strings.get(StringId(name)).to_string_lossy(), 50);
            match kind {
                EdgeType::Property => format!(".{text} → "),
                EdgeType::Context => format!("variable {text} → "),
                _ => format!("<{text}> → "),
            }
        }
    }
}

/// A retainer with its own retainers, as far as they were asked for.
pub struct RetainerNode {
    /// The edge and the node that holds by it.
    pub link: Link,
    /// Who holds that node; empty where the tree was cut.
    pub retainers: Vec<RetainerNode>,
    /// How many there are, listed or not; `None` if nobody looked.
    pub total: Option<usize>,
}

#[derive(Serialize)]
struct RetainersDocument<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    object: NodeJson,
    retainer_count: usize,
    retainers: Vec<RetainerJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct RetainerJson {
    edge: EdgeJson,
    #[serde(flatten)]
    node: NodeJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    retainer_count: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retainers: Vec<RetainerJson>,
}

/// Who holds an object, nearest to the roots first.
pub fn retainers_json<'a>(
    describer: &Describer<'_>,
    file: &'a str,
    node: NodeIdx,
    total: usize,
    retainers: &[RetainerNode],
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    RetainersDocument {
        schema_version: SCHEMA_VERSION,
        kind: "js-retainers",
        file,
        object: describer.node_json(node),
        retainer_count: total,
        retainers: retainers.iter().map(|r| retainer_json(describer, r)).collect(),
        warnings,
    }
}

/// The depth is what the user asked for, at most a few dozen.
fn retainer_json(describer: &Describer<'_>, retainer: &RetainerNode) -> RetainerJson {
    RetainerJson {
        edge: describer.edge_json(retainer.link.edge),
        node: describer.node_json(retainer.link.node),
        retainer_count: retainer.total,
        retainers: retainer.retainers.iter().map(|r| retainer_json(describer, r)).collect(),
    }
}

/// The same in words, as a tree.
pub fn retainers_text(
    describer: &Describer<'_>,
    node: NodeIdx,
    total: usize,
    retainers: &[RetainerNode],
    style: &Style,
) -> String {
    let mut out = format!(
        "{}\nheld by {} edges\n\n",
        style.bold(&describer.node_words(node, 120)),
        style.count(total as u64)
    );
    write_retainers(describer, retainers, total, style, 0, &mut out);
    out
}

fn write_retainers(
    describer: &Describer<'_>,
    retainers: &[RetainerNode],
    total: usize,
    style: &Style,
    depth: usize,
    out: &mut String,
) {
    let indent = "  ".repeat(depth);
    for retainer in retainers {
        let node = retainer.link.node;
        let tail = format!(
            "  distance {}, retains {}",
            distance_words(describer.heap.distance(node)),
            style.size(describer.heap.retained_size(node)),
        );
        out.push_str(&format!(
            "{indent}{} in {}{}\n",
            describer.edge_words(retainer.link.edge, 60),
            describer.node_words(node, 80),
            style.dim(&tail)
        ));
        write_retainers(describer, &retainer.retainers, retainer.total.unwrap_or(0), style, depth + 1, out);
    }
    if !retainers.is_empty() && total > retainers.len() {
        let rest = style.count((total - retainers.len()) as u64);
        out.push_str(&style.dim(&format!("{indent}… {rest} more (--limit N)\n")));
    }
}
