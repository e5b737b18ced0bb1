//! From addresses to functions.

use std::path::PathBuf;

use rustc_hash::FxHashMap;

use crate::demangle::{demangle, is_mangled};
use crate::dwarf::{DebugInfo, RawFrame};
use crate::files::{Files, Store};
use crate::find::{Finder, Found};
use crate::module::{Module, ModuleNo, Segment};
use crate::problem::{Problem, Why};
use crate::symtab::SymbolTable;

/// V8's builtins have symbols that begin so.
const BUILTIN: &[u8] = b"Builtins_";

/// Where to look for files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The folder that was `/` for the recorded process; `None` if it was ours.
    pub sysroot: Option<PathBuf>,
    /// Folders with debug files, looked through before `/usr/lib/debug`. Files may lie in them directly, or as they
    /// lie there: by build id, or under the path of what they belong to.
    pub debug_paths: Vec<PathBuf>,
    /// The folder in which `debuginfod`'s clients keep what they were sent; `None` to leave it alone. Files are asked for
    /// there last, and one that is not there may be fetched by whoever opens it.
    pub debuginfod_cache: Option<PathBuf>,
}

/// What an address is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Whose code it is.
    pub kind: Kind,
    /// The functions there: the innermost inlined one first, the real one last. Empty if the kind is unknown.
    pub frames: Vec<Frame>,
}

/// Whose code an address belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Compiled from C, C++, Rust, assembler and the like.
    Native,
    /// One of V8's builtins, which are part of Node's executable: the function `Builtins_NAME`.
    Builtin,
    /// Nothing is known about it.
    #[default]
    Unknown,
}

/// A function at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its name, demangled. Empty if only the line is known.
    pub function: String,
    /// The source file as the compiler was given it, with its folder; `None` if unknown.
    pub file: Option<String>,
    /// Line of the call, from 1; 0 if unknown.
    pub line: u32,
    /// Column of the call, from 1; 0 if unknown.
    pub column: u32,
    /// Whether it was inlined into the next frame's function.
    pub inlined: bool,
}

/// Names the addresses of one process. It keeps what it read of each file, and nothing about single addresses: give
/// it each address once. It stays in the thread that made it; another one may have its own.
pub struct Symbolizer<'s> {
    store: &'s Store,
    files: &'s dyn Files,
    options: Options,
    modules: Vec<(Module, usize)>,
    images: Vec<Option<Image<'s>>>,
    image_of: FxHashMap<Identity, usize>,
    problems: Vec<Problem>,
}

/// What makes two modules the same file.
type Identity = (PathBuf, Option<Vec<u8>>, Vec<Segment>);

/// What is known about a file.
struct Image<'s> {
    symbols: SymbolTable<'s>,
    debug_info: Option<DebugInfo<'s>>,
}

