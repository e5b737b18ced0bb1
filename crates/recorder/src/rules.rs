//! How to get from a frame to its caller's, in one word a place in the code.

/// A rule. Offsets that don't fit make no rule: the stack ends there.
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

    /// A rule by offsets; `saved` is where the caller's frame pointer lies, from the CFA; 0 if it is unchanged.
    pub(crate) fn new(base: Base, offset: i64, saved: i64) -> Rule {
        match (i32::try_from(offset), i16::try_from(saved)) {
            (Ok(offset), Ok(saved)) => {
                Rule(base as u64 | u64::from(saved as u16) << 8 | u64::from(offset as u32) << 32)
            }
            _ => Rule::END,
        }
    }

    /// All of it. Bits 24 to 31 are not used.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self.0
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
        match self.0 as u8 {
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
        i64::from((self.0 >> 32) as u32 as i32)
    }

    #[inline]
    pub(crate) fn saved(self) -> i64 {
        i64::from((self.0 >> 8) as u16 as i16)
    }
}

/// Rules by address, direct-mapped; one for each thread.
pub(crate) struct RuleCache {
    entries: [(u64, Rule); RuleCache::SIZE],
}

impl RuleCache {
    const SIZE: usize = 4096;

    /// Of the lower half: a constant of 32 bits is a part of the instruction.
    #[inline(always)]
    fn slot(pc: u64) -> usize {
        ((pc as u32).wrapping_mul(0x9E37_79B9) >> (32 - 12)) as usize
    }

    /// The rule for a return address.
    #[inline(always)]
    pub(crate) fn get(&self, pc: u64) -> Option<Rule> {
        // SAFETY: a slot is below the cache's size, by its shift.
        let (key, rule) = unsafe { *self.entries.get_unchecked(Self::slot(pc)) };
        (key == pc).then_some(rule)
    }

    pub(crate) fn put(&mut self, pc: u64, rule: Rule) {
        if let Some(entry) = self.entries.get_mut(Self::slot(pc)) {
            *entry = (pc, rule);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.fill((0, Rule::NONE));
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
        check(Base::StackPointer, 1 << 30, -16);
        check(Base::FramePointer, 16, -16);
        check(Base::AtFramePointer, -8, 0);
        assert_eq!(Rule::new(Base::StackPointer, 1 << 40, 0), Rule::END);
        assert_eq!(Rule::new(Base::StackPointer, 8, 1 << 20), Rule::END);
    }
}
