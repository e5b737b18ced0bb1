//! From the recorder's clock to nanoseconds since it began.
#![expect(unsafe_code, reason = "reads the processor's time stamp counter")]

use std::sync::atomic::Ordering;

use rustix::time::{ClockId, clock_gettime};
use twinheap_wire::{Header, clock};

/// A recording's clock.
pub(super) struct Clock {
    is_tsc: bool,
    start: u64,
    monotonic_start: u64,
    /// Nanoseconds for one unit of the clock.
    scale: f64,
}

impl Clock {
    /// The clock of a process that has begun to record.
    pub(super) fn new(header: &Header) -> Clock {
        let mut clock = Clock {
            is_tsc: header.clock.load(Ordering::Relaxed) == clock::TSC,
            start: header.clock_start.load(Ordering::Relaxed),
            monotonic_start: header.monotonic_start.load(Ordering::Relaxed),
            scale: 1.0,
        };
        clock.measure();
        clock
    }

    /// The clock's value now.
    pub(super) fn now(&self) -> u64 {
        if self.is_tsc { tsc() } else { monotonic() }
    }

    /// Compares the counter with the system's clock. The longer since the start, the better.
    pub(super) fn measure(&mut self) {
        if self.is_tsc {
            let (ticks, time) =
                (tsc().wrapping_sub(self.start), monotonic().wrapping_sub(self.monotonic_start));
            if ticks > 0 {
                self.scale = time as f64 / ticks as f64;
            }
        }
    }

    /// Nanoseconds since the start.
    pub(super) fn nanoseconds(&self, at: u64) -> u64 {
        (at.saturating_sub(self.start) as f64 * self.scale) as u64
    }

    /// Units of the clock in so many nanoseconds.
    pub(super) fn units(&self, nanoseconds: u64) -> u64 {
        (nanoseconds as f64 / self.scale) as u64
    }

    /// What the clock is called in the file.
    pub(super) fn name(&self) -> &'static str {
        if self.is_tsc { "tsc" } else { "monotonic" }
    }
}

fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

fn tsc() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