impl<'s> Symbolizer<'s> {
    /// One without modules. Bytes of files come from `files` and stay in `store`.
    pub fn new(store: &'s Store, files: &'s dyn Files, options: Options) -> Symbolizer<'s> {
        let image_of = FxHashMap::default();
        Symbolizer {
            store,
            files,
            options,
            modules: Vec::new(),
            images: Vec::new(),
            image_of,
            problems: Vec::new(),
        }
    }

    /// Adds a module. Its file is opened when its first address is asked for, and once if it is added again with
    /// another bias.
    pub fn add_module(&mut self, module: Module) -> ModuleNo {
        let identity = (module.path.clone(), module.build_id.clone(), module.segments.clone());
        let image = *self.image_of.entry(identity).or_insert(self.images.len());
        if image == self.images.len() {
            self.images.push(None);
        }
        self.modules.push((module, image));
        ModuleNo(self.modules.len() as u32 - 1)
    }

    /// What the process's address `address` is, which must be that of a call: **a return address less one**.
    ///
    /// DWARF comes first. Symbols name what it doesn't know; an address behind the end of a symbol has no name, even
    /// if none comes between.
    pub fn resolve(&mut self, module: ModuleNo, address: u64) -> Resolved {
        let Some((known, image)) = self.modules.get(module.0 as usize) else { return Resolved::default() };
        if !known.segments.is_empty() && !known.contains(address) {
            return Resolved::default();
        }
        let (address, image) = (address.wrapping_sub(known.bias), *image);
        if self.images[image].is_none() {
            self.images[image] = Some(self.load(module));
        }
        self.images[image].as_ref().map_or_else(Resolved::default, |image| image.resolve(address))
    }

    /// What was wrong with the files of the modules that were asked about so far, each file once.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn load(&mut self, no: ModuleNo) -> Image<'s> {
        let module = &self.modules[no.0 as usize].0;
        let finder = Finder { files: self.files, options: &self.options, store: self.store };
        let Found { main, debug, shared, debug_path, mut problem } = finder.find(module);
        let parts: Vec<_> = [&debug, &main].into_iter().filter_map(Option::as_ref).collect();
        let symbols = SymbolTable::new(&parts);
        let mut debug_info = None;
        if let Some(elf) = parts.iter().find(|elf| elf.has_debug_info()) {
            match DebugInfo::load(elf, shared.as_ref(), self.store) {
                Ok(loaded) => debug_info = loaded,
                Err(error) => problem = problem.or(Some((debug_path, Why::BadDebugInfo(error)))),
            }
        }
        self.problems.extend(problem.map(|(path, why)| Problem { module: no, path, why }));
        Image { symbols, debug_info }
    }
}

impl Image<'_> {
    /// What `address` is, in the file's own terms.
    fn resolve(&self, address: u64) -> Resolved {
        let symbol = self.symbols.find(address);
        if let Some(name) = symbol.filter(|name| name.starts_with(BUILTIN)) {
            let function = String::from_utf8_lossy(name).into_owned();
            return Resolved { kind: Kind::Builtin, frames: vec![Frame { function, ..Frame::default() }] };
        }
        let raw = self.debug_info.as_ref().map(|info| info.frames(address)).unwrap_or_default();
        let mut frames = Vec::with_capacity(raw.len().max(1));
        for (at, frame) in raw.iter().enumerate() {
            let inlined = at + 1 < raw.len();
            let name = if inlined { frame.function } else { real_name(frame, symbol) };
            frames.push(Frame {
                function: demangle(name.unwrap_or_default()).into_owned(),
                file: frame.file.map(str::to_owned),
                line: frame.line,
                column: frame.column,
                inlined,
            });
        }
        if let Some(name) = symbol.filter(|_| frames.is_empty()) {
            frames.push(Frame { function: demangle(name).into_owned(), ..Frame::default() });
        }
        let kind = if frames.is_empty() { Kind::Unknown } else { Kind::Native };
        Resolved { kind, frames }
    }
}

/// The name of a function that really is there: DWARF's, unless the symbol's says more.
///
/// Compilers leave the linkage name out for lambdas and what has no name to link by, and then DWARF's name is a mere
/// `operator()`. Where equal code was folded the symbol is another function's, so it must contain the name.
fn real_name<'n>(frame: &RawFrame<'n>, symbol: Option<&'n [u8]>) -> Option<&'n [u8]> {
    let Some(name) = frame.function else { return symbol };
    // What the compiler split off is still the same function: `work.cold`.
    let symbol = symbol.map(|symbol| symbol.split(|&byte| byte == b'.').next().unwrap_or(symbol));
    let says_more = |symbol: &&[u8]| {
        let bare = name.strip_prefix(b"~").unwrap_or(name);
        let bare = bare.split(|&byte| byte == b'<').next().unwrap_or(bare);
        is_mangled(symbol) && (name.starts_with(b"operator") || memchr::memmem::find(symbol, bare).is_some())
    };
    if is_mangled(name) { Some(name) } else { symbol.filter(says_more).or(Some(name)) }
}
