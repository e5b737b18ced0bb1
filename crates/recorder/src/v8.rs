//! Frames of JavaScript.
//!
//! All functions that V8 interprets return to the same address, so the address alone does not tell a stack from
//! another. What tells them apart lies in the frame: the function's bytecode and the place in it. A walk mixes these
//! two words into the stack's hash ([`mark`]). It follows no pointer.
//!
//! A stack that is new is written with the words of its JavaScript frames before it ([`Room`]), and with one more: the
//! function's `SharedFunctionInfo`, which tells the function. Functions are young objects, which move within
//! milliseconds, so that word has to be read here; everything else the collector reads from outside. The kernel reads
//! it for us: a word that is no pointer, whatever the reason, is an error that it returns and no crash. While V8
//! collects garbage, nothing is read, since then functions may be half moved.
//!
//! Where V8's code lies, the collector tells when it knows the module ([`twinheap_wire::V8`]); before that, frames are
//! frames like others.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use twinheap_wire::{V8, policy};

use crate::modules;
use crate::rules::Rule;
use crate::session::{self, Session};
use crate::sys;

/// What the collector tells.
static TOLD: AtomicPtr<V8> = AtomicPtr::new(core::ptr::null_mut());
/// The module that it had told of when caches were last begun anew.
static NOTICED: AtomicU64 = AtomicU64::new(0);

/// Whether the kernel may be asked for words only by calls that nobody forbids.
static IS_FILTERED: AtomicBool = AtomicBool::new(false);
/// Threads that have looked at this and ask the kernel right now.
static ASKING: AtomicU32 = AtomicU32::new(0);

/// Takes note where the collector will tell.
pub(crate) fn set(place: &'static V8) {
    ASKING.store(0, Ordering::Relaxed);
    IS_FILTERED.store(sys::is_filtered(), Ordering::Relaxed);
    NOTICED.store(0, Ordering::Relaxed);
    TOLD.store(core::ptr::from_ref(place).cast_mut(), Ordering::Release);
}

/// The process is about to put its system calls under a filter: from now on only those are used that nobody forbids.
/// Whoever has chosen the other one is waited for: microseconds, and never for long.
#[cold]
pub(crate) fn before_filter() {
    IS_FILTERED.store(true, Ordering::SeqCst);
    for _ in 0..100 {
        let asking = ASKING.load(Ordering::SeqCst);
        if asking == 0 {
            return;
        }
        sys::wait(&ASKING, asking, PAUSE);
    }
}

/// What it told, if it has.
fn told() -> Option<&'static V8> {
    // SAFETY: null, or a part of the ring, which is never unmapped.
    let place = unsafe { TOLD.load(Ordering::Acquire).as_ref() }?;
    (place.module.load(Ordering::Acquire) != 0).then_some(place)
}

/// Has everything forgotten that was found before the collector told.
pub(crate) fn notice() {
    let module = told().map_or(0, |told| told.module.load(Ordering::Relaxed));
    if NOTICED.load(Ordering::Relaxed) != module && NOTICED.swap(module, Ordering::Relaxed) != module {
        modules::begin_generation();
    }
}

/// Whether frames are to be looked at; then where functions have what tells them.
pub(crate) fn function_shared() -> Option<u64> {
    let told = told().filter(|told| told.refused.load(Ordering::Relaxed) == 0)?;
    Some(u64::from(told.function_shared.load(Ordering::Relaxed)))
        .filter(|offset| *offset < ROOM_FOR_FUNCTION - 8)
}

fn is_within(range: &[AtomicU64; 2], address: u64) -> bool {
    let [start, end] = range.each_ref().map(|word| word.load(Ordering::Relaxed));
    (start..end).contains(&address)
}

/// The rule for an address of a module, less the module's bias.
pub(crate) fn rule(module: u64, address: u64) -> Option<Rule> {
    let told = told().filter(|told| told.module.load(Ordering::Relaxed) == module)?;
    // The code of these functions keeps frame pointers, whatever the rest of the module does.
    let is_in = |ranges: &[[AtomicU64; 2]]| ranges.iter().any(|range| is_within(range, address));
    if is_within(&told.interpreter, address) {
        Some(Rule::INTERPRETED)
    } else if is_in(&told.major_collectors) {
        Some(Rule::MAJOR_COLLECTOR)
    } else if is_in(&told.collectors) {
        Some(Rule::COLLECTOR)
    } else {
        None
    }
}

