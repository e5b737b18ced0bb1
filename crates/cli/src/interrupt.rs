//! Ctrl-C and SIGTERM: no half-written file stays behind.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::INTERRUPTED;

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
