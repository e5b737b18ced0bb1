//! How objects are held: one path, or the merged paths of a class.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use twinheap_jsheap::{Link, Paths, Via};

use super::listing::Listing;
use super::{Answer, Asked, FilePath, OfHeap, Shared, heap, understood, work};
use crate::answer::Failure;
use crate::rows::{NodeJson, link_row, node_row};

#[derive(Deserialize)]
pub(super) struct PathQuery {
    id: String,
    /// Ids to find a way around, separated by commas.
    #[serde(default)]
    ignore: String,
}

#[derive(Serialize)]
struct PathJson {
    /// From the root to the object, each with the edge that leads to it; empty if nothing strong does.
    steps: Vec<NodeJson>,
}

/// The shortest path to an object.
pub(super) async fn path(State(app): Shared, FilePath { file }: FilePath, query: Asked<PathQuery>) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let node = heap::node(&view, &query.id)?;
        let ignored: Result<Vec<_>, Failure> =
            query.ignore.split(',').filter(|id| !id.is_empty()).map(|id| heap::node(&view, id)).collect();
        let ignored = ignored?;
        let paths = if ignored.is_empty() { view.paths() } else { Paths::new(&view.heap, &ignored) };
        let steps = paths.to(node).unwrap_or_default();
        let row = |step: &twinheap_jsheap::Step| match step.edge {
            Some(edge) => link_row(&view, Link { edge, node: step.node }),
            None => node_row(&view, step.node),
        };
        Ok(PathJson { steps: steps.iter().map(row).collect() })
    })
    .await
}

#[derive(Serialize)]
struct StepJson {
    step: usize,
    /// What leads to it: the edge's type and name. No name stands for any number.
    edge_type: &'static str,
    edge_name: Option<String>,
    class: String,
    class_id: u32,
    /// Objects at this step.
    objects: u64,
    /// Instances of the class at or below it.
    instances: u64,
    shallow_size: u64,
    retained_size: u64,
    has_children: bool,
}

/// One level of the merged paths to all objects of a class.
pub(super) async fn merged(State(app): Shared, FilePath { file }: FilePath, query: Asked<Listing>) -> Answer {
    let query = understood(query)?;
    work(move || {
        let view = OfHeap::get(&app, file)?;
        let class = heap::class(&view, &query.class_id)?;
        let steps = view.merged(class);
        if query.step >= steps.len() {
            return Err(Failure::missing("there is no such step", "start at the top of the tree"));
        }
        // Parents come before their children.
        let mut has_children = vec![false; steps.len()];
        let mut below = Vec::new();
        for (at, step) in steps.iter().enumerate().skip(1) {
            if let Some(parent) = step.parent {
                has_children[parent] = true;
                if parent == query.step {
                    below.push(at);
                }
            }
        }
        below.sort_by_key(|&at| std::cmp::Reverse((steps[at].retained_size, steps[at].instances)));
        let row = |_, &at: &usize| {
            let step = &steps[at];
            let (edge_type, edge_name) = match step.via {
                Via::Root => ("root", None),
                Via::Named(kind, name) => (kind.name(), Some(view.string(name))),
                Via::Numbered(kind) => (kind.name(), None),
                Via::WeakMapEntry => ("weak_map_entry", None),
            };
            StepJson {
                step: at,
                edge_type,
                edge_name,
                class: view.class_label(step.class, 240),
                class_id: step.class.0,
                objects: step.objects,
                instances: step.instances,
                shallow_size: step.shallow_size,
                retained_size: step.retained_size,
                has_children: has_children[at],
            }
        };
        Ok(query.page(&below, row))
    })
    .await
}
