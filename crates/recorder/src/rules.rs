//! How to get from a frame to its caller's, in one word a place in the code.

/// A rule. Offsets that don't fit make no rule: the stack ends there.
///
/// Nearly all are *narrow*: the base in bits 0 to 3, where the frame pointer is saved in 4 to 10, the offset in 11 to 27,
/// both in words. Others are wide: bit 28, where it is saved in 4 to 19, the offset in 32 to 63, both in bytes. Bits 29
/// to 31 are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule(u64);

/// What the canonical frame address (CFA), the stack pointer before the call, is reckoned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Base {
    /// The code keeps a frame pointer: the caller's is where it points to, the return address behind it.
    Frame = 1,
    /// The stack pointer and an offset.
    StackPointer = 2,
    /// The frame pointer and an offset.
    FramePointer = 3,
    /// What lies at the frame pointer and an offset: functions that align their stack.
    AtFramePointer = 4,
    /// The kernel called a signal handler here; the registers it interrupted lie on the stack.
    Signal = 5,
    /// The stack ends here, or how it goes on is not known.
    End = 6,
    /// As [`Base::Frame`], in a frame of V8's interpreter.
    Interpreted = 7,
    /// As [`Base::Frame`], in code that was made for a function of JavaScript.
    Compiled = 8,
    /// As [`Base::Frame`], in a function of V8's that collects garbage.
    Collector = 9,
    /// Likewise, in one that moves and frees old objects.
    MajorCollector = 10,
}

impl Rule {
    pub(crate) const FRAME: Rule = Rule(Base::Frame as u64);
    pub(crate) const INTERPRETED: Rule = Rule(Base::Interpreted as u64);
    pub(crate) const COMPILED: Rule = Rule(Base::Compiled as u64);
    pub(crate) const COLLECTOR: Rule = Rule(Base::Collector as u64);
    pub(crate) const MAJOR_COLLECTOR: Rule = Rule(Base::MajorCollector as u64);
    pub(crate) const SIGNAL: Rule = Rule(Base::Signal as u64);
    pub(crate) const END: Rule = Rule(Base::End as u64);
    /// Same as no rule: what a fresh cache holds.
    pub(crate) const NONE: Rule = Rule(0);

    const WIDE: u64 = 1 << 28;
    /// Bits of a narrow rule.
    const NARROW: u64 = Self::WIDE - 1;

    /// A rule by offsets; `saved` is where the caller's frame pointer lies, from the CFA; 0 if it is unchanged.
    pub(crate) fn new(base: Base, offset: i64, saved: i64) -> Rule {
        let narrow = base as u64 | (saved as u64 >> 3 & 0x7f) << 4 | (offset as u64 >> 3 & 0x1_ffff) << 11;
        let narrow = Rule(narrow);
        if (narrow.offset(), narrow.saved()) == (offset, saved) {
            return narrow;
        }
        match (i32::try_from(offset), i16::try_from(saved)) {
            (Ok(offset), Ok(saved)) => {
                let wide = base as u64 | u64::from(saved as u16) << 4 | u64::from(offset as u32) << 32;
                Rule(wide | Self::WIDE)
            }
            _ => Rule::END,
        }
    }

    /// All of it. Bits 29 to 31 are not used.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn is_wide(self) -> bool {
        self.0 & Self::WIDE != 0
    }

    /// Whether the code keeps a frame pointer.
    #[inline(always)]
    pub(crate) fn keeps_frame_pointer(self) -> bool {
        matches!(
            self,
            Rule::FRAME | Rule::INTERPRETED | Rule::COMPILED | Rule::COLLECTOR | Rule::MAJOR_COLLECTOR
        )
    }

    /// Whether code that keeps no frame pointer by convention is stepped over by that register all the same.
    #[inline(always)]
    pub(crate) fn reads_frame_pointer(self) -> bool {
        matches!(self.base(), Base::FramePointer | Base::AtFramePointer)
    }

    #[inline]
    pub(crate) fn base(self) -> Base {
        match self.0 & 0xf {
            1 => Base::Frame,
            2 => Base::StackPointer,
            3 => Base::FramePointer,
            4 => Base::AtFramePointer,
            5 => Base::Signal,
            7 => Base::Interpreted,
            8 => Base::Compiled,
            9 => Base::Collector,
            10 => Base::MajorCollector,
            _ => Base::End,
        }
    }

    #[inline]
    pub(crate) fn offset(self) -> i64 {
        match self.is_wide() {
            true => i64::from((self.0 >> 32) as u32 as i32),
            false => (self.0 << (64 - 28)) as i64 >> (64 - 17) << 3,
        }
    }

    #[inline]
    pub(crate) fn saved(self) -> i64 {
        match self.is_wide() {
            true => i64::from((self.0 >> 4) as u16 as i16),
            false => (self.0 << (64 - 11)) as i64 >> (64 - 7) << 3,
        }
    }
}

/// Rules by address, direct-mapped; one for each thread.
///
/// A walk looks up several for each call of a hook, in a program that has other uses for the processor's cache: an entry
/// is a single word. An address is multiplied with an odd number, which loses nothing of its 47 bits: the upper 12 bits
/// choose the entry, the others stand in it above the rule.
pub(crate) struct RuleCache {
    entries: [u64; RuleCache::SIZE],
    /// Rules that are not narrow.
    wide: [(u64, Rule); RuleCache::WIDE],
}

impl RuleCache {
    const BITS: u32 = 12;
    const SIZE: usize = 1 << Self::BITS;
    const WIDE: usize = 16;
    /// Bits of an address of a process.
    const ADDRESS: u32 = 47;

