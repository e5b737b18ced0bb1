//! Files that get their name when they are whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files to delete if the process has to go.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Deletes every file under construction: for a signal handler that ends the process.
pub fn remove_unfinished() {
    for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _: io::Result<()> = fs::remove_file(path);
    }
}

/// A file under construction: deleted when dropped or interrupted, unless it was finished.
pub struct PartFile {
    /// The name it has meanwhile, and the one it will get; `None` for a device or pipe, which is written as it is.
    names: Option<(PathBuf, PathBuf)>,
    is_kept: bool,
}

impl PartFile {
    /// Creates `TARGET.part` for writing, readable by its owner only: a process's memory goes into it. A link to a file
    /// stays one, the file it leads to is replaced. If the target is something else than a file, a device or a named pipe, it
    /// is opened itself: to rename a file over `/dev/null` would be a nasty surprise.
    ///
    /// # Errors
    /// Those of creating the file, and when something else than a file has its name already.
    pub fn create(target: &Path) -> io::Result<(Self, File)> {
        let target = match fs::metadata(target) {
            Ok(about) if !about.is_file() => {
                return Ok((
                    PartFile { names: None, is_kept: false },
                    File::options().write(true).open(target)?,
                ));
            }
            Ok(_) => fs::canonicalize(target)?,
            Err(_) => target.to_owned(),
        };
        let part = part_of(&target);
        // An interrupt waits for the lock, so it finds either no file or one it knows to be ours.
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = create_private(&part)?;
        unfinished.push(part.clone());
        Ok((PartFile { names: Some((part, target)), is_kept: false }, handle))
    }

    /// Says that a part is worth something too, and stays when this is dropped or interrupted. With `false`, it isn't.
    pub fn keep_part(&mut self, keep: bool) {
        self.is_kept = keep;
        if let Some((part, _)) = &self.names {
            let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
            unfinished.retain(|path| path != part);
            if !keep {
                unfinished.push(part.clone());
            }
        }
    }

    /// Chooses another name, in the same folder; the path that the file will have. `None` for a device, which keeps its own.
    ///
    /// # Errors
    /// Those of renaming what is there so far.
    pub fn rename(&mut self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        let Some((part, target)) = &mut self.names else { return Ok(None) };
        let new_target = target.with_file_name(name);
        let new_part = part_of(&new_target);
        // As above: an interrupt finds the one or the other.
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(&*part, &new_part)?;
        for path in unfinished.iter_mut().filter(|path| *path == part) {
            path.clone_from(&new_part);
        }
        (*part, *target) = (new_part, new_target.clone());
        Ok(Some(new_target))
    }

    /// Gives the whole file its name.
    ///
    /// # Errors
    /// Those of syncing and renaming.
    pub fn finish(self, handle: &File) -> io::Result<()> {
        match &self.names {
            Some((part, target)) => {
                handle.sync_all()?;
                fs::rename(part, target)
            }
            None => Ok(()),
        }
    }
}

fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Creates a file for its owner only, in place of one that an earlier run left behind.
fn create_private(path: &Path) -> io::Result<File> {
    if let Ok(about) = fs::symlink_metadata(path) {
        if !about.is_file() {
            let what = format!("`{}` is in the way, and it is no regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        fs::remove_file(path)?;
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.names {
            UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| path != part);
            if !self.is_kept {
                // After `finish` there is nothing under that name.
                let _: io::Result<()> = fs::remove_file(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_gets_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("table");
        let part = folder.path().join("table.part");
        let (unfinished, mut handle) = PartFile::create(&target).unwrap();
        handle.write_all(b"half").unwrap();
        assert!(part.exists());
        drop(unfinished);
        assert!(!part.exists() && !target.exists());

        let (file, mut handle) = PartFile::create(&target).unwrap();
        handle.write_all(b"whole").unwrap();
        file.finish(&handle).unwrap();
        assert!(!part.exists());
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
    }

    #[test]
    fn a_name_can_be_changed_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let (mut file, mut handle) = PartFile::create(&path("table")).unwrap();
        handle.write_all(b"who").unwrap();
        assert_eq!(file.rename(OsStr::new("chair")).unwrap(), Some(path("chair")));
        // The old name is free.
        let (other, mut other_handle) = PartFile::create(&path("table")).unwrap();
        other_handle.write_all(b"other").unwrap();
        handle.write_all(b"le").unwrap();
        file.finish(&handle).unwrap();
        assert_eq!(fs::read_to_string(path("chair")).unwrap(), "whole");
        assert!(!path("chair.part").exists());
        other.finish(&other_handle).unwrap();
        assert_eq!(fs::read_to_string(path("table")).unwrap(), "other");

        let (mut unwanted, _handle) = PartFile::create(&path("table")).unwrap();
        unwanted.rename(OsStr::new("bench")).unwrap();
        drop(unwanted);
        assert!(!path("bench.part").exists() && !path("bench").exists());
    }

    #[test]
    #[cfg(unix)]
    fn a_file_is_for_its_owner_and_a_link_stays_a_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("table");
        let link = folder.path().join("link");
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink("table", &link).unwrap();
        // What a killed run left behind, readable by all.
        let left = folder.path().join("table.part");
        fs::write(&left, "left").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();

        let (file, mut handle) = PartFile::create(&link).unwrap();
        assert_eq!(fs::metadata(&left).unwrap().permissions().mode() & 0o777, 0o600);
        handle.write_all(b"new").unwrap();
        file.finish(&handle).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    #[cfg(unix)]
    fn nothing_is_written_through_a_link_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        let part = folder.path().join("table.part");
        std::os::unix::fs::symlink(&precious, &part).unwrap();
        let error = PartFile::create(&folder.path().join("table")).err().unwrap();
        assert!(error.to_string().contains("is in the way"), "{error}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
        assert!(fs::symlink_metadata(&part).unwrap().is_symlink());
    }

    #[test]
    #[cfg(unix)]
    fn a_device_stays_a_device() {
        use std::os::unix::fs::FileTypeExt as _;
        // A link to a device stands for one here: were it replaced, only the link would be lost.
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &target).unwrap();
        let (mut file, handle) = PartFile::create(&target).unwrap();
        assert_eq!(file.rename(OsStr::new("other")).unwrap(), None);
        file.finish(&handle).unwrap();
        assert!(fs::metadata(&target).unwrap().file_type().is_char_device());
        assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
    }
}
