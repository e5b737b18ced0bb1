//! Files of other heap profilers: bytes to a [`Profile`](crate::Profile) and back.

mod dhat;
mod folded;
mod frame_text;
mod gperftools;
mod heaptrack;
mod jemalloc;
mod lines;
mod maps;
mod massif;
mod pprof;
mod protobuf;
mod sniff;
mod speedscope;

pub use dhat::write_dhat;
pub use folded::write_folded;
pub use heaptrack::{heaptrack_losses, write_heaptrack};
pub use massif::{MASSIF_THRESHOLD, write_massif};
pub use pprof::write_pprof;
pub use sniff::sniff_profile;
pub use speedscope::write_speedscope;

use crate::damage::Damage;
use crate::profile::{CostType, Profile, TooLarge};

/// A format that a [`Profile`](crate::Profile) can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileFormat {
    /// valgrind's massif: `massif.out.PID`.
    Massif,
    /// valgrind's DHAT, version 2: `dhat.out.PID`, and what the Rust crate `dhat` writes.
    Dhat,
    /// The heap profiler of gperftools, as text: `PREFIX.0001.heap`.
    Gperftools,
    /// jemalloc's `heap_v2`: `jeprof.out.*.heap`.
    Jemalloc,
    /// pprof's `profile.proto`, uncompressed.
    Pprof,
    /// Folded stacks, as flame graphs are made of: `root;…;leaf NUMBER`.
    Folded,
}

impl ProfileFormat {
    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            ProfileFormat::Massif => "massif",
            ProfileFormat::Dhat => "DHAT",
            ProfileFormat::Gperftools => "gperftools heap profile",
            ProfileFormat::Jemalloc => "jemalloc heap profile",
            ProfileFormat::Pprof => "pprof",
            ProfileFormat::Folded => "folded stacks",
        }
    }
}

/// What came of a file.
#[derive(Debug, PartialEq)]
pub struct ReadProfile {
    /// What could be read.
    pub profile: Profile,
    /// Empty for a whole and sound file.
    pub damage: Vec<Damage>,
    /// What the file says beyond a profile, and was left out: sentences without a full stop.
    pub notes: Vec<String>,
}

/// The file can't be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file breaks the rules of its format in a way that leaves nothing to show.
    #[error("the {} file is damaged at byte {offset}: {what}", format.name())]
    Broken {
        /// The format.
        format: ProfileFormat,
        /// Where.
        offset: u64,
        /// What is wrong, without a full stop.
        what: String,
    },
    /// It is of the format, but holds something else than costs of allocations.
    #[error("the {} file is no heap profile: {what}", format.name())]
    NotHeap {
        /// The format.
        format: ProfileFormat,
        /// What it holds.
        what: String,
    },
    /// Its stacks have more frames than its size accounts for.
    #[error("the {} file has stacks of more frames than a file of {len} bytes can account for", format.name())]
    TooLarge {
        /// The format.
        format: ProfileFormat,
        /// Bytes of the file.
        len: u64,
    },
}

/// Reads a file of a known format; `bytes` is all of it, uncompressed.
///
/// # Errors
/// When there is nothing to give. A text that is damaged or cut short gives what could be read.
pub fn read_profile(format: ProfileFormat, bytes: &[u8]) -> Result<ReadProfile, ProfileError> {
    let mut read = match format {
        ProfileFormat::Massif => massif::read(bytes),
        ProfileFormat::Dhat => dhat::read(bytes),
        ProfileFormat::Gperftools => gperftools::read(bytes),
        ProfileFormat::Jemalloc => jemalloc::read(bytes),
        ProfileFormat::Pprof => pprof::read(bytes),
        ProfileFormat::Folded => folded::read(bytes),
    }
    .map_err(|failure| match failure {
        Failure::Broken { offset, what } => ProfileError::Broken { format, offset: offset as u64, what },
        Failure::NotHeap(what) => ProfileError::NotHeap { format, what },
        Failure::TooLarge => ProfileError::TooLarge { format, len: bytes.len() as u64 },
    })?;
    read.profile.meta.format = Some(format);
    Ok(read)
}

/// Why a reader gave up.
enum Failure {
    Broken { offset: usize, what: String },
    NotHeap(String),
    TooLarge,
}

impl Failure {
    fn at(offset: usize, what: impl Into<String>) -> Failure {
        Failure::Broken { offset, what: what.into() }
    }
}

