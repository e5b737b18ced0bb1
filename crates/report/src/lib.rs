//! Findings as text for people, JSON for programs, TSV for spreadsheets, and flame graphs.
//!
//! The JSON is the contract of the command line: `schema_version` 1, snake_case, bytes, seconds, ids as numbers, a
//! stable order. Texts use the same words. Nothing is computed here that is a fact about a heap.

mod assertion;
mod brief;
mod describe;
mod diff;
mod dominators;
mod export;
mod flame;
mod html;
mod leaks;
mod names;
mod native;
mod objects;
mod paths;
mod profile;
mod sampling;
mod strings;
mod style;
mod summary;
mod table;
mod tiles;

pub use assertion::{AssertView, assert_json, assert_text};
pub use brief::{Brief, BriefNumber, BriefPicture, BriefSuspect, brief_html, brief_json, brief_markdown};
pub use describe::Describer;
pub use diff::{diff_json, diff_text};
pub use dominators::{DominatorsView, dominators_json, dominators_text};
pub use export::write_nodes_tsv;
pub use flame::{Drawn, FlameCost, FlameGraph, FlameView, flame_html, flame_svg};
pub use leaks::{LeaksView, leaks_brief, leaks_json, leaks_picture, leaks_text};
pub use names::clean;
pub use native::{
    CallersView, GroupsView, HistogramView, LifetimesView, NativeDiffView, NativeLeaksView, NativeSource,
    NativeView, ReallocsView, StepLabel, ThreadName, ThreadsView, TimelineView, TreeView, callers_json,
    callers_text, groups_json, groups_text, histogram_json, histogram_text, lifetimes_json, lifetimes_text,
    native_diff_json, native_diff_text, native_json, native_leaks_brief, native_leaks_json,
    native_leaks_picture, native_leaks_text, native_text, reallocs_json, reallocs_text, threads_json,
    threads_text, timeline_json, timeline_text, tree_json, tree_text,
};
pub use objects::{ObjectView, object_json, object_text, objects_json, objects_text};
pub use paths::{
    MergedView, NoPath, RetainerNode, merged_json, merged_text, path_json, path_text, retainers_json,
    retainers_text,
};
pub use profile::{ProfileView, profile_json, profile_text};
pub use sampling::{sampling_json, sampling_text};
pub use strings::{StringsView, strings_json, strings_text};
pub use style::Style;
pub use summary::{SummaryView, summary_json, summary_text};
pub use table::{Align, Table};
pub use tiles::{Tile, class_tiles};

/// The version of every JSON document this crate writes.
pub const SCHEMA_VERSION: u32 = 1;
