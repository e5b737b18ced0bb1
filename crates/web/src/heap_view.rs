//! An analysed snapshot with what the page asks for again and again.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use twinheap_jsheap::{
    ClassId, ClassRow, Diff, Filter, Heap, MergedStep, NodeSet, PathTree, Paths, Scripts, StringGroup, Watch,
    Work, class_rows, diff, duplicate_strings, filtered, instances, largest_first, merged_paths,
};
use twinheap_report::Tile;
use twinheap_snapshot::{NodeIdx, Wtf8};

use crate::answer::Failure;
use crate::api::leaks::LeaksJson;
use crate::cache::Cache;
use crate::lists::{List, ListKey};
use crate::rows::{LocationJson, cut};
use crate::tiles;

/// Nodes in all kept lists together: 128 MB.
const MOST_LISTED: usize = 16 << 20;
/// Sets of nodes that are kept, one for each filter.
const MOST_FILTERS: usize = 8;
/// Comparisons that are kept.
const MOST_DIFFS: usize = 16;
/// Steps of all kept merged paths together.
const MOST_STEPS: usize = 4 << 20;

/// A filter of the Summary, by its name in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Only {
    DuplicatedStrings,
    Detached,
    Contexts,
    Console,
    EventHandlers,
}

impl Only {
    pub(crate) fn from_name(name: &str) -> Option<Only> {
        Some(match name {
            "duplicated-strings" => Only::DuplicatedStrings,
            "detached" => Only::Detached,
            "contexts" => Only::Contexts,
            "console" => Only::Console,
            "event-handlers" => Only::EventHandlers,
            _ => return None,
        })
    }

    fn filter(self) -> Filter {
        match self {
            Only::DuplicatedStrings => Filter::DuplicatedStrings,
            Only::Detached => Filter::RetainedByDetached,
            Only::Contexts => Filter::RetainedByContexts,
            Only::Console => Filter::RetainedByConsole,
            Only::EventHandlers => Filter::RetainedByEventHandlers,
        }
    }
}

/// What a filter lets through.
pub(crate) struct Selected {
    pub(crate) nodes: NodeSet,
    pub(crate) rows: Vec<ClassRow>,
}

/// All nodes with a size, by class, in the order in which a class lists them.
struct Grouped {
    nodes: Vec<NodeIdx>,
    /// Where each class begins; one more for the end.
    starts: Vec<u32>,
}

impl Grouped {
    fn new(heap: &Heap) -> Grouped {
        let mut starts = vec![0u32; heap.classes().len() + 1];
        let sized = || heap.snapshot.nodes().filter(|&node| heap.shallow_size(node) > 0);
        for node in sized() {
            starts[heap.class_of(node).index() + 1] += 1;
        }
        for class in 1..starts.len() {
            starts[class] += starts[class - 1];
        }
        let mut next = starts.clone();
        let mut nodes = vec![NodeIdx(0); starts.last().copied().unwrap_or(0) as usize];
        for node in sized() {
            let at = &mut next[heap.class_of(node).index()];
            nodes[*at as usize] = node;
            *at += 1;
        }
        for class in starts.windows(2) {
            largest_first(heap, &mut nodes[class[0] as usize..class[1] as usize]);
        }
        Grouped { nodes, starts }
    }

    fn of(&self, class: ClassId) -> &[NodeIdx] {
        &self.nodes[self.starts[class.index()] as usize..self.starts[class.index() + 1] as usize]
    }
}

pub(crate) struct HeapView {
    pub(crate) heap: Heap,
    /// All classes, largest retained size first.
    pub(crate) rows: Vec<ClassRow>,
    pub(crate) lists: Cache<ListKey, List>,
    scripts: Scripts,
    selected: Cache<Only, Selected>,
    merged: Cache<ClassId, Vec<MergedStep>>,
    /// By the number of the older file.
    diffs: Cache<usize, Diff>,
    /// By the files that were looked at.
    leaks: Cache<Vec<usize>, LeaksJson>,
    grouped: OnceLock<Grouped>,
    paths: OnceLock<PathTree>,
    strings: OnceLock<Vec<StringGroup>>,
    by_class: OnceLock<Tile>,
    by_package: OnceLock<Tile>,
}

impl HeapView {
    pub(crate) fn new(heap: Heap, watch: &dyn Watch) -> HeapView {
        let nodes = heap.snapshot.node_count() as u64;
        watch.begin("summary", Work { nodes, edges: 0, bytes: 28 * nodes });
        let rows = class_rows(&heap, None, &twinheap_snapshot::sequential);
        let scripts = Scripts::new(&heap);
        watch.end("summary");
        HeapView {
            heap,
            rows,
            lists: Cache::new(MOST_LISTED),
            scripts,
            selected: Cache::new(MOST_FILTERS),
            merged: Cache::new(MOST_STEPS),
            diffs: Cache::new(MOST_DIFFS),
            leaks: Cache::new(MOST_DIFFS),
            grouped: OnceLock::new(),
            paths: OnceLock::new(),
            strings: OnceLock::new(),
            by_class: OnceLock::new(),
            by_package: OnceLock::new(),
        }
    }

