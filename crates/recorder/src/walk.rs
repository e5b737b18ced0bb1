//! Walks a stack from the registers of a hook's caller.

use twinheap_wire::record;

use crate::expression::{UCONTEXT_FRAME_POINTER, UCONTEXT_PC, UCONTEXT_STACK_POINTER};
use crate::maps::Lines;
use crate::rules::{Base, Rule, RuleCache};
use crate::sys;
use crate::thread::Thread;
use crate::trail::{Frame, Led, Retraced, Trail, Walk};
use crate::v8;

/// Registers of a function that just called a hook.
#[derive(Clone, Copy)]
pub struct Registers {
    /// Where the return address lies.
    pub stack_pointer: u64,
    /// The frame pointer register, whatever the function uses it for.
    pub frame_pointer: u64,
}

/// The return address of the call of a hook.
#[inline(always)]
pub(crate) fn return_address(caller: Registers) -> u64 {
    // SAFETY: the hook was called from there, and the stack is still mapped.
    unsafe { read(caller.stack_pointer) }
}

/// Hands on the return addresses of a stack, the innermost first, at most so many.
///
/// Each is followed by the rule for its code: for most programs' code a frame pointer, which is one load; otherwise an
/// offset that the unwind tables tell, from the thread's cache. Memory is read only within the mapping that the
/// stack is in.
#[inline(always)]
pub(crate) fn walk(thread: &mut Thread, caller: Registers, frames: u32, mut visit: impl FnMut(u64)) {
    walk_frames(thread, caller, frames, |frame, _, _| visit(frame.pc));
}

/// As [`walk`], with the registers and the rule of each frame and the end of its stack.
#[inline(always)]
pub(crate) fn walk_frames(
    thread: &mut Thread,
    caller: Registers,
    frames: u32,
    mut visit: impl FnMut(&Frame, Rule, u64),
) {
    let (mut frame, mut high) = first(thread, caller);
    let mut left = frames;
    while frame.pc >= 4096 && left != 0 {
        let rule = rule_of(thread, frame.pc);
        visit(&frame, rule, high);
        left -= 1;
        let goes_on = match step(rule, &mut frame, high) {
            Step::Done => true,
            Step::Ended => false,
            Step::Signal => interrupted(thread, &mut frame, &mut high),
        };
        if !goes_on {
            return;
        }
    }
}

/// The hash of a stack: of its return addresses, and of what tells frames with the same one apart ([`mark`]). Most of it is known from the trail of the
/// thread's last walk.
#[inline(always)]
pub(crate) fn hash(thread: &mut Thread, caller: Registers, frames: u32) -> u64 {
    let (frame, high) = first(thread, caller);
    // SAFETY: the thread's own, and its stack.
    match unsafe { Trail::retrace(&raw mut thread.trail, &raw const thread.rules, &frame, high, frames) } {
        Retraced::Whole(hash) => hash,
        Retraced::To(trail, position) => hash_from(thread, trail, caller, frame, position, frames),
        Retraced::No => hash_beside(thread, caller, frame, high, frames),
    }
}

/// As [`hash`], of a walk that has come so far along the trail.
#[inline(never)]
fn hash_from(
    thread: &mut Thread,
    mut trail: Walk,
    caller: Registers,
    first: Frame,
    position: usize,
    frames: u32,
) -> u64 {
    let mut collects = false;
    let rules = &raw const thread.rules;
    let led = trail.follow(&first, position, &mut collects, rules, |pc| rule_of(thread, pc));
    thread.collects |= collects;
    let hash = match led {
        Led::Out => trail.end(frames),
        led => hash_aside(thread, trail, first, Some(led), frames),
    };
    hash.unwrap_or_else(|| hash_afresh(thread, caller, frames))
}

/// As [`hash`], of a stack whose innermost frame may be another one than before.
#[inline(never)]
fn hash_beside(thread: &mut Thread, caller: Registers, first: Frame, high: u64, frames: u32) -> u64 {
    let Some(mut trail) = Trail::begin(&raw mut thread.trail, high) else {
        return hash_afresh(thread, caller, frames);
    };
    if let Some(position) = trail.find_first(&first) {
        return hash_from(thread, trail, caller, first, position, frames);
    }
    let hash = hash_aside(thread, trail, first, None, frames);
    hash.unwrap_or_else(|| hash_afresh(thread, caller, frames))
}

