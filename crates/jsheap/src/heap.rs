//! A snapshot with everything DevTools computes when it loads one.

use std::sync::{Arc, OnceLock};

use twinheap_graph::DominatorTree;
use twinheap_snapshot::{Join, NodeIdx, Snapshot, WideColumn, sequential};

use crate::classes::{ClassId, ClassTable, classify};
use crate::detached;
use crate::distance::distances;
use crate::edges::{self, user_roots};
use crate::interfaces::{self, Interfaces};
use crate::names::Names;
use crate::ownership::shallow_sizes;
use crate::ropes::Ropes;
use crate::shapes::Shapes;
use crate::sources::Sources;
use crate::statistics::{self, Statistics};

/// Is told of the passes as they happen, possibly from two threads.
pub trait Watch: Sync {
    /// A pass begins; `work` says how much it has to do.
    fn begin(&self, pass: &'static str, work: Work);
    /// The pass ends.
    fn end(&self, pass: &'static str);
}

/// What a pass goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Nodes it visits.
    pub nodes: u64,
    /// Edges it visits.
    pub edges: u64,
    /// Bytes of columns it reads and writes at least once, as a model of the memory traffic.
    pub bytes: u64,
}

/// A [`Watch`] that does not look.
pub struct Unwatched;

impl Watch for Unwatched {
    fn begin(&self, _pass: &'static str, _work: Work) {}
    fn end(&self, _pass: &'static str) {}
}

/// What the caller lends to an analysis.
#[derive(Clone, Copy)]
pub struct Resources<'a> {
    /// Runs two passes at once, or in turn: the result is the same.
    pub join: &'a Join<'a>,
    /// Is told what goes on.
    pub watch: &'a dyn Watch,
}

impl Default for Resources<'_> {
    fn default() -> Self {
        Resources { join: &sequential, watch: &Unwatched }
    }
}

/// An analysed heap snapshot. All sizes are bytes.
#[derive(Debug)]
pub struct Heap {
    /// The file's columns.
    pub snapshot: Snapshot,
    pub(crate) names: Names,
    pub(crate) detached: detached::Detached,
    pub(crate) has_user_roots: bool,
    pub(crate) shallow: WideColumn,
    pub(crate) dominators: DominatorTree,
    pub(crate) retained: Vec<u64>,
    pub(crate) distance: Vec<i32>,
    pub(crate) interfaces: Interfaces,
    pub(crate) classes: ClassTable,
    /// Sizes by kind, without those that need the total.
    pub(crate) kinds: Statistics,
    pub(crate) ropes: OnceLock<Ropes>,
    pub(crate) shapes: OnceLock<Shapes>,
    pub(crate) sources: Option<Arc<dyn Sources>>,
}

/// The results of the passes that don't need the dominators.
struct Labels {
    shallow: WideColumn,
    distance: Vec<i32>,
    interfaces: Interfaces,
    classes: ClassTable,
    kinds: Statistics,
}

impl Heap {
    /// Lends what knows where the program's code was written: places in scripts become places in their sources.
    pub fn set_sources(&mut self, sources: Arc<dyn Sources>) {
        self.sources = Some(sources);
    }

