//! One dump at a time, and not too many of them.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More dumps than this in one period are no limit.
const MOST: u32 = 10_000;

/// So many dumps in any period of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    dumps: u32,
    period: Duration,
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate; rates look like 6/1h: six dumps in any hour")]
pub struct RateError(String);

impl Rate {
    /// At most one dump in this time.
    pub fn every(period: Duration) -> Rate {
        Rate { dumps: 1, period }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let parsed = || {
            let (dumps, period) = text.split_once('/')?;
            let dumps = dumps.trim().parse().ok().filter(|n| (1..=MOST).contains(n))?;
            // `6/h` says the same as `6/1h`.
            let period = period.trim();
            let period = if period.starts_with(|c: char| c.is_ascii_digit()) {
                period.to_owned()
            } else {
                format!("1{period}")
            };
            Some(Rate { dumps, period: humantime::parse_duration(&period).ok()? })
        };
        parsed().ok_or_else(|| RateError(text.to_owned()))
    }
}

/// Why a dump may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Another one is running.
    Busy,
    /// There were enough; the next one may begin after this time.
    TooSoon(Duration),
}

/// What lets dumps begin.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    rate: Rate,
    is_running: bool,
    /// When the last dumps that counted ended, the oldest first; at most as many as the rate allows.
    ends: VecDeque<Instant>,
}

impl Gate {
    pub(crate) fn new(rate: Rate) -> Gate {
        Gate(Arc::new(Mutex::new(State { rate, is_running: false, ends: VecDeque::new() })))
    }

    /// Lets one dump begin, if it may.
    pub(crate) fn enter(&self, now: Instant) -> Result<Permit, Closed> {
        let mut state = self.state();
        if state.is_running {
            return Err(Closed::Busy);
        }
        let rate = state.rate;
        // The dump that must be out of the window before another one fits.
        let oldest = state.ends.len().checked_sub(rate.dumps as usize).map(|at| state.ends[at]);
        if let Some(end) = oldest
            && let wait = (end + rate.period).saturating_duration_since(now)
            && !wait.is_zero()
        {
            return Err(Closed::TooSoon(wait));
        }
        state.is_running = true;
        Ok(Permit { gate: self.clone(), counts: false })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.state().is_running
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, counts: bool, now: Instant) {
        let mut state = self.state();
        state.is_running = false;
        if counts {
            state.ends.push_back(now);
            if state.ends.len() > state.rate.dumps as usize {
                state.ends.pop_front();
            }
        }
    }
}

/// The right to one dump; given back when dropped.
pub(crate) struct Permit {
    gate: Gate,
    counts: bool,
}

impl Permit {
    /// The dump made the process stand still, whatever became of it: it counts.
    pub(crate) fn count(&mut self) {
        self.counts = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave(self.counts, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Asks for a dump that takes one second at each of these times, in seconds; `+` began, `.` was too soon.
    #[track_caller]
    fn check(rate: &str, times: &[u32], expected: &str) {
        let gate = Gate::new(rate.parse().unwrap());
        let start = Instant::now();
        let mut got = String::new();
        for &time in times {
            let now = start + SECOND * time;
            got.push(match gate.enter(now) {
                Ok(permit) => {
                    std::mem::forget(permit);
                    assert_eq!(gate.enter(now).err(), Some(Closed::Busy));
                    gate.leave(true, now + SECOND);
                    '+'
                }
                Err(Closed::TooSoon(wait)) => {
                    // It tells the truth about when to come again.
                    drop(gate.enter(now + wait).unwrap());
                    assert!(gate.enter(now + wait - Duration::from_millis(1)).is_err());
                    '.'
                }
                Err(Closed::Busy) => '!',
            });
        }
        assert_eq!(got, expected);
    }

    #[test]
    fn dumps_keep_their_distance_from_the_end_of_the_last_one() {
        check("1/10s", &[0, 1, 5, 10, 11, 12, 22, 100, 110], "+...+.++.");
        check("3/1m", &[0, 10, 20, 30, 59, 61, 70, 71, 200], "+++..+.++");
        check("1/0s", &[0, 1, 2], "+++");
    }

    #[test]
    fn a_dump_that_did_not_happen_does_not_count() {
        let gate = Gate::new(Rate::every(SECOND * 1000));
        drop(gate.enter(Instant::now()).unwrap());
        let mut permit = gate.enter(Instant::now()).unwrap();
        assert!(gate.is_busy());
        permit.count();
        drop(permit);
        assert!(!gate.is_busy());
        assert!(matches!(gate.enter(Instant::now()), Err(Closed::TooSoon(_))));
    }

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        let rate = |dumps, seconds| Ok(Rate { dumps, period: SECOND * seconds });
        assert_eq!("6/1h".parse(), rate(6, 3600));
        assert_eq!("6/h".parse(), rate(6, 3600));
        assert_eq!("2 / 10m".parse(), rate(2, 600));
        for text in ["", "6", "6/", "/1h", "0/1h", "-1/1h", "6/1x", "100000/1s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
