//! The folder that dumps may go to, and files in it that get their name when they are whole.
//!
//! A client chooses a folder below the allowed one. It is walked down part by part from an open folder, without
//! following links, so neither `..` nor a link nor somebody who swaps folders meanwhile leads out of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// How a folder is opened on the way down.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A dump is a copy of a process's memory.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The folder that dumps may go to, with all folders in it.
pub(crate) struct Allowed {
    folder: OwnedFd,
    /// Without links.
    path: PathBuf,
    /// As the user named it, made absolute.
    named: PathBuf,
}

/// A folder to write to.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    handle: Arc<OwnedFd>,
    /// For people.
    pub(crate) path: PathBuf,
}

/// Why a folder is not written to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("`{}` is outside of the folder that dumps may go to", .0.display())]
    Outside(PathBuf),
    #[error("`{}` is a symbolic link, and links are not followed", .0.display())]
    Link(PathBuf),
    #[error("the folder `{}` does not exist", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is no folder", .0.display())]
    NoFolder(PathBuf),
    #[error("can't open the folder `{}`: {error}", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
}

impl Allowed {
    pub(crate) fn open(path: &Path) -> io::Result<Allowed> {
        let named = std::path::absolute(path)?;
        let path = path.canonicalize()?;
        let folder = rustix::fs::open(&path, FOLDER, Mode::empty())?;
        Ok(Allowed { folder, path, named })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that a client asked for, relative to this one or as a whole path; without one, this one.
    pub(crate) fn choose(&self, asked: &str) -> Result<Folder, FolderError> {
        let asked = Path::new(asked);
        let inside = if asked.is_absolute() {
            let inside = asked.strip_prefix(&self.path).or_else(|_| asked.strip_prefix(&self.named));
            inside.map_err(|_| FolderError::Outside(asked.to_owned()))?
        } else {
            asked
        };
        let mut path = self.path.clone();
        let mut handle = rustix::fs::openat(&self.folder, ".", FOLDER, Mode::empty())
            .map_err(|e| FolderError::Io { path: path.clone(), error: e.into() })?;
        for part in inside.components() {
            let part = match part {
                Component::Normal(part) => part,
                Component::CurDir => continue,
                _ => return Err(FolderError::Outside(asked.to_owned())),
            };
            path.push(part);
            let flags = FOLDER | OFlags::NOFOLLOW;
            handle = match rustix::fs::openat(&handle, part, flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Err(FolderError::Missing(path)),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let about = rustix::fs::statat(&handle, part, AtFlags::SYMLINK_NOFOLLOW);
                    let is_link = about.is_ok_and(|about| {
                        rustix::fs::FileType::from_raw_mode(about.st_mode) == rustix::fs::FileType::Symlink
                    });
                    return Err(if is_link { FolderError::Link(path) } else { FolderError::NoFolder(path) });
                }
                Err(error) => return Err(FolderError::Io { path, error: error.into() }),
            };
        }
        Ok(Folder { handle: Arc::new(handle), path })
    }
}

impl Folder {
    /// A path that leads to this very folder as long as it is open, wherever it may have been moved.
    pub(crate) fn path_of_handle(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// Begins a file that will get this name. Attempts at the same file have different numbers.
    pub(crate) fn create(&self, name: &str, attempt: u32) -> io::Result<NewFile> {
        // A file without a name vanishes with us, however we end. Not every file system can do it.
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&*self.handle, ".", flags | OFlags::TMPFILE, PRIVATE) {
            Ok(file) => {
                Ok(NewFile { folder: self.clone(), name: name.to_owned(), file: file.into(), part: None })
            }
            Err(_) => self.create_part(name, attempt),
        }
    }

    fn create_part(&self, name: &str, attempt: u32) -> io::Result<NewFile> {
        let part = format!("{name}.{attempt}.part");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&*self.handle, &part, flags, PRIVATE)?;
        Ok(NewFile { folder: self.clone(), name: name.to_owned(), file: file.into(), part: Some(part) })
    }
}

/// A file under construction: gone when dropped, unless it was finished.
#[derive(Debug)]
pub(crate) struct NewFile {
    folder: Folder,
    name: String,
    pub(crate) file: File,
    /// The name it has meanwhile, if it has one.
    part: Option<String>,
}