/// As [`hash`], of a walk that the trail led to a frame, if anywhere.
#[inline(never)]
fn hash_aside(
    thread: &mut Thread,
    mut trail: Walk,
    first: Frame,
    led: Option<Led>,
    frames: u32,
) -> Option<u64> {
    let mut collects = false;
    let rules = &raw const thread.rules;
    let is_whole = along(&mut trail, first, led, &mut collects, rules, |pc| rule_of(thread, pc));
    thread.collects |= collects;
    if is_whole {
        return trail.end_of_new(frames);
    }
    trail.give_up();
    None
}

/// As [`hash`], step by step, of a stack that no trail is kept of: it is too deep, goes through a signal's handler, or
/// this is such a handler.
#[cold]
#[inline(never)]
fn hash_afresh(thread: &mut Thread, caller: Registers, frames: u32) -> u64 {
    // Two halves in turn, since each multiplication waits for the one before.
    let (mut even, mut odd) = (0x9E37_79B9_7F4A_7C15u64, 0);
    let mut collects = false;
    walk_frames(thread, caller, frames, |frame, rule, high| {
        collects |= rule == Rule::MAJOR_COLLECTOR;
        let mark = mark(rule, frame, high);
        (even, odd) = (odd, (even ^ frame.pc ^ mark).wrapping_mul(0xff51_afd7_ed55_8ccd));
    });
    thread.collects |= collects;
    even ^ odd.rotate_left(32)
}

/// Walks a stack along the trail of the last walk, from where that has led; false if it can't be kept.
#[inline(always)]
fn along(
    trail: &mut Walk,
    first: Frame,
    mut led: Option<Led>,
    collects: &mut bool,
    rules: *const RuleCache,
    mut rule_of: impl FnMut(u64) -> Rule,
) -> bool {
    let high = trail.high();
    let mut frame = first;
    let mut is_behind_gap = false;
    while frame.pc >= 4096 {
        let mut rule = rule_of(frame.pc);
        if led.is_none() {
            let mark = mark(rule, &frame, high);
            if trail.find(&frame, mark, is_behind_gap) {
                let next = trail.position() + 1;
                led = Some(trail.follow(&frame, next, collects, rules, &mut rule_of));
            } else {
                if !trail.push(&frame, mark, rule, is_behind_gap) {
                    return false;
                }
                *collects |= rule == Rule::MAJOR_COLLECTOR;
            }
        }
        match led.take() {
            Some(Led::Out) => return true,
            Some(Led::To(last)) => {
                frame = last;
                rule = rule_of(frame.pc);
            }
            None => {}
        }
        is_behind_gap = false;
        let is_pointed = rule.keeps_frame_pointer();
        if (is_pointed || rule.reads_frame_pointer()) && frame.loaded_from == 0 {
            trail.need_frame_pointer(frame.fp);
        }
        if is_pointed {
            if !by_frame_pointer(&mut frame, high) {
                trail.ended_at(None);
                return true;
            }
            continue;
        }
        is_behind_gap = rule.base() == Base::AtFramePointer;
        match step(rule, &mut frame, high) {
            Step::Done => {}
            Step::Ended => {
                trail.ended_at(None);
                // Where more than registers led to the end, it may be elsewhere the next time.
                return !is_behind_gap;
            }
            Step::Signal => return false,
        }
    }
    trail.ended_at(Some((frame.sp.wrapping_sub(8), frame.pc)));
    true
}

/// What tells a frame from others with its return address: 0 for most, see [`v8::mark`].
#[inline(always)]
fn mark(rule: Rule, frame: &Frame, high: u64) -> u64 {
    if rule == Rule::INTERPRETED { v8::mark(frame.sp, frame.fp, high) } else { 0 }
}

/// Goes on to the caller of code that keeps a frame pointer; false where the stack ends.
#[inline(always)]
fn by_frame_pointer(frame: &mut Frame, high: u64) -> bool {
    let Frame { sp, fp, .. } = *frame;
    if fp < sp || fp > high.wrapping_sub(16) || fp & 7 != 0 {
        return false;
    }
    // SAFETY: within the stack's mapping.
    *frame = unsafe { Frame { sp: fp + 16, fp: read(fp), pc: read(fp + 8), loaded_from: fp } };
    true
}

/// What became of a step.
enum Step {
    /// This is the caller's frame.
    Done,
    /// There is none: the stack ends here.
    Ended,
    /// The caller was interrupted by a signal, see [`interrupted`].
    Signal,
}

#[inline(always)]
fn first(thread: &mut Thread, caller: Registers) -> (Frame, u64) {
    let Registers { stack_pointer: sp, frame_pointer: fp } = caller;
    let high = thread.stack.end_of(sp).unwrap_or_else(|| find_stack(thread, sp));
    let pc = return_address(caller);
    (Frame { sp: sp + 8, fp, pc, loaded_from: 0 }, high)
}

