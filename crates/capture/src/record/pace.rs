//! When the collector looks into the rings.
//!
//! A look costs what it costs however little it finds: it wakes a processor that the program may want, and takes cache
//! lines away from the thread that writes. So it waits until a good piece has come together, though never so long that
//! a burst could use up the memory that a ring is ahead.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::futex::{self, Wait, WaitFlags, WaitPtr, WaitvFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The shortest and the longest time between two looks. Where the kernel has no way to wait for all bells, a process that
/// loads a module or ends waits so long for an answer, so the longest is short.
const PAUSE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(8));
/// The longest time between two looks at what is calm, if who waits can ring.
const CALM_PAUSE: Duration = Duration::from_millis(32);
/// Nanoseconds of an event where it is calm: with fewer of them, a thread that reads the clock for each loses less than a
/// look takes that would spare it that.
const CALM: u64 = 2_000;
/// Events that a look should find: three quarters of a megabyte, which the second-level caches just hold.
const PIECE: u64 = 1 << 16;
/// After so many the next look is due at once.
const MANY: u64 = PIECE + PIECE / 2;
/// Bells that the kernel waits for at once (`FUTEX_WAITV_MAX`).
const BELLS: usize = 128;

/// The time between looks, and what cuts it short: the bells of processes that wait for us, and the child's end.
pub(super) struct Pace {
    pause: Duration,
    looked: Instant,
    /// Rung when the child ends.
    end: Arc<AtomicU32>,
    /// False if the kernel is older than 5.16, or a container's rules don't know the call.
    has_bells: bool,
}

impl Pace {
    pub(super) fn new(child: &Child) -> Pace {
        let end = Arc::new(AtomicU32::new(0));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // There is none if the kernel is older than 5.3.
        if let Some(child) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
            let bell = Arc::clone(&end);
            // It ends with the child, or with us. Without it the child's end is found at the next look.
            let _: std::io::Result<thread::JoinHandle<()>> =
                thread::Builder::new().name("end of the child".to_owned()).spawn(move || {
                    while poll(&mut [PollFd::new(&child, PollFlags::IN)], None) == Err(Errno::INTR) {}
                    bell.store(1, Ordering::Release);
                    let _: rustix::io::Result<usize> = futex::wake(&bell, futex::Flags::empty(), 1);
                });
        }
        Pace { pause: PAUSE.0, looked: Instant::now(), end, has_bells: true }
    }

    /// Whether it is calm after a look that found so many events: the next one may be far, and threads look at the clock
    /// themselves.
    pub(super) fn looked(&mut self, events: u64) -> bool {
        let elapsed = self.looked.elapsed();
        self.looked = Instant::now();
        let is_calm = self.has_bells && events.saturating_mul(CALM) <= elapsed.as_nanos() as u64;
        self.pause = next(self.pause, elapsed, events, if is_calm { CALM_PAUSE } else { PAUSE.1 });
        is_calm
    }

    /// Waits until the next look, after one that found so many events, or until a bell rings: shows another number than
    /// the one that is given with it.
    pub(super) fn wait<'b>(&mut self, events: u64, bells: impl Iterator<Item = (&'b AtomicU32, u32)>) {
        if events >= MANY {
            return;
        }
        // The end of the child rings once; from then on nobody waits for it.
        let end = Arc::clone(&self.end);
        let end = Some((&*end, 0)).filter(|(bell, _)| bell.load(Ordering::Acquire) == 0);
        let bells = bells.map(|(bell, heard): (&AtomicU32, u32)| (bell, heard));
        if !self.has_bells || !listen(end.into_iter().chain(bells), self.pause) {
            self.has_bells = false;
            thread::sleep(self.pause.min(PAUSE.1));
        }
    }
}

/// Waits for one of the bells, at most so long; false if the kernel can't.
fn listen<'b>(bells: impl Iterator<Item = (&'b AtomicU32, u32)>, pause: Duration) -> bool {
    let wait = |(bell, heard): (&AtomicU32, u32)| {
        let mut wait = Wait::new();
        wait.val = u64::from(heard);
        wait.uaddr = WaitPtr::new(bell.as_ptr().cast());
        wait.flags = WaitFlags::SIZE_U32;
        wait
    };
    let bells: Vec<Wait> = bells.take(BELLS).map(wait).collect();
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32);
    let until = now + pause;
    let until = Timespec { tv_sec: until.as_secs().cast_signed(), tv_nsec: until.subsec_nanos().into() };
    // A signal cuts it short too, and then there may be a wish.
    !matches!(
        futex::waitv(&bells, WaitvFlags::empty(), Some(&until), ClockId::Monotonic),
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL)
    )
}

/// The pause after a look that found so many events of so long.
fn next(pause: Duration, elapsed: Duration, events: u64, longest: Duration) -> Duration {
    let wanted = (elapsed.as_nanos() as u64).saturating_mul(PIECE) / events.max(1);
    Duration::from_nanos(wanted).min(pause * 2).clamp(PAUSE.0, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_cuts_the_wait_short() {
        let (silent, rung) = (AtomicU32::new(7), AtomicU32::new(0));
        let long = Duration::from_secs(3600);
        thread::scope(|scope| {
            scope.spawn(|| {
                rung.store(1, Ordering::Release);
                futex::wake(&rung, futex::Flags::empty(), 1).unwrap();
            });
            assert!(listen([(&silent, 7), (&rung, 0)].into_iter(), long));
        });
        // One that has rung before is not waited for, and one that doesn't only for a while.
        assert!(listen([(&silent, 7), (&rung, 0)].into_iter(), long));
        assert!(listen([(&silent, 7)].into_iter(), Duration::from_millis(1)));
    }

    #[test]
    fn a_look_waits_for_a_piece_but_never_long() {
        let check = |pause: u64, elapsed: u64, events: u64, expected: u64| {
            let micros = Duration::from_micros;
            assert_eq!(next(micros(pause), micros(elapsed), events, PAUSE.1), micros(expected));
        };
        // Nothing to be read: twice as long each time.
        check(500, 600, 0, 1_000);
        check(6_000, 6_000, 0, 8_000);
        check(8_000, 8_000, 3, 8_000);
        // Twice as much as a piece: half the time.
        check(4_000, 4_000, 2 * PIECE, 2_000);
        check(500, 500, 100 * PIECE, 500);
        assert_eq!(next(PAUSE.1, PAUSE.1, 3, CALM_PAUSE), 2 * PAUSE.1);
        assert_eq!(next(CALM_PAUSE, CALM_PAUSE, 3, CALM_PAUSE), CALM_PAUSE);
    }
}
