//! The common case of a walk: the frames of the last one, with other return addresses here and there.
//!
//! It is what most allocations of a busy program wait for, so it is written for the processor: what it needs is in
//! registers, and whatever it doesn't know it leaves to [`Walk`].

use core::sync::atomic::{Ordering, compiler_fence};

use super::frame::{Check, Kept, change, read};
use super::{Frame, LENGTH, Trail, Walk};
use crate::rules::RuleCache;

/// How far a walk came along the last one's frames.
pub(crate) enum Retraced {
    /// To the stack's end: its hash.
    Whole(u64),
    /// To a frame that has to be looked at: the walk, and that frame's position.
    To(Walk, usize),
    /// Nowhere.
    No,
}

impl Trail {
    /// Walks a stack that ends at `high`, from its innermost frame on, if that is the one of the last walk too and there
    /// were at most so many.
    ///
    /// # Safety
    /// The thread's own trail and rules, and a frame on its stack.
    #[inline(always)]
    pub(crate) unsafe fn retrace(
        trail: *mut Trail,
        rules: *const RuleCache,
        frame: &Frame,
        high: u64,
        frames: u32,
    ) -> Retraced {
        // SAFETY: as in `begin`, and as in `follow`.
        unsafe {
            if (*trail).is_busy.load(Ordering::Relaxed) | (*trail).rest != 0 {
                return Retraced::No;
            }
            (*trail).is_busy.store(1, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            let first = (*trail).first;
            let check = (*trail).checks.all.as_ptr().add(first & (LENGTH - 1));
            let kept = (*trail).kept.all.as_ptr().add(first & (LENGTH - 1));
            let is_same = (*trail).high == high
                && LENGTH.wrapping_sub(first).wrapping_sub(1) < frames as usize
                && (*check).is_first(&*kept, frame);
            if !is_same {
                compiler_fence(Ordering::SeqCst);
                (*trail).is_busy.store(0, Ordering::Relaxed);
                return Retraced::No;
            }
            let (at, hash) = same_way(trail, first + 1, (*trail).hash, rules);
            if at == LENGTH && read((*trail).end_at) == (*trail).end && (*trail).high == high {
                (*trail).hash = hash;
                compiler_fence(Ordering::SeqCst);
                (*trail).is_busy.store(0, Ordering::Relaxed);
                return Retraced::Whole(hash);
            }
            Retraced::To(Walk::new(trail, first, hash, high), at)
        }
    }
}

/// The first position from this one on whose frame has to be looked at, and the stack's hash with the return addresses
/// of those before it.
///
/// # Safety
/// As in [`Walk::follow`].
#[inline(never)]
pub(super) unsafe fn same_way(
    trail: *mut Trail,
    from: usize,
    mut hash: u64,
    rules: *const RuleCache,
) -> (usize, u64) {
    // SAFETY: by the contract. Behind the last position stands what is never the same.
    unsafe {
        let checks = (&raw mut (*trail).checks.all).cast::<Check>();
        let ways = (&raw const (*trail).kept.all).cast::<Kept>();
        let mut at = from;
        loop {
            // Several in a round: to go round costs as much as a frame.
            at += loop {
                let check = checks.add(at);
                if !Check::is_same(check) {
                    break 0;
                }
                if !Check::is_same(check.add(1)) {
                    break 1;
                }
                if !Check::is_same(check.add(2)) {
                    break 2;
                }
                if !Check::is_same(check.add(3)) {
                    break 3;
                }
                at += 4;
            };
            if !(*checks.add(at)).changes() {
                return (at, hash);
            }
            // One that changes is seldom alone.
            while (*checks.add(at)).changes() {
                let check = checks.add(at);
                let pc = read((*check).pc_at());
                // The way is the same if this is the same function, called from another place: what comes behind depends
                // on it no more than before.
                let rule_differs = (*rules).differs(pc, (*ways.add(at)).way.rule_word());
                if Check::frame_pointer_differs(check) | rule_differs != 0 {
                    return (at, hash);
                }
                hash = hash.wrapping_add(change(at, (*check).pc(), pc));
                (*check).pc = pc | Check::CHANGES;
                at += 1;
            }
        }
    }
}
