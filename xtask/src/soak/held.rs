//! What a process holds, as the kernel has it: descriptors, threads, children.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

/// Threads that a library makes and ends as it likes.
const COMING_AND_GOING: [&str; 1] = ["libvips worker"];

/// What must be the same before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What descriptors lead to, sockets and pipes without their numbers, and how many of each there are.
    descriptors: BTreeMap<String, u32>,
    /// Names of threads, and how many have it.
    threads: BTreeMap<String, u32>,
    /// Child processes with their states; `Z` is a zombie.
    children: BTreeMap<String, u32>,
}

impl Held {
    /// A database opens and closes its files as it likes: what lies in the folder `aside` does not count.
    pub(super) fn of(pid: u32, aside: &Path) -> Result<Held> {
        let process = Path::new("/proc").join(pid.to_string());
        let descriptors = counted(&process.join("fd"), |entry| {
            let target = fs::read_link(entry).ok().filter(|target| !target.starts_with(aside))?;
            Some(target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned())
        })?;
        let threads = counted(&process.join("task"), |entry| {
            let name = fs::read_to_string(entry.join("comm")).ok()?.trim().to_owned();
            (!COMING_AND_GOING.contains(&name.as_str())).then_some(name)
        })?;
        let children = counted(Path::new("/proc"), |entry| {
            let stat = fs::read_to_string(entry.join("stat")).ok()?;
            let (head, tail) = stat.rsplit_once(") ")?;
            let mut fields = tail.split(' ');
            let (state, parent) = (fields.next()?, fields.next()?);
            let name = head.split_once('(')?.1;
            (parent == pid.to_string()).then(|| format!("{name} ({state})"))
        })?;
        Ok(Held { descriptors, threads, children })
    }

    /// What is there now and was not before, or is missing, in words.
    pub(super) fn changes(&self, now: &Held) -> Vec<String> {
        let mut changes = Vec::new();
        for (what, before, after) in [
            ("descriptors", &self.descriptors, &now.descriptors),
            ("threads", &self.threads, &now.threads),
            ("children", &self.children, &now.children),
        ] {
            for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                let [before, after] = [before, after].map(|counts| counts.get(name).copied().unwrap_or(0));
                if before != after {
                    changes.push(format!("{what}: {before} × {name} became {after}"));
                }
            }
        }
        changes
    }
}

fn counted(folder: &Path, name: impl Fn(&Path) -> Option<String>) -> Result<BTreeMap<String, u32>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut counts = BTreeMap::new();
    for name in entries.flatten().filter_map(|entry| name(&entry.path())) {
        *counts.entry(name).or_default() += 1;
    }
    Ok(counts)
}

/// Processor time of the threads there are, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_more_is_a_change() {
        let pid = std::process::id();
        let mut before = Held::of(pid, Path::new("/nowhere")).unwrap();
        let open = fs::File::open("/dev/zero").unwrap();
        let mut after = Held::of(pid, Path::new("/nowhere")).unwrap();
        drop(open);
        // Other tests start threads.
        before.threads.clear();
        after.threads.clear();
        assert!(before.changes(&before.clone()).is_empty());
        assert_eq!(after.descriptors.get("/dev/zero"), Some(&1));
        assert!(before.changes(&after).contains(&"descriptors: 0 × /dev/zero became 1".to_owned()));
    }
}
