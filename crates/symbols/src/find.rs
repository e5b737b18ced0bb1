//! Finds the file that a process had loaded, and the file with its debug information.
//!
//! Nothing is believed for its name. A file must have the build id or the segments of the recording, a debug file the
//! build id of its file or the checksum that the file asks for. The order of places is gdb's ("Debugging Information
//! in Separate Files" of its manual), with the caller's folders first.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::files::{Files, Store};
use crate::module::Module;
use crate::problem::{Why, hex};
use crate::symbolizer::Options;

/// Where distributions put debug files.
const DEBUG_FOLDER: &str = "/usr/lib/debug";
/// What Linux appends to the path of a mapped file that has been removed.
const DELETED: &str = " (deleted)";

/// What was found for a module.
#[derive(Default)]
pub(crate) struct Found<'s> {
    /// The file itself.
    pub(crate) main: Option<Elf<'s>>,
    /// The file with its debug information.
    pub(crate) debug: Option<Elf<'s>>,
    /// The file that several debug files share.
    pub(crate) shared: Option<Elf<'s>>,
    /// The file that has the debug information, for complaints.
    pub(crate) debug_path: PathBuf,
    /// Why less was found than could be.
    pub(crate) problem: Option<(PathBuf, Why)>,
}

pub(crate) struct Finder<'a, 's> {
    pub(crate) files: &'a dyn Files,
    pub(crate) options: &'a Options,
    pub(crate) store: &'s Store,
}

impl<'s> Finder<'_, 's> {
    pub(crate) fn find(&self, module: &Module) -> Found<'s> {
        let mut found = Found::default();
        if is_no_file(&module.path) {
            return found;
        }
        let main_path = self.inside(&without_mark(&module.path));
        found.debug_path.clone_from(&main_path);
        let mut refused = None;
        found.main = self.main(module, &main_path, &mut refused);
        let main = found.main.as_ref();
        // The file's id is the recording's, if that has one.
        let id = module.build_id.as_deref().or_else(|| main.and_then(Elf::build_id));
        if !main.is_some_and(|main| main.has_debug_info() && main.has_symbols()) {
            let mut refused_debug = None;
            if let Some((elf, path)) = self.debug(main, &main_path, id, &mut refused_debug) {
                if elf.has_debug_info() {
                    found.debug_path = path;
                }
                found.debug = Some(elf);
                refused = None;
            } else if main.is_some() {
                refused = refused_debug;
            }
        }
        let with_info = found.debug.as_ref().filter(|elf| elf.has_debug_info()).or(found.main.as_ref());
        if let Some((link, id)) = with_info.and_then(Elf::shared_debug_link) {
            found.shared = self.shared(link, id, &found.debug_path);
            if found.shared.is_none() {
                // Names of inlined functions are missing without it.
                refused.get_or_insert((PathBuf::from(OsStr::from_bytes(link)), Why::Missing));
            }
        }
        found.problem = refused;
        found
    }

    /// The module's own file: at its path, in the caller's folders, by its build id.
    fn main(&self, module: &Module, path: &Path, refused: &mut Option<(PathBuf, Why)>) -> Option<Elf<'s>> {
        let can_be_checked = module.build_id.is_some() || !module.segments.is_empty();
        let mut places = Vec::from([path.to_owned()]);
        if let Some(name) = path.file_name().filter(|_| can_be_checked) {
            places.extend(self.options.debug_paths.iter().map(|folder| folder.join(name)));
        }
        if let Some(id) = &module.build_id {
            places.extend(self.debug_folders().filter_map(|folder| by_build_id(&folder, id, "")));
            places.extend(self.cached(id, "executable"));
        }
        *refused = Some((path.to_owned(), Why::Missing));
        for place in places {
            match self.open(&place, |elf| check_main(module, elf)) {
                Some(Ok(elf)) => {
                    *refused = None;
                    return Some(elf);
                }
                Some(Err(why)) if place == path => *refused = Some((place, why)),
                _ => {}
            }
        }
        None
    }

    /// The debug file: by build id, by the link in the file, in the caller's folders under the file's name.
    fn debug(
        &self,
        main: Option<&Elf<'s>>,
        main_path: &Path,
        id: Option<&[u8]>,
        refused: &mut Option<(PathBuf, Why)>,
    ) -> Option<(Elf<'s>, PathBuf)> {
        let mut attempt = |place: PathBuf, checksum: Option<u32>| match self
            .open(&place, |elf| check_debug(elf, id, checksum))?
        {
            Ok(elf) if elf.has_debug_info() || elf.has_symbols() => Some((elf, place)),
            Ok(_) => None,
            Err(why) => {
                refused.get_or_insert((place, why));
                None
            }
        };
        if let Some(id) = id {
            let mut places = self.debug_folders().filter_map(|folder| by_build_id(&folder, id, ".debug"));
            if let Some(found) = places.find_map(|place| attempt(place, None)) {
                return Some(found);
            }
        }
        if let Some((name, checksum)) = main.and_then(Elf::debug_link).filter(|(name, _)| !name.is_empty()) {
            let name = Path::new(OsStr::from_bytes(name));
            let folder = main_path.parent().unwrap_or(Path::new("/"));
            let mut places = Vec::from([folder.join(name), folder.join(".debug").join(name)]);
            for debug_folder in self.debug_folders() {
                places.push(below(&debug_folder, self.outside(folder)).join(name));
            }
            places.extend(self.options.debug_paths.iter().map(|folder| folder.join(name)));
            // A file that was stripped in place asks for its own name.
            places.retain(|place| place != main_path);
            if let Some(found) = places.into_iter().find_map(|place| attempt(place, Some(checksum))) {
                return Some(found);
            }
        }
        let id = id?;
        let name = main_path.file_name()?;
        let mut with_end = name.to_owned();
        with_end.push(".debug");
        let folders = self.options.debug_paths.iter();
        let mut places = folders.flat_map(|folder| [folder.join(&with_end), folder.join(name)]);
        places.find_map(|place| attempt(place, None)).or_else(|| attempt(self.cached(id, "debuginfo")?, None))
    }

    /// The file that several debug files share, beside them or by its own build id.
    fn shared(&self, link: &[u8], id: &[u8], debug_path: &Path) -> Option<Elf<'s>> {
        let link = Path::new(OsStr::from_bytes(link));
        let beside = debug_path.parent().unwrap_or(Path::new("/")).join(link);
        let by_id = self.debug_folders().filter_map(|folder| by_build_id(&folder, id, ".debug"));
        let places = [beside, self.inside(link)].into_iter().chain(by_id).chain(self.cached(id, "debuginfo"));
        places.into_iter().find_map(|place| self.open(&place, |elf| check_debug(elf, Some(id), None))?.ok())
    }

    /// Opens a file and keeps it if `check` likes it; `None` if there is none.
    fn open(&self, path: &Path, check: impl Fn(&Elf<'_>) -> Result<(), Why>) -> Option<Result<Elf<'s>, Why>> {
        let bytes = self.files.open(path)?;
        let checked = Elf::parse((*bytes).as_ref()).map_err(Why::NotElf).and_then(|elf| check(&elf));
        // What is refused is not kept, so the headers of the others are read twice.
        Some(checked.and_then(|()| Elf::parse(self.store.keep(bytes)).map_err(Why::NotElf)))
    }

    /// Folders that are laid out like [`DEBUG_FOLDER`].
    fn debug_folders(&self) -> impl Iterator<Item = PathBuf> {
        let own = self.options.debug_paths.iter().cloned();
        let of_system = self.options.sysroot.iter().map(|root| below(root, Path::new(DEBUG_FOLDER)));
        own.chain(of_system).chain([PathBuf::from(DEBUG_FOLDER)])
    }

    /// Where `debuginfod`'s clients keep what they were sent.
    fn cached(&self, id: &[u8], what: &str) -> Option<PathBuf> {
        Some(self.options.debuginfod_cache.as_ref()?.join(hex(id)).join(what))
    }

    /// Where a path of the recorded process is for us.
    fn inside(&self, path: &Path) -> PathBuf {
        self.options.sysroot.as_ref().map_or_else(|| path.to_owned(), |root| below(root, path))
    }

    /// The opposite of [`Finder::inside`].
    fn outside<'p>(&self, path: &'p Path) -> &'p Path {
        let inside = self.options.sysroot.as_ref().and_then(|root| path.strip_prefix(root).ok());
        inside.unwrap_or(path)
    }
}

