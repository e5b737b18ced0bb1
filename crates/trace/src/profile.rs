//! What call stacks cost, without the calls themselves: the form that heap profilers which count while they record
//! leave behind, and that a [`Trace`](crate::Trace) can be brought into.

mod builder;
mod costs;
mod frames;
mod kind;

pub use builder::{ProfileBuilder, TooLarge};
pub use costs::{CostType, Samples};
pub use frames::{Frames, ProfileFrame, Stacks};
pub(crate) use kind::kind_of_names;

use crate::formats::ProfileFormat;
use crate::ids::{StackId, StringId};
use crate::strings::Strings;

/// Call stacks and what they cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// What is known of the recording.
    pub meta: ProfileMeta,
    /// Names of functions, modules, files, build ids.
    pub strings: Strings,
    /// Places in the code.
    pub frames: Frames,
    /// Call stacks as a tree.
    pub stacks: Stacks,
    /// The costs.
    pub samples: Samples,
    /// How much was alive over time, in order of time; empty if the profiler kept no such series.
    pub snapshots: Vec<Snapshot>,
}

/// What is known of a recording as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileMeta {
    /// The format it was read from; absent if it was made from a [`Trace`](crate::Trace).
    pub format: Option<ProfileFormat>,
    /// The command line; empty if unknown.
    pub command: Vec<u8>,
    /// What the profiler says of itself; mostly empty.
    pub description: Vec<u8>,
    /// The process.
    pub pid: Option<u64>,
    /// Bytes between two samples; 1 if every allocation was counted. The costs are estimates of the whole already.
    pub sampling_period: Option<u64>,
    /// What was mapped in the process.
    pub mappings: Vec<Mapping>,
    /// When the profile was written: nanoseconds since 1970.
    pub time_ns: Option<i64>,
    /// How long it took, and what times are counted in.
    pub clock: Option<ProfileClock>,
}

/// The time of a profile. A unit may be something else than a time: valgrind's is instructions, or bytes allocated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileClock {
    /// The unit, such as `ms`, `i` or `B`.
    pub unit: Vec<u8>,
    /// What a million of them are called; empty if unknown.
    pub million: Vec<u8>,
    /// The end, in units.
    pub end: f64,
    /// When most was alive, in units.
    pub peak: Option<f64>,
    /// Blocks that live no longer than so many units count as short-lived.
    pub short_lived: Option<f64>,
}

impl ProfileClock {
    /// Seconds of a time, if the unit is one.
    pub fn seconds(&self, time: f64) -> Option<f64> {
        let divisor = match &self.unit[..] {
            b"s" => 1.0,
            b"ms" => 1e3,
            b"us" => 1e6,
            b"ns" => 1e9,
            unit if unit == "µs".as_bytes() || unit == "μs".as_bytes() => 1e6,
            _ => return None,
        };
        Some(time / divisor)
    }
}

/// A stretch of memory that a file was mapped to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// The file.
    pub file: StringId,
    /// The file's build id.
    pub build_id: StringId,
}

/// How much was alive at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When, in units of [`ProfileClock::unit`].
    pub time: f64,
    /// Bytes that the program asked for.
    pub heap_bytes: u64,
    /// Bytes that the allocator needs beside them.
    pub extra_bytes: u64,
    /// Bytes of the threads' stacks.
    pub stack_bytes: u64,
    /// Whether there are stacks.
    pub detail: Detail,
    /// Bytes by stack, each stack once; their sum is `heap_bytes`.
    pub stacks: Vec<(StackId, u64)>,
}

/// What a [`Snapshot`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Totals only.
    #[default]
    Totals,
    /// Which stacks hold how much.
    Stacks,
    /// The same, and it is the peak.
    Peak,
}
