//! What the verbs that talk to live processes share.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use twinheap_capture::{OpenOptions, Session};

use crate::interrupt::Cooperative;
use crate::output::Output;

/// Runs `work` with an event loop; Ctrl-C raises `STOP`, and `work` is expected to come to its end then.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let _cooperative = Cooperative::new();
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    // A thread may still be about to notice that nobody wants its file any more.
    twinheap_capture::remove_unfinished();
    // Whoever waits for the system, such as for a name to be looked up, would hold us now.
    runtime.shutdown_background();
    result
}

/// An event loop on this thread.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("can't start the event loop")
}

/// How the verbs open a session.
pub(crate) fn open_options(patience: Duration, if_in_doubt: bool, stop: &'static AtomicBool) -> OpenOptions {
    OpenOptions { patience, if_in_doubt, stop }
}

/// Ends a session, and says so if the target is not as it was before.
pub(crate) async fn close(session: Session, output: &Output) {
    let pid = session.process.as_ref().map(|p| p.pid);
    if !session.close().await
        && let Some(pid) = pid
    {
        output.warning(&format!(
            "the inspector of process {pid} is still open: it closes as soon as the event loop is free"
        ));
    }
}
