//! JavaScript functions by the frames that they ran in.
//!
//! The recorder writes what lies in a frame; what that leads to is read here, in the process's memory, while the
//! function is still there. `symbols::v8` knows how, and believes nothing that it can't check.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;
use rustix::thread::futex;
use twinheap_symbols::Files as _;
use twinheap_symbols::v8::{Frames, Layout, RawFrame, SpotNo};
use twinheap_wire::{V8, V8_RANGES, fingerprint, record};

use crate::debug_files::DebugFiles;

/// After so many frames it shows whether what is read makes sense.
const TRIAL: u64 = 500;
/// Stacks whose frames wait for their addresses: a thread that ended between the two leaves some.
const MAX_PENDING: usize = 10_000;

/// What is known of V8 in one process.
pub(super) struct JsFrames {
    memory: Option<File>,
    frames: Option<Frames>,
    is_refused: bool,
    /// Frames of a thread's stack that is not there yet: position and words.
    pending: FxHashMap<(u32, u32), Vec<(u32, RawFrame)>>,
    /// Modules that were looked at.
    looked: Vec<Vec<u8>>,
    /// Functions that were told of for the first time since the last stack.
    told_now: u32,
}

impl JsFrames {
    /// That of a process which frames shall be read of, with what is known of its V8 beforehand.
    pub(super) fn of_process(pid: u32, layout: Option<Layout>) -> JsFrames {
        JsFrames {
            // Without it, frames have no names.
            memory: File::open(format!("/proc/{pid}/mem")).ok(),
            frames: layout.map(Frames::new),
            is_refused: false,
            pending: FxHashMap::default(),
            looked: Vec::new(),
            told_now: 0,
        }
    }

    /// Of one which they shall not be read of.
    pub(super) fn nothing() -> JsFrames {
        JsFrames {
            memory: None,
            frames: None,
            is_refused: false,
            pending: FxHashMap::default(),
            looked: Vec::new(),
            told_now: 0,
        }
    }

    /// Looks whether a module has V8 in it, and tells the recorder.
    pub(super) fn module(&mut self, path: &[u8], build_id: &[u8], told: &V8) {
        let is_known = self.frames.as_ref().is_some_and(|frames| frames.layout().build_id == build_id);
        if self.memory.is_none()
            || is_known
            || build_id.is_empty()
            || self.looked.iter().any(|id| id == build_id)
        {
            return;
        }
        self.looked.push(build_id.to_vec());
        let path = PathBuf::from(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
        if let Some(layout) = layout_of(&path).filter(|layout| layout.build_id == build_id) {
            tell(told, &layout);
            self.frames = Some(Frames::new(layout));
        }
    }

    /// Takes a frame of a thread's stack that follows. `words` are those of [`record::js`].
    pub(super) fn frame(&mut self, thread: u32, head: u64, words: [u64; record::js::WORDS]) {
        use record::js;
        let (kind, position, stack) = (head >> 48, (head >> 32 & 0xffff) as u32, head as u32);
        if kind & js::IS_NEW != 0 {
            self.told_now += 1;
        }
        let frame = RawFrame {
            pc: 0,
            is_interpreted: kind & !(js::IS_NEW | js::IS_FIRST) == js::INTERPRETED,
            is_new: kind & js::IS_NEW != 0,
            function: words[js::FUNCTION],
            bytecodes: words[js::BYTECODES],
            offset: words[js::OFFSET],
            shared: words[js::SHARED],
        };
        if self.pending.len() < MAX_PENDING {
            let pending = self.pending.entry((thread, stack)).or_default();
            if kind & js::IS_FIRST != 0 {
                // There may be some of a stack that never came.
                pending.clear();
            }
            pending.push((position, frame));
        }
    }

    /// The places of a stack's JavaScript frames, by position; ascending. `pc` gives the return address at a position.
    pub(super) fn stack(
        &mut self,
        thread: u32,
        stack: u32,
        pc: impl Fn(u32) -> u64,
        told: &V8,
    ) -> Vec<(u32, SpotNo)> {
        let spots = self.find((thread, stack), pc, told);
        if self.told_now > 0 {
            told.functions_read.fetch_add(std::mem::take(&mut self.told_now), Ordering::SeqCst);
            if told.waiting.load(Ordering::SeqCst) != 0 {
                // Nobody to wake is no error.
                let _ = futex::wake(&told.functions_read, futex::Flags::empty(), u32::MAX >> 1);
            }
        }
        spots
    }

    fn find(&mut self, stack: (u32, u32), pc: impl Fn(u32) -> u64, told: &V8) -> Vec<(u32, SpotNo)> {
        let Some(mut waiting) = self.pending.remove(&stack) else { return Vec::new() };
        let (Some(frames), Some(memory)) = (&mut self.frames, &self.memory) else { return Vec::new() };
        if self.is_refused {
            return Vec::new();
        }
        let read = |address: u64, into: &mut [u8]| memory.read_exact_at(into, address).is_ok();
        waiting.sort_unstable_by_key(|(position, _)| *position);
        let mut spots = Vec::with_capacity(waiting.len());
        for (position, mut frame) in waiting {
            frame.pc = pc(position);
            if let Some(spot) = frames.find(&read, &frame) {
                spots.push((position, spot));
            }
        }
        let (found, refused) = frames.counts();
        if found + refused > TRIAL && found < refused {
            // Another V8 than we think; names are better absent than wrong.
            self.is_refused = true;
            told.refused.store(1, Ordering::Relaxed);
        }
        spots
    }

    /// The functions and places that were found.
    pub(super) fn frames(&self) -> Option<&Frames> {
        self.frames.as_ref().filter(|_| !self.is_refused)
    }

    /// What there is to say about frames without names, if there is.
    pub(super) fn problem(&self) -> Option<String> {
        let (found, refused) = self.frames.as_ref()?.counts();
        self.is_refused.then(|| {
            format!("frames of V8 could not be understood ({refused} of {}); JavaScript has names as far as V8 told them", found + refused)
        })
    }
}

/// Tells the recorder where V8's code is.
pub(super) fn tell(told: &V8, layout: &Layout) {
    let put = |range: &[AtomicU64; 2], (start, end): (u64, u64)| {
        range[0].store(start, Ordering::Relaxed);
        range[1].store(end, Ordering::Relaxed);
    };
    told.module.store(0, Ordering::Release);
    put(&told.interpreter, layout.interpreter);
    let all = [(&told.collectors, &layout.collectors), (&told.major_collectors, &layout.major_collectors)];
    for (ranges, known) in all {
        for (range, known) in ranges.iter().zip(known.iter().copied().chain([(0, 0); V8_RANGES])) {
            put(range, known);
        }
    }
    told.function_shared.store(layout.function_shared, Ordering::Relaxed);
    told.module.store(fingerprint(&layout.build_id), Ordering::Release);
}

fn layout_of(path: &Path) -> Option<Layout> {
    let bytes = DebugFiles::default().open(path)?;
    Layout::of((*bytes).as_ref())
}

/// What is known of V8 in a program before it is started: through the scripts that lead to it. `None` if there is none,
/// if it is one that can't be read, or if we may not read the memory of our children.
pub(super) fn layout_of_command(command: &[OsString]) -> Option<Layout> {
    if fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() > "1") {
        return None;
    }
    let mut program = find_program(command.first()?)?;
    for _ in 0..4 {
        if let Some(layout) = layout_of(&program) {
            return Some(layout);
        }
        program = find_program(&interpreter(&program)?)?;
    }
    None
}

