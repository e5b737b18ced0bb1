//! A thread's last walk, which the next one finds again for the most part.
//!
//! A walk is a chain: where a frame ends is known only when its rule was looked up by the return address that was just
//! loaded. The trail keeps the frames of the walk before, and the words of the stack by which each was reached. From a
//! frame that is in it, those words need only be compared: while they are the same, the way is the same. Such loads and
//! comparisons don't wait for each other, and cost a fraction of a step.
//!
//! The stack's hash is kept with it, as a sum of one term a frame ([`term`]), so that only frames that changed are
//! reckoned anew. Frames are counted from the outermost one: what a program does changes the inner ones.

mod frame;
mod retrace;

use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use crate::rules::{Rule, RuleCache};
use crate::v8;
use frame::{Check, Kept, New, Way, read, term};

pub(crate) use frame::Frame;
pub(crate) use retrace::Retraced;
use retrace::same_way;

/// Frames of a trail. A stack that is deeper is walked step by step.
const LENGTH: usize = 256;
/// After a stack that a trail can't keep, so many are not tried.
const REST: u32 = 64;

/// The frames of the last walk, and those of this one that are not among them.
#[repr(C)]
pub(crate) struct Trail {
    /// 1 during a walk: that of a signal handler takes no notice of the trail.
    is_busy: AtomicU32,
    /// So many walks go without.
    rest: u32,
    /// Position of the innermost frame; the outermost one's is the last.
    first: usize,
    /// End of the stack that they are of.
    high: u64,
    hash: u64,
    /// The word that ended the walk since it is no return address, and where it is; or any other word.
    end_at: u64,
    end: u64,
    /// What lies behind the outermost frame.
    nothing: [u64; 2],
    checks: Apart<Check, { LENGTH + 1 }>,
    kept: Apart<Kept, LENGTH>,
    new: Apart<New, LENGTH>,
}

/// Entries that are used in turn with others must not lie a multiple of 4096 bytes apart: the processor would take a
/// load from one for a load of what was just stored to the other, and wait.
#[repr(C)]
struct Apart<T, const COUNT: usize> {
    all: [T; COUNT],
    apart: [u64; 68],
}

/// The trail during a walk.
///
/// Positions from `begin` to `end` are frames of this walk. Behind them come new ones, which have no position yet, and
/// then those of the last walk from `at` on, if the walk meets them.
pub(crate) struct Walk {
    trail: *mut Trail,
    begin: isize,
    end: usize,
    at: usize,
    new: usize,
    hash: u64,
    high: u64,
    end_at: u64,
    end_word: u64,
}

/// Where the trail leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// To the end of the stack.
    Out,
    /// To a frame from which it goes on otherwise.
    To(Frame),
}

impl Trail {
    /// Begins a walk of a stack that ends at `high`; `None` if this is a handler's that interrupted another, or the stack
    /// can't be kept.
    #[inline(always)]
    pub(crate) fn begin(trail: *mut Trail, high: u64) -> Option<Walk> {
        // SAFETY: the thread's own; a handler changes nothing while it is busy.
        unsafe {
            if (*trail).is_busy.load(Ordering::Relaxed) != 0 {
                return None;
            }
            if (*trail).rest != 0 {
                (*trail).rest -= 1;
                return None;
            }
            (*trail).is_busy.store(1, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            if (*trail).high != high {
                (*trail).high = high;
                (*trail).first = LENGTH;
                (*trail).hash = 0;
                (*trail).end_at = &raw const (*trail).end as u64;
                let behind = (*trail).checks.all.as_mut_ptr().add(LENGTH);
                behind.write(Check::never(&raw const (*trail).nothing));
            }
            let first = (*trail).first.min(LENGTH);
            Some(Walk::new(trail, first, (*trail).hash, high))
        }
    }

    /// Forgets the last walk.
    pub(crate) fn clear(&mut self) {
        // No stack ends here.
        self.high = 0;
    }

    /// Makes it fit for another thread: the one before may have ended in the middle of a walk.
    pub(crate) fn reset(&mut self) {
        self.clear();
        self.rest = 0;
        self.is_busy.store(0, Ordering::Relaxed);
    }
}

impl Walk {
    /// A walk that is at the innermost frame of the last one. The stack's end is not the trail's word for it: a handler
    /// may have forgotten that meanwhile, which [`Walk::end`] finds out.
    ///
    /// # Safety
    /// The trail is the walk's.
    #[inline(always)]
    unsafe fn new(trail: *mut Trail, first: usize, hash: u64, high: u64) -> Walk {
        // SAFETY: by the contract.
        let (end_at, end_word) = unsafe { ((*trail).end_at, (*trail).end) };
        Walk { trail, begin: first as isize, end: first, at: first, new: 0, hash, high, end_at, end_word }
    }

