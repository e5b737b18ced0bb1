//! Walks a stack from the registers of a hook's caller.

use crate::expression::{UCONTEXT_FRAME_POINTER, UCONTEXT_PC, UCONTEXT_STACK_POINTER};
use crate::maps::Lines;
use crate::rules::{Base, Rule};
use crate::sys;
use crate::thread::Thread;
use crate::trail::{Frame, Trail};

/// Registers of a function that just called a hook.
#[derive(Clone, Copy)]
pub struct Registers {
    /// Where the return address lies.
    pub stack_pointer: u64,
    /// The frame pointer register, whatever the function uses it for.
    pub frame_pointer: u64,
}

/// Hands on the return addresses of a stack, the innermost first, at most so many.
///
/// Each is followed by the rule for its code: for most programs' code a frame pointer, which is one load; otherwise an
/// offset that the unwind tables tell, from the thread's cache. Memory is read only within the mapping that the
/// stack is in.
#[inline(always)]
pub(crate) fn walk(thread: &mut Thread, caller: Registers, frames: u32, mut visit: impl FnMut(u64)) {
    let (mut frame, mut high) = first(thread, caller);
    let mut left = frames;
    while frame.pc >= 4096 && left != 0 {
        visit(frame.pc);
        left -= 1;
        if step(thread, &mut frame, &mut high).is_none() {
            return;
        }
    }
}

/// As [`walk`], along the trail of the thread's last walk where code keeps no frame pointers and the stack is the same.
#[inline(always)]
pub(crate) fn walk_again(thread: &mut Thread, caller: Registers, frames: u32, mut visit: impl FnMut(u64)) {
    let (mut frame, mut high) = first(thread, caller);
    let first_high = high;
    let Some(mut trail) = Trail::begin(&raw mut thread.trail, high) else {
        return walk(thread, caller, frames, visit);
    };
    let mut left = frames;
    let mut is_kept = false;
    'stack: while frame.pc >= 4096 && left != 0 {
        visit(frame.pc);
        left -= 1;
        if thread.rules.get(frame.pc) == Some(Rule::FRAME) {
            // One load that waits for nothing but the one before: the trail would not be quicker.
            let Frame { mut sp, mut fp, .. } = frame;
            let last = high.wrapping_sub(16);
            let mut pc;
            loop {
                if fp < sp || fp > last || fp & 7 != 0 {
                    break 'stack;
                }
                // SAFETY: within the stack's mapping.
                (pc, fp, sp) = unsafe { (read(fp + 8), read(fp), fp + 16) };
                if pc < 4096 || left == 0 {
                    break 'stack;
                }
                visit(pc);
                left -= 1;
                if thread.rules.get(pc) != Some(Rule::FRAME) {
                    break;
                }
            }
            frame = Frame { sp, fp, pc, loaded_from: 0 };
            is_kept = false;
        }
        if !is_kept {
            trail.push_gap(frame.sp);
            trail.push(frame);
        }
        if trail.find(&frame) {
            trail.follow(&mut frame, &mut left, &mut visit);
        }
        match step(thread, &mut frame, &mut high) {
            Some(Step::Plain) => trail.push(frame),
            Some(Step::ByMoreWords { sp }) => {
                trail.push_gap(sp);
                trail.push(frame);
            }
            Some(Step::ToInterrupted) => trail.close(),
            None => break,
        }
        is_kept = true;
    }
    trail.end(first_high);
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

/// What a step depends on.
enum Step {
    /// Registers, the return address and perhaps the saved frame pointer.
    Plain,
    /// The frame pointer or other words of the stack too; `sp` is that of the frame it came from.
    ByMoreWords { sp: u64 },
    /// All registers that a signal handler's frame keeps; the stack may be another one.
    ToInterrupted,
}

#[inline(always)]
fn first(thread: &mut Thread, caller: Registers) -> (Frame, u64) {
    let Registers { stack_pointer: sp, frame_pointer: fp } = caller;
    let high = thread.stack.end_of(sp).unwrap_or_else(|| find_stack(thread, sp));
    // SAFETY: the return address of the call that brought us here.
    let pc = unsafe { read(sp) };
    (Frame { sp: sp + 8, fp, pc, loaded_from: 0 }, high)
}

/// Goes on to the caller's frame; `None` where the stack ends.
#[inline(always)]
fn step(thread: &mut Thread, frame: &mut Frame, stack_high: &mut u64) -> Option<Step> {
    let Frame { sp, fp, pc, .. } = *frame;
    let high = *stack_high;
    let rule = match thread.rules.get(pc) {
        Some(rule) => rule,
        None => thread.find_rule(pc),
    };
    let mut how = Step::Plain;
    frame.loaded_from = 0;
    let cfa = match rule.base() {
        Base::Frame => {
            return by_frame_pointer(frame, high).then_some(Step::ByMoreWords { sp });
        }
        Base::StackPointer => sp.wrapping_add_signed(rule.offset()),
        Base::FramePointer => {
            how = Step::ByMoreWords { sp };
            fp.wrapping_add_signed(rule.offset())
        }
        Base::AtFramePointer => {
            let at = fp.wrapping_add_signed(rule.offset());
            if at < sp || at > high.wrapping_sub(8) || at & 7 != 0 {
                return None;
            }
            how = Step::ByMoreWords { sp };
            // SAFETY: within the stack's mapping.
            unsafe { read(at) }
        }
        Base::Signal => {
            if sp > high.wrapping_sub(UCONTEXT_PC + 8) {
                return None;
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
            if frame.sp < sp || frame.sp >= high {
                *stack_high = thread.stack.end_of(frame.sp).unwrap_or_else(|| find_stack(thread, frame.sp));
                if frame.sp >= *stack_high {
                    return None;
                }
            }
            return Some(Step::ToInterrupted);
        }
        Base::End => return None,
    };
    // The stack grows down: the caller's frame is above.
    if cfa < sp + 8 || cfa > high || cfa & 7 != 0 {
        return None;
    }
    let saved = rule.saved();
    if saved != 0 {
        let at = cfa.wrapping_add_signed(saved);
        if at < sp.wrapping_sub(8) || at > high.wrapping_sub(8) {
            return None;
        }
        if at >= cfa || at & 7 != 0 {
            // The trail reads nothing above the caller's frame.
            how = Step::ByMoreWords { sp };
        }
        frame.loaded_from = at;
        // SAFETY: within the stack's mapping.
        frame.fp = unsafe { read(at) };
    }
    // SAFETY: within the stack's mapping.
    frame.pc = unsafe { read(cfa - 8) };
    frame.sp = cfa;
    Some(how)
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
    high
}
