//! How long a thread really stood still: measured where it matters, by the thread itself.
//!
//! The inspector's answers don't tell. Since Node 22 a snapshot is a task of its own, which begins some time after
//! the request, and a process may be in another task when the request comes.
//!
//! What measures must neither show up in the snapshot nor touch JavaScript's own timers. The inspector interrupts
//! JavaScript wherever it is, also in the middle of Node's lists of timers, and to add or remove one then corrupts
//! them (seen as `timer._onTimeout is not a function`, which ended the process).

use std::time::Duration;

use crate::agent::GET;
use crate::cdp::CdpError;
use crate::error::CaptureError;
use crate::session::{Isolate, Session};

/// Requests to a thread that may be in a long task.
const PATIENCE: Duration = Duration::from_secs(60);

impl Session {
    /// How long the isolate's event loop has been at work so far. The difference of two readings is the time
    /// between them in which it did not wait for events: an upper bound of a pause in between.
    ///
    /// `None` if the thread can't tell, which is no reason against a dump.
    pub(crate) async fn active_time(&mut self, isolate: &Isolate) -> Result<Option<Duration>, CaptureError> {
        let expression = format!("{GET}('perf_hooks').performance.eventLoopUtilization().active");
        match self.cdp.evaluate(&isolate.address, &expression, PATIENCE).await {
            Ok(value) => Ok(value.as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok())),
            Err(CdpError::Thrown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