impl From<TooLarge> for Failure {
    fn from(_: TooLarge) -> Self {
        Failure::TooLarge
    }
}

/// A format that a [`Profile`](crate::Profile) can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// heaptrack's data file, interpreted, version 3. It holds events, so it is made of a [`Trace`](crate::Trace).
    Heaptrack,
    /// valgrind's massif.
    Massif,
    /// pprof's `profile.proto`.
    Pprof,
    /// Folded stacks.
    Folded,
    /// speedscope's JSON.
    Speedscope,
    /// valgrind's DHAT.
    Dhat,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [ExportFormat; 6] = [
        ExportFormat::Heaptrack,
        ExportFormat::Massif,
        ExportFormat::Pprof,
        ExportFormat::Folded,
        ExportFormat::Speedscope,
        ExportFormat::Dhat,
    ];

    /// What it is called on the command line and in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            ExportFormat::Heaptrack => "heaptrack",
            ExportFormat::Massif => "massif",
            ExportFormat::Pprof => "pprof",
            ExportFormat::Folded => "folded",
            ExportFormat::Speedscope => "speedscope",
            ExportFormat::Dhat => "dhat",
        }
    }

    /// The costs that it has a place for, of those that this profile has.
    fn holds(self, profile: &Profile, by: CostType) -> Vec<CostType> {
        let samples = &profile.samples;
        let all = || samples.costs().collect::<Vec<_>>();
        match self {
            ExportFormat::Heaptrack => all(),
            ExportFormat::Massif => vec![CostType::PeakBytes, CostType::LiveBytes],
            ExportFormat::Pprof => all(),
            ExportFormat::Folded => vec![by],
            ExportFormat::Speedscope => speedscope::costs(profile),
            ExportFormat::Dhat => dhat::costs(profile),
        }
    }

    /// What of a profile is not kept in this format: sentences without a full stop. `by` is the cost that folded
    /// stacks are written with.
    pub fn losses(self, profile: &Profile, by: CostType) -> Vec<String> {
        let mut lost = Vec::new();
        let held = self.holds(profile, by);
        let missing: Vec<&str> =
            profile.samples.costs().filter(|cost| !held.contains(cost)).map(CostType::word).collect();
        if self == ExportFormat::Folded && !missing.is_empty() {
            lost.push(format!("folded keeps one cost, which is {}", by.word()));
        } else if !missing.is_empty() {
            lost.push(format!("{} keeps no {}", self.name(), missing.join(", ")));
        }
        if !profile.snapshots.is_empty() && !matches!(self, ExportFormat::Massif) {
            lost.push(format!("{} keeps no series over time", self.name()));
        }
        if self == ExportFormat::Massif {
            lost.extend(massif::losses(profile));
        }
        let is_any =
            |has: &dyn Fn(&crate::profile::ProfileFrame) -> bool| profile.frames.iter().any(|(_, f)| has(&f));
        if matches!(self, ExportFormat::Massif | ExportFormat::Dhat)
            && is_any(&|frame| !frame.module.is_zero() && !frame.file.is_zero())
        {
            lost.push(format!("{} keeps no module where the source file is known", self.name()));
        }
        if self == ExportFormat::Massif && is_any(&|frame| frame.column > 0) {
            lost.push("massif keeps no columns of source lines".to_owned());
        }
        if self == ExportFormat::Folded && is_any(&|frame| !frame.function.is_zero() && !frame.file.is_zero())
        {
            lost.push("folded keeps names of functions, without files and lines".to_owned());
        }
        let negative = |cost: &CostType| {
            profile.samples.column(*cost).is_some_and(|column| column.iter().any(|&value| value < 0))
        };
        if matches!(self, ExportFormat::Folded | ExportFormat::Speedscope | ExportFormat::Massif)
            && held.iter().any(negative)
        {
            lost.push(format!(
                "{} has no negative numbers: stacks that freed more than they allocated are left out",
                self.name()
            ));
        }
        lost
    }
}

/// The profile can't be written in this format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A cost is missing without which the format makes no sense.
    #[error("{format} needs {needed}, and this profile has none")]
    Missing {
        /// The format.
        format: &'static str,
        /// What is missing.
        needed: &'static str,
    },
    /// Writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Writing JSON failed.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}
