//! What a recording of malloc and free costs: what was alive at the peak, what leaked, what was temporary, and which
//! call sites and stacks it came from.
//!
//! [`NativeHeap`] is built once for a recording. [`NativeHeap::costs`] then replays the events of any stretch of
//! time; the file is not read again. [`call_sites`] and [`merged_stacks`] group the costs.
//!
//! Where heaptrack has a number for something, this crate has the same number: the tests compare each stack's costs
//! with `heaptrack_print`. Where heaptrack's number is doubtful, the true one stands beside it under another name.
//!
//! The crate reads and writes nothing, and formats nothing.

mod cost;
mod heap;
mod histogram;
mod profile;
mod profile_stacks;
mod sites;
mod stacks;
mod suppressions;
mod tree;

pub use cost::{Cost, Costs, Measure, StackCost, Totals};
pub use heap::{FrameView, NativeHeap};
pub use histogram::{SizeCount, histogram};
pub use profile::profile;
pub use profile_stacks::{ProfileStack, profile_stacks};
pub use sites::{CallSite, CallSites, call_sites};
pub use stacks::{MergedStack, merged_stacks};
pub use suppressions::{SuppressionHits, Suppressions, pattern_matches};
pub use tree::{CallTree, TreeNode, bottom_up};
