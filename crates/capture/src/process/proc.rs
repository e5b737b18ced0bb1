//! Reading `/proc`: no more than what the kernel's text says, and no panic on a process that ends meanwhile.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::Mapped;

/// The kernel shows times in hundredths of a second on every machine, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// A `/proc`: the real one, or one made up for a test.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    root: PathBuf,
}

/// What `/proc/PID/status` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The main thread's name.
    pub(crate) name: String,
    /// `R`, `S`, `T`, `Z` and so on.
    pub(crate) state: char,
    /// The process that a thread belongs to; its own pid for a process.
    pub(crate) tgid: u32,
    /// The pid inside its own pid namespace.
    pub(crate) nspid: u32,
    /// Effective user.
    pub(crate) uid: u32,
    pub(crate) threads: u32,
    pub(crate) rss_bytes: u64,
    /// A bit for each signal, signal 1 lowest: those with a handler, and those ignored.
    pub(crate) caught: u64,
    pub(crate) ignored: u64,
}

impl Proc {
    pub(crate) fn live() -> Proc {
        Proc::at("/proc")
    }

    pub(crate) fn at(root: impl Into<PathBuf>) -> Proc {
        Proc { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }

    pub(crate) fn self_path(&self, name: &str) -> PathBuf {
        self.root.join("self").join(name)
    }

    /// Where we find a file that the process knows as `path`, through its own mounts.
    pub(crate) fn inside(&self, pid: u32, path: &Path) -> PathBuf {
        self.path(pid, "root").join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn bytes(&self, pid: u32, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(pid, name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn text(&self, pid: u32, name: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(pid, name)?).into_owned())
    }

    /// All processes, ascending.
    pub(crate) fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = numbers(&self.root)?;
        pids.sort_unstable();
        Ok(pids)
    }

    pub(crate) fn threads(&self, pid: u32) -> io::Result<Vec<u32>> {
        numbers(&self.path(pid, "task"))
    }

    pub(crate) fn status(&self, pid: u32) -> io::Result<Status> {
        let text = self.text(pid, "status")?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
        };
        let number =
            |name: &str, nth: usize| -> Option<u64> { field(name).split_whitespace().nth(nth)?.parse().ok() };
        let small = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
        let signals = |name: &str| u64::from_str_radix(field(name), 16).unwrap_or_default();
        let tgid = small(number("Tgid", 0)).unwrap_or(pid);
        Ok(Status {
            name: field("Name").to_owned(),
            state: field("State").chars().next().unwrap_or('?'),
            tgid,
            nspid: field("NSpid")
                .split_whitespace()
                .last()
                .and_then(|last| last.parse().ok())
                .unwrap_or(tgid),
            // Real, effective, saved, file system.
            uid: small(number("Uid", 1)).unwrap_or(u32::MAX),
            threads: small(number("Threads", 0)).unwrap_or_default(),
            rss_bytes: number("VmRSS", 0).unwrap_or_default().saturating_mul(1024),
            caught: signals("SigCgt"),
            ignored: signals("SigIgn"),
        })
    }

    /// When the process started, after the machine did.
    pub(crate) fn started(&self, pid: u32) -> io::Result<Duration> {
        let stat = self.text(pid, "stat")?;
        // The name is in parentheses and may hold spaces and parentheses; what follows it does not.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        // Field 22, and the first one after the name is field 3.
        let ticks = after_name.split_whitespace().nth(22 - 3).and_then(|ticks| ticks.parse::<u64>().ok());
        let ticks =
            ticks.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no start time in `stat`"))?;
        Ok(Duration::from_millis(ticks.saturating_mul(TICK.as_millis() as u64)))
    }

    /// The files that a process has mapped, each once, at its lowest address.
    pub(crate) fn mapped_files(&self, pid: u32) -> io::Result<Vec<Mapped>> {
        let maps = self.bytes(pid, "maps")?;
        let mut files: Vec<Mapped> = Vec::new();
        for line in maps.split(|&byte| byte == b'\n') {
            if let Some(mapped) = mapped(line)
                && !files.iter().any(|file| file.path == mapped.path)
            {
                files.push(mapped);
            }
        }
        Ok(files)
    }
}

/// Opens a file under a path that another process has a say in.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // It may have been replaced by a pipe, and opening one waits for a writer.
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Folders whose name is a number.
fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(folder)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// One line of `maps`, if it is of a file: `START-END PERMS OFFSET DEV INODE      PATH`.
fn mapped(line: &[u8]) -> Option<Mapped> {
    let path = memchr::memchr(b'/', line).filter(|&at| at > 0 && line[at - 1] == b' ')?;
    let head = std::str::from_utf8(&line[..path]).ok()?;
    let mut fields = head.split_whitespace();
    let (start, _end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapped {
        start: hex(start)?,
        offset: hex(offset)?,
        path: PathBuf::from(OsStr::from_bytes(&line[path..])),
    })
}

/// The ranges of `smaps` that are kept out of forked children (`dc`), neighbours joined,
/// and how many of their bytes are resident.
pub(super) fn dont_fork(smaps: &str) -> (Vec<(u64, u64)>, u64) {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut resident = 0;
    // Of the mapping that the lines are about.
    let (mut range, mut rss) = (None, 0);
    for line in smaps.lines() {
        if let Some(kb) = line.strip_prefix("Rss:") {
            rss =
                kb.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() * 1024;
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            if let Some((start, end)) = range.take()
                && flags.split_whitespace().any(|flag| flag == "dc")
            {
                resident += rss;
                match ranges.last_mut() {
                    Some(last) if last.1 == start => last.1 = end,
                    _ => ranges.push((start, end)),
                }
            }
            rss = 0;
        } else if let Some((start, end)) =
            line.split_whitespace().next().and_then(|range| range.split_once('-'))
        {
            range = hex(start).zip(hex(end));
        }
    }
    (ranges, resident)
}
