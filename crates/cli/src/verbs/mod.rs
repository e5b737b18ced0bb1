//! One module a verb: load, ask, print.

pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod dominators;
pub(crate) mod export;
pub(crate) mod objects;
pub(crate) mod path;
pub(crate) mod retainers;
pub(crate) mod strings;
pub(crate) mod summary;

mod select;