/// What the kernel brings along has no file: `[vdso]`, `linux-vdso.so.1`.
fn is_no_file(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    path.is_empty() || path[0] == b'[' || !path.contains(&b'/') && path.starts_with(b"linux-")
}

fn is_marked(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(DELETED.as_bytes())
}

fn without_mark(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    PathBuf::from(OsStr::from_bytes(bytes.strip_suffix(DELETED.as_bytes()).unwrap_or(bytes)))
}

/// `path`, taken to start at `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// `FOLDER/.build-id/ab/cdef….debug`
fn by_build_id(folder: &Path, id: &[u8], end: &str) -> Option<PathBuf> {
    let (first, rest) = id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    Some(folder.join(".build-id").join(hex(&[*first])).join(hex(rest) + end))
}

fn check_main(module: &Module, elf: &Elf<'_>) -> Result<(), Why> {
    if let Some(recorded) = &module.build_id {
        let found = elf.build_id();
        if found == Some(recorded.as_slice()) {
            return Ok(());
        }
        return Err(Why::OtherBuild { recorded: recorded.clone(), found: found.map(<[u8]>::to_vec) });
    }
    if is_marked(&module.path) {
        return Err(Why::Deleted);
    }
    if !module.segments.is_empty() && elf.segments() != module.segments {
        return Err(Why::OtherLayout);
    }
    Ok(())
}

fn check_debug(elf: &Elf<'_>, id: Option<&[u8]>, checksum: Option<u32>) -> Result<(), Why> {
    let found = elf.build_id();
    if let Some(recorded) = id
        && found != Some(recorded)
        // Without a checksum only the id says that the two belong together.
        && (checksum.is_none() || found.is_some())
    {
        return Err(Why::OtherBuild { recorded: recorded.to_vec(), found: found.map(<[u8]>::to_vec) });
    }
    if let Some(wanted) = checksum {
        let mut crc = flate2::Crc::new();
        crc.update(elf.bytes);
        if crc.sum() != wanted {
            return Err(Why::OtherChecksum { wanted, found: crc.sum() });
        }
    }
    Ok(())
}
