//! When to look what a process's memory is made of. A look takes milliseconds, in which the process can't change its
//! mappings, so there are few of them: at each new peak, and now and then.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The part of its time that a process may lose to looks at the most: one in so many.
const SHARE: u32 = 500;
/// Time for looks that a short recording has too.
const START: Duration = Duration::from_millis(20);
/// Resident bytes that make a new peak.
const STEP: u64 = 1 << 20;
/// A look at least whenever the recording has become longer by one part in so many, so that a long one has hundreds and
/// not thousands.
const PART: u32 = 50;
/// The shortest time between two looks that no new peak asks for.
const PAUSE: Duration = Duration::from_millis(250);

/// When the next look is due.
pub(super) struct Looks {
    start: Instant,
    latest: Option<Instant>,
    /// What all looks took.
    spent: Duration,
    /// The most resident bytes at a look.
    peak: u64,
}

impl Looks {
    pub(super) fn new() -> Looks {
        Looks { start: Instant::now(), latest: None, spent: Duration::ZERO, peak: 0 }
    }

    /// Looks if a process with so many resident bytes is to be looked at now.
    pub(super) fn look_if_due(&mut self, rss: u64, look: impl FnOnce()) {
        let now = Instant::now();
        let elapsed = now - self.start;
        if self.spent > START + elapsed / SHARE {
            return;
        }
        let is_peak = rss > self.peak + (self.peak / 50).max(STEP);
        let pause = PAUSE.max(elapsed / PART);
        if is_peak || self.latest.is_none_or(|latest| now - latest >= pause) {
            let before = worked();
            look();
            self.peak = self.peak.max(rss);
            self.latest = Some(now);
            self.spent += worked().saturating_sub(before);
        }
    }
}

/// What this thread has worked. That it had to wait for a processor is no burden to the process.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