    /// Works out what somebody will ask for soon, so that it is there when they do.
    pub(crate) fn warm(&self) {
        self.by_class();
        self.grouped.get_or_init(|| Grouped::new(&self.heap));
        self.paths();
        self.heap.prepare_search();
        self.by_package();
    }

    /// The objects of a class, largest retained size first, as [`instances`] has them.
    pub(crate) fn instances(&self, class: ClassId) -> Vec<NodeIdx> {
        match self.grouped.get() {
            Some(grouped) => grouped.of(class).to_vec(),
            // It is on its way; one class alone is quicker.
            None => instances(&self.heap, class, None),
        }
    }

    pub(crate) fn by_class(&self) -> &Tile {
        self.by_class.get_or_init(|| tiles::by_class(self))
    }

    pub(crate) fn by_package(&self) -> &Tile {
        self.by_package.get_or_init(|| tiles::by_package(self))
    }

    /// The shortest paths to all nodes.
    pub(crate) fn paths(&self) -> Paths<'_> {
        let tree = self.paths.get_or_init(|| Paths::new(&self.heap, &[]).into_tree());
        Paths::of_tree(&self.heap, tree)
    }

    /// Texts that are there more than once.
    pub(crate) fn strings(&self) -> &[StringGroup] {
        self.strings.get_or_init(|| duplicate_strings(&self.heap))
    }

    pub(crate) fn selected(&self, only: Only) -> Arc<Selected> {
        let make = || {
            let nodes = filtered(&self.heap, only.filter());
            let rows = class_rows(&self.heap, Some(&nodes), &twinheap_snapshot::sequential);
            Ok::<_, Infallible>(Selected { nodes, rows })
        };
        match self.selected.get(&only, |_| 1, make) {
            Ok(selected) => selected,
            Err(never) => match never {},
        }
    }

    /// The paths to all objects of a class as one tree.
    pub(crate) fn merged(&self, class: ClassId) -> Arc<Vec<MergedStep>> {
        let make = || {
            let targets = self.instances(class);
            Ok::<_, Infallible>(merged_paths(&self.heap, &self.paths(), &targets))
        };
        match self.merged.get(&class, Vec::len, make) {
            Ok(steps) => steps,
            Err(never) => match never {},
        }
    }

    /// What changed since an older snapshot, which is the file with this number.
    pub(crate) fn compared_with(&self, file: usize, base: &Heap) -> Arc<Diff> {
        let make = || Ok::<_, Infallible>(diff(base, &self.heap, None, &twinheap_snapshot::sequential));
        match self.diffs.get(&file, |_| 1, make) {
            Ok(diff) => diff,
            Err(never) => match never {},
        }
    }

    /// What leaks, by these files.
    pub(crate) fn leaks(
        &self,
        files: &[usize],
        find: impl FnOnce() -> Result<LeaksJson, Failure>,
    ) -> Result<Arc<LeaksJson>, Failure> {
        self.leaks.get(&files.to_vec(), |_| 1, find)
    }

    /// A class's name, cut.
    pub(crate) fn class_label(&self, class: ClassId, most: usize) -> String {
        cut(&self.heap.classes().get(class).name().to_string_lossy(), most).0
    }

    /// The script that ran.
    pub(crate) fn script_name(&self, script_id: u32) -> Option<String> {
        let name = self.scripts.name(script_id)?;
        Some(self.heap.snapshot.strings.get(name).to_string_lossy().into_owned())
    }

    /// The place in the source of a script id and a line and column that count from 0.
    pub(crate) fn place(&self, at: (u32, u32, u32)) -> LocationJson {
        self.scripts.at(&self.heap, at).into()
    }

    pub(crate) fn location(&self, node: NodeIdx) -> Option<LocationJson> {
        self.scripts.locate(&self.heap, node).map(LocationJson::from)
    }

    /// A text as far as the file has it, in characters that a page can show.
    pub(crate) fn full_name(&self, node: NodeIdx) -> Vec<u8> {
        self.heap.node_name(node)
    }

    /// What a merged step is reached by, as an edge's type and name.
    pub(crate) fn string(&self, id: u32) -> String {
        let text = self.heap.snapshot.strings.get(twinheap_snapshot::StringId(id));
        cut(&Wtf8::new(text.as_bytes()).to_string_lossy(), 240).0
    }
}