    /// Analyses a snapshot: flags, shallow sizes, dominators, retained sizes, distances, classes.
    pub fn new(snapshot: Snapshot, resources: Resources<'_>) -> Heap {
        let Resources { join, watch } = resources;
        let (n, m) = (snapshot.node_count() as u64, snapshot.edge_count() as u64);
        let pass = |name, nodes, edges, bytes| Pass::begin(watch, name, Work { nodes, edges, bytes });

        let timer = pass("names", 0, 0, snapshot.strings.byte_len() as u64);
        let names = Names::new(&snapshot.strings);
        timer.end();
        let timer = pass("detachedness", n, 0, n);
        let detached = detached::spread(&snapshot);
        timer.end();
        let has_user_roots = !user_roots(&snapshot, &names).is_empty();

        let mut dominators: Option<DominatorTree> = None;
        let mut labels: Option<Labels> = None;
        join(
            &mut || {
                let timer = pass("dominators", n, m, 24 * m + 60 * n);
                let tree = edges::dominators(&snapshot, &names);
                timer.end();
                dominators = Some(tree);
            },
            &mut || {
                let timer = pass("shallow sizes", n, m, 4 * m + 12 * n);
                let shallow = shallow_sizes(&snapshot, &names, &detached.prefixed, has_user_roots);
                timer.end();
                let timer = pass("distances", n, m, 4 * m + 20 * n);
                let distance = distances(&snapshot, &names);
                timer.end();
                let timer = pass("interfaces", n, 0, 5 * n);
                let interfaces = interfaces::infer(&snapshot, &names);
                timer.end();
                let timer = pass("classes", n, 0, 9 * n);
                let classes = classify(&snapshot, &names, &detached.prefixed, &interfaces);
                timer.end();
                let timer = pass("statistics", n, 0, 10 * n);
                let kinds = statistics::kinds(&snapshot, &names, &detached.prefixed, &shallow);
                timer.end();
                labels = Some(Labels { shallow, distance, interfaces, classes, kinds });
            },
        );
        let dominators = dominators.expect("the caller's join runs both tasks");
        let labels = labels.expect("the caller's join runs both tasks");
        let timer = pass("retained sizes", n, 0, 28 * n);
        let retained = dominators.retained(|node| labels.shallow.get(node));
        timer.end();
        let Labels { shallow, distance, interfaces, classes, kinds } = labels;
        Heap {
            snapshot,
            names,
            detached,
            has_user_roots,
            shallow,
            dominators,
            retained,
            distance,
            interfaces,
            classes,
            kinds,
            ropes: OnceLock::new(),
            shapes: OnceLock::new(),
            sources: None,
        }
    }

    /// True if the snapshot tells the program's own roots from the system's. V8 14.9 and newer, and snapshots with
    /// internals exposed, don't.
    pub fn has_user_roots(&self) -> bool {
        self.has_user_roots
    }

    /// The node's own size with the internals it owns, in bytes.
    #[inline]
    pub fn shallow_size(&self, node: NodeIdx) -> u64 {
        self.shallow.get(node.index())
    }

    /// What would be freed with the node, in bytes.
    #[inline]
    pub fn retained_size(&self, node: NodeIdx) -> u64 {
        self.retained[node.index()]
    }

    /// Steps from a user root, which has 1; [`crate::SYSTEM_DISTANCE`] and more for what only the system reaches;
    /// [`crate::UNREACHABLE`] for what nothing strong reaches.
    #[inline]
    pub fn distance(&self, node: NodeIdx) -> i32 {
        self.distance[node.index()]
    }

    /// The node that all paths to this one go through last; the root's is the root.
    #[inline]
    pub fn dominator(&self, node: NodeIdx) -> NodeIdx {
        NodeIdx(self.dominators.parent(node.0))
    }

    /// Number of nodes that would be freed with this one, itself not counted.
    pub fn dominated_count(&self, node: NodeIdx) -> u32 {
        self.dominators.subtree_size(node.0) - 1
    }

    /// Every node's class.
    pub fn classes(&self) -> &ClassTable {
        &self.classes
    }

    /// A node's class.
    #[inline]
    pub fn class_of(&self, node: NodeIdx) -> ClassId {
        self.classes.of(node)
    }

    /// The interfaces inferred from this snapshot's plain objects.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// True if the node is detached from the page or environment it belonged to.
    pub fn is_detached(&self, node: NodeIdx) -> bool {
        self.detached.nodes.contains(node.index())
    }

    /// All bytes: what the root retains, and native memory that belongs to no node.
    pub fn total_size(&self) -> u64 {
        self.retained_size(self.snapshot.root()).saturating_add(self.extra_native_bytes())
    }

    /// Native memory that belongs to no node, in bytes.
    pub fn extra_native_bytes(&self) -> u64 {
        self.snapshot.extra_native_bytes.unwrap_or(0)
    }

    /// The same nodes sorted into another snapshot's interfaces.
    pub(crate) fn classes_under(&self, interfaces: &Interfaces) -> ClassTable {
        classify(&self.snapshot, &self.names, &self.detached.prefixed, interfaces)
    }
}

/// Tells the watch of the end as well, whatever happens.
struct Pass<'a> {
    watch: &'a dyn Watch,
    name: &'static str,
}

impl<'a> Pass<'a> {
    fn begin(watch: &'a dyn Watch, name: &'static str, work: Work) -> Self {
        watch.begin(name, work);
        Pass { watch, name }
    }

    fn end(self) {
        self.watch.end(self.name);
    }
}