/// Bytes on both sides of a return address by which the interpreter's entry is known again.
const SITE: u64 = 8;

/// The rule for a return address in code that no file is behind, in a process with V8.
///
/// V8 can have copies of its interpreter's entry there. They are told by the instructions around the call.
pub(crate) fn rule_of_generated(pc: u64) -> Option<Rule> {
    let told = told()?;
    let in_page = pc & 0xfff;
    if !(SITE..=0x1000 - SITE).contains(&in_page) {
        return Some(Rule::COMPILED);
    }
    let [start, end] = told.interpreter.each_ref().map(|word| word.load(Ordering::Relaxed));
    let Some(bias) = modules::bias_of(told.module.load(Ordering::Relaxed), start) else {
        return Some(Rule::COMPILED);
    };
    // SAFETY: the page that the thread returns to; V8's code can be read, as all code on this processor.
    let site = unsafe { core::slice::from_raw_parts((pc - SITE) as *const u8, 2 * SITE as usize) };
    // SAFETY: the module is mapped and has these addresses as code.
    let entry = unsafe {
        let start = start.wrapping_add(bias);
        core::slice::from_raw_parts(start as *const u8, end.wrapping_add(bias).wrapping_sub(start) as usize)
    };
    let is_entry = entry.windows(2 * SITE as usize).any(|window| window == site);
    Some(if is_entry { Rule::INTERPRETED } else { Rule::COMPILED })
}

/// Offsets from the frame pointer, as V8 has had them since there is bytecode; the collector checks that they hold.
mod frame {
    pub(super) const CONTEXT: u64 = 8;
    pub(super) const FUNCTION: u64 = 16;
    pub(super) const BYTECODES: u64 = 32;
    pub(super) const OFFSET: u64 = 40;
}

/// What tells an interpreted frame from others with its return address: a mix of its bytecode and of the place in it.
#[inline(always)]
pub(crate) fn mark(sp: u64, fp: u64, high: u64) -> u64 {
    match words(sp, fp, high) {
        // SAFETY: within the frame.
        true => unsafe {
            read(fp - frame::BYTECODES).wrapping_mul(0xff51_afd7_ed55_8ccd) ^ read(fp - frame::OFFSET)
        },
        false => 0,
    }
}

/// Whether a frame with these registers, on a stack that ends at `high`, has the words of one of JavaScript.
#[inline(always)]
fn words(sp: u64, fp: u64, high: u64) -> bool {
    fp >= sp.saturating_add(frame::OFFSET) && fp <= high.wrapping_sub(16) && fp & 7 == 0
}

/// # Safety
/// Eight bytes at the address are readable.
#[inline(always)]
unsafe fn read(address: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { (address as *const u64).read() }
}

/// Nanoseconds to wait for the collector at once, and so many times.
const PAUSE: u32 = 1_000_000;