    /// Whether the last walk came through this frame; then [`Walk::follow`] goes on as it did. False too if there is no
    /// room for the frames before it: then neither is there for it.
    #[inline(always)]
    pub(crate) fn find(&mut self, frame: &Frame, mark: u64, is_behind_gap: bool) -> bool {
        let pc_at = frame.sp.wrapping_sub(8);
        while self.at < LENGTH {
            // SAFETY: below the length.
            let (check, mut kept) = unsafe { (self.check(self.at), self.kept(self.at)) };
            if check.pc_at() < pc_at {
                self.hash = self.hash.wrapping_sub(term(self.at, check.pc(), kept.mark));
                self.at += 1;
                continue;
            }
            if check.pc_at() != pc_at
                || check.pc() != frame.pc
                || kept.mark != mark
                || (kept.way.is(Way::NEEDS_FP) && kept.fp != frame.fp)
            {
                return false;
            }
            let way = kept.way.behind_gap(is_behind_gap);
            if kept.loaded_from != frame.loaded_from || kept.way != way {
                // It was reached from elsewhere, and what it depends on is there.
                (kept.loaded_from, kept.way) = (frame.loaded_from, way);
                // SAFETY: as above.
                unsafe { self.set(self.at, pc_at, check.pc(), kept) };
            }
            if way.is(Way::NEEDS_FP) && frame.loaded_from == 0 {
                self.need_before(frame.fp, self.new);
            }
            return self.place();
        }
        false
    }

    /// As [`Walk::find`], for the first frame of a walk, and only where there is little to look at: the position behind
    /// it.
    #[inline(always)]
    pub(crate) fn find_first(&mut self, frame: &Frame) -> Option<usize> {
        let pc_at = frame.sp.wrapping_sub(8);
        while self.at < LENGTH {
            // SAFETY: below the length.
            let check = unsafe { self.check(self.at) };
            if check.pc_at() >= pc_at {
                // SAFETY: as above.
                let is_same = check.is_first(&unsafe { self.kept(self.at) }, frame);
                (self.begin, self.end) = (self.at as isize, self.at);
                return is_same.then_some(self.at + 1);
            }
            // SAFETY: as above.
            let mark = unsafe { self.kept(self.at) }.mark;
            self.hash = self.hash.wrapping_sub(term(self.at, check.pc(), mark));
            self.at += 1;
        }
        (self.begin, self.end) = (LENGTH as isize, LENGTH);
        None
    }

    /// The position that was found.
    #[inline(always)]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Where the stack ends.
    pub(crate) fn high(&self) -> u64 {
        self.high
    }

    /// Keeps a frame that the last walk did not come through; false if there is no room. `is_behind_gap` if more led to
    /// it than the return address and the frame pointer.
    #[inline(always)]
    pub(crate) fn push(&mut self, frame: &Frame, mark: u64, rule: Rule, is_behind_gap: bool) -> bool {
        if self.new == LENGTH {
            return false;
        }
        let new = New { frame: *frame, mark, way: Way::new(rule, is_behind_gap) };
        // SAFETY: below the length.
        unsafe { (*self.trail).new.all.as_mut_ptr().add(self.new).write(new) };
        self.new += 1;
        true
    }

    /// The step from the latest frame depends on its frame pointer, which was not loaded there: so does the way from
    /// where it was.
    #[inline(always)]
    pub(crate) fn need_frame_pointer(&mut self, fp: u64) {
        self.need_before(fp, self.new.saturating_sub(1));
    }

    /// As above, from behind so many new frames.
    #[inline(always)]
    fn need_before(&mut self, fp: u64, new: usize) {
        // The register of the first frame was loaded nowhere.
        if new != 0 || self.begin as usize != self.end {
            self.need_from_afar(fp, new);
        }
    }

    #[inline(never)]
    fn need_from_afar(&mut self, fp: u64, new: usize) {
        for at in (0..new).rev() {
            // SAFETY: below the length.
            let new = unsafe { &mut *(*self.trail).new.all.as_mut_ptr().add(at) };
            if new.way.is(Way::NEEDS_FP) {
                return;
            }
            new.way.0 |= Way::NEEDS_FP;
            if new.frame.loaded_from != 0 {
                return;
            }
        }
        for at in (self.begin.max(0) as usize..self.end).rev() {
            // SAFETY: below the length; frames of this walk, whose frame pointer is this one.
            unsafe {
                let (check, mut kept) = (self.check(at), self.kept(at));
                if kept.way.is(Way::NEEDS_FP) {
                    return;
                }
                kept.way.0 |= Way::NEEDS_FP;
                kept.fp = fp;
                self.set(at, check.pc_at(), check.pc(), kept);
                if kept.loaded_from != 0 {
                    return;
                }
            }
        }
    }

