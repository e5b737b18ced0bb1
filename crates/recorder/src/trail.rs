//! A thread's last walk, which the next one finds again for the most part.
//!
//! A walk is a chain: where a frame ends is known only when its rule was looked up by the return address that was just
//! loaded. The trail keeps the frames of the walk before. From a frame that is in it, the return address need only be
//! compared with the one that is kept: if it is still there, the way is the same, since a step depends on nothing else
//! in code that keeps no frame pointer. Such loads and comparisons don't wait for each other, and cost a fraction of
//! a step.

use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

/// Frames of a trail; what is deeper is walked step by step.
const LENGTH: usize = 256;

/// Registers in a frame, and how it was reached.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Frame {
    /// Behind the return address.
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The return address; 0 in an entry that can't be stepped to, since more words led there than are kept.
    pub(crate) pc: u64,
    /// Where the frame pointer was loaded from; 0 if it is that of the frame before.
    pub(crate) loaded_from: u64,
}

/// The frames of the last walk and of this one.
#[repr(C)]
pub(crate) struct Trail {
    /// 1 during a walk: that of a signal handler takes no notice of the trail.
    is_busy: AtomicU32,
    /// Which of the two is the last walk's.
    last: u32,
    length: usize,
    /// End of the stack that they are of.
    high: u64,
    frames: [Frames; 2],
}

/// The frames of a walk. Those of two walks must not lie a multiple of 4096 bytes apart: the processor would take a load
/// from one for a load of what was just stored to the other, and wait.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frames {
    all: [Frame; LENGTH],
    apart: [u64; 68],
}

/// The trail during a walk.
pub(crate) struct Walk {
    trail: *mut Trail,
    last: *const Frame,
    last_length: usize,
    /// Where we are in the last walk.
    at: usize,
    new: *mut Frame,
    new_length: usize,
    /// So many frames may be kept.
    room: usize,
}

impl Trail {
    /// Begins a walk of a stack that ends at `high`; `None` if this is a handler's that interrupted another.
    #[inline(always)]
    pub(crate) fn begin(trail: *mut Trail, high: u64) -> Option<Walk> {
        // SAFETY: the thread's own; a handler changes nothing while it is busy.
        unsafe {
            if (*trail).is_busy.load(Ordering::Relaxed) != 0 {
                return None;
            }
            (*trail).is_busy.store(1, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            let last = (*trail).last as usize & 1;
            let frames = (&raw mut (*trail).frames).cast::<Frames>();
            Some(Walk {
                trail,
                last: frames.add(last).cast(),
                last_length: if (*trail).high == high { (*trail).length } else { 0 },
                at: 0,
                new: frames.add(last ^ 1).cast(),
                new_length: 0,
                room: LENGTH,
            })
        }
    }

    /// Forgets the last walk.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// Makes it fit for another thread: the one before may have ended in the middle of a walk.
    pub(crate) fn reset(&mut self) {
        self.length = 0;
        self.is_busy.store(0, Ordering::Relaxed);
    }
}

impl Walk {
    /// Keeps a frame for the next walk.
    #[inline(always)]
    pub(crate) fn push(&mut self, frame: Frame) {
        if self.new_length < self.room {
            // SAFETY: below the length.
            unsafe { self.new.add(self.new_length).write(frame) };
            self.new_length += 1;
        }
    }

    /// Keeps that there is no way to the next frame but by its rule.
    #[inline(always)]
    pub(crate) fn push_gap(&mut self, sp: u64) {
        self.push(Frame { sp, fp: 0, pc: 0, loaded_from: 0 });
    }

    /// Keeps nothing more: the walk goes on to another stack.
    pub(crate) fn close(&mut self) {
        self.room = self.new_length;
    }

    /// Whether the last walk came through this frame; then [`Walk::follow`] goes on as it did.
    #[inline(always)]
    pub(crate) fn find(&mut self, frame: &Frame) -> bool {
        while self.at < self.last_length {
            // SAFETY: below the length.
            let last = unsafe { &*self.last.add(self.at) };
            if last.sp >= frame.sp && last.pc != 0 {
                return last.sp == frame.sp && last.pc == frame.pc;
            }
            self.at += 1;
        }
        false
    }

