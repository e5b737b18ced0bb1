//! How much memory a process may still take: the nearest limit of its control groups, or the machine's own.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use crate::process::Proc;

/// Version 1 writes "no limit" as the largest number of whole pages; so much memory no machine has.
const NO_LIMIT: u64 = 1 << 62;

/// Which limit leaves the least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The memory and swap of the machine.
    Machine,
    /// A control group of the process or one above it.
    Cgroup {
        /// Its path below the hierarchy, as `/proc/PID/cgroup` has it; `/` is as far up as we can see.
        path: PathBuf,
        /// The limit, in bytes.
        max_bytes: u64,
    },
}

/// The memory that a process may still take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Whose limit is the nearest.
    pub limit: Limit,
    /// What is left until then, in bytes, with swap and with cached file pages that can be dropped.
    pub available_bytes: u64,
    /// Whether the kernel kills all processes of that control group together.
    pub oom_group: bool,
    /// What is left until the kernel slows the process down (`memory.high`), in bytes, if there is such a limit.
    pub throttle_bytes: Option<u64>,
}

/// The room of process `pid`.
///
/// `proc_root` is `/proc`, and `top` is what all paths of mounts are relative to, `/`: tests have trees of their own.
///
/// Control groups above the part that is mounted here can't be seen, nor can those of a process in another container.
///
/// # Errors
/// If the process is gone or the machine's memory can't be read.
/// Control groups that can't be read are passed over.
pub fn room(pid: u32, proc_root: &Path, top: &Path) -> io::Result<Room> {
    let proc = Proc::at(proc_root);
    let machine = Memory::read(&proc)?;
    let mut room = Room {
        limit: Limit::Machine,
        available_bytes: machine.available.saturating_add(machine.swap_free),
        oom_group: false,
        throttle_bytes: None,
    };
    for place in places(&proc, pid, top)? {
        for group in place.upwards() {
            let Some(found) = (match place.version {
                Version::One => group.version_1(machine.swap_free),
                Version::Two => group.version_2(machine.swap_free),
            }) else {
                continue;
            };
            if let Some((max_bytes, available_bytes)) = found.max
                && available_bytes < room.available_bytes
            {
                room.limit = Limit::Cgroup { path: group.path.clone(), max_bytes };
                room.available_bytes = available_bytes;
                room.oom_group = found.oom_group;
            }
            room.throttle_bytes = [room.throttle_bytes, found.throttle].into_iter().flatten().min();
        }
    }
    Ok(room)
}

/// The machine's memory, in bytes.
struct Memory {
    available: u64,
    swap_free: u64,
}

