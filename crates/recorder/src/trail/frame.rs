//! What a trail keeps of a frame.

use super::LENGTH;
use crate::rules::Rule;

/// Registers in a frame, and how it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Behind the return address.
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The return address.
    pub(crate) pc: u64,
    /// Where the frame pointer was loaded from; 0 if it is that of the frame before.
    pub(crate) loaded_from: u64,
}

/// The words of the stack by which a frame was reached.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Check {
    pub(super) pc_at: u64,
    pub(super) pc: u64,
    /// Where the frame pointer was loaded from, if it was and matters to a later step; otherwise where a zero lies.
    pub(super) fp_at: u64,
    /// What lies there, if the two words are all there is to it. Of a frame that [changes](Check::CHANGES) the
    /// complement, and of one that is [looked at](Way::LOOKED_AT) neither.
    pub(super) fp: u64,
}

/// What else is known of a frame.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Kept {
    pub(super) loaded_from: u64,
    /// The frame pointer, if it [matters](Way::NEEDS_FP).
    pub(super) fp: u64,
    pub(super) mark: u64,
    pub(super) way: Way,
}

/// How a walk goes through a frame: the rule to its caller, and marks in bits that no rule has.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Way(pub(super) u64);

impl Way {
    /// A step from here or from further out depends on the frame pointer.
    pub(super) const NEEDS_FP: u64 = 1 << 24;
    /// More led here than the two words: only a step does.
    pub(super) const GAP: u64 = 1 << 25;
    /// The words don't tell all: a frame of V8's interpreter, which has a mark, a function that [`Way::collects`], or a
    /// gap.
    pub(super) const LOOKED_AT: u64 = 1 << 26;
    pub(super) const MARKS: u64 = Self::NEEDS_FP | Self::GAP | Self::LOOKED_AT;

    #[inline(always)]
    pub(super) fn new(rule: Rule, is_behind_gap: bool) -> Way {
        let word = rule.word();
        let mut marks = 0;
        if rule.keeps_frame_pointer() || rule.reads_frame_pointer() {
            marks |= Self::NEEDS_FP;
        }
        if rule == Rule::INTERPRETED || rule == Rule::MAJOR_COLLECTOR {
            marks |= Self::LOOKED_AT;
        }
        Way(word | marks).behind_gap(is_behind_gap)
    }

    #[inline(always)]
    pub(super) fn behind_gap(self, is_behind_gap: bool) -> Way {
        if is_behind_gap {
            return Way(self.0 | Self::GAP | Self::LOOKED_AT);
        }
        match self.is(Self::GAP) {
            true if self.is_marked() || self.collects() => Way(self.0 & !Self::GAP),
            true => Way(self.0 & !(Self::GAP | Self::LOOKED_AT)),
            false => self,
        }
    }

    #[inline(always)]
    pub(super) fn rule_word(self) -> u64 {
        self.0 & !Self::MARKS
    }

    #[inline(always)]
    pub(super) fn is(self, mark: u64) -> bool {
        self.0 & mark != 0
    }

    /// A function of V8's that moves and frees old objects.
    #[inline(always)]
    pub(super) fn collects(self) -> bool {
        self.rule_word() == Rule::MAJOR_COLLECTOR.word()
    }

    #[inline(always)]
    pub(super) fn is_marked(self) -> bool {
        self.rule_word() == Rule::INTERPRETED.word()
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct New {
    pub(super) frame: Frame,
    pub(super) mark: u64,
    pub(super) way: Way,
}

impl Check {
    /// By what [`Check::fp`] differs from what lies there, of a frame whose return address was another one before. Such a
    /// frame's is looked up without asking whether it changed: programs call a function from here and from there as
    /// they like, and a processor that has to guess which loses more than a look costs. No frame pointer that leads on is
    /// the complement of another: one of them is no address.
    pub(super) const CHANGES: u64 = !0;
    /// Likewise, of a frame that is looked at.
    pub(super) const LOOKED_AT: u64 = 1;

    /// `zero_at` is where a zero lies.
    #[inline(always)]
    pub(super) fn new(pc_at: u64, pc: u64, kept: &Kept, zero_at: u64) -> Check {
        if kept.way.is(Way::LOOKED_AT) {
            Check { pc_at, pc, fp_at: zero_at, fp: Self::LOOKED_AT }
        } else if kept.way.is(Way::NEEDS_FP) && kept.loaded_from != 0 {
            Check { pc_at, pc, fp_at: kept.loaded_from, fp: kept.fp }
        } else {
            Check { pc_at, pc, fp_at: zero_at, fp: 0 }
        }
    }
}

/// A frame's part of its stack's hash, a multilinear one (Lemire and Kaser, "Strongly universal string hashing is fast",
/// 2014): two stacks that differ in one frame never have the same, others with a chance of about 2⁻⁶⁴.
#[inline(always)]
pub(super) fn term(position: usize, pc: u64, mark: u64) -> u64 {
    (pc ^ mark).wrapping_mul(factor(position))
}

/// By how much a stack's hash changes with the return address of a frame that has no mark.
#[inline(always)]
pub(super) fn change(position: usize, from: u64, to: u64) -> u64 {
    to.wrapping_sub(from).wrapping_mul(factor(position))
}

#[inline(always)]
fn factor(position: usize) -> u64 {
    // SAFETY: positions are below the length.
    unsafe { *FACTORS.get_unchecked(position) }
}

/// Odd numbers without a pattern (splitmix64).
static FACTORS: [u64; LENGTH] = {
    let (mut all, mut at, mut state) = ([0; LENGTH], 0, 0x1234_5678_9abc_def1u64);
    while at < LENGTH {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        all[at] = (word ^ word >> 31) | 1;
        at += 1;
    }
    all
};
