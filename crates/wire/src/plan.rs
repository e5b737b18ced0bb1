//! How calls of an allocator that is linked into a module come to be recorded.
//!
//! The recorder tells the collector of a module that nobody runs yet, and of a page near it. The collector reads the
//! module's file and answers with code for that page and with [`Patch`]es: a function's first bytes become a jump to its
//! entry in the page, and what they were goes on there, moved, as the *original*. An entry loads the original's address
//! and a [`Call`], which says what the arguments mean, and goes on to the recorder.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of code for a module.
pub const CODE: usize = 8192;
/// Functions of a module.
pub const MAX_PATCHES: usize = 96;
/// The longest path in bytes.
pub const MAX_PATH: usize = 4096;

/// A question and its answer.
#[repr(C, align(64))]
pub struct Plan {
    /// Difference between addresses in the process and those in the file; for the program itself the address of its
    /// program headers.
    pub bias: AtomicU64,
    /// Where the code will lie.
    pub page: AtomicU64,
    /// The recorder's entry.
    pub hook: AtomicU64,
    /// Nonzero: it is the program itself, not a library.
    pub is_program: AtomicU32,
    /// Bytes of the path.
    pub path_length: AtomicU32,
    /// The path as the process knows it; none for the program itself.
    pub path: [AtomicU64; MAX_PATH / 8],

    /// Addresses of functions that are the process's malloc already, and its kin: their module is left alone.
    pub known: [AtomicU64; 8],

    /// What the process made of the answer, see [`outcome`].
    pub outcome: AtomicU32,
    /// Patches in the answer.
    pub count: AtomicU32,
    /// The patches.
    pub patches: [Patch; MAX_PATCHES],
    /// The code.
    pub code: [AtomicU64; CODE / 8],
}

/// What a process made of a plan.
pub mod outcome {
    /// Nothing yet, or the collector has seen it.
    pub const NONE: u32 = 0;
    /// It did as the plan says.
    pub const FOLLOWED: u32 = 1;
    /// It changed nothing: other bytes were there, or the kernel did not allow it.
    pub const LEFT: u32 = 2;
}

/// Eight bytes at the start of a function.
#[repr(C)]
pub struct Patch {
    /// Where.
    pub address: AtomicU64,
    /// What has to be there.
    pub before: AtomicU64,
    /// What takes its place.
    pub after: AtomicU64,
}

/// Which argument of a function means what. Arguments count from 0; there are four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The block that is freed.
    pub old: Option<u32>,
    /// The size of the block that is allocated; without it nothing is.
    pub size: Option<u32>,
    /// A factor of the size.
    pub count: Option<u32>,
    /// Where the block's address is written to, if it isn't returned.
    pub out: Option<u32>,
}

/// No argument.
const NONE: u32 = 15;

impl Call {
    /// As a number for the entry's code.
    pub const fn encode(self) -> u32 {
        const fn field(argument: Option<u32>) -> u32 {
            match argument {
                Some(argument) if argument < 4 => argument,
                _ => NONE,
            }
        }
        field(self.old) | field(self.size) << 4 | field(self.count) << 8 | field(self.out) << 12
    }

    /// From such a number.
    pub const fn decode(number: u32) -> Call {
        const fn field(number: u32) -> Option<u32> {
            if number & 15 < 4 { Some(number & 15) } else { None }
        }
        Call {
            old: field(number),
            size: field(number >> 4),
            count: field(number >> 8),
            out: field(number >> 12),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_what_it_was() {
        let check = |call: Call| assert_eq!(Call::decode(call.encode()), call);
        check(Call { old: None, size: Some(0), count: None, out: None });
        check(Call { old: Some(0), size: Some(2), count: Some(1), out: None });
        check(Call { old: None, size: Some(2), count: None, out: Some(0) });
        check(Call { old: Some(3), size: None, count: None, out: None });
    }
}
