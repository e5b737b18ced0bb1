//! Chrome DevTools' semantics for a V8 heap snapshot, exactly, and corrected where DevTools is wrong.
//!
//! [`Heap::new`] computes what DevTools computes when it opens a file: detachedness, shallow sizes with owned
//! internals, dominators and retained sizes, distances, classes with inferred interfaces. The other modules answer
//! questions about it: the Summary's rows, statistics, comparison, retainers, paths, dominators, strings, filters.
//!
//! The rules are those of the DevTools front end of Chrome 150 (`front_end/entrypoints/heap_snapshot_worker`). It
//! is wrong in these cases, and this crate is not:
//! - sizes from 4 GiB on wrap around there;
//! - of two classes with the same key it shows only one;
//! - an allocation timeline whose header promises too few functions makes it fail.
//!
//! The crate does no I/O and starts no thread; a caller lends what runs two passes at once.

mod aggregates;
mod classes;
mod detached;
mod diff;
mod display;
mod distance;
mod dominated;
mod edges;
mod filters;
mod heap;
mod ids;
mod interfaces;
pub mod leaks;
mod merged;
mod names;
mod npm;
mod ownership;
mod retainers;
mod ropes;
mod sampled;
mod shapes;
mod sources;
mod statistics;
mod texts;
mod tiles;
mod timeline;

pub use aggregates::{ClassRow, class_rows, instances, largest_first};
pub use classes::{Class, ClassId, ClassTable};
pub use diff::{Diff, DiffRow, diff};
pub use display::{Scripts, SourceLocation};
pub use distance::{SYSTEM_DISTANCE, UNREACHABLE};
pub use dominated::{DominatedClass, dominated, dominated_by_class, dominator_chain};
pub use filters::{Filter, NativeContext, filtered, native_contexts};
pub use heap::{Heap, Resources, Unwatched, Watch, Work};
pub use ids::IdEvidence;
pub use interfaces::Interfaces;
pub use merged::{MergedStep, Via, merged_paths};
pub use retainers::{Link, PathTree, Paths, Step, children, retainers};
pub use sampled::{SampledFunction, sampled_functions};
pub use sources::{Compiled, Original, Sources};
pub use statistics::{Statistics, statistics};
pub use texts::{StringGroup, duplicate_strings, duplicated_string_nodes, largest_strings};
pub use tiles::{ScriptShare, Tile, dominated_tiles, script_shares};
pub use timeline::{AllocationSite, Interval, allocation_sites, intervals};

/// A set of nodes, by their position.
pub use twinheap_graph::BitSet as NodeSet;
