//! Records the native heap of a program that we start: every call to malloc, free and their kin.
//!
//! The recorder runs inside the program (crate `recorder`, preloaded) and writes records into a ring (`ring`) in shared
//! memory. Here is the other end: the records of each thread are read (`stream`), put in order of time, frees matched
//! with their allocations (`blocks`), stacks and sizes numbered (`places`), and the whole written as a `.heaptrace`
//! (`process`, `output`). Before it exits, its memory may be searched for pointers to its blocks (`leaks`). When it ends, its places get their names (`names`), on a thread of its own (`finish`).

mod active;
mod answer;
mod blocks;
mod clock;
mod collect;
mod embedded;
mod error;
mod file_name;
mod finish;
mod jit;
mod js;
mod kernel;
mod known_files;
mod launch;
mod leaks;
mod live;
mod look;
mod looks;
mod mapped;
mod names;
mod options;
mod output;
mod pace;
mod places;
mod plain_files;
mod plan;
mod process;
mod ring;
mod stream;

pub use collect::record;
pub use error::{RecordError, TOO_MANY};
pub use names::Named;
pub use options::{JsNames, RecordOptions, RecordProgress, Recorded, Recordings, Wish};
