//! Answers what the recorder asks about modules that have an allocator inside.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSymbol};
use rustc_hash::FxHashSet;
use twinheap_symbols::Files;
use twinheap_trace::heaptrace::{EmbeddedAllocator, RefusedHook};
use twinheap_wire::plan::{MAX_PATH, Plan};

use super::embedded::{allocator_inside, allocator_of};
use super::known_files::KnownFiles;
use super::look::mappings;
use super::places::Module;
use super::plain_files::PlainFiles;
use super::plan::{Question, plan};
use super::ring::Ring;
use crate::debug_files::DebugFiles;

/// Works out a plan for the module that a process asks about, and writes it where the process reads it; the allocators
/// that the module has.
pub(super) fn answer_plan(ring: &Ring, pid: u32, plain: &mut PlainFiles) -> Vec<EmbeddedAllocator> {
    let asked = ring.plan();
    let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
    let question = Question {
        bias: load(&asked.bias),
        page: load(&asked.page),
        hook: load(&asked.hook),
        is_program: asked.is_program.load(Ordering::Relaxed) != 0,
        known: asked.known.iter().map(load).filter(|&address| address != 0).collect(),
    };
    let (path, file) = if question.is_program {
        let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        (path, PathBuf::from(format!("/proc/{pid}/exe")))
    } else {
        let path = path(asked);
        // Under the name that the kernel has for it, as everything else that is mapped.
        let mappings = mappings(pid);
        let mapping = mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&question.bias));
        let mapped = mapping.map_or_else(|| path.clone(), |mapping| PathBuf::from(&mapping.path));
        // Its root may be another one than ours.
        let root = format!("/proc/{pid}/{}", if path.is_absolute() { "root" } else { "cwd" });
        let file = Path::new(&root).join(path.strip_prefix("/").unwrap_or(&path));
        (mapped, file)
    };
    let about = fs::metadata(&file);
    let is_without = about.as_ref().is_ok_and(|about| plain.has(about));
    let memory = File::open(format!("/proc/{pid}/mem"));
    let bytes = if is_without { None } else { DebugFiles::default().open(&file) };
    let answer = match (bytes, memory) {
        (Some(bytes), Ok(memory)) => plan((*bytes).as_ref(), &path, &memory, &question),
        _ => super::plan::Answer::default(),
    };
    if let Ok(about) = about
        && answer.is_without
    {
        plain.note(&about);
    }
    for (word, code) in asked.code.iter().zip(answer.code.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..code.len()].copy_from_slice(code);
        word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
    for (patch, (address, before, after)) in asked.patches.iter().zip(&answer.patches) {
        patch.address.store(*address, Ordering::Relaxed);
        patch.before.store(*before, Ordering::Relaxed);
        patch.after.store(*after, Ordering::Relaxed);
    }
    asked.count.store(answer.patches.len() as u32, Ordering::Relaxed);
    answer.allocators
}

fn path(asked: &Plan) -> PathBuf {
    let length = (asked.path_length.load(Ordering::Relaxed) as usize).min(MAX_PATH);
    let mut bytes: Vec<u8> =
        asked.path.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    bytes.truncate(length);
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

/// The functions of [`Plan::known`].
const HOOKED: [&str; 8] =
    ["malloc", "free", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "valloc"];

/// Allocators inside of modules that nothing is known of yet, told by the texts among their constants. `hooked` are
/// addresses of the process's malloc and its kin: the module that has them is recorded, but for what others call in it
/// by its own names.
pub(super) fn unhooked(
    modules: &[Module],
    known: &[EmbeddedAllocator],
    hooked: &[u64],
    files: &mut KnownFiles,
) -> Vec<EmbeddedAllocator> {
    let mut seen: FxHashSet<&[u8]> = FxHashSet::default();
    let mut calls: Vec<(String, Rc<Inside>)> = Vec::new();
    let mut found = Vec::new();
    for module in modules {
        if !module.path.starts_with(b"/") || !seen.insert(&module.path) {
            continue;
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(&module.path));
        let read = || Some(Inside::of((*DebugFiles::default().open(path)?).as_ref()));
        let Some(inside) = files.inside(module, read) else { continue };
        calls.push((path.to_string_lossy().into_owned(), Rc::clone(&inside)));
        if known.iter().any(|known| known.module.as_bytes() == module.path) {
            continue;
        }
        if let Some(name) = inside.allocator {
            let has = |address: &u64| (module.start..module.end).contains(address);
            let names = HOOKED.iter().zip(hooked).filter(|(_, address)| has(address));
            let names: Vec<String> = names.map(|(name, _)| (*name).to_owned()).collect();
            found.push((name, path.to_string_lossy().into_owned(), names));
        }
    }
    let describe = |(name, module, hooked): (&str, String, Vec<String>)| {
        let is_malloc = !hooked.is_empty();
        let mut allocator = EmbeddedAllocator { name: name.to_owned(), module, hooked, ..Default::default() };
        if is_malloc {
            for (caller, inside) in calls.iter().filter(|(caller, _)| *caller != allocator.module) {
                let functions = inside.calls.iter().filter(|(allocator, _)| *allocator == name);
                allocator.refused.extend(functions.map(|(_, function)| RefusedHook {
                    function: function.clone(),
                    reason: format!("{caller} calls it by its own name"),
                }));
            }
        } else {
            let reason = "it has no symbols of its allocator, or was loaded together with the program";
            allocator.reason = Some(reason.to_owned());
        }
        (!is_malloc || !allocator.refused.is_empty()).then_some(allocator)
    };
    found.into_iter().filter_map(describe).collect()
}

/// What a file says of allocators.
#[derive(Default)]
pub(super) struct Inside {
    /// The one that is inside of it.
    allocator: Option<&'static str>,
    /// Functions of allocators that it wants from others: whose, and which.
    calls: Vec<(&'static str, String)>,
}

impl Inside {
    fn of(bytes: &[u8]) -> Inside {
        Inside { allocator: allocator_inside(bytes), calls: own_calls(bytes) }
    }
}

fn own_calls(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let Ok(file) = ElfFile64::<Endianness>::parse(bytes) else { return Vec::new() };
    let wanted = file.dynamic_symbols().filter(ObjectSymbol::is_undefined);
    wanted
        .filter_map(|symbol| {
            let function = symbol.name().ok()?;
            Some((allocator_of(function)?, function.to_owned()))
        })
        .collect()
}
