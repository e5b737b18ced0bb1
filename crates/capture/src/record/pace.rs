//! When the collector looks into the rings.
//!
//! A look costs what it costs however little it finds: it wakes a processor that the program may want, and takes cache
//! lines away from the thread that writes. So it waits until a good piece has come together, though never so long that
//! a burst could use up the memory that a ring is ahead.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;

/// The shortest and the longest time between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));
/// Events that a look should find: three quarters of a megabyte, which the second-level caches just hold.
const PIECE: u64 = 1 << 16;
/// After so many the next look is due at once.
const MANY: u64 = PIECE + PIECE / 2;

/// The time between looks, and the child whose end cuts it short.
pub(super) struct Pace {
    pause: Duration,
    looked: Instant,
    /// `None` if the kernel is older than 5.3.
    child: Option<OwnedFd>,
}

impl Pace {
    pub(super) fn new(child: &Child) -> Pace {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let child = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Pace { pause: PAUSE.0, looked: Instant::now(), child }
    }

    /// Waits until the next look, after one that found so many events. The end of the child is not waited for once it is
    /// known.
    pub(super) fn wait(&mut self, events: u64, is_ended: bool) {
        self.pause = next(self.pause, self.looked.elapsed(), events);
        self.looked = Instant::now();
        if events >= MANY {
            return;
        }
        match self.child.as_ref().filter(|_| !is_ended) {
            Some(child) => {
                let time = Timespec { tv_sec: 0, tv_nsec: self.pause.subsec_nanos().into() };
                // A signal cuts it short too, and then there may be a wish.
                let _: rustix::io::Result<usize> =
                    poll(&mut [PollFd::new(child, PollFlags::IN)], Some(&time));
            }
            None => thread::sleep(self.pause),
        }
    }
}

/// The pause after a look that found so many events of so long.
fn next(pause: Duration, elapsed: Duration, events: u64) -> Duration {
    let wanted = (elapsed.as_nanos() as u64).saturating_mul(PIECE) / events.max(1);
    Duration::from_nanos(wanted).min(pause * 2).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_waits_for_a_piece_but_never_long() {
        let check = |pause: u64, elapsed: u64, events: u64, expected: u64| {
            let micros = Duration::from_micros;
            assert_eq!(next(micros(pause), micros(elapsed), events), micros(expected));
        };
        // Nothing to be read: twice as long each time.
        check(500, 600, 0, 1_000);
        check(16_000, 16_000, 0, 20_000);
        check(20_000, 20_000, 3, 20_000);
        // Twice as much as a piece: half the time.
        check(4_000, 4_000, 2 * PIECE, 2_000);
        check(500, 500, 100 * PIECE, 500);
    }
}
