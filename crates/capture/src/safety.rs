//! What a dump will cost, and whether the machine has it: asked before the dump starts.
//!
//! V8 builds the snapshot's graph beside the heap, in the process's own memory, and the process waits meanwhile.
//! What the kernel counts is the process's resident memory, not V8's heap, and it compares that with the limits of
//! all control groups above the process. So does this module.

mod room;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

pub use room::{Limit, Room, room};

/// Bytes of memory that a heap node takes while a snapshot is made.
/// Measured: peak of the resident memory less what it was, 290 to 330 bytes a node on Node 20.20.2 (18.5 million nodes),
/// 24.21.0 (3.8 million) and 26.10.0.
const MEMORY_PER_NODE: (f64, f64) = (290.0, 330.0);
/// Bytes of the heap for each node. Measured on the same heaps: about 42; heaps with much text have fewer nodes.
const HEAP_PER_NODE: (f64, f64) = (60.0, 40.0);
/// The same for the smallest objects there are, with one number each: 374 MB of them took 5.3 GB. To underrate
/// memory kills a process, to underrate a pause does not.
const HEAP_PER_SMALL_NODE: f64 = 24.0;
/// Seconds a node that the process waits. Measured: 95.7 s for 18.5 million nodes on Node 20, and 3.4 to 5.2 µs
/// over several heaps; 7.1 s for 3.8 million on Node 24 and 7.5 s on 26.
const PAUSE_PER_NODE_BEFORE_24: (f64, f64) = (3.4e-6, 5.2e-6);
const PAUSE_PER_NODE_SINCE_24: (f64, f64) = (2e-6, 3e-6);
/// Seconds that the process waits for each byte of resident memory while its page tables are copied.
const PAUSE_PER_FORKED_BYTE: (f64, f64) = (20e-12, 60e-12);
/// Bytes of the file for each node. Measured: 1.35 GB for 18.5 million nodes; the spread covers text-heavy heaps.
const FILE_PER_NODE: (f64, f64) = (60.0, 85.0);
/// How much smaller gzip and zstd make a snapshot: five- to sixfold.
const COMPRESSION: (f64, f64) = (6.0, 4.5);

/// A heap, as `process.memoryUsage()` or the inspector's `Runtime.getHeapUsage` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapSize {
    /// Bytes of objects, dead ones too.
    pub used_bytes: u64,
    /// Bytes of V8's pages.
    pub total_bytes: u64,
}

/// How a dump is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process itself makes it and waits meanwhile.
    Ordinary,
    /// A forked copy makes it, and the process waits for the fork only.
    PauseFree {
        /// Resident memory of the process, in bytes: its page tables are copied.
        rss_bytes: u64,
    },
}

/// From and to, both possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span<T> {
    /// The least to reckon with.
    pub low: T,
    /// The most to reckon with.
    pub high: T,
}

/// What a dump will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Nodes of the snapshot.
    pub nodes: Span<u64>,
    /// How long the process answers nobody, in seconds.
    pub pause_seconds: Span<f64>,
    /// Memory beyond what the process has now, in bytes, all in its control group.
    pub extra_memory_bytes: Span<u64>,
    /// Size of the plain file, in bytes.
    pub file_bytes: Span<u64>,
    /// Size of the compressed file, in bytes.
    pub compressed_file_bytes: Span<u64>,
}

/// Foresees the cost of a dump of one heap; for several isolates, dumps are made one after the other.
///
/// Without a version the dearer one is assumed for the upper end, and the cheaper one for the lower.
pub fn predict(heap: HeapSize, node_major: Option<u32>, kind: Kind) -> Prediction {
    let used = heap.used_bytes as f64;
    let nodes = (used / HEAP_PER_NODE.0, used / HEAP_PER_NODE.1);
    let times = |factor: (f64, f64)| (nodes.0 * factor.0, nodes.1 * factor.1);
    let pause = match kind {
        Kind::Ordinary => times(match node_major {
            Some(24..) => PAUSE_PER_NODE_SINCE_24,
            Some(_) => PAUSE_PER_NODE_BEFORE_24,
            None => (PAUSE_PER_NODE_SINCE_24.0, PAUSE_PER_NODE_BEFORE_24.1),
        }),
        Kind::PauseFree { rss_bytes } => {
            let rss = rss_bytes as f64;
            (rss * PAUSE_PER_FORKED_BYTE.0, rss * PAUSE_PER_FORKED_BYTE.1)
        }
    };
    let mut memory = (nodes.0 * MEMORY_PER_NODE.0, used / HEAP_PER_SMALL_NODE * MEMORY_PER_NODE.1);
    if let Kind::PauseFree { .. } = kind {
        // What the process writes while its copy works exists twice; at most its whole heap.
        memory.1 += heap.total_bytes as f64;
    }
    let file = times(FILE_PER_NODE);
    Prediction {
        nodes: whole(nodes),
        pause_seconds: Span { low: pause.0, high: pause.1 },
        extra_memory_bytes: whole(memory),
        file_bytes: whole(file),
        compressed_file_bytes: whole((file.0 / COMPRESSION.0, file.1 / COMPRESSION.1)),
    }
}

fn whole((low, high): (f64, f64)) -> Span<u64> {
    // A float that doesn't fit is cut to the nearest u64.
    Span { low: low as u64, high: high.ceil() as u64 }
}

/// Bytes that we may still write to the file system of `folder`.
///
/// # Errors
/// If the folder doesn't exist or can't be asked, or has a file system that doesn't count.
pub fn disk_room(folder: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(folder)?;
    if system.f_blocks == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// What the user allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The longest pause, in seconds; `None` if any will do.
    pub max_pause_seconds: Option<f64>,
    /// Whether the file is compressed while it is written.
    pub compressed: bool,
}

