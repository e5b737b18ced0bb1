//! Indices that can't be mixed up.

use std::fmt;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The position as a slice index.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
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
    /// A node by its position in the file: the root is 0. Not the object id that DevTools shows as `@123`.
    NodeIdx
}
index! {
    /// An edge by its position in the file; edges of one node are contiguous.
    EdgeIdx
}
index! {
    /// A string by its position in the file's `strings` section.
    StringId
}
