//! Lists of nodes, in any order, kept as long as somebody pages through them.

use std::cmp::Reverse;
use std::sync::Arc;

use twinheap_jsheap::{ClassId, Link, children, dominated, instances, largest_first, retainers};
use twinheap_snapshot::{EdgeIdx, NodeIdx};

use crate::answer::Failure;
use crate::heap_view::{HeapView, Only};

/// Which nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// Those of a class.
    Instances(ClassId, Option<Only>),
    /// What a node refers to.
    Children(NodeIdx),
    /// Who refers to it.
    Retainers(NodeIdx),
    /// What it dominates directly.
    Dominated(NodeIdx),
    /// Nodes whose name, or whose class's name, contains a text, in upper or lower case.
    Search(String),
    /// The strings of one text, by the position of their group.
    Copies(usize),
}

/// Threads of one search.
const MOST_THREADS: usize = 4;

/// An order. Within equals it is by id, so that pages fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// As the command line and DevTools have it: largest retained size first, and retainers nearest to the roots.
    Usual,
    Retained,
    Shallow,
    Distance,
    Id,
    /// By the edge's name, or the node's.
    Name,
}

impl Order {
    pub(crate) fn from_name(name: &str) -> Option<Order> {
        Some(match name {
            "" => Order::Usual,
            "retained" => Order::Retained,
            "shallow" => Order::Shallow,
            "distance" => Order::Distance,
            "id" => Order::Id,
            "name" => Order::Name,
            _ => return None,
        })
    }
}

/// A list in an order; `true` is the largest first.
pub(crate) type ListKey = (Of, Order, bool);

/// Nodes in order, with the edges to them if they are neighbours of a node.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) nodes: Vec<NodeIdx>,
    pub(crate) edges: Option<Vec<EdgeIdx>>,
}

impl List {
    fn links(links: &[Link]) -> List {
        List {
            nodes: links.iter().map(|link| link.node).collect(),
            edges: Some(links.iter().map(|link| link.edge).collect()),
        }
    }

    fn size(&self) -> usize {
        self.nodes.len() + self.edges.as_ref().map_or(0, Vec::len)
    }
}

/// The list, from the cache if it is there.
pub(crate) fn list(view: &HeapView, of: Of, order: Order, descending: bool) -> Result<Arc<List>, Failure> {
    let usual = (of.clone(), Order::Usual, false);
    let listed = view.lists.get(&usual, List::size, || usual_list(view, &of))?;
    if order == Order::Usual {
        return Ok(listed);
    }
    view.lists.get(&(of, order, descending), List::size, || Ok(sorted(view, &listed, order, descending)))
}

fn usual_list(view: &HeapView, of: &Of) -> Result<List, Failure> {
    let heap = &view.heap;
    let plain = |nodes| List { nodes, edges: None };
    Ok(match of {
        Of::Instances(class, None) => plain(view.instances(*class)),
        Of::Instances(class, Some(only)) => plain(instances(heap, *class, Some(&view.selected(*only).nodes))),
        Of::Children(node) => List::links(&children(heap, *node)),
        Of::Retainers(node) => List::links(&retainers(heap, *node)),
        Of::Dominated(node) => plain(dominated(heap, *node)),
        Of::Search(text) => plain(search(view, text)),
        Of::Copies(group) => {
            let group = view.strings().get(*group);
            plain(group.map(|group| group.nodes.clone()).unwrap_or_default())
        }
    })
}

/// Nodes with a size whose name or class fits, largest retained size first.
fn search(view: &HeapView, text: &str) -> Vec<NodeIdx> {
    let heap = &view.heap;
    let wanted = text.to_lowercase();
    let class_fits: Vec<bool> = heap
        .classes()
        .iter()
        .map(|(_, class)| class.name().to_string_lossy().to_lowercase().contains(&wanted))
        .collect();
    let count = heap.snapshot.node_count() as u32;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS)) as u32;
    let part = &|number: u32| {
        let at = |number: u32| (u64::from(count) * u64::from(number) / u64::from(threads)) as u32;
        let mut name_fits = heap.name_search(text);
        let fits = |&node: &NodeIdx| {
            heap.shallow_size(node) > 0 && (class_fits[heap.class_of(node).index()] || name_fits(node))
        };
        (at(number)..at(number + 1)).map(NodeIdx).filter(fits).collect::<Vec<NodeIdx>>()
    };
    let mut nodes = Vec::new();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|number| scope.spawn(move || part(number))).collect();
        nodes = part(0);
        for other in others {
            match other.join() {
                Ok(more) => nodes.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    largest_first(heap, &mut nodes);
    nodes
}

fn sorted(view: &HeapView, list: &List, order: Order, descending: bool) -> List {
    let heap = &view.heap;
    let mut at: Vec<u32> = (0..list.nodes.len() as u32).collect();
    let node = |at: u32| list.nodes[at as usize];
    let number = |at: u32| match order {
        Order::Shallow => heap.shallow_size(node(at)),
        // What can't be reached comes last, as far as anything.
        Order::Distance => u64::from(heap.distance(node(at)) as u32),
        Order::Id => heap.snapshot.id(node(at)),
        Order::Usual | Order::Retained | Order::Name => heap.retained_size(node(at)),
    };
    if order == Order::Name {
        let text = |at: u32| match &list.edges {
            Some(edges) => heap.edge_text(edges[at as usize]),
            None => heap.node_name(node(at)).into_iter().take(200).collect(),
        };
        // Numbers as numbers: 9 before 10.
        at.sort_by_cached_key(|&at| {
            let text = text(at);
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u64>().ok());
            (number.is_none(), number, text)
        });
        if descending {
            at.reverse();
        }
    } else {
        let mut keyed: Vec<(u64, u64, u32)> =
            at.iter().map(|&at| (number(at), heap.snapshot.id(node(at)), at)).collect();
        if descending {
            keyed.sort_unstable_by_key(|&(number, id, at)| (Reverse(number), id, at));
        } else {
            keyed.sort_unstable();
        }
        at = keyed.into_iter().map(|(_, _, at)| at).collect();
    }
    List {
        nodes: at.iter().map(|&at| node(at)).collect(),
        edges: list.edges.as_ref().map(|edges| at.iter().map(|&at| edges[at as usize]).collect()),
    }
}
