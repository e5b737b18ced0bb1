//! Indices that can't be mixed up.
//!
//! Those that the file counts from 1 keep 0 for "none", so that a column of them needs no other mark.

use std::fmt;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The number as a slice index.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// True for number 0, which is "none" where numbers count from 1.
            #[inline]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

index! {
    /// A string by its position in the file, from 1; 0 is none.
    StringId
}
index! {
    /// An instruction pointer by its position in the file, from 1; 0 is none.
    IpId
}
index! {
    /// A node of the tree of call stacks, and with it the stack from there to the root, from 1; 0 is none.
    TraceId
}
index! {
    /// A pair of size and call stack by its position in the file, from 0.
    InfoIdx
}
index! {
    /// A module, which is an executable or a library that was mapped, by its position in the file, from 0.
    ModuleNo
}
index! {
    /// A thread by the order in which the recorder met them, from 0. Numbers of the kernel occur again.
    ThreadNo
}
index! {
    /// A frame of a [`Profile`](crate::Profile), from 0.
    FrameId
}
index! {
    /// A node of a [`Profile`](crate::Profile)'s tree of call stacks, and with it the stack from there to the root,
    /// from 1; 0 is the empty stack.
    StackId
}
