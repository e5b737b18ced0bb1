//! Source maps that are on disk: from a place in a compiled script to the `.ts` it was made of.
//!
//! A snapshot names scripts by the paths of the machine it was taken on. Here they are looked for at the same path,
//! or, with `--source-root DIR`, under DIR: of `/srv/app/dist/server.js` the longest end that is there
//! (`DIR/srv/app/dist/server.js`, `DIR/app/dist/server.js`, …).
//! Nothing is fetched, and only files are read: the names come from a file that may be anybody's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use twinheap_jsheap::{Original, Sources};
use twinheap_symbols::source_map::{SourceMap, inline_map, mapping_url, percent_decoded};

/// Longer scripts and maps are nobody's.
const MOST_BYTES: u64 = 256 << 20;

/// The maps of the scripts that were asked for.
#[derive(Debug, Default)]
pub(crate) struct SourceMaps {
    root: Option<PathBuf>,
    maps: Mutex<BTreeMap<String, Option<Arc<Mapped>>>>,
}

/// A script with its map.
#[derive(Debug)]
struct Mapped {
    map: SourceMap,
    /// The folder that the map's names are relative to.
    folder: PathBuf,
    /// True for a script of an npm package, whose sources are rarely published with it.
    is_package: bool,
}

impl SourceMaps {
    /// Maps of scripts where they are, and under `root` if there is one.
    pub(crate) fn new(root: Option<PathBuf>) -> SourceMaps {
        SourceMaps { root, maps: Mutex::default() }
    }

    fn of(&self, script: &str) -> Option<Arc<Mapped>> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = maps.get(script) {
            return known.clone();
        }
        let mapped = self.read(script).map(Arc::new);
        maps.insert(script.to_owned(), mapped.clone());
        mapped
    }

    fn read(&self, script: &str) -> Option<Mapped> {
        let file = self.find(&path_of(script)?)?;
        let text = read(&file)?;
        let url = mapping_url(&text)?;
        let script_folder = file.parent()?;
        let (bytes, folder) = match inline_map(url) {
            Some(bytes) => (bytes, script_folder.to_owned()),
            None => {
                let path = joined(script_folder, &path_of(url).or_else(|| relative(url))?);
                (read(&path)?, path.parent()?.to_owned())
            }
        };
        let is_package = twinheap_jsheap::leaks::package_of(script).is_some();
        Some(Mapped { map: SourceMap::parse(&bytes)?, folder, is_package })
    }

    /// The file for a path of the machine that the snapshot is from.
    fn find(&self, path: &Path) -> Option<PathBuf> {
        let under = self.root.as_deref().and_then(|root| longest_end(root, path));
        under.or_else(|| is_file(path).then(|| path.to_owned()))
    }

    /// What to call a source: its path here if it is here, or what the map calls it.
    fn source(&self, mapped: &Mapped, source: &str) -> Option<String> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let beside = match path_of(source).or_else(|| relative(source)) {
            Some(path) => joined(&mapped.folder, &path),
            // `webpack:///./src/a.ts`, `webpack://app/src/a.ts`: bundlers' own names.
            None => {
                let path = source.split_once("://").map_or(source, |(_, rest)| rest.trim_start_matches('/'));
                let path = joined(Path::new(""), Path::new(path));
                let found = self.root.as_deref().and_then(|root| longest_end(root, &path));
                let found = found.or_else(|| {
                    mapped.folder.ancestors().take(4).find_map(|folder| longest_end(folder, &path))
                });
                return Some(found.as_deref().map_or_else(|| source.to_owned(), shown));
            }
        };
        if is_file(&beside) {
            return Some(shown(&beside));
        }
        if let Some(found) = self.root.as_deref().and_then(|root| longest_end(root, &beside)) {
            return Some(shown(&found));
        }
        // The program's author knows the file; of a package there is only what runs.
        (!mapped.is_package).then(|| shown(&beside))
    }
}

impl Sources for SourceMaps {
    fn original(&self, script: &str, line: u32, column: u32, function: &str) -> Option<Original> {
        let mapped = self.of(script)?;
        let column = column.checked_sub(1)?;
        let place = mapped.map.lookup(line.checked_sub(1)?, column)?;
        // V8 says where the parameters begin; the name stands right before them, or is another word's.
        let is_of_function = |begin: u32| {
            !function.is_empty()
                && u64::from(begin) + function.encode_utf16().count() as u64 == u64::from(column)
        };
        let name = place.name.filter(|&(name, begin)| is_of_function(begin) && name != function);
        Some(Original {
            script: self.source(&mapped, place.source)?,
            line: place.line.saturating_add(1),
            column: place.column.saturating_add(1),
            function: name.map(|(name, _)| name.to_owned()),
        })
    }
}

/// The path of a script or source that has one: an absolute path, or a `file:` address.
fn path_of(script: &str) -> Option<PathBuf> {
    let path = match script.strip_prefix("file://") {
        Some(path) => String::from_utf8(percent_decoded(path.split(['?', '#']).next()?)).ok()?,
        None => script.to_owned(),
    };
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// A name that is relative to the file it stands in.
fn relative(name: &str) -> Option<PathBuf> {
    if name.contains("://") || name.starts_with("data:") {
        return None;
    }
    Some(PathBuf::from(String::from_utf8(percent_decoded(name)).ok()?))
}

/// `folder/path` without `.` and `..`.
fn joined(folder: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The file under `root` that is called like the longest end of `path`.
fn longest_end(root: &Path, path: &Path) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> =
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let ends = (0..parts.len()).map(|from| root.join(parts[from..].iter().collect::<PathBuf>()));
    ends.into_iter().find(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file())
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // Asked before it is opened: a pipe would wait for a writer.
    if !is_file(path) {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_BYTES).then_some(bytes)
}
