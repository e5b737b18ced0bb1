//! Records the native heap of a program that we start: every call to malloc, free and their kin.
//!
//! The recorder runs inside the program (crate `recorder`, preloaded) and writes records into a ring (`ring`) in shared
//! memory. Here is the other end: the records of each thread are read (`stream`), put in order of time, frees matched
//! with their allocations (`blocks`), stacks and sizes numbered (`places`), and the whole written as a `.heaptrace`
//! (`process`, `output`). When the program ends, its places get their names (`names`).

mod answer;
mod blocks;
mod clock;
mod collect;
mod embedded;
mod error;
mod file_name;
mod jit;
mod launch;
mod live;
mod look;
mod looks;
mod mapped;
mod names;
mod output;
mod places;
mod plan;
mod process;
mod ring;
mod stream;

pub use collect::{RecordOptions, RecordProgress, Recorded, Recordings, Wish, record};
pub use error::RecordError;
pub use names::Named;
