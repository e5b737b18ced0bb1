//! From the addresses of a recorded process to functions, files, lines and inlined functions.
//!
//! Native code: a [`Symbolizer`] knows the process's [`Module`]s, finds their files and debug files, makes sure that
//! they are the ones the process had, and asks DWARF and the symbol tables. Code that V8 made: a [`JitMap`] reads the
//! map that V8 writes for `perf`, and a [`JsName`] takes one of its names apart. Frames of JavaScript: [`v8`].
//! Scripts that were compiled from something else: [`source_map`].
//!
//! The crate opens no file. It asks its caller's [`Files`] for the bytes of a path, and keeps them in a [`Store`].
//! A file that is missing, damaged or of another build is no error but a [`Problem`]: its functions have no names then,
//! and never wrong ones.
//!
//! **Addresses are those of calls**: a return address less one. The instruction behind a call may belong to the next
//! line, the next inlined function, even to the next function if the call never returns. Whoever walks the stack
//! subtracts, once, and so this crate never does.

mod demangle;
mod dwarf;
mod elf;
mod files;
mod find;
mod jit_map;
mod js_name;
mod module;
mod problem;
pub mod source_map;
mod symbolizer;
mod symtab;
pub mod v8;

pub use demangle::demangle;
pub use files::{Bytes, Files, Store};
pub use jit_map::{EntryNo, JitMap};
pub use js_name::{JsKind, JsName, Tier};
pub use module::{Module, ModuleNo, Segment};
pub use problem::{Problem, Why};
pub use symbolizer::{Frame, Kind, Options, Resolved, Symbolizer};
