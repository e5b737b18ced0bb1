//! Answers what the recorder asks about modules that have an allocator inside.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashSet;
use twinheap_symbols::Files;
use twinheap_trace::heaptrace::EmbeddedAllocator;
use twinheap_wire::plan::{MAX_PATH, Plan};

use super::embedded::allocator_inside;
use super::look::mappings;
use super::places::Module;
use super::plan::{Question, plan};
use super::ring::Ring;
use crate::debug_files::DebugFiles;

/// Works out a plan for the module that a process asks about, and writes it where the process reads it; the allocators
/// that the module has.
pub(super) fn answer_plan(ring: &Ring, pid: u32) -> Vec<EmbeddedAllocator> {
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
    let memory = File::open(format!("/proc/{pid}/mem"));
    let answer = match (DebugFiles::default().open(&file), memory) {
        (Some(bytes), Ok(memory)) => plan((*bytes).as_ref(), &path, &memory, &question),
        _ => super::plan::Answer::default(),
    };
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

/// Allocators inside of modules that nothing is known of yet, told by the texts among their constants.
pub(super) fn unhooked(modules: &[Module], known: &[EmbeddedAllocator]) -> Vec<EmbeddedAllocator> {
    let mut seen: FxHashSet<&[u8]> = known.iter().map(|allocator| allocator.module.as_bytes()).collect();
    let mut found = Vec::new();
    for module in modules {
        if !module.path.starts_with(b"/") || !seen.insert(&module.path) {
            continue;
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(&module.path));
        let Some(bytes) = DebugFiles::default().open(path) else { continue };
        if let Some(name) = allocator_inside((*bytes).as_ref()) {
            found.push(EmbeddedAllocator {
                module: path.to_string_lossy().into_owned(),
                name: name.to_owned(),
                reason: Some(
                    "it has no symbols of its allocator, or was loaded together with the program".to_owned(),
                ),
                ..EmbeddedAllocator::default()
            });
        }
    }
    found
}
