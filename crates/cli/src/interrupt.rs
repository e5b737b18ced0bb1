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
    part: PathBuf,
    target: PathBuf,
}

impl PartFile {
    /// Creates `TARGET.part` for writing.
    ///
    /// # Errors
    /// Those of creating the file.
    pub(crate) fn create(target: &Path) -> std::io::Result<(Self, std::fs::File)> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        let file = PartFile { part, target: target.to_owned() };
        let handle = std::fs::File::create(&file.part)?;
        Ok((file, handle))
    }

    /// Gives the whole file its name.
    ///
    /// # Errors
    /// Those of syncing and renaming.
    pub(crate) fn finish(self, handle: &std::fs::File) -> std::io::Result<()> {
        handle.sync_all()?;
        std::fs::rename(&self.part, &self.target)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.part);
        // After `finish` there is nothing under that name.
        let _: std::io::Result<()> = std::fs::remove_file(&self.part);
    }
}
