//! Ctrl-C and SIGTERM: no half-written file stays behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::INTERRUPTED;
use crate::progress;

/// Raised by the first Ctrl-C while somebody promised to look at it.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// True while a verb cleans up by itself when [`STOP`] is raised.
static COOPERATIVE: AtomicBool = AtomicBool::new(false);

/// Takes the signals over. Called once, at the start.
pub(crate) fn install() {
    // If another handler sits there already, the default (die) is what is left, and that is no reason not to work.
    let _: Result<(), ctrlc::Error> = ctrlc::set_handler(|| {
        if COOPERATIVE.load(Ordering::SeqCst) && !STOP.swap(true, Ordering::SeqCst) {
            return;
        }
        progress::leave_screen();
        twinheap_capture::remove_unfinished();
        std::process::exit(i32::from(INTERRUPTED));
    });
}

/// While this lives, the first Ctrl-C only raises [`STOP`].
pub(crate) struct Cooperative(());

impl Cooperative {
    pub(crate) fn new() -> Self {
        COOPERATIVE.store(true, Ordering::SeqCst);
        Cooperative(())
    }
}

impl Drop for Cooperative {
    fn drop(&mut self) {
        COOPERATIVE.store(false, Ordering::SeqCst);
    }
}

/// Tells SIGTERM from Ctrl-C: the terminal sends the latter to all of its programs, the former comes to us alone.
pub(crate) struct Termination(Arc<AtomicBool>);

impl Termination {
    /// Watches from now on, beside the handler above.
    pub(crate) fn watch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _guard = runtime.enter();
            signal(SignalKind::terminate())?
        };
        let has_come = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&has_come);
        // It ends with the process.
        std::thread::Builder::new().spawn(move || {
            if runtime.block_on(signals.recv()).is_some() {
                raised.store(true, Ordering::SeqCst);
            }
        })?;
        Ok(Termination(has_come))
    }

    /// Whether it has come.
    pub(crate) fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
