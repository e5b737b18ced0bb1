//! How long a thread really stood still: measured where it matters, by the thread itself.
//!
//! The inspector's answers don't tell. Since Node 22 a snapshot is a task of its own, which begins some time after
//! the request.

use std::time::{Duration, Instant};

use crate::agent::GET;
use crate::cdp::CdpError;
use crate::error::CaptureError;
use crate::session::{Isolate, Session};

/// Requests to a thread that may be in a long task.
const PATIENCE: Duration = Duration::from_secs(60);

/// The histogram counts this often.
const TURN: Duration = Duration::from_millis(5);

/// Starts Node's own histogram of the event loop's delays, a timer of libuv's that JavaScript can't see.
///
/// It must be none of JavaScript's timers: the inspector interrupts JavaScript wherever it is, also in the middle
/// of Node's lists of timers, and to add or remove one then corrupts them (seen as `timer._onTimeout is not a
/// function`, which ended the process).
const START: &str = r"
((hooks) => {
  const key = Symbol.for('twinheap.pause');
  globalThis[key]?.disable();
  const delays = hooks.monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  Object.defineProperty(globalThis, key, { value: delays, configurable: true });
})";

/// How often the histogram has counted, and the longest delay in nanoseconds.
const READ: &str = "((delays) => delays && [Number(delays.count ?? 0), delays.max])(globalThis[Symbol.for('twinheap.pause')])";

/// Takes the histogram away.
const STOP: &str = "((delays) => { delays?.disable(); delete globalThis[Symbol.for('twinheap.pause')]; })(globalThis[Symbol.for('twinheap.pause')])";

impl Session {
    /// Begins to watch the isolate's thread. A thread that can't be watched is no reason against a dump.
    pub(crate) async fn watch_pauses(&mut self, isolate: &Isolate) -> Result<(), CaptureError> {
        let expression = format!("void {START}({GET}('perf_hooks'))");
        self.watched = Some(isolate.address.clone());
        match self.cdp.evaluate(&isolate.address, &expression, PATIENCE).await {
            Ok(_) => {}
            Err(CdpError::Thrown(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        // The first turn only sets the clock, so what comes before the second one is not counted.
        self.next_delay(isolate).await?;
        Ok(())
    }

    /// Waits until the histogram has counted once more; the longest delay so far.
    async fn next_delay(&mut self, isolate: &Isolate) -> Result<Option<Duration>, CaptureError> {
        let mut first = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = match self.cdp.evaluate(&isolate.address, READ, PATIENCE).await {
                Ok(value) => value,
                Err(CdpError::Thrown(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let (Some(count), Some(longest)) = (value[0].as_u64(), value[1].as_f64()) else {
                return Ok(None);
            };
            if count > *first.get_or_insert(count) || Instant::now() >= deadline {
                return Ok(Duration::try_from_secs_f64(longest / 1e9).ok());
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// Ends it: the longest time between two turns of the thread's event loop.
    pub(crate) async fn longest_pause(
        &mut self,
        isolate: &Isolate,
    ) -> Result<Option<Duration>, CaptureError> {
        // A delay is counted when it is over, at the next turn.
        let longest = self.next_delay(isolate).await?;
        self.unwatch_pauses().await;
        Ok(longest)
    }

    /// Ends it without an answer; the thread hears of it when it has time.
    pub(crate) async fn unwatch_pauses(&mut self) {
        if let Some(address) = self.watched.take() {
            let params = crate::cdp::evaluation(STOP);
            // The connection may be what failed.
            let _: Result<u64, CdpError> = self.cdp.send(&address, "Runtime.evaluate", params).await;
        }
    }
}
