//! Records: words of 64 bits. The first word's top four bits are the kind; it is written last, and never zero.
//!
//! | kind | first word, low 60 bits | further words |
//! | --- | --- | --- |
//! | [`ALLOC`] | time, address | stack's number and size |
//! | [`FREE`] | time, address | |
//! | [`REALLOC`] | time, address of the old block; the next record is the new one's [`ALLOC`] | |
//! | [`SIZE`] | the size of the allocation that follows, which is too large for its word | |
//! | [`SYNC`] | the clock; times that follow count from it | |
//! | [`STACK`] | number of frames, the stack's number | return addresses, the innermost first |
//! | [`THREAD`] | the thread's id; it fills the chunks of this number from here on | |
//! | [`MAP`] | time, address | stack's number and flags; length |
//! | [`UNMAP`] | time, address | length |
//! | [`MODULE`] | bytes that follow | a module's description, see [`MODULE`] |
//! | [`FORGET`] | nothing: modules were unloaded, the list follows anew | |
//! | [`SUPPRESS`] | bytes that follow | text of `__lsan_default_suppressions` |
//! | [`JS`] | what runs the frame, its position in the stack, the stack's number | words of [`js`] |
//! | [`END`] | nothing: the thread went on to its next chunk | |
//!
//! *time* is 16 bits in units of [`TICK`] of the clock since the latest [`SYNC`]; *address* is 44 bits in units of
//! eight bytes, enough for the 47 bits of a user's address.

/// An allocation: `stack << 32 | size`; a size of [`LARGE`] stands in a [`SIZE`] record before it.
pub const ALLOC: u64 = 1;
/// A free.
pub const FREE: u64 = 2;
/// The free within a realloc.
pub const REALLOC: u64 = 3;
/// A size.
pub const SIZE: u64 = 4;
/// A point in time.
pub const SYNC: u64 = 5;
/// A stack: `count << 32 | number`, then the return addresses. A thread numbers its stacks by itself, and gives the numbers
/// of those that it has forgotten to others: a number means what it was given to last.
pub const STACK: u64 = 6;
/// Who fills the chunk.
pub const THREAD: u64 = 7;
/// An mmap: `stack << 32 | flags of mmap << 8 | protection`, then the length.
pub const MAP: u64 = 8;
/// Among the flags of mmap: a thread's stack (Linux's `MAP_STACK`).
pub const STACK_FLAG: u32 = 0x2_0000;
/// Among the flags of mmap: memory of the recorder's own. Linux has no flag of this value.
pub const OWN_FLAG: u32 = 0x80_0000;
/// A munmap: the length.
pub const UNMAP: u64 = 9;
/// A module: words of [`module`], then its path in whole words.
pub const MODULE: u64 = 10;
/// Modules were unloaded: those known so far are forgotten. Stacks and numbers given before keep their meaning.
pub const FORGET: u64 = 11;
/// The program's own leak suppressions.
pub const SUPPRESS: u64 = 12;
/// A frame of JavaScript: `kind << 48 | position << 32 | number` of the stack that follows, then the words of [`js`].
pub const JS: u64 = 13;
/// The chunk's end.
pub const END: u64 = 15;

/// The size that says "see the record before".
pub const LARGE: u32 = u32::MAX;

/// Bytes of a [`STACK`] record before its frames.
pub const STACK_HEAD: usize = 8;

/// A unit of time in a record, as a shift of the clock's values: 64 cycles, 26 ns at 2.5 GHz.
pub const TICK: u32 = 6;

/// Where the time of an event begins in its first word; an address in eights has the bits below.
pub const TIME_SHIFT: u32 = 44;
const ADDRESS_MASK: u64 = (1 << TIME_SHIFT) - 1;

