//! Files that have no allocator inside.
//!
//! A plan takes tens of milliseconds for an executable as large as Node's, and its process waits for it: a server that is
//! followed starts the same programs again and again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use rustc_hash::FxHashSet;

/// Files that are kept.
const MOST: usize = 1 << 12;

/// Files of which it is known that they have no function of an allocator.
#[derive(Default)]
pub(super) struct PlainFiles(FxHashSet<FileIdentity>);

/// What tells a file from others, and from itself after a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Of its content and of its entry, in seconds and nanoseconds.
    changed: [i64; 4],
}

impl FileIdentity {
    fn of(about: &Metadata) -> FileIdentity {
        FileIdentity {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            changed: [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()],
        }
    }
}

impl PlainFiles {
    /// Whether it was noted of a file.
    pub(super) fn has(&self, file: &Metadata) -> bool {
        self.0.contains(&FileIdentity::of(file))
    }

    /// Notes it.
    pub(super) fn note(&mut self, file: &Metadata) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(FileIdentity::of(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_looked_at_again() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let about = || std::fs::metadata(path.path()).unwrap();
        let mut files = PlainFiles::default();
        files.note(&about());
        assert!(files.has(&about()));
        std::fs::write(path.path(), "more").unwrap();
        assert!(!files.has(&about()));
    }
}