    /// Goes on from the frame that was found as far as the last walk's way is unchanged. `collects` becomes true if that
    /// leads through a function that moves and frees old objects. The frames before `from` are known to be the same.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        first: &Frame,
        from: usize,
        collects: &mut bool,
        rules: *const RuleCache,
        mut rule_of: impl FnMut(u64) -> Rule,
    ) -> Led {
        let found = self.at;
        // SAFETY: positions are below the length. The words lie between the frame that was found and the stack's end.
        unsafe {
            *collects |= self.kept(found).way.collects();
            let (mut at, mut hash) = same_way(self.trail, from, self.hash, rules);
            while at < LENGTH {
                match look_at(self.trail, at, self.high, collects, &mut rule_of) {
                    Some(change) => hash = hash.wrapping_add(change),
                    None => break,
                }
                (at, hash) = same_way(self.trail, at + 1, hash, rules);
            }
            self.hash = hash;
            (self.end, self.at) = (at, at);
            if at == LENGTH && read(self.end_at) == self.end_word {
                return Led::Out;
            }
            if at == found + 1 {
                return Led::To(*first);
            }
            let last = self.check(at - 1);
            let (pc_at, pc) = (last.pc_at(), last.pc());
            let fp = self.frame_pointer(at - 1, found, first.fp);
            // Where it was loaded is known, and whoever needs it has said so.
            Led::To(Frame { sp: pc_at + 8, fp, pc, loaded_from: pc_at })
        }
    }

    /// The frame pointer at a position behind the frame that was found.
    ///
    /// # Safety
    /// As in [`Walk::follow`].
    #[inline(always)]
    unsafe fn frame_pointer(&self, position: usize, found: usize, first: u64) -> u64 {
        let mut at = position;
        while at > found {
            // SAFETY: by the contract.
            let Kept { loaded_from, fp, way, .. } = unsafe { self.kept(at) };
            if way.is(Way::NEEDS_FP) {
                return fp;
            }
            if loaded_from != 0 {
                // SAFETY: by the contract.
                return unsafe { read(loaded_from) };
            }
            at -= 1;
        }
        first
    }

    /// The walk ended, at a word that is no return address if there is one.
    #[inline(always)]
    pub(crate) fn ended_at(&mut self, word: Option<(u64, u64)>) {
        while self.at < LENGTH {
            // SAFETY: below the length.
            let (check, kept) = unsafe { (self.check(self.at), self.kept(self.at)) };
            self.hash = self.hash.wrapping_sub(term(self.at, check.pc(), kept.mark));
            self.at += 1;
        }
        // SAFETY: the trail's own word is always there.
        let own = unsafe { (&raw const (*self.trail).end as u64, 0) };
        (self.end_at, self.end_word) = word.unwrap_or(own);
    }

    /// Gives the new frames their positions, before the one at `at`; false if there is no room.
    #[inline(always)]
    fn place(&mut self) -> bool {
        let removed = self.at - self.end;
        // SAFETY: positions are below the length.
        unsafe {
            if removed != self.new && !self.move_begin(removed as isize - self.new as isize) {
                return false;
            }
            let start = self.at - self.new;
            for at in 0..self.new {
                let New { frame, mark, way } = *(*self.trail).new.all.as_ptr().add(at);
                let kept = Kept { loaded_from: frame.loaded_from, fp: frame.fp, mark, way };
                self.set(start + at, frame.sp.wrapping_sub(8), frame.pc, kept);
                self.hash = self.hash.wrapping_add(term(start + at, frame.pc, mark));
                one_by_one();
            }
        }
        (self.end, self.new) = (self.at, 0);
        true
    }

    /// Moves the frames that have positions, so that others have room behind them.
    ///
    /// # Safety
    /// They are below the length, and stay so by the move.
    #[inline(always)]
    unsafe fn move_begin(&mut self, by: isize) -> bool {
        let (from, to) = (self.begin, self.begin + by);
        self.begin = to;
        if to >= 0 && from as usize != self.end {
            // SAFETY: by the contract.
            self.hash = self.hash.wrapping_add(unsafe {
                move_frames(self.trail, from as usize, to as usize, self.end - from as usize)
            });
        }
        to >= 0
    }

    /// Ends a walk that came to the stack's end; the stack's hash if it has at most so many frames.
    #[inline(always)]
    pub(crate) fn end(self, frames: u32) -> Option<u64> {
        // SAFETY: as in `begin`.
        unsafe {
            // A handler may have had reasons to forget it.
            if LENGTH as isize - self.begin > frames as isize || (*self.trail).high != self.high {
                self.give_up();
                return None;
            }
            (*self.trail).first = self.begin as usize;
            (*self.trail).hash = self.hash;
            (*self.trail).end_at = self.end_at;
            (*self.trail).end = self.end_word;
            compiler_fence(Ordering::SeqCst);
            (*self.trail).is_busy.store(0, Ordering::Relaxed);
        }
        Some(self.hash)
    }