/// What describes a module, as positions of words behind the record's first.
pub mod module {
    /// Difference between addresses in the process and those in the file.
    pub const BIAS: usize = 0;
    /// Start of the mapped range.
    pub const START: usize = 1;
    /// End of the mapped range.
    pub const END: usize = 2;
    /// Length of the build id in bytes, at most 32; 0 if there is none.
    pub const BUILD_ID_LENGTH: usize = 3;
    /// The build id in four words.
    pub const BUILD_ID: usize = 4;
    /// Bytes of the path.
    pub const PATH_LENGTH: usize = 8;
    /// The path, filled up with zeros to whole words.
    pub const PATH: usize = 9;
}

/// What is told of a frame of JavaScript, as positions of words behind the record's first.
pub mod js {
    /// The frame's word for the function.
    pub const FUNCTION: usize = 0;
    /// The frame's word for the bytecode.
    pub const BYTECODES: usize = 1;
    /// The frame's word for the place in it.
    pub const OFFSET: usize = 2;
    /// The function's `SharedFunctionInfo`; 0 if the function was not looked at.
    pub const SHARED: usize = 3;
    /// Words in all.
    pub const WORDS: usize = 4;

    /// The interpreter runs the frame.
    pub const INTERPRETED: u64 = 1;
    /// Compiled code runs the frame.
    pub const COMPILED: u64 = 2;
    /// Beside the kind: the function was not told of before, and is counted in [`V8`](crate::V8).
    pub const IS_NEW: u64 = 8;
    /// Likewise: it is the first that is told of its stack.
    pub const IS_FIRST: u64 = 16;
}

/// The kind of a record by its first word.
#[inline]
pub const fn kind(word: u64) -> u64 {
    word >> 60
}

/// The first word of an event.
#[inline]
pub const fn event(kind: u64, ticks: u64, address: u64) -> u64 {
    kind << 60 | (ticks & 0xffff) << TIME_SHIFT | (address >> 3 & ADDRESS_MASK)
}

/// The time of an event in ticks since the latest [`SYNC`].
#[inline]
pub const fn ticks(word: u64) -> u64 {
    word >> TIME_SHIFT & 0xffff
}

/// The address of an event.
#[inline]
pub const fn address(word: u64) -> u64 {
    (word & ADDRESS_MASK) << 3
}

/// The first word of a record that carries a number.
#[inline]
pub const fn number(kind: u64, value: u64) -> u64 {
    kind << 60 | (value & !(0xf << 60))
}

/// The number of such a record.
#[inline]
pub const fn value(word: u64) -> u64 {
    word & !(0xf << 60)
}

/// Words of a record with this first word, the first included.
#[inline]
pub const fn words(word: u64) -> usize {
    match kind(word) {
        ALLOC | UNMAP => 2,
        MAP => 3,
        STACK => 1 + (value(word) >> 32) as usize,
        JS => 1 + js::WORDS,
        MODULE | SUPPRESS => 1 + (value(word) as usize).div_ceil(8),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind_of: u64, time: u64, at: u64) {
        let word = event(kind_of, time, at);
        assert_eq!((kind(word), ticks(word), address(word)), (kind_of, time, at));
        assert_ne!(word, 0);
    }

    #[test]
    fn an_event_keeps_its_time_and_address() {
        for kind in [ALLOC, FREE, REALLOC, MAP, UNMAP] {
            check(kind, 0, 0);
            check(kind, 0xffff, 0x7fff_ffff_fff8);
            check(kind, 1, 0x5555_5555_6010);
        }
    }

    #[test]
    fn the_first_word_tells_a_records_length() {
        let check = |word, expected: usize| assert_eq!(words(word), expected, "{word:#x}");
        check(event(ALLOC, 1, 16), 2);
        check(event(FREE, 1, 16), 1);
        check(number(STACK, 3 << 32 | 77), 4);
        check(number(MODULE, 72), 10);
        check(number(SUPPRESS, 73), 11);
        check(number(JS, js::COMPILED << 48 | 5 << 32 | 77), 5);
        check(number(END, 0), 1);
    }
}