    /// Whether that can be one: what lies on a stack where a return address should be may be anything.
    #[inline(always)]
    fn is_address(pc: u64) -> bool {
        pc >> Self::ADDRESS == 0
    }

    /// An address's entry, and what stands there above its rule.
    #[inline(always)]
    fn place(pc: u64) -> (usize, u64) {
        let product = pc.wrapping_mul(0x9E37_79B9_7F4A_7C15 << (64 - Self::ADDRESS));
        ((product >> (64 - Self::BITS)) as usize, product << Self::BITS)
    }

    #[inline(always)]
    fn entry(&self, at: usize) -> u64 {
        // SAFETY: below the cache's size, by the shift.
        unsafe { *self.entries.get_unchecked(at) }
    }

    /// The rule for a return address, if it is a narrow one.
    #[inline(always)]
    pub(crate) fn get(&self, pc: u64) -> Option<Rule> {
        let (at, key) = Self::place(pc);
        let rule = self.entry(at) ^ key;
        (rule.wrapping_sub(1) < Rule::NARROW && Self::is_address(pc)).then_some(Rule(rule))
    }

    /// Zero if the rule for a return address is known, narrow, and has this word.
    #[inline(always)]
    pub(crate) fn differs(&self, pc: u64, word: u64) -> u64 {
        let (at, key) = Self::place(pc);
        (self.entry(at) ^ key ^ word) | pc >> Self::ADDRESS
    }

    /// The rule for a return address, if it is known and none that [`RuleCache::get`] finds.
    pub(crate) fn get_wide(&self, pc: u64) -> Option<Rule> {
        let (key, rule) = self.wide.get(pc as usize % Self::WIDE)?;
        (*key == pc && rule.is_wide()).then_some(*rule)
    }

    pub(crate) fn put(&mut self, pc: u64, rule: Rule) {
        if rule.is_wide() {
            if let Some(entry) = self.wide.get_mut(pc as usize % Self::WIDE) {
                *entry = (pc, rule);
            }
            return;
        }
        let (at, key) = Self::place(pc);
        if let Some(entry) = self.entries.get_mut(at)
            && Self::is_address(pc)
        {
            *entry = key | rule.0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.fill(0);
        self.wide.fill((0, Rule::NONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_keeps_its_parts() {
        let check = |base, offset, saved| {
            let rule = Rule::new(base, offset, saved);
            assert_eq!((rule.base(), rule.offset(), rule.saved()), (base, offset, saved));
        };
        check(Base::StackPointer, 8, 0);
        check(Base::StackPointer, (1 << 19) - 8, -512);
        check(Base::StackPointer, 1 << 19, -16);
        check(Base::StackPointer, 12, 0);
        check(Base::StackPointer, 16, 512);
        check(Base::StackPointer, 16, -12);
        check(Base::StackPointer, 1 << 30, -16);
        check(Base::StackPointer, i64::from(i32::MIN), i64::from(i16::MIN));
        check(Base::FramePointer, 16, -16);
        check(Base::AtFramePointer, -8, 0);
        check(Base::AtFramePointer, -(1 << 19), 504);
        check(Base::AtFramePointer, -(1 << 19) - 8, 504);
        assert_eq!(Rule::new(Base::StackPointer, 1 << 40, 0), Rule::END);
        assert_eq!(Rule::new(Base::StackPointer, 8, 1 << 20), Rule::END);
    }

    #[test]
    fn a_cache_has_what_was_put_and_nothing_else() {
        // SAFETY: zeros are a cache without rules.
        let mut cache = unsafe { Box::<RuleCache>::new_zeroed().assume_init() };
        let rule = |pc: u64| Rule::new(Base::StackPointer, 8 + (pc % 100 * 8) as i64, -16);
        let wide = Rule::new(Base::FramePointer, 1 << 20, -16);
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 17
        };
        // Some are close to one another, as those of one program; some differ in the uppermost bit only.
        let mut known: Vec<u64> =
            (0..1000).flat_map(|at| [0x5555_0000_1000 + at * 5, random(), random()]).collect();
        known.extend([1, 4096, 1 << 46, 1 << 46 | 4096, (1 << 47) - 1]);
        for &pc in &known {
            assert!(cache.get(pc).is_none_or(|found| found == rule(pc)), "{pc:x}");
            cache.put(pc, rule(pc));
            assert_eq!(cache.get(pc), Some(rule(pc)), "{pc:x}");
            assert_eq!(cache.differs(pc, rule(pc).word()), 0);
            assert_ne!(cache.differs(pc, rule(pc + 1).word()), 0);
            assert_ne!(cache.differs(pc, wide.word()), 0);
            assert_eq!(cache.get_wide(pc), None);
            for upper in [1 << 47, 1 << 62, 1 << 63] {
                assert_eq!(cache.get(pc | upper), None);
                assert_ne!(cache.differs(pc | upper, rule(pc).word()), 0);
            }
        }
        let found = (0..1_000_000).map(|_| random()).filter(|&pc| cache.get(pc).is_some());
        assert_eq!(found.filter(|pc| !known.contains(pc)).count(), 0);
        cache.put(1 << 47 | 77, Rule::FRAME);
        assert_eq!(cache.get(77), None);
        cache.put(1234, wide);
        assert_eq!((cache.get(1234), cache.get_wide(1234)), (None, Some(wide)));
        cache.clear();
        assert!(known.iter().all(|&pc| cache.get(pc).is_none()));
        assert_eq!((cache.get(0), cache.get_wide(1234), cache.get_wide(0)), (None, None, None));
    }
}