#[inline(always)]
fn rule_of(thread: &mut Thread, pc: u64) -> Rule {
    match thread.rules.get(pc) {
        Some(rule) => rule,
        None => thread.find_rule(pc),
    }
}

/// Goes on to the caller's frame by the rule of its code.
#[inline(always)]
fn step(rule: Rule, frame: &mut Frame, high: u64) -> Step {
    let Frame { sp, fp, .. } = *frame;
    let cfa = match rule.base() {
        Base::Frame | Base::Interpreted | Base::Compiled | Base::Collector | Base::MajorCollector => {
            return if by_frame_pointer(frame, high) { Step::Done } else { Step::Ended };
        }
        Base::StackPointer => sp.wrapping_add_signed(rule.offset()),
        Base::FramePointer => fp.wrapping_add_signed(rule.offset()),
        Base::AtFramePointer => {
            let at = fp.wrapping_add_signed(rule.offset());
            if at < sp || at > high.wrapping_sub(8) || at & 7 != 0 {
                return Step::Ended;
            }
            // SAFETY: within the stack's mapping.
            unsafe { read(at) }
        }
        Base::Signal => return Step::Signal,
        Base::End => return Step::Ended,
    };
    // The stack grows down: the caller's frame is above.
    if cfa < sp + 8 || cfa > high || cfa & 7 != 0 {
        return Step::Ended;
    }
    let saved = rule.saved();
    frame.loaded_from = 0;
    if saved != 0 {
        let at = cfa.wrapping_add_signed(saved);
        if at < sp.wrapping_sub(8) || at > high.wrapping_sub(8) {
            return Step::Ended;
        }
        frame.loaded_from = at;
        // SAFETY: within the stack's mapping.
        frame.fp = unsafe { read(at) };
    }
    // SAFETY: within the stack's mapping.
    frame.pc = unsafe { read(cfa - 8) };
    frame.sp = cfa;
    Step::Done
}

/// Goes on from a signal handler's first frame to what it interrupted; false where that can't be followed.
#[cold]
fn interrupted(thread: &mut Thread, frame: &mut Frame, high: &mut u64) -> bool {
    let sp = frame.sp;
    if sp > high.wrapping_sub(UCONTEXT_PC + 8) {
        return false;
    }
    // SAFETY: within the stack's mapping.
    *frame = unsafe {
        Frame {
            // The interrupted instruction; the walk takes addresses behind calls.
            pc: read(sp + UCONTEXT_PC).wrapping_add(1),
            fp: read(sp + UCONTEXT_FRAME_POINTER),
            sp: read(sp + UCONTEXT_STACK_POINTER),
            loaded_from: 0,
        }
    };
    // The handler may have had a stack of its own.
    if frame.sp < sp || frame.sp >= *high {
        *high = thread.stack.end_of(frame.sp).unwrap_or_else(|| find_stack(thread, frame.sp));
        return frame.sp < *high;
    }
    true
}

/// # Safety
/// Eight bytes at the address are readable.
#[inline(always)]
unsafe fn read(address: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { (address as *const u64).read_unaligned() }
}

/// Finds the mapping that a stack pointer is in, and where it ends: the thread's own stack, one for signal handlers,
/// or another that the program made.
#[cold]
#[inline(never)]
fn find_stack(thread: &mut Thread, sp: u64) -> u64 {
    if let Some(high) = thread.stack.come_home(sp) {
        return high;
    }
    let alternate = sys::alternate_stack().filter(|(low, high)| (*low..*high).contains(&sp));
    if let Some((low, high)) = alternate {
        thread.stack.set(low, high);
        return high;
    }
    let (mut low, mut high) = (sp, sp + 8);
    let mut is_main = false;
    // Without room for lines this walk ends at its first frame, and the next one looks again.
    if let Some(scratch) = thread.take_scratch() {
        if let Some(mut lines) = Lines::open(scratch) {
            while let Some(mapping) = lines.next() {
                if (mapping.start..mapping.end).contains(&sp) {
                    (low, high) = (mapping.start, mapping.end);
                    is_main = mapping.path == b"[stack]";
                    break;
                }
            }
        }
        thread.give_scratch_back();
    }
    // glibc keeps a thread's control block at the end of its stack; what the kernel joined to the mapping behind it is
    // somebody else's.
    let block = sys::thread_pointer();
    let is_threads = sp < block && block < high;
    if is_threads {
        high = block;
    }
    if is_main || is_threads {
        thread.stack.set_home(low, high);
    }
    thread.stack.set(low, high);
    if is_threads {
        thread.note(low, high - low, record::STACK_FLAG);
    }
    high
}

#[cfg(test)]
mod tests;