/// The program that runs a script, by its first line: `#!/usr/bin/env node`.
fn interpreter(script: &Path) -> Option<OsString> {
    let mut line = Vec::new();
    BufReader::new(File::open(script).ok()?.take(256)).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line.strip_prefix(b"#!")?.to_vec()).ok()?;
    let mut words = line.split_whitespace();
    let program = words.next()?;
    let is_env = Path::new(program).file_name() == Some(OsStr::new("env"));
    let program =
        if is_env { words.find(|word| !word.starts_with('-') && !word.contains('='))? } else { program };
    Some(program.into())
}

/// Where a program is, as the shell and `exec` find it.
fn find_program(name: &OsStr) -> Option<PathBuf> {
    let path = Path::new(name);
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    if path.components().count() > 1 || path.is_absolute() {
        return Some(path.to_owned()).filter(is_program);
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(path)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_lead_to_their_programs() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, expected: Option<&str>| {
            let path = folder.path().join("script");
            fs::write(&path, text).expect("a file");
            assert_eq!(interpreter(&path), expected.map(OsString::from), "{text:?}");
        };
        check("#!/usr/bin/env node\n", Some("node"));
        check("#!/usr/bin/env -S FOO=1 node --no-warnings\n1", Some("node"));
        check("#! /bin/sh\n", Some("/bin/sh"));
        check("#!/opt/node", Some("/opt/node"));
        check("#!\n", None);
        check("console.log(1)", None);
        check("", None);
    }

    #[test]
    fn programs_are_found_as_by_the_shell() {
        assert!(find_program(OsStr::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(find_program(OsStr::new("/bin/sh")), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_program(OsStr::new("no-such-program-anywhere")), None);
        assert_eq!(layout_of_command(&["sh".into()]), None);
        assert_eq!(layout_of_command(&[]), None);
    }

    #[test]
    fn node_is_known_before_it_starts() {
        let node = crate::node_under_test::executable(22);
        let layout = layout_of_command(&[node.into()]).expect("Node 22");
        assert_eq!(layout.version, (12, 4));
    }
}
