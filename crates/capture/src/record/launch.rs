//! Starts a program with the recorder in it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::{FlockOperation, fcntl_lock, statvfs};
use twinheap_wire::{NODE_OPTIONS, VARIABLE};

/// The object that is preloaded; empty where recording doesn't work.
static PRELOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));

/// Room that a folder for shared memory must have, in bytes: what a program of some threads takes.
const ROOM: u64 = 48 << 20;

/// A private folder for rings and the recorder; it goes with this.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one in memory if there is room, and in the folder for temporary files otherwise.
    pub(super) fn create() -> io::Result<Folder> {
        let name = format!("twinheap-{}", std::process::id());
        let mut last = None;
        for base in [PathBuf::from("/dev/shm"), std::env::temp_dir(), PathBuf::from("/var/tmp")] {
            let has_room = statvfs(&base).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= ROOM);
            if !has_room {
                continue;
            }
            remove_abandoned(&base);
            for attempt in 0..100 {
                let path = base.join(format!("{name}.{attempt}"));
                match fs::DirBuilder::new().mode(0o700).create(&path) {
                    Ok(()) => return Ok(Folder { path }),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        last = Some(error);
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::StorageFull, "no folder has 48 MB free")))
    }

    /// Path of the ring with a number.
    pub(super) fn ring(&self, number: u32) -> PathBuf {
        self.path.join(format!("ring.{number}"))
    }

    /// Empties the file of what nobody asked for.
    pub(super) fn empty_waste(&self) {
        if let Ok(waste) = fs::OpenOptions::new().write(true).open(self.path.join("ring.waste")) {
            // At the worst it stays as long as it is.
            let _ = waste.set_len(0);
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what a twinheap that was killed left behind: nobody holds the lock of its first ring. Nothing of this needs
/// to succeed.
fn remove_abandoned(base: &Path) {
    // A lock of our own would not stop us.
    let ours = format!("twinheap-{}.", std::process::id());
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("twinheap-") || name.starts_with(&ours) {
            continue;
        }
        // A ring has its lock before it has its name.
        let ring = File::options().read(true).write(true).open(entry.path().join("ring.0"));
        if ring.is_ok_and(|ring| fcntl_lock(&ring, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            let _: io::Result<()> = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it is gone already, all the better.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether this build can record.
pub(super) fn is_supported() -> bool {
    !PRELOAD.is_empty()
}

/// Writes the object to preload where it can be executed from; its path.
pub(super) fn write_preload(folder: &Folder) -> io::Result<PathBuf> {
    let path = folder.path().join("twinheap-record.so");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(&path)?;
    io::Write::write_all(&mut file, PRELOAD)?;
    Ok(path)
}

/// Starts the program.
pub(super) fn start(
    command: &mut Command,
    preload: &Path,
    folder: &Folder,
    js_names: bool,
) -> io::Result<Child> {
    let preload = joined(preload.as_os_str(), ":", variable(command, "LD_PRELOAD"));
    command.env("LD_PRELOAD", preload).env(VARIABLE, folder.path().join("ring"));
    if js_names {
        let options = joined(OsStr::new(NODE_OPTIONS), " ", variable(command, "NODE_OPTIONS"));
        command.env("NODE_OPTIONS", options);
    }
    command.spawn()
}

/// A variable as the program would have it without us.
fn variable(command: &Command, name: &str) -> Option<OsString> {
    match command.get_envs().find(|(own, _)| *own == name) {
        Some((_, value)) => value.map(OsStr::to_owned),
        None => std::env::var_os(name),
    }
}

/// Ours first, then what the user has.
fn joined(ours: &OsStr, separator: &str, theirs: Option<OsString>) -> OsString {
    let mut all = ours.to_owned();
    if let Some(theirs) = theirs.filter(|theirs| !theirs.is_empty()) {
        all.push(separator);
        all.push(theirs);
    }
    all
}
