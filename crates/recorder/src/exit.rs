//! The process's exit: the last moment at which its memory tells which blocks nothing points to.

use core::sync::atomic::Ordering;

use twinheap_wire::leak_check;

use crate::session;
use crate::sys;
use crate::thread;

/// Nanoseconds that the process waits for the collector, which takes less by its own limit.
const MOST: u64 = 20_000_000_000;
/// Nanoseconds between two looks whether it is done.
const LOOK: u32 = 10_000_000;

/// What the preloaded object does when the process exits, after the program's own destructors and functions for that.
/// Nothing, unless the collector wants to look for lost blocks: then this thread waits, as long as the collector lives
/// and not for ever.
pub fn exiting() {
    let Some(session) = session::current() else { return };
    let header = session.header;
    let word = &header.leak_check;
    let (wanted, waiting) = (leak_check::WANTED, leak_check::WAITING);
    let (states, size, next) = thread::states();
    header.states.store(states, Ordering::Relaxed);
    header.state_size.store(size, Ordering::Relaxed);
    header.state_next.store(next, Ordering::Relaxed);
    if word.compare_exchange(wanted, waiting, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    session::call_collector(header);
    let began = sys::monotonic();
    let mut rounds = 0_u32;
    while header.stop.load(Ordering::Relaxed) == 0 {
        let state = word.load(Ordering::Acquire);
        if state == leak_check::DONE {
            return;
        }
        sys::wait(word, state, LOOK);
        rounds = rounds.wrapping_add(1);
        let is_late = sys::monotonic().wrapping_sub(began) > MOST;
        if is_late || rounds.is_multiple_of(50) && !session::is_collector_alive() {
            break;
        }
    }
    word.store(leak_check::DONE, Ordering::Release);
}
