//! Which blocks of an exiting process nothing points to any more, as LeakSanitizer finds them.
//!
//! The process waits in its last destructor. Its threads are stopped (`stop`), so that registers can be read and memory
//! stays as it is. Whatever looks like a pointer into a block reaches it, wherever into the block it points; it is
//! looked for in registers, in stacks from their stack pointers on, and in all private memory that is not malloc's
//! (`memory`): data of modules, thread-local storage, what the program mapped itself. What is reached is searched too
//! (`search`). A number that looks like a pointer by chance hides a lost block; the other way round an error takes a
//! pointer that is stored in pieces or disguised.
//!
//! Nothing is changed in the process, and all of it has a time limit.

mod memory;
mod search;
mod stop;

use std::time::{Duration, Instant};

pub(super) use self::search::Lost;
pub(super) use self::stop::Stopped;

/// The longest that a process is stopped for this.
const MOST: Duration = Duration::from_secs(10);

/// When it has to be done.
pub(super) fn deadline() -> Instant {
    Instant::now() + MOST
}

/// What is lost of these blocks, which are addresses and sizes. `states` are where the recorder has its own memory.
///
/// # Errors
/// A sentence on why that can't be told.
pub(super) fn find_lost(
    stopped: &Stopped,
    blocks: Vec<(u64, u64)>,
    states: (u64, u64, u64),
    deadline: Instant,
) -> Result<Vec<Lost>, String> {
    let mut search = search::Search::new(blocks);
    let mut memory = memory::Memory::of(stopped.pid, deadline)?;
    for &word in stopped.registers() {
        search.reach(word);
    }
    let own = memory.list(states)?;
    for root in memory.roots(stopped, search.blocks(), &own)? {
        search.root(root, &mut memory)?;
    }
    search.finish(&mut memory)
}
