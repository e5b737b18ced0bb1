//! What the files are called.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use twinheap_capture::Target;

use crate::args::SnapshotArgs;
use crate::failure::Failure;

/// Endings that a name may have; what tells threads apart goes in front of them.
const ENDINGS: [&str; 3] = [".heapsnapshot.zst", ".heapsnapshot", ".zst"];

/// Where one snapshot goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Stdout,
}

/// The names of a run.
#[derive(Debug)]
pub(super) struct Names {
    given: Given,
    /// What stands between the folder and the thread's name.
    round: String,
    is_series: bool,
    is_single: bool,
}

#[derive(Debug)]
enum Given {
    Folder(PathBuf),
    File(PathBuf),
    Stdout,
}

impl Names {
    /// From the command line; what can't be written to is noticed before the target stands still.
    pub(super) fn new(args: &SnapshotArgs) -> anyhow::Result<Names> {
        let given = match &args.output {
            None => Given::Folder(PathBuf::new()),
            Some(path) if path.as_os_str() == "-" => {
                if args.count.is_some_and(|n| n > 1) || args.thread.len() > 1 {
                    let what = "standard output takes one snapshot, and you asked for several";
                    return Err(Failure::new(what).hint("name a folder with --output").into());
                }
                Given::Stdout
            }
            Some(path) if path.is_dir() => Given::Folder(path.clone()),
            Some(path) => {
                let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
                let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
                let missing =
                    if ends_as_folder { Some(path.as_path()) } else { folder.filter(|f| !f.is_dir()) };
                if let Some(folder) = missing {
                    let what = format!("can't write to `{}`: there is no such folder", folder.display());
                    return Err(Failure::new(what).hint("make it first, or name another one").into());
                }
                Given::File(path.clone())
            }
        };
        Ok(Names { given, round: String::new(), is_series: false, is_single: true })
    }

    pub(super) fn is_stdout(args: &SnapshotArgs) -> bool {
        args.output.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Begins a round of a series of `count`, of so many isolates.
    pub(super) fn begin_round(&mut self, target: &Target, number: u32, count: u32, isolates: usize) {
        self.is_series = count > 1;
        self.is_single = isolates == 1;
        self.round = match self.given {
            Given::Folder(_) => {
                let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
                let digits: String = time.chars().filter(|c| !"-:".contains(*c)).collect();
                let target: String = match target {
                    Target::Pid(pid) => pid.to_string(),
                    other => other
                        .to_string()
                        .chars()
                        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' })
                        .collect(),
                };
                let round = format!("heap-{target}-{digits}");
                // A quick series takes several in a second.
                if self.round.starts_with(&round) { format!("{round}-{number}") } else { round }
            }
            // As many digits as the last one has, so that names sort as the series went.
            _ => format!("{number:0width$}", width = count.to_string().len()),
        };
    }

    /// Where the files go, and whether they are compressed.
    pub(super) fn folder(&self) -> (Option<&Path>, bool) {
        match &self.given {
            Given::Folder(folder) if folder.as_os_str().is_empty() => (Some(Path::new(".")), true),
            Given::Folder(folder) => (Some(folder), true),
            // A device or pipe has no room to be counted.
            Given::File(path) if path.exists() && !path.is_file() => (None, false),
            Given::File(path) => {
                let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
                (Some(folder.unwrap_or(Path::new("."))), path.extension() == Some(OsStr::new("zst")))
            }
            Given::Stdout => (None, false),
        }
    }

    /// Where the snapshot of a thread goes.
    pub(super) fn of(&self, thread: &str, is_main: bool) -> Place {
        match &self.given {
            Given::Stdout => Place::Stdout,
            Given::Folder(folder) => {
                Place::File(folder.join(format!("{}-{thread}.heapsnapshot.zst", self.round)))
            }
            Given::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let ending = ENDINGS.into_iter().find(|e| name.ends_with(e)).unwrap_or("");
                let mut stem = name[..name.len() - ending.len()].to_owned();
                if self.is_series {
                    stem = format!("{stem}-{}", self.round);
                }
                if !is_main && !self.is_single {
                    stem = format!("{stem}-{thread}");
                }
                Place::File(path.with_file_name(format!("{stem}{ending}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: Given, count: u32, isolates: usize, thread: &str, expected: &str) {
        let mut names = Names { given, round: String::new(), is_series: false, is_single: true };
        names.begin_round(&Target::Pid(7), 2, count, isolates);
        let Place::File(path) = names.of(thread, thread == "main") else { panic!("no file") };
        // The time is another one at each run.
        let name = path.to_str().unwrap();
        match expected.split_once("TIME") {
            Some((before, after)) => {
                assert!(name.starts_with(before) && name.ends_with(after), "{name}");
                assert_eq!(name.len(), expected.len() - 4 + "20261122T222612Z".len(), "{name}");
            }
            None => assert_eq!(name, expected),
        }
    }

    #[test]
    fn each_isolate_and_each_round_has_its_file() {
        let file = |name: &str| Given::File(PathBuf::from(name));
        check(Given::Folder("d".into()), 1, 2, "net", "d/heap-7-TIME-net.heapsnapshot.zst");
        check(Given::Folder(PathBuf::new()), 1, 1, "main", "heap-7-TIME-main.heapsnapshot.zst");
        check(file("a.heapsnapshot"), 1, 3, "main", "a.heapsnapshot");
        check(file("a.heapsnapshot.zst"), 1, 3, "net", "a-net.heapsnapshot.zst");
        check(file("a.heapsnapshot"), 1, 1, "net", "a.heapsnapshot");
        check(file("x/a.heapsnapshot"), 12, 1, "main", "x/a-02.heapsnapshot");
        check(file("plain"), 3, 2, "net", "plain-2-net");
    }
}