impl NewFile {
    /// Gives the whole file its name and returns its path.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        let folder = &*self.folder.handle;
        match &self.part {
            None => {
                let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, unnamed, folder, &self.name, AtFlags::SYMLINK_FOLLOW)?;
            }
            Some(part) => {
                // Unlike a rename, a link replaces nothing that has the name already.
                rustix::fs::linkat(folder, part, folder, &self.name, AtFlags::empty())?;
                rustix::fs::unlinkat(folder, part, AtFlags::empty())?;
                self.part = None;
            }
        }
        Ok(self.folder.path.join(&self.name))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // If it is gone already, so much the better.
            let _: Result<(), Errno> = rustix::fs::unlinkat(&*self.folder.handle, part, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// `allowed/deep/er`, `allowed/file`, links out of it and inside of it, and `outside` beside it.
    fn lab() -> tempfile::TempDir {
        let lab = tempfile::tempdir().unwrap();
        let at = |name: &str| lab.path().join(name);
        fs::create_dir_all(at("allowed/deep/er")).unwrap();
        fs::create_dir_all(at("allowed/...")).unwrap();
        fs::create_dir_all(at("allowed-not")).unwrap();
        fs::create_dir_all(at("outside")).unwrap();
        fs::write(at("allowed/file"), "").unwrap();
        symlink("../outside", at("allowed/out")).unwrap();
        symlink(at("outside"), at("allowed/deep/out")).unwrap();
        symlink("deep", at("allowed/in")).unwrap();
        symlink("allowed", at("other-name")).unwrap();
        lab
    }

    /// `=PATH` if that folder below `allowed` is opened, or words of the error.
    #[track_caller]
    fn check(asked: &str, expected: &str) {
        let lab = lab();
        let top = lab.path().canonicalize().unwrap();
        let allowed = Allowed::open(&lab.path().join("other-name")).unwrap();
        let asked = asked.replace('@', top.to_str().unwrap());
        match allowed.choose(&asked) {
            Ok(folder) => {
                let real = fs::read_link(folder.path_of_handle()).unwrap();
                assert_eq!(real, folder.path);
                let inside = real.strip_prefix(top.join("allowed")).unwrap();
                assert_eq!(format!("={}", inside.display()), expected, "{asked}");
            }
            Err(error) => assert!(error.to_string().contains(expected), "{asked}: {error}"),
        }
    }

    #[test]
    fn a_folder_below_the_allowed_one_is_taken() {
        check("", "=");
        check(".", "=");
        check("deep", "=deep");
        check("./deep//er/", "=deep/er");
        check("...", "=...");
        check("@/allowed", "=");
        check("@/allowed/deep/er", "=deep/er");
        check("@/other-name/deep", "=deep");
    }

    #[test]
    fn nothing_leads_out() {
        let outside = "outside of the folder";
        for path in ["..", "deep/../..", "deep/..", "/", "/etc", "@", "@/outside", "@/allowed-not"] {
            check(path, outside);
        }
        check("@/allowed/../outside", outside);
        check("@/allowed/./deep/../../outside", outside);
        for path in ["out", "deep/out", "deep/out/x", "in", "in/er", "@/allowed/out"] {
            check(path, "links are not followed");
        }
        check("missing", "does not exist");
        check("@/allowed/deep/missing", "does not exist");
        check("file", "no folder");
        check("file/x", "no folder");
        check("nul\0byte", "can't open");
    }

    #[test]
    fn a_folder_that_is_swapped_for_a_link_stays_the_same_folder() {
        let lab = lab();
        let allowed = Allowed::open(&lab.path().join("allowed")).unwrap();
        let folder = allowed.choose("deep").unwrap();
        fs::rename(lab.path().join("allowed/deep"), lab.path().join("allowed/moved")).unwrap();
        symlink("../outside", lab.path().join("allowed/deep")).unwrap();
        folder.create("dump", 1).unwrap().finish().unwrap();
        assert!(lab.path().join("allowed/moved/dump").exists());
        assert!(!lab.path().join("outside/dump").exists());
    }

    /// The two ways to begin a file: with and without a name meanwhile.
    #[track_caller]
    fn check_file(begin: fn(&Folder, &str, u32) -> io::Result<NewFile>) {
        let lab = tempfile::tempdir().unwrap();
        let list = || -> Vec<String> {
            let names =
                fs::read_dir(lab.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            names.collect()
        };
        let folder = Allowed::open(lab.path()).unwrap().choose("").unwrap();
        let mut half = begin(&folder, "dump", 1).unwrap();
        half.file.write_all(b"half").unwrap();
        assert!(!list().contains(&"dump".to_owned()));
        drop(half);
        assert_eq!(list(), [""; 0]);

        let mut whole = begin(&folder, "dump", 1).unwrap();
        whole.file.write_all(b"whole").unwrap();
        let path = whole.finish().unwrap();
        assert_eq!(list(), ["dump"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        // A link that waits under the name is neither followed nor replaced.
        symlink("precious", lab.path().join("trap")).unwrap();
        assert!(begin(&folder, "trap", 1).unwrap().finish().is_err());
        assert!(begin(&folder, "dump", 1).unwrap().finish().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(list().len(), 2);
    }

    #[test]
    fn a_file_is_complete_or_absent() {
        check_file(Folder::create);
        check_file(Folder::create_part);
    }
}
