//! Walks a stack from the registers of a hook's caller.

use crate::expression::{UCONTEXT_FRAME_POINTER, UCONTEXT_PC, UCONTEXT_STACK_POINTER};
use crate::maps::Lines;
use crate::rules::Base;
use crate::sys;
use crate::thread::Thread;

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
    let Registers { stack_pointer, frame_pointer } = caller;
    let (mut sp, mut fp) = (stack_pointer, frame_pointer);
    if sp < thread.stack_low || sp >= thread.stack_high {
        find_stack(thread, sp);
    }
    let mut high = thread.stack_high;
    // SAFETY: the return address of the call that brought us here.
    let mut pc = unsafe { read(sp) };
    sp += 8;
    let mut left = frames;
    loop {
        if pc < 4096 || left == 0 {
            return;
        }
        visit(pc);
        left -= 1;
        let rule = match thread.rules.get(pc) {
            Some(rule) => rule,
            None => thread.find_rule(pc),
        };
        let cfa = match rule.base() {
            Base::Frame => {
                if fp < sp || fp > high.wrapping_sub(16) || fp & 7 != 0 {
                    return;
                }
                // SAFETY: within the stack's mapping.
                (pc, fp, sp) = unsafe { (read(fp + 8), read(fp), fp + 16) };
                continue;
            }
            Base::StackPointer => sp.wrapping_add_signed(rule.offset()),
            Base::FramePointer => fp.wrapping_add_signed(rule.offset()),
            Base::AtFramePointer => {
                let at = fp.wrapping_add_signed(rule.offset());
                if at < sp || at > high.wrapping_sub(8) || at & 7 != 0 {
                    return;
                }
                // SAFETY: within the stack's mapping.
                unsafe { read(at) }
            }
            Base::Signal => {
                if sp > high.wrapping_sub(UCONTEXT_PC + 8) {
                    return;
                }
                // SAFETY: within the stack's mapping.
                (pc, fp, sp) = unsafe {
                    (
                        // The interrupted instruction; the walk takes addresses behind calls.
                        read(sp + UCONTEXT_PC).wrapping_add(1),
                        read(sp + UCONTEXT_FRAME_POINTER),
                        read(sp + UCONTEXT_STACK_POINTER),
                    )
                };
                // The handler may have had a stack of its own.
                if sp < thread.stack_low || sp >= thread.stack_high {
                    find_stack(thread, sp);
                    high = thread.stack_high;
                    if sp >= high {
                        return;
                    }
                }
                continue;
            }
            Base::End => return,
        };
        // The stack grows down: the caller's frame is above.
        if cfa < sp + 8 || cfa > high || cfa & 7 != 0 {
            return;
        }
        let saved = rule.saved();
        if saved != 0 {
            let at = cfa.wrapping_add_signed(saved);
            if at < sp.wrapping_sub(8) || at > high.wrapping_sub(8) {
                return;
            }
            // SAFETY: within the stack's mapping.
            fp = unsafe { read(at) };
        }
        // SAFETY: within the stack's mapping.
        pc = unsafe { read(cfa - 8) };
        sp = cfa;
    }
}

/// # Safety
/// Eight bytes at the address are readable.
#[inline(always)]
unsafe fn read(address: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { (address as *const u64).read_unaligned() }
}

/// Finds the mapping that a stack pointer is in: the thread's own stack, or one that the program made for signal
/// handlers or coroutines.
#[cold]
#[inline(never)]
fn find_stack(thread: &mut Thread, sp: u64) {
    let mut bounds = (sp, sp + 8);
    // Without room for lines this walk ends at its first frame, and the next one looks again.
    if let Some(scratch) = thread.take_scratch() {
        if let Some(mut lines) = Lines::open(scratch) {
            while let Some(mapping) = lines.next() {
                if (mapping.start..mapping.end).contains(&sp) {
                    bounds = (mapping.start, mapping.end);
                    break;
                }
            }
        }
        thread.give_scratch_back();
    }
    // glibc keeps a thread's control block at the end of its stack; what the kernel joined to the mapping behind it is
    // somebody else's.
    let block = sys::thread_pointer();
    if sp < block && block < bounds.1 {
        bounds.1 = block;
    }
    (thread.stack_low, thread.stack_high) = bounds;
}