impl Memory {
    fn read(proc: &Proc) -> io::Result<Memory> {
        let text = text(&proc.root().join("meminfo"))?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        let available = field("MemAvailable").or_else(|| field("MemFree"));
        let available = available
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no MemAvailable in meminfo"))?;
        Ok(Memory { available, swap_free: field("SwapFree").unwrap_or_default() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where a process's control group is mounted.
struct Place {
    version: Version,
    /// The mount point.
    mount: PathBuf,
    /// What of the hierarchy is mounted there: `/`, or a container's own part of it.
    shown: PathBuf,
    /// The control group below the mount point.
    below: PathBuf,
}

impl Place {
    /// The process's own control group and all above it that the mount shows.
    fn upwards(&self) -> Vec<Group> {
        let group = |below: &Path| Group { folder: self.mount.join(below), path: self.shown.join(below) };
        // The last ancestor is the empty path: the mount point itself.
        self.below.ancestors().map(group).collect()
    }
}

/// A control group.
struct Group {
    folder: PathBuf,
    path: PathBuf,
}

/// What a control group allows, in bytes.
struct Found {
    /// The limit, and what is left of it.
    max: Option<(u64, u64)>,
    throttle: Option<u64>,
    oom_group: bool,
}

impl Group {
    fn text(&self, name: &str) -> Option<String> {
        text(&self.folder.join(name)).ok()
    }

    /// `None` for `max`, for no limit in numbers, and without the file.
    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok().filter(|&number| number < NO_LIMIT)
    }

    fn stat(&self, name: &str) -> u64 {
        let Some(text) = self.text("memory.stat") else { return 0 };
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or_default()
    }

    fn version_2(&self, swap_free: u64) -> Option<Found> {
        // The root has no such file, nor has a group whose parent doesn't hand the controller on.
        let current = self.number("memory.current")?;
        // File pages that nobody has used lately go first when memory is short.
        let used = current.saturating_sub(self.stat("inactive_file"));
        let swap = match (self.number("memory.swap.max"), self.number("memory.swap.current")) {
            (Some(max), current) => max.saturating_sub(current.unwrap_or_default()).min(swap_free),
            (None, _) => swap_free,
        };
        let max = self.number("memory.max").map(|max| (max, max.saturating_sub(used).saturating_add(swap)));
        // Nothing stops at this limit, so swap doesn't help: reclaiming is what slows the process down.
        let throttle = self.number("memory.high").map(|high| high.saturating_sub(used));
        Some(Found { max, throttle, oom_group: self.number("memory.oom.group") == Some(1) })
    }

    fn version_1(&self, swap_free: u64) -> Option<Found> {
        let usage = self.number("memory.usage_in_bytes")?;
        let cache = self.stat("total_inactive_file");
        let used = usage.saturating_sub(cache);
        let memory = self
            .number("memory.limit_in_bytes")
            .map(|max| (max, max.saturating_sub(used).saturating_add(swap_free)));
        // Memory and swap together; there is no such file where the kernel doesn't count swap.
        let both = self.number("memory.memsw.limit_in_bytes").map(|max| {
            let used = self.number("memory.memsw.usage_in_bytes").unwrap_or(usage).saturating_sub(cache);
            (max, max.saturating_sub(used))
        });
        let max = memory.into_iter().chain(both).min_by_key(|&(_, available)| available);
        Some(Found { max, throttle: None, oom_group: false })
    }
}

/// Where the memory controller's control groups of a process can be read, in both versions.
fn places(proc: &Proc, pid: u32, top: &Path) -> io::Result<Vec<Place>> {
    let groups = proc.text(pid, "cgroup")?;
    let mut places = Vec::new();
    for (version, path) in groups.lines().filter_map(membership) {
        // Our own mounts see all groups above the process's, if we are outside its container.
        // In a container that only shares the processes with it, its own mounts have it.
        let ours = text(&proc.self_path("mountinfo")).unwrap_or_default();
        let theirs = proc.text(pid, "mountinfo").unwrap_or_default();
        let in_theirs = || mounted(&theirs, version, path, |mount| proc.inside(pid, mount));
        let in_ours =
            mounted(&ours, version, path, |mount| top.join(mount.strip_prefix("/").unwrap_or(mount)));
        places.extend(in_ours.or_else(in_theirs));
    }
    Ok(places)
}

/// A line of `/proc/PID/cgroup`, `NUMBER:CONTROLLERS:PATH`, if it is about memory.
fn membership(line: &str) -> Option<(Version, &Path)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let version = match (number, controllers) {
        ("0", "") => Version::Two,
        (_, controllers) if controllers.split(',').any(|controller| controller == "memory") => Version::One,
        _ => return None,
    };
    // A group that was removed while the process was in it.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    Some((version, Path::new(path)))
}

/// The mount that shows the most groups above `path`: `ID PARENT DEV ROOT POINT OPTIONS… - TYPE SOURCE SUPER`.
fn mounted(
    mountinfo: &str,
    version: Version,
    path: &Path,
    place: impl Fn(&Path) -> PathBuf,
) -> Option<Place> {
    let mount = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let kind = system.next()?;
        let options = system.nth(1).unwrap_or_default();
        let is_it = match version {
            Version::Two => kind == "cgroup2",
            Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        let below = path.strip_prefix(&root).ok()?;
        // A group beside or above what is mounted: `/../other`.
        let outside = below.components().any(|part| part == Component::ParentDir);
        let mount = place(Path::new(&point));
        let there = is_it && !outside && mount.join(below).is_dir();
        there.then(|| Place { version, mount, below: below.to_owned(), shown: root.into() })
    };
    mountinfo.lines().filter_map(mount).min_by_key(|place| place.shown.components().count())
}

/// Spaces and the like are octal in `mountinfo`: `\040`.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}
