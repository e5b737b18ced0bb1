//! What code is mapped where, and how frames are left there.
//!
//! Found in `/proc/self/maps` when a stack leads to code that is not known yet. Asking the dynamic linker instead
//! would take its lock, which another thread may hold while it waits for one that our caller holds: the classic
//! deadlock of heap profilers. It also needs no hook of `dlopen`, whose search path depends on who calls it.
//!
//! The table only grows. Its entries never change but for the mark that their module was unloaded.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use twinheap_wire::fingerprint;

use crate::cfi::Tables;
use crate::maps::{Lines, Mapping};
use crate::rules::Rule;
use crate::v8;

const MAX: usize = 4096;
/// Times that the table is searched anew without finding anything before it is left as it is: code that is made at
/// run time all over the address space would cost a look at the mappings for each call.
const MAX_FAILURES: u32 = 2000;

/// How frames of some code are left.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Frame pointers, as in V8's code and in modules that were built so.
    FramePointers,
    /// By the module's tables.
    Tables(Tables),
}

struct Entry {
    start: u64,
    end: u64,
    kind: Kind,
    /// The module's path, to see whether it is still mapped; 0 for anonymous code.
    path: u64,
    /// Fingerprint of the module's build id; 0 without one.
    module: u64,
    bias: u64,
    is_gone: AtomicBool,
}

struct Table(UnsafeCell<[core::mem::MaybeUninit<Entry>; MAX]>);

// SAFETY: entries are written once, by the holder of `CHANGING`, before `COUNT` lets anybody see them.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([const { core::mem::MaybeUninit::uninit() }; MAX]));
static COUNT: AtomicUsize = AtomicUsize::new(0);
static CHANGING: AtomicBool = AtomicBool::new(false);
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// Threads that unload modules: while there is one, no table may be read.
static UNLOADING: AtomicU32 = AtomicU32::new(0);
/// Counts unloadings.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Threads that read tables.
static READERS: AtomicU32 = AtomicU32::new(0);

/// What the collector is told of a module.
pub(crate) struct Found<'a> {
    pub(crate) bias: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) build_id: &'a [u8],
    pub(crate) path: &'a [u8],
}

/// Changes whenever modules were unloaded: what was derived from addresses before is void.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has all threads forget what they derived from addresses.
pub(crate) fn begin_generation() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

/// The bias of a module that has this address in its code, less the bias.
pub(crate) fn bias_of(module: u64, address: u64) -> Option<u64> {
    let is_there = |entry: &&Entry| {
        entry.module == module
            && (entry.start..entry.end).contains(&address.wrapping_add(entry.bias))
            && !entry.is_gone.load(Ordering::Relaxed)
    };
    entries().iter().find(is_there).map(|entry| entry.bias)
}

