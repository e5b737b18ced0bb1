//! What a recording of malloc and free costs: what was alive at the peak, what leaked, what was temporary, and which
//! call sites and stacks it came from.
//!
//! [`NativeHeap`] is built once for a recording. [`NativeHeap::costs`] then replays the events of any stretch of
//! time; the file is not read again. Who asks for many stretches makes a [`RangeIndex`], which replays but a little.
//! [`call_sites`], [`MergedStacks`], [`frame_tree`], [`caller_callee`], [`groups`], [`thread_costs`], [`size_buckets`],
//! [`lifetime_buckets`] and [`realloc_sites`] group the costs, [`timeline`] follows them over time, [`stack_diffs`]
//! compares two recordings, [`growth`] follows several, [`lost`] is what nothing pointed to at the exit.
//!
//! Where heaptrack has a number for something, this crate has the same number: the tests compare each stack's costs
//! with `heaptrack_print`. Where heaptrack's number is doubtful, the true one stands beside it under another name.
//!
//! Of a sampled recording all costs are estimates, and have [`Variances`]; what a sample can't tell is absent.
//!
//! The crate reads and writes nothing, and formats nothing.

mod blame;
mod callers;
mod cost;
mod diff;
mod estimate;
mod filter;
mod frame_tree;
mod frames;
mod groups;
mod growth;
mod heap;
mod histogram;
mod lifetimes;
mod lost;
mod outside;
mod profile;
mod profile_stacks;
mod range_index;
mod reallocs;
mod replay;
mod sites;
mod stacks;
mod suppressions;
mod threads;
mod timeline;
mod top_down;
mod tree;

pub use blame::{Blame, Blamed, CodeOwner, blame};
pub use callers::{CallEdge, CallerCallee, FunctionCost, caller_callee};
pub use cost::{Cost, Costs, Measure, StackCost, Totals};
pub use diff::{CostDelta, Side, StackDiff, stack_diffs};
pub use estimate::{Variance, Variances};
pub use filter::SiteName;
pub use frame_tree::{Cut, Direction, FrameNode, FrameTree, Hidden, frame_tree};
pub use frames::{FrameNo, FrameTable, Identity};
pub use groups::{GroupCost, groups};
pub use growth::{NativeGrowth, SiteGrowth, growth, moments};
pub use heap::{FrameView, NativeHeap};
pub use histogram::{SizeBucket, SizeCost, SizeCount, Sizes, TopSite, histogram, size_buckets};
pub use lifetimes::{LifetimeBucket, lifetime_buckets};
pub use lost::{Lost, LostCost, LostStack, lost};
pub use outside::{KindTimeline, Outside, OutsideKind, OutsidePart, OutsideTimeline, outside_malloc};
pub use profile::profile;
pub use profile_stacks::{ProfileStack, profile_stacks};
pub use range_index::RangeIndex;
pub use reallocs::{ReallocSite, realloc_sites};
pub use sites::{CallSite, CallSites, call_sites};
pub use stacks::{MergedStack, MergedStacks};
pub use suppressions::{SuppressionHits, Suppressions, pattern_matches};
pub use threads::{ThreadCost, ThreadCosts, thread_costs};
pub use timeline::{SiteTimeline, Timeline, TimelineVariance, timeline};
pub use top_down::{CallNode, TopDown, top_down};
pub use tree::{CallTree, TreeNode, bottom_up};
pub use twinheap_trend::{Confidence, Pattern, Trend, Verdict};
