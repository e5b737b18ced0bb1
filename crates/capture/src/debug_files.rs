//! Files for [`twinheap_symbols`]: mapped, and only where they are asked for.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use twinheap_symbols::{Bytes, Files};

use crate::debuginfod::Debuginfod;

/// Maps files of this machine. A file stays mapped as long as its bytes are kept; pages come as they are read.
#[derive(Debug, Default)]
pub struct DebugFiles {
    debuginfod: Option<Debuginfod>,
}

impl DebugFiles {
    /// Files of this machine, and those of the user's `debuginfod` servers (`DEBUGINFOD_URLS`), if there are any set:
    /// they are fetched when [`debuginfod_cache`] is asked for them.
    pub fn with_servers() -> Self {
        let urls = env::var("DEBUGINFOD_URLS").ok();
        DebugFiles {
            debuginfod: urls.zip(debuginfod_cache()).map(|(urls, cache)| Debuginfod::new(&urls, cache)),
        }
    }

    /// Sentences on what was fetched, and on servers that failed.
    pub fn fetched(&self) -> (Option<String>, Vec<String>) {
        self.debuginfod.as_ref().map_or_else(Default::default, Debuginfod::report)
    }
}

impl Files for DebugFiles {
    #[expect(unsafe_code, reason = "memory mapping")]
    fn open(&self, path: &Path) -> Option<Bytes> {
        if let Some(debuginfod) = &self.debuginfod {
            debuginfod.provide(path);
        }
        let file = File::open(path).ok()?;
        // A device or a pipe under the name of a library must not stop us.
        let about = file.metadata().ok()?;
        // Of a file that no server has, the cache has an empty one.
        if !about.is_file() || about.len() == 0 {
            return None;
        }
        // SAFETY: the mapping is private and read-only. If somebody cuts the file short meanwhile, the kernel ends us
        // with SIGBUS, as it does with every program that maps files; package managers replace files and don't cut
        // them. A copy of all libraries of a process would be hundreds of megabytes.
        let mapping = unsafe { memmap2::Mmap::map(&file).ok()? };
        Some(Box::new(mapping))
    }
}

/// Where `debuginfod`'s clients keep what they were sent, if the user has a server set (`DEBUGINFOD_URLS`).
pub fn debuginfod_cache() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DEBUGINFOD_URLS")?;
    set("DEBUGINFOD_CACHE_PATH")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("debuginfod_client")))
        .or_else(|| Some(set("HOME")?.join(".cache/debuginfod_client")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_mapped() {
        let path = env::current_exe().expect("this test has a file");
        let bytes = DebugFiles::default().open(&path).expect("its bytes");
        assert!((*bytes).as_ref().starts_with(b"\x7fELF") || cfg!(target_os = "macos"));
        for path in ["/dev/zero", "/", "/nowhere/at/all"] {
            assert!(DebugFiles::default().open(Path::new(path)).is_none(), "{path}");
        }
    }
}
