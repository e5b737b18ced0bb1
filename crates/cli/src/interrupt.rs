//! Ctrl-C and SIGTERM: no half-written file stays behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::INTERRUPTED;

/// Raised by the first Ctrl-C while somebody promised to look at it.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// True while a verb cleans up by itself when [`STOP`] is raised.
static COOPERATIVE: AtomicBool = AtomicBool::new(false);

/// Files to delete if we have to go.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Takes the signals over. Called once, at the start.
pub(crate) fn install() {
    // If another handler sits there already, the default (die) is what is left, and that is no reason not to work.
    let _: Result<(), ctrlc::Error> = ctrlc::set_handler(|| {
        if COOPERATIVE.load(Ordering::SeqCst) && !STOP.swap(true, Ordering::SeqCst) {
            return;
        }
        for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _: std::io::Result<()> = std::fs::remove_file(path);
        }
        std::process::exit(i32::from(INTERRUPTED));
    });
}

/// While this lives, the first Ctrl-C only raises [`STOP`].
pub(crate) struct Cooperative(());

impl Cooperative {
    pub(crate) fn new() -> Self {
        COOPERATIVE.store(true, Ordering::SeqCst);
        Cooperative(())
    }
}

impl Drop for Cooperative {
    fn drop(&mut self) {
        COOPERATIVE.store(false, Ordering::SeqCst);
    }
}

/// A file under construction: deleted when dropped or interrupted, unless it was finished.
pub(crate) struct PartFile {
    /// The name it has meanwhile, and the one it will get; `None` for a device or pipe, which is written as it is.
    names: Option<(PathBuf, PathBuf)>,
}

impl PartFile {
    /// Creates `TARGET.part` for writing. If the target is something else than a file, a device or a named pipe, it
    /// is opened itself: to rename a file over `/dev/null` would be a nasty surprise.
    ///
    /// # Errors
    /// Those of creating the file.
    pub(crate) fn create(target: &Path) -> std::io::Result<(Self, std::fs::File)> {
        if std::fs::metadata(target).is_ok_and(|about| !about.is_file()) {
            return Ok((PartFile { names: None }, std::fs::File::options().write(true).open(target)?));
        }
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        let file = PartFile { names: Some((part.clone(), target.to_owned())) };
        let handle = std::fs::File::create(&part)?;
        Ok((file, handle))
    }

    /// Gives the whole file its name.
    ///
    /// # Errors
    /// Those of syncing and renaming.
    pub(crate) fn finish(self, handle: &std::fs::File) -> std::io::Result<()> {
        match &self.names {
            Some((part, target)) => {
                handle.sync_all()?;
                std::fs::rename(part, target)
            }
            None => Ok(()),
        }
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.names {
            UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| path != part);
            // After `finish` there is nothing under that name.
            let _: std::io::Result<()> = std::fs::remove_file(part);
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
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "whole");
    }

    #[test]
    #[cfg(unix)]
    fn a_device_stays_a_device() {
        use std::os::unix::fs::FileTypeExt as _;
        // A link to a device stands for one here: were it replaced, only the link would be lost.
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &target).unwrap();
        let (file, handle) = PartFile::create(&target).unwrap();
        file.finish(&handle).unwrap();
        assert!(std::fs::metadata(&target).unwrap().file_type().is_char_device());
        assert!(std::fs::symlink_metadata(&target).unwrap().is_symlink());
    }
}