    /// Goes on from the frame that was found as far as the last walk's way is unchanged, at most so many frames; hands
    /// each on and keeps it.
    #[inline(always)]
    pub(crate) fn follow(&mut self, frame: &mut Frame, left: &mut u32, mut visit: impl FnMut(u64)) {
        let behind = self.last_length.saturating_sub(self.at + 1);
        let most = behind.min(self.room - self.new_length).min(*left as usize);
        let mut fp = frame.fp;
        let mut count = 0;
        // SAFETY: entries are below both lengths. The words lie between the frame that was found and the stack's end.
        unsafe {
            let (last, new) = (self.last.add(self.at + 1), self.new.add(self.new_length));
            while count < most {
                let Frame { sp, pc, loaded_from, .. } = *last.add(count);
                if *((sp - 8) as *const u64) != pc {
                    break;
                }
                if loaded_from != 0 {
                    fp = *(loaded_from as *const u64);
                }
                new.add(count).write(Frame { sp, fp, pc, loaded_from });
                visit(pc);
                count += 1;
            }
            if count != 0 {
                *frame = *new.add(count - 1);
            }
        }
        *left -= count as u32;
        self.at += count;
        self.new_length += count;
    }

    /// Ends the walk, of a stack that ends at `high`: it is the last one from here on.
    #[inline(always)]
    pub(crate) fn end(self, high: u64) {
        // SAFETY: as in `begin`.
        unsafe {
            (*self.trail).last = u32::from(self.new != (&raw mut (*self.trail).frames).cast());
            (*self.trail).length = self.new_length;
            (*self.trail).high = high;
            compiler_fence(Ordering::SeqCst);
            (*self.trail).is_busy.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Frame = Frame { sp: 0, fp: 0, pc: 0, loaded_from: 0 };

    /// Words that stand for a stack, as addresses: each pair a saved frame pointer and a return address.
    fn frames(words: &[u64], fp: u64) -> Vec<Frame> {
        let address = |at: usize| (&raw const words[at]) as u64;
        let mut all = vec![Frame { sp: address(0), fp, pc: 5000, loaded_from: 0 }];
        for at in (0..words.len() - 1).step_by(2) {
            let loaded_from = address(at);
            all.push(Frame { sp: loaded_from + 16, fp: words[at], pc: words[at + 1], loaded_from });
        }
        all
    }

    /// How many frames behind the first the trail of `before` gives for a stack that has become `after`, and which ends
    /// so many bytes later.
    #[track_caller]
    fn check(before: &[u64], after: &[u64], higher: u64, expected: usize) {
        let frames_of_both = [Frames { all: [EMPTY; LENGTH], apart: [0; 68] }; 2];
        let mut trail = Box::new(Trail {
            is_busy: AtomicU32::new(0),
            last: 0,
            length: 0,
            high: 0,
            frames: frames_of_both,
        });
        let mut stack = before.to_vec();
        let path = frames(&stack, 77);
        let high = path[0].sp + 8 * stack.len() as u64;
        let mut walk = Trail::begin(&raw mut *trail, high).expect("nobody else walks");
        assert!(Trail::begin(&raw mut *trail, high).is_none());
        path.iter().for_each(|frame| walk.push(*frame));
        walk.end(high);
        stack.copy_from_slice(after);
        let mut walk = Trail::begin(&raw mut *trail, high + higher).expect("the walk has ended");
        assert!(!walk.find(&Frame { pc: 5001, ..path[0] }));
        assert_eq!(walk.find(&path[0]), higher == 0);
        let (mut frame, mut left, mut found) = (Frame { fp: 78, ..path[0] }, 100, Vec::new());
        walk.follow(&mut frame, &mut left, |pc| found.push(pc));
        let pcs: Vec<u64> = after.chunks_exact(2).map(|pair| pair[1]).take(expected).collect();
        assert_eq!(found, pcs);
        assert_eq!(left as usize, 100 - expected);
        assert_eq!(frame.fp, if expected == 0 { 78 } else { after[2 * expected - 2] });
        walk.end(high);
    }

    #[test]
    fn a_trail_leads_as_far_as_the_return_addresses_are_the_same() {
        let before = [1, 6000, 2, 7000, 3, 8000];
        check(&before, &before, 0, 3);
        check(&before, &[1, 6000, 9, 7000, 3, 8000], 0, 3);
        check(&before, &[1, 6000, 2, 7001, 3, 8000], 0, 1);
        check(&before, &[1, 6001, 2, 7000, 3, 8000], 0, 0);
        check(&before, &before, 16, 0);
    }
}