/// The rule for a return address; `None` if it can't be told right now. Code that is not known is looked for with
/// `buffer` for the lines of mappings; what is found is handed to `report`, so that the collector hears of it before
/// any stack with it.
pub(crate) fn rule(pc: u64, buffer: &mut [u8], report: &mut dyn FnMut(&Found<'_>)) -> Option<Rule> {
    // The call is the byte before: a function that never returns may end with it.
    let call = pc.wrapping_sub(1);
    READERS.fetch_add(1, Ordering::SeqCst);
    let rule = (UNLOADING.load(Ordering::SeqCst) == 0).then(|| {
        let rule = known(call).or_else(|| {
            discover(Some(call), buffer, report);
            known(call)
        });
        // Code that no file is behind is V8's or another compiler's at run time. They keep frame pointers, or their
        // stacks end here.
        rule.unwrap_or(Rule::FRAME)
    });
    READERS.fetch_sub(1, Ordering::SeqCst);
    rule
}

/// Takes in everything that is mapped now.
pub(crate) fn scan(buffer: &mut [u8], report: &mut dyn FnMut(&Found<'_>)) {
    discover(None, buffer, report);
}

/// Does `unload`, which may unload modules, while nobody reads their tables.
pub(crate) fn unload<T>(buffer: &mut [u8], unload: impl FnOnce() -> T) -> T {
    UNLOADING.fetch_add(1, Ordering::SeqCst);
    while READERS.load(Ordering::SeqCst) != 0 {
        core::hint::spin_loop();
    }
    let result = unload();
    mark_gone(buffer);
    GENERATION.fetch_add(1, Ordering::SeqCst);
    UNLOADING.fetch_sub(1, Ordering::SeqCst);
    result
}

/// Forgets everything, in a forked child: another collector has not heard of it, and threads that were changing the
/// table are gone.
pub(crate) fn forget_all() {
    COUNT.store(0, Ordering::SeqCst);
    CHANGING.store(false, Ordering::SeqCst);
    READERS.store(0, Ordering::SeqCst);
    UNLOADING.store(0, Ordering::SeqCst);
    FAILURES.store(0, Ordering::SeqCst);
}

fn entries() -> &'static [Entry] {
    let count = COUNT.load(Ordering::Acquire);
    // SAFETY: that many entries are written and don't change.
    unsafe { core::slice::from_raw_parts(TABLE.0.get().cast::<Entry>(), count) }
}

fn known(pc: u64) -> Option<Rule> {
    // The latest entry first: an address may have been another module's before.
    let entry = entries()
        .iter()
        .rev()
        .find(|entry| (entry.start..entry.end).contains(&pc) && !entry.is_gone.load(Ordering::Relaxed))?;
    let of_v8 = match entry.path {
        0 => v8::rule_of_generated(pc + 1),
        _ => v8::rule(entry.module, pc.wrapping_sub(entry.bias)),
    };
    if of_v8.is_some() {
        return of_v8;
    }
    Some(match entry.kind {
        Kind::FramePointers => Rule::FRAME,
        Kind::Tables(tables) => tables.rule(pc).unwrap_or(Rule::FRAME),
    })
}

fn add(entry: Entry) {
    let count = COUNT.load(Ordering::Relaxed);
    if count < MAX {
        // SAFETY: within the table, and nobody reads behind `COUNT`; `CHANGING` is held.
        unsafe { TABLE.0.get().cast::<Entry>().add(count).write(entry) };
        COUNT.store(count + 1, Ordering::Release);
    }
}

/// Looks for code that is not in the table: that at `pc`, or all of it.
fn discover(pc: Option<u64>, buffer: &mut [u8], report: &mut dyn FnMut(&Found<'_>)) {
    if FAILURES.load(Ordering::Relaxed) > MAX_FAILURES || CHANGING.swap(true, Ordering::Acquire) {
        return;
    }
    let before = COUNT.load(Ordering::Relaxed);
    if let Some(mut lines) = Lines::open(buffer) {
        let mut walk = Walk::default();
        while let Some(mapping) = lines.next() {
            walk.visit(&mapping, pc, report);
        }
        walk.finish(pc);
    }
    if COUNT.load(Ordering::Relaxed) == before {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
    CHANGING.store(false, Ordering::Release);
}

/// What a pass over the mappings remembers.
#[derive(Default)]
struct Walk {
    /// The latest mapping of a file's start.
    file: Option<Image>,
    /// A run of anonymous mappings without a gap: a code range of V8's is one, in pieces with different rights.
    run: Option<(u64, u64, bool)>,
}

#[derive(Clone, Copy)]
struct Image {
    path: u64,
    base: u64,
}

impl Walk {
    fn visit(&mut self, mapping: &Mapping<'_>, pc: Option<u64>, report: &mut dyn FnMut(&Found<'_>)) {
        if mapping.path.is_empty() || mapping.path.starts_with(b"[anon") {
            match &mut self.run {
                Some((_, end, is_code)) if *end == mapping.start => {
                    *end = mapping.end;
                    *is_code |= mapping.is_executable;
                }
                _ => {
                    self.finish(pc);
                    self.run = Some((mapping.start, mapping.end, mapping.is_executable));
                }
            }
            return;
        }
        let path = hash(mapping.path);
        let is_image = mapping.path.first() == Some(&b'/') || mapping.path == b"[vdso]";
        if is_image && mapping.offset == 0 && mapping.is_readable {
            self.file = Some(Image { path, base: mapping.start });
        }
        if !mapping.is_executable || is_known(mapping, path) {
            return;
        }
        let image = self.file.filter(|image| is_image && image.path == path);
        // SAFETY: the file's start is mapped and readable: the pass over the mappings just said so.
        let elf = image.and_then(|image| unsafe { Elf::read(image.base, mapping) });
        let kind = match elf.as_ref().and_then(|elf| elf.tables) {
            Some(tables) if !tables.keeps_frame_pointers() => Kind::Tables(tables),
            _ => Kind::FramePointers,
        };
        let bias = elf.as_ref().map_or(mapping.start.wrapping_sub(mapping.offset), |elf| elf.bias);
        let build_id = elf.as_ref().map_or(&[][..], |elf| elf.build_id);
        report(&Found { bias, start: mapping.start, end: mapping.end, build_id, path: mapping.path });
        let module = if build_id.is_empty() { 0 } else { fingerprint(build_id) };
        let is_gone = AtomicBool::new(false);
        add(Entry { start: mapping.start, end: mapping.end, kind, path, module, bias, is_gone });
    }

    /// Takes in the run of anonymous mappings, if the code in question is there.
    fn finish(&mut self, pc: Option<u64>) {
        if let Some((start, end, _)) = self.run.take().filter(|run| run.2)
            && pc.is_some_and(|pc| (start..end).contains(&pc))
        {
            let is_gone = AtomicBool::new(false);
            add(Entry { start, end, kind: Kind::FramePointers, path: 0, module: 0, bias: 0, is_gone });
        }
    }
}

fn is_known(mapping: &Mapping<'_>, path: u64) -> bool {
    entries().iter().any(|entry| {
        entry.path == path
            && entry.start == mapping.start
            && entry.end == mapping.end
            && !entry.is_gone.load(Ordering::Relaxed)
    })
}

/// Marks the modules that are no longer mapped where they were.
fn mark_gone(buffer: &mut [u8]) {
    while CHANGING.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
    for entry in entries() {
        if entry.path == 0 || entry.is_gone.load(Ordering::Relaxed) {
            continue;
        }
        let mut is_there = false;
        if let Some(mut lines) = Lines::open(buffer) {
            while let Some(mapping) = lines.next() {
                is_there |= mapping.start == entry.start && hash(mapping.path) == entry.path;
            }
        }
        entry.is_gone.store(!is_there, Ordering::Relaxed);
    }
    CHANGING.store(false, Ordering::Release);
}

/// FNV-1a, never 0.
fn hash(path: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    path.iter().fold(0xcbf2_9ce4_8422_2325, mix) | 1
}

/// What the program headers of a loaded module tell.
struct Elf {
    /// Of the mapping in question: V8 maps its builtins, which are a part of Node's executable, a second time.
    bias: u64,
    tables: Option<Tables>,
    build_id: &'static [u8],
}

const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const NT_GNU_BUILD_ID: u32 = 3;

impl Elf {
    /// Reads a module by its header in memory, for one of its mappings.
    ///
    /// # Safety
    /// A page is readable at `base`, and stays so while this runs.
    unsafe fn read(base: u64, mapping: &Mapping<'_>) -> Option<Elf> {
        // SAFETY: within the first page.
        let header = unsafe { &*(base as *const libc::Elf64_Ehdr) };
        let count = u64::from(header.e_phnum);
        let size = size_of::<libc::Elf64_Phdr>() as u64;
        if !header.e_ident.starts_with(b"\x7fELF\x02\x01")
            || u64::from(header.e_phentsize) != size
            || header.e_phoff.checked_add(count * size)? > 4096
        {
            return None;
        }
        // SAFETY: checked to be within the first page.
        let headers = unsafe {
            core::slice::from_raw_parts(
                (base + header.e_phoff) as *const libc::Elf64_Phdr,
                usize::from(header.e_phnum),
            )
        };
        let loads = || headers.iter().filter(|header| header.p_type == PT_LOAD);
        let first = loads().next()?;
        let bias = base.wrapping_sub(first.p_vaddr & !0xfff);
        let end = loads().map(|load| load.p_vaddr.wrapping_add(load.p_filesz)).max()?.wrapping_add(bias);
        let of_mapping = loads()
            .find(|load| {
                let start = load.p_offset & !0xfff;
                (start..load.p_offset.saturating_add(load.p_filesz)).contains(&mapping.offset)
                    && load.p_flags & PF_X != 0
            })
            .map(|load| {
                mapping
                    .start
                    .wrapping_sub(load.p_vaddr.wrapping_sub(load.p_offset))
                    .wrapping_sub(mapping.offset)
            });
        let mut elf = Elf { bias: of_mapping.unwrap_or(bias), tables: None, build_id: &[] };
        // Only what a segment maps from the file may be touched.
        let is_mapped = |header: &libc::Elf64_Phdr| {
            loads().any(|load| {
                header.p_vaddr >= load.p_vaddr
                    && header.p_vaddr.saturating_add(header.p_filesz)
                        <= load.p_vaddr.saturating_add(load.p_filesz)
            })
        };
        for header in headers.iter().filter(|header| is_mapped(header)) {
            let at = header.p_vaddr.wrapping_add(bias);
            match header.p_type {
                PT_GNU_EH_FRAME => {
                    let load = loads().find(|load| {
                        (load.p_vaddr..load.p_vaddr + load.p_filesz).contains(&header.p_vaddr)
                    })?;
                    // The tables lie in one segment, which is what may be read of the module.
                    let start = load.p_vaddr.wrapping_add(bias);
                    let segment_end = start.saturating_add(load.p_filesz).min(end);
                    elf.tables = Some(Tables { header: at, start, end: segment_end });
                }
                // SAFETY: mapped, by the filter.
                PT_NOTE if elf.build_id.is_empty() => unsafe {
                    elf.build_id = build_id(at, header.p_filesz).unwrap_or_default();
                },
                _ => {}
            }
        }
        Some(elf)
    }
}

/// The build id among notes.
///
/// # Safety
/// The range is readable for as long as the result is used.
unsafe fn build_id(at: u64, length: u64) -> Option<&'static [u8]> {
    // SAFETY: by the contract.
    let mut notes = unsafe { core::slice::from_raw_parts(at as *const u8, length as usize) };
    loop {
        let word = |at: usize| notes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let (name, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let start = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(size)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..16)? == b"GNU\0" {
            return notes.get(start..end).filter(|id| id.len() <= 32);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_this_process_are_found_with_their_tables() {
        let mut buffer = vec![0; 16 << 10];
        let mut paths = Vec::new();
        scan(&mut buffer, &mut |found| {
            assert!(found.start < found.end);
            paths.push((String::from_utf8_lossy(found.path).into_owned(), found.build_id.len()));
        });
        let libc = paths.iter().find(|(path, _)| path.contains("libc.so") || path.contains("libc-"));
        assert_eq!(libc.expect("libc is mapped").1, 20);
        let here = modules_of_this_process_are_found_with_their_tables as fn() as usize as u64;
        // Our own tests keep no frame pointers, so that there is a rule, and at a function's start it is the ABI's.
        let rule = known(here).expect("our own code");
        assert_eq!((rule.base(), rule.offset(), rule.saved()), (crate::rules::Base::StackPointer, 8, 0));
    }
}
