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

/// The words of the stack by which a frame was reached. Functions that keep a frame pointer leave the caller's right below
/// the return address, so that one load gets both.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Check {
    /// The frame pointer, if it lies there and matters.
    fp: u64,
    /// The return address, and [what kind of frame](Check::KIND) it is.
    pub(super) pc: u64,
    /// Where they lie.
    at: u64,
    /// All bits are set if the first word is nothing to compare.
    ignored: u64,
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
    pub(super) const NEEDS_FP: u64 = 1 << 29;
    /// More led here than the two words: only a step does.
    pub(super) const GAP: u64 = 1 << 30;
    /// The words don't tell all: a frame of V8's interpreter, which has a mark, a function that [`Way::collects`], or a
    /// gap.
    pub(super) const LOOKED_AT: u64 = 1 << 31;
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
    /// A frame whose return address was another one before. Such a frame's is looked up without asking whether it
    /// changed: programs call a function from here and from there as they like, and a processor that has to guess which
    /// loses more than a look costs.
    pub(super) const CHANGES: u64 = 1 << 63;
    /// A frame that is [looked at](Way::LOOKED_AT), or whose caller's frame pointer lies elsewhere and matters.
    const OTHER: u64 = 1 << 62;
    /// Bits that no address has: what has some of them is never the same as what lies on the stack.
    const KIND: u64 = Self::CHANGES | Self::OTHER;

    #[inline(always)]
    pub(super) fn new(pc_at: u64, pc: u64, kept: &Kept) -> Check {
        let at = pc_at.wrapping_sub(8);
        let needs_fp = kept.way.is(Way::NEEDS_FP) && kept.loaded_from != 0;
        if kept.way.is(Way::LOOKED_AT) || needs_fp && kept.loaded_from != at {
            Check { fp: 0, pc: pc | Self::OTHER, at, ignored: !0 }
        } else if needs_fp {
            Check { fp: kept.fp, pc, at, ignored: 0 }
        } else {
            Check { fp: 0, pc, at, ignored: !0 }
        }
    }

    /// What no stack is the same as; `at` is where two words lie.
    pub(super) fn never(at: *const [u64; 2]) -> Check {
        Check { fp: 0, pc: Self::OTHER, at: at as u64, ignored: !0 }
    }

    #[inline(always)]
    pub(super) fn pc_at(&self) -> u64 {
        self.at.wrapping_add(8)
    }

    #[inline(always)]
    pub(super) fn pc(&self) -> u64 {
        self.pc & !Self::KIND
    }

    /// Notes another return address.
    #[inline(always)]
    pub(super) fn set_pc(&mut self, pc: u64) {
        let other = self.pc & Self::OTHER;
        self.pc = pc | if other != 0 { other } else { Self::CHANGES };
    }

    #[inline(always)]
    pub(super) fn changes(&self) -> bool {
        self.pc & Self::CHANGES != 0
    }

    /// Whether a walk may begin here with this frame. Where its frame pointer was loaded nobody asks, since nothing of the
    /// walk comes before it.
    #[inline(always)]
    pub(super) fn is_first(&self, kept: &Kept, frame: &Frame) -> bool {
        self.pc_at() == frame.sp.wrapping_sub(8)
            && self.pc() == frame.pc
            && !kept.way.is(Way::LOOKED_AT)
            && (!kept.way.is(Way::NEEDS_FP) || kept.fp == frame.fp)
    }

    /// Whether the words are what they were, and that tells all.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub(super) unsafe fn is_same(this: *const Check) -> bool {
        use core::arch::x86_64::{
            _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_load_si128, _mm_loadl_epi64, _mm_loadu_si128,
            _mm_movemask_ps, _mm_or_si128,
        };
        // SAFETY: by the contract; a check is aligned.
        unsafe {
            let words = _mm_loadu_si128((*this).at as *const _);
            let same = _mm_cmpeq_epi32(words, _mm_load_si128((&raw const (*this).fp).cast()));
            let ignored = _mm_loadl_epi64((&raw const (*this).ignored).cast());
            _mm_movemask_ps(_mm_castsi128_ps(_mm_or_si128(same, ignored))) == 0xf
        }
    }

    /// Zero if the frame pointer is what it was, or doesn't matter.
    ///
    /// # Safety
    /// The words are readable.
    #[inline(always)]
    pub(super) unsafe fn frame_pointer_differs(this: *const Check) -> u64 {
        // SAFETY: by the contract.
        unsafe { (read((*this).at) ^ (*this).fp) & !(*this).ignored }
    }
}

/// # Safety
/// Eight bytes at the address are readable.
#[inline(always)]
pub(super) unsafe fn read(address: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { (address as *const u64).read_unaligned() }
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
