//! What is known of files from the recordings before: a server that is followed starts the same programs again and
//! again, and the next recordings wait while one gets its names.

use std::rc::Rc;

use rustc_hash::FxHashMap;
use twinheap_symbols::Resolved;

use super::answer::Inside;
use super::places::Module;

/// Names that are kept of all files together: some 20 MB.
const MOST_NAMES: usize = 1 << 16;

/// Files that anything is kept of.
const MOST_FILES: usize = 1 << 12;

/// What was found out about files. Only those are kept that have a build id: no other file has the same.
pub(super) struct KnownFiles {
    /// Names that may be kept.
    most: usize,
    /// By path and build id.
    numbers: FxHashMap<(Vec<u8>, Vec<u8>), FileNo>,
    facts: Vec<Facts>,
    /// Names of all files.
    names: usize,
}

/// A file, by its number among those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileNo(usize);

#[derive(Default)]
struct Facts {
    /// By address in the file's own terms.
    names: FxHashMap<u64, Resolved>,
    /// Why there are no names, or less than there could be.
    problem: Option<String>,
    inside: Option<Rc<Inside>>,
}

impl KnownFiles {
    /// None yet. Nothing is kept for a single recording.
    pub(super) fn new(has_many: bool) -> KnownFiles {
        KnownFiles {
            most: if has_many { MOST_NAMES } else { 0 },
            numbers: FxHashMap::default(),
            facts: Vec::new(),
            names: 0,
        }
    }

    /// The file of a module; `None` if it can't be told from others.
    pub(super) fn number(&mut self, module: &Module) -> Option<FileNo> {
        if module.build_id.is_empty() {
            return None;
        }
        let key = (module.path.clone(), module.build_id.clone());
        let number = *self.numbers.entry(key).or_insert(FileNo(self.facts.len()));
        if number.0 == self.facts.len() {
            self.facts.push(Facts::default());
        }
        Some(number)
    }

    /// Forgets everything if no name or file has room. Numbers from before mean nothing then.
    pub(super) fn make_room(&mut self) {
        if self.room() == 0 || self.facts.len() >= MOST_FILES {
            *self = KnownFiles::new(self.most > 0);
        }
    }

    /// How many names have room.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.names)
    }

    /// What is at an address in the file's own terms, if that was asked before.
    pub(super) fn name(&self, FileNo(file): FileNo, address: u64) -> Option<&Resolved> {
        self.facts.get(file)?.names.get(&address)
    }

    /// Keeps a name.
    pub(super) fn add_name(&mut self, FileNo(file): FileNo, address: u64, name: Resolved) {
        if self.facts[file].names.insert(address, name).is_none() {
            self.names += 1;
        }
    }

    /// What is wrong with the file, or with its debug information.
    pub(super) fn problem(&self, FileNo(file): FileNo) -> Option<&str> {
        self.facts.get(file)?.problem.as_deref()
    }

    pub(super) fn set_problem(&mut self, FileNo(file): FileNo, problem: String) {
        self.facts[file].problem = Some(problem);
    }

    /// What the file of a module says of allocators: as before, or by `read`, which has nothing to say of a file that
    /// can't be opened.
    pub(super) fn inside(
        &mut self,
        module: &Module,
        read: impl FnOnce() -> Option<Inside>,
    ) -> Option<Rc<Inside>> {
        let file = self.number(module);
        if let Some(inside) = file.and_then(|FileNo(file)| self.facts[file].inside.clone()) {
            return Some(inside);
        }
        let inside = Rc::new(read()?);
        if let Some(FileNo(file)) = file {
            self.facts[file].inside = Some(Rc::clone(&inside));
        }
        Some(inside)
    }
}

#[cfg(test)]
mod tests {
    use twinheap_symbols::Frame;

    use super::*;

    fn module(path: &str, build_id: &[u8]) -> Module {
        let path = path.as_bytes().to_vec();
        Module { bias: 0, start: 0, end: 0, build_id: build_id.to_vec(), path }
    }

    fn named(function: &str) -> Resolved {
        let frame = Frame { function: function.to_owned(), ..Frame::default() };
        Resolved { frames: vec![frame], ..Resolved::default() }
    }

    #[test]
    fn a_replaced_file_is_another_one() {
        let mut files = KnownFiles::new(true);
        let old = files.number(&module("/lib/a.so", &[1])).unwrap();
        files.add_name(old, 16, named("old"));
        let new = files.number(&module("/lib/a.so", &[2])).unwrap();
        assert_eq!((files.name(old, 16), files.name(new, 16)), (Some(&named("old")), None));
        assert_eq!(files.number(&module("/lib/a.so", &[1])), Some(old));
        assert_eq!(files.number(&module("/lib/a.so", &[])), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut files = KnownFiles::new(true);
        let file = files.number(&module("/lib/a.so", &[1])).unwrap();
        for address in 0..MOST_NAMES as u64 {
            files.make_room();
            files.add_name(file, address, Resolved::default());
        }
        assert_eq!(files.room(), 0);
        files.make_room();
        assert_eq!((files.room(), files.name(file, 1)), (MOST_NAMES, None));
        for number in 0..2 * MOST_FILES {
            files.make_room();
            files.number(&module(&format!("/tmp/{number}"), &[1]));
            assert!(files.facts.len() <= MOST_FILES);
        }
    }

    #[test]
    fn a_file_is_read_once() {
        let mut files = KnownFiles::new(true);
        let mut reads = 0;
        for module in [module("/lib/a.so", &[1]), module("/lib/a.so", &[1]), module("/lib/a.so", &[])] {
            let inside = files.inside(&module, || {
                reads += 1;
                Some(Inside::default())
            });
            assert!(inside.is_some());
        }
        assert_eq!(reads, 2);
        assert!(files.inside(&module("/gone", &[3]), || None).is_none());
    }
}