/// How serious a shortage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The most to reckon with doesn't fit, the least does.
    Warn,
    /// Not even the least fits.
    Refuse,
}

/// A reason against a dump, or at least a worry.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel would end the process, or its whole group.
    Memory {
        /// How serious.
        level: Level,
        /// What the dump takes, in bytes.
        needed: Span<u64>,
        /// What is left, in bytes.
        available_bytes: u64,
        /// Whose limit it is.
        limit: Limit,
        /// Whether all processes of the control group would be killed together.
        oom_group: bool,
    },
    /// The kernel would slow the process down (`memory.high`); always a warning.
    Throttle {
        /// What the dump takes, in bytes.
        needed: Span<u64>,
        /// What is left, in bytes.
        available_bytes: u64,
    },
    /// The file would not fit.
    Disk {
        /// How serious.
        level: Level,
        /// Size of the file, in bytes.
        needed: Span<u64>,
        /// What is left, in bytes.
        available_bytes: u64,
    },
    /// The process would be silent for too long.
    Pause {
        /// How serious.
        level: Level,
        /// How long, in seconds.
        pause: Span<f64>,
        /// What the user allows, in seconds.
        max_seconds: f64,
    },
}

/// Compares what a dump takes with what there is: nothing to say, worries, or reasons against it.
///
/// `disk` is [`disk_room`] of where the file goes, `None` if it goes nowhere.
pub fn check(prediction: &Prediction, room: &Room, disk: Option<u64>, limits: &Limits) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let needed = prediction.extra_memory_bytes;
    if let Some(level) = level(needed, room.available_bytes) {
        refusals.push(Refusal::Memory {
            level,
            needed,
            available_bytes: room.available_bytes,
            limit: room.limit.clone(),
            oom_group: room.oom_group,
        });
    }
    if let Some(available_bytes) = room.throttle_bytes
        && available_bytes < needed.high
    {
        refusals.push(Refusal::Throttle { needed, available_bytes });
    }
    let needed = if limits.compressed { prediction.compressed_file_bytes } else { prediction.file_bytes };
    if let Some(available_bytes) = disk
        && let Some(level) = level(needed, available_bytes)
    {
        refusals.push(Refusal::Disk { level, needed, available_bytes });
    }
    let pause = prediction.pause_seconds;
    if let Some(max_seconds) = limits.max_pause_seconds
        && let Some(level) = level(pause, max_seconds)
    {
        refusals.push(Refusal::Pause { level, pause, max_seconds });
    }
    refusals
}

fn level<T: PartialOrd + Copy>(needed: Span<T>, there_is: T) -> Option<Level> {
    if needed.low > there_is {
        Some(Level::Refuse)
    } else if needed.high > there_is {
        Some(Level::Warn)
    } else {
        None
    }
}

impl Refusal {
    /// Whether the dump should not be made, or only thought over.
    pub fn level(&self) -> Level {
        match self {
            Refusal::Memory { level, .. } | Refusal::Disk { level, .. } | Refusal::Pause { level, .. } => {
                *level
            }
            Refusal::Throttle { .. } => Level::Warn,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Refusal::Memory { limit: Limit::Machine, .. } => {
                "free memory or add swap; --force makes the dump all the same".into()
            }
            Refusal::Memory { .. } => {
                "raise the limit of the container or service; --force makes the dump all the same".into()
            }
            Refusal::Throttle { .. } => "raise memory.high for the time of the dump".into(),
            Refusal::Disk { .. } => {
                "write to another disk or compress the file; --force makes the dump all the same".into()
            }
            Refusal::Pause { .. } => {
                "take the process out of service first and allow more with --max-pause; --force makes the dump all the same"
                    .into()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Memory { needed, available_bytes, limit, oom_group, .. } => {
                let available = Bytes(*available_bytes);
                write!(f, "the dump takes {needed} of memory, and {available} are left ")?;
                match limit {
                    Limit::Machine => f.write_str("on this machine")?,
                    Limit::Cgroup { path, max_bytes } => {
                        write!(
                            f,
                            "under the limit of {} of control group {}",
                            Bytes(*max_bytes),
                            path.display()
                        )?;
                    }
                }
                if *oom_group {
                    f.write_str(", whose processes the kernel kills all together")?;
                }
                Ok(())
            }
            Refusal::Throttle { needed, available_bytes } => write!(
                f,
                "the dump takes {needed} of memory, and {} are left until the kernel slows the process down (memory.high)",
                Bytes(*available_bytes)
            ),
            Refusal::Disk { needed, available_bytes, .. } => {
                write!(f, "the file takes {needed}, and {} are left on the disk", Bytes(*available_bytes))
            }
            Refusal::Pause { pause, max_seconds, .. } => {
                write!(f, "the process will be silent for {pause}, and {} are allowed", Seconds(*max_seconds))
            }
        }
    }
}

impl fmt::Display for Span<u64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", Bytes(self.low), Bytes(self.high))
    }
}

impl fmt::Display for Span<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", Seconds(self.low), Seconds(self.high))
    }
}

/// Bytes in decimal units, with two or three digits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        for unit in ["kB", "MB", "GB", "TB", "PB", "EB"] {
            value /= 1000.0;
            if value < 99.95 {
                return write!(f, "{value:.1} {unit}");
            }
            if value < 999.5 {
                return write!(f, "{value:.0} {unit}");
            }
        }
        f.write_str("more than any disk")
    }
}

struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 0.9995 => write!(f, "{:.0} ms", seconds * 1000.0),
            seconds if seconds < 99.95 => write!(f, "{seconds:.1} s"),
            seconds => write!(f, "{:.0} min", seconds / 60.0),
        }
    }
}
