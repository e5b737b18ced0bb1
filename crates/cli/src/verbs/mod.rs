//! One module a verb: load, ask, print.

pub(crate) mod assert;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod dominators;
pub(crate) mod export;
pub(crate) mod flamegraph;
pub(crate) mod histogram;
pub(crate) mod leaks;
mod native;
pub(crate) mod objects;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod ps;
pub(crate) mod record;
pub(crate) mod redact;
pub(crate) mod report;
pub(crate) mod retainers;
mod select;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub(crate) mod strings;
pub(crate) mod summary;
pub(crate) mod timeline;
pub(crate) mod tree;