    /// Ends a walk that was led along the trail alone.
    #[inline(always)]
    pub(crate) fn end_of_new(mut self, frames: u32) -> Option<u64> {
        if self.place() {
            return self.end(frames);
        }
        self.give_up();
        None
    }

    /// Ends a walk of a stack that can't be kept.
    #[cold]
    pub(crate) fn give_up(self) {
        // SAFETY: as in `begin`.
        unsafe {
            (*self.trail).high = 0;
            (*self.trail).rest = REST;
            compiler_fence(Ordering::SeqCst);
            (*self.trail).is_busy.store(0, Ordering::Relaxed);
        }
    }

    /// # Safety
    /// The position is below the length.
    #[inline(always)]
    unsafe fn check(&self, at: usize) -> Check {
        // SAFETY: by the contract.
        unsafe { *(*self.trail).checks.all.as_ptr().add(at) }
    }

    /// # Safety
    /// The position is below the length.
    #[inline(always)]
    unsafe fn kept(&self, at: usize) -> Kept {
        // SAFETY: by the contract.
        unsafe { *(*self.trail).kept.all.as_ptr().add(at) }
    }

    /// # Safety
    /// The position is below the length.
    #[inline(always)]
    unsafe fn set(&mut self, at: usize, pc_at: u64, pc: u64, kept: Kept) {
        // SAFETY: by the contract.
        unsafe {
            let check = Check::new(pc_at, pc, &kept);
            (*self.trail).checks.all.as_mut_ptr().add(at).write(check);
            (*self.trail).kept.all.as_mut_ptr().add(at).write(kept);
        }
    }
}

/// Looks at a frame whose words don't tell all, or are others than before: by how much it changes the hash. Another
/// function that V8 interprets may stand in the place of one. `None` if the way is another one from here.
///
/// # Safety
/// As in [`Walk::follow`], of which this is a part.
#[inline(never)]
unsafe fn look_at(
    trail: *mut Trail,
    at: usize,
    high: u64,
    collects: &mut bool,
    rule_of: &mut impl FnMut(u64) -> Rule,
) -> Option<u64> {
    // SAFETY: by the contract.
    unsafe {
        let check = (*trail).checks.all.as_mut_ptr().add(at);
        let kept = (*trail).kept.all.as_mut_ptr().add(at);
        let way = (*kept).way;
        if way.is(Way::GAP)
            || way.is(Way::NEEDS_FP) && (*kept).loaded_from != 0 && read((*kept).loaded_from) != (*kept).fp
        {
            return None;
        }
        let (pc, before) = (read((*check).pc_at()), (*check).pc());
        if pc != before && (pc < 4096 || rule_of(pc).word() != way.rule_word()) {
            return None;
        }
        let before = term(at, before, (*kept).mark);
        *collects |= way.collects();
        if way.is_marked() {
            (*kept).mark = v8::mark((*check).pc_at() + 8, (*kept).fp, high);
        }
        (*check).set_pc(pc);
        Some(term(at, pc, (*kept).mark).wrapping_sub(before))
    }
}

/// Moves frames to other positions; by how much that changes the hash.
///
/// # Safety
/// Both ranges are below the length.
#[cold]
#[inline(never)]
unsafe fn move_frames(trail: *mut Trail, from: usize, to: usize, count: usize) -> u64 {
    let mut change = 0u64;
    // SAFETY: by the contract.
    unsafe {
        let checks = (*trail).checks.all.as_mut_ptr();
        let kept = (*trail).kept.all.as_mut_ptr();
        for at in 0..count {
            let (pc, mark) = ((*checks.add(from + at)).pc(), (*kept.add(from + at)).mark);
            change = change.wrapping_add(term(to + at, pc, mark).wrapping_sub(term(from + at, pc, mark)));
        }
        core::ptr::copy(checks.add(from), checks.add(to), count);
        core::ptr::copy(kept.add(from), kept.add(to), count);
    }
    change
}

/// Keeps the compiler from preparing a loop for many rounds: of the ones here most have one or two.
#[inline(always)]
fn one_by_one() {
    // SAFETY: no instruction.
    unsafe { core::arch::asm!("", options(nostack, preserves_flags)) };
}

/// The hash of a stack with these return addresses and marks, the innermost first.
#[cfg(test)]
pub(crate) fn hash_of(frames: &[(u64, u64)]) -> u64 {
    let start = LENGTH - frames.len();
    let terms = frames.iter().enumerate().map(|(at, &(pc, mark))| term(start + at, pc, mark));
    terms.fold(0, u64::wrapping_add)
}