/// Waits, at most so many milliseconds, until the collector has looked at all functions that it was told of: memory is
/// about to go that it would look at. A program that is not to wait for the collector doesn't.
#[cold]
pub(crate) fn wait_for_reader(session: &Session, milliseconds: u32) {
    /// What the collector had read when it was waited for in vain: until it goes on, nobody waits again.
    static IN_VAIN: AtomicU32 = AtomicU32::new(u32::MAX);
    let may_wait = session.header.policy.load(Ordering::Relaxed) == policy::WAIT;
    let Some(told) = told().filter(|_| may_wait) else { return };
    let all = told.functions_told.load(Ordering::Acquire);
    for round in 0..milliseconds {
        let read = told.functions_read.load(Ordering::Acquire);
        if read == IN_VAIN.load(Ordering::Relaxed) {
            return;
        }
        // Counters may wrap.
        if all.wrapping_sub(read) as i32 <= 0 || told.refused.load(Ordering::Relaxed) != 0 {
            return;
        }
        told.waiting.fetch_add(1, Ordering::SeqCst);
        if round == 0 {
            session::call_collector(session.header);
        }
        sys::wait(&told.functions_read, read, PAUSE);
        told.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    IN_VAIN.store(told.functions_read.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Notes that the collector is told of a function for the first time.
pub(crate) fn count_function() {
    if let Some(told) = told() {
        told.functions_told.fetch_add(1, Ordering::Release);
    }
}

/// Whether this may be memory of V8's heap, which comes in pieces of this size.
pub(crate) fn may_be_heap(address: u64, length: u64) -> bool {
    const PIECE: u64 = 256 << 10;
    address.is_multiple_of(PIECE) && length >= PIECE
}

/// Frames of JavaScript that are told of in one stack; deeper ones have no name.
const FRAMES: usize = 128;
/// Bytes that are read of a function.
const ROOM_FOR_FUNCTION: u64 = 64;
/// Functions that a thread remembers having told of.
const FUNCTIONS_BITS: u32 = 11;

/// A frame of JavaScript.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct JsFrame {
    /// Its position in the stack, from 0.
    pub(crate) position: u32,
    /// [`twinheap_wire::record::js`]'s kind.
    pub(crate) kind: u32,
    pub(crate) function: u64,
    pub(crate) bytecodes: u64,
    pub(crate) offset: u64,
    /// The function's `SharedFunctionInfo`; 0 if it was not read.
    pub(crate) shared: u64,
}

/// Where a thread puts together what it tells of a stack.
#[repr(C)]
pub(crate) struct Room {
    /// 1 while it is in use; a handler that comes in between tells nothing.
    is_taken: AtomicU32,
    count: usize,
    /// V8 collects garbage further in.
    is_collecting: bool,
    frames: [JsFrame; FRAMES],
    remote: [libc::iovec; FRAMES],
    functions: [u64; FRAMES],
    /// `SharedFunctionInfo`s that were told of, by a hash.
    known: [u64; 1 << FUNCTIONS_BITS],
}

impl Room {
    /// The room for a stack, if nobody has it.
    pub(crate) fn take(&mut self) -> bool {
        let is_free = self.is_taken.swap(1, Ordering::Relaxed) == 0;
        if is_free {
            (self.count, self.is_collecting) = (0, false);
        }
        is_free
    }

    pub(crate) fn give_back(&mut self) {
        self.is_taken.store(0, Ordering::Release);
    }

    /// Makes it fit for another thread: the one before may have ended while it had the room.
    pub(crate) fn reset(&mut self) {
        self.is_taken.store(0, Ordering::Relaxed);
        self.forget();
    }

    /// Forgets which functions were told of: they may have moved, and others be in their places.
    pub(crate) fn forget(&mut self) {
        self.known.fill(0);
    }

    /// Whether a function is told of for the first time, as far as is remembered.
    pub(crate) fn is_new(&mut self, shared: u64) -> bool {
        let slot = (shared.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FUNCTIONS_BITS)) as usize;
        let known = self.known.get_mut(slot);
        shared != 0 && known.is_some_and(|known| core::mem::replace(known, shared) != shared)
    }

    /// The frame with this number among those that were taken.
    pub(crate) fn frame(&self, number: usize) -> Option<JsFrame> {
        self.frames.get(..self.count)?.get(number).copied()
    }

    /// Takes a frame of the stack, in order from the innermost.
    pub(crate) fn visit(&mut self, position: u32, sp: u64, fp: u64, high: u64, rule: Rule) {
        use twinheap_wire::record::js;
        let kind = match rule {
            Rule::COLLECTOR | Rule::MAJOR_COLLECTOR => {
                self.is_collecting = true;
                return;
            }
            Rule::INTERPRETED => js::INTERPRETED as u32,
            Rule::COMPILED => js::COMPILED as u32,
            _ => return,
        };
        if !words(sp, fp, high) {
            return;
        }
        // SAFETY: within the frame.
        let (context, function, bytecodes, offset) = unsafe {
            (
                read(fp - frame::CONTEXT),
                read(fp - frame::FUNCTION),
                read(fp - frame::BYTECODES),
                read(fp - frame::OFFSET),
            )
        };
        // Frames of V8's own stubs have their kind in place of the context, which is a pointer.
        let is_pointer = |word: u64| word & 3 == 1;
        if !is_pointer(context) || !is_pointer(function) {
            return;
        }
        if let Some(frame) = self.frames.get_mut(self.count) {
            *frame = JsFrame { position, kind, function, bytecodes, offset, shared: 0 };
            self.count += 1;
        }
    }

    /// Reads what tells the functions, unless V8 collects garbage.
    pub(crate) fn look(&mut self, process: u32, function_shared: u64) {
        if self.is_collecting {
            return;
        }
        for (frame, remote) in self.frames.iter().zip(&mut self.remote).take(self.count) {
            let at = (frame.function - 1).wrapping_add(function_shared);
            *remote = libc::iovec { iov_base: at as *mut _, iov_len: 8 };
        }
        let mut done = 0;
        // What can't be read ends a call: it goes on behind.
        for _ in 0..4 {
            let (Some(remote), Some(into)) =
                (self.remote.get(done..self.count), self.functions.get_mut(done..self.count))
            else {
                return;
            };
            if remote.is_empty() {
                return;
            }
            ASKING.fetch_add(1, Ordering::SeqCst);
            let read = match IS_FILTERED.load(Ordering::SeqCst) {
                false => sys::read_process(process, remote, into),
                true => sys::read_self(remote, into),
            } / 8;
            ASKING.fetch_sub(1, Ordering::SeqCst);
            let frames = self.frames.iter_mut().skip(done).take(read);
            for (frame, shared) in frames.zip(self.functions.iter().skip(done)) {
                frame.shared = if shared & 3 == 1 { *shared } else { 0 };
            }
            done += read + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinheap_wire::record::js;

    /// Takes a frame whose words, from the stack pointer to the frame pointer, are these.
    #[track_caller]
    fn check(words: [u64; 6], rule: Rule, expected: &[(u64, u64)]) {
        let mut stack = [0u64; 10];
        // Bytecode offset first, then bytecode, arguments, function, context, frame pointer.
        stack[2..8].copy_from_slice(&words);
        let fp = (&raw const stack[7]) as u64;
        let (sp, high) = (fp - 40, (&raw const stack[9]) as u64 + 8);
        // SAFETY: all zeros is an empty room.
        let mut room: Box<Room> = unsafe { Box::new(core::mem::zeroed()) };
        assert!(room.take());
        assert!(!room.take());
        room.visit(3, sp, fp, high, rule);
        room.visit(4, fp + 8, fp, high, rule);
        room.look(sys::process(), 0);
        let found = (0..).map_while(|number| room.frame(number));
        let found: Vec<_> = found.map(|frame| (u64::from(frame.kind), frame.shared)).collect();
        assert_eq!(found, expected);
        for (_, shared) in found {
            assert_eq!(room.is_new(shared), shared != 0);
            assert!(!room.is_new(shared));
            room.forget();
            assert_eq!(room.is_new(shared), shared != 0);
        }
        room.give_back();
        assert!(room.take());
    }

    #[test]
    fn frames_with_a_context_and_a_function_are_those_of_javascript() {
        let object = [0x7001u64, 0];
        let function = (&raw const object) as u64 + 1;
        check([60 << 32, 0x3001, 2, function, 0x5001, 0], Rule::INTERPRETED, &[(js::INTERPRETED, 0x7001)]);
        check([60 << 32, 0x3001, 2, function, 0x5001, 0], Rule::COMPILED, &[(js::COMPILED, 0x7001)]);
        check([60 << 32, 0x3001, 2, function, 0x5001, 0], Rule::FRAME, &[]);
        check([60 << 32, 0x3001, 2, function, 34, 0], Rule::COMPILED, &[]);
        check([60 << 32, 0x3001, 2, 0x8000, 0x5001, 0], Rule::COMPILED, &[]);
    }

    #[test]
    fn words_are_read_in_either_way() {
        let words = [7u64, 8, 9];
        let place = |at: *const u64| libc::iovec { iov_base: at.cast_mut().cast(), iov_len: 8 };
        let nowhere = place(core::ptr::without_provenance(0x10_0000));
        let places =
            [place(&raw const words[2]), place(&raw const words[0]), nowhere, place(&raw const words[1])];
        for read in [sys::read_self, |from: &[libc::iovec], into: &mut [u64]| {
            sys::read_process(sys::process(), from, into)
        }] {
            let mut into = [0; 4];
            assert_eq!(read(&places, &mut into), 16);
            assert_eq!(into, [9, 7, 0, 0]);
        }
    }

    #[test]
    fn a_function_that_is_nowhere_is_not_read() {
        check([60 << 32, 0x3001, 2, 0x10_0001, 0x5001, 0], Rule::COMPILED, &[(js::COMPILED, 0)]);
        check([60 << 32, 0x3001, 2, !0xff | 1, 0x5001, 0], Rule::COMPILED, &[(js::COMPILED, 0)]);
    }
}
