//! The thread that keeps the connection to the process and does everything that goes over it, one thing after the
//! other.
//!
//! There is one session as long as the server lives: ids of objects can be compared between all its dumps, and the
//! process isn't asked to open its inspector for each of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use twinheap_capture::safety::{Level, Refusal};
use twinheap_capture::{CaptureError, CdpError, Dump, DumpOptions, Isolate, OpenOptions, Session};

use crate::Log;
use crate::answer::Failure;
use crate::gate::Permit;
use crate::metrics::{Counts, HeapSample, Sample, SpaceSample};
use crate::place::{Outs, Place};
use crate::target::Watched;

/// A dump that nobody wants any more still comes in to its end, for V8 can't be told to stop. If that takes longer
/// than this, the connection is given up.
const SETTLE: Duration = Duration::from_secs(600);

/// How long the connection is listened to in one go; nothing depends on it.
const IDLE: Duration = Duration::from_secs(3600);

/// What V8 says about a heap. Asking takes microseconds.
const STATISTICS: &str = "((v8) => [v8.getHeapStatistics(), v8.getHeapSpaceStatistics()])(\
    (typeof process.getBuiltinModule === 'function' ? process.getBuiltinModule : require)('v8'))";

/// What the keeper is asked for.
pub(crate) enum Order {
    Dump(Box<DumpOrder>),
    Sample(SampleOrder),
}

/// A dump that was let begin.
pub(crate) struct DumpOrder {
    pub(crate) thread: String,
    pub(crate) options: DumpOptions,
    pub(crate) place: Place,
    pub(crate) permit: Permit,
    /// The client may have left.
    pub(crate) answer: oneshot::Sender<Result<Done, Failure>>,
}

/// A look at the sizes of the heaps.
pub(crate) struct SampleOrder {
    /// Whether the connection may be made for it.
    pub(crate) may_connect: bool,
    /// Lowered when the order is done with, however that happens.
    pub(crate) under_way: UnderWay,
    pub(crate) done: oneshot::Sender<()>,
}

/// A flag that is up as long as this lives.
pub(crate) struct UnderWay(Arc<AtomicBool>);

impl UnderWay {
    /// `None` if it was up already.
    pub(crate) fn begin(flag: &Arc<AtomicBool>) -> Option<UnderWay> {
        (!flag.swap(true, Ordering::SeqCst)).then(|| UnderWay(Arc::clone(flag)))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A finished dump.
#[derive(Debug)]
pub(crate) struct Done {
    /// `None` if it went to the client.
    pub(crate) path: Option<PathBuf>,
    pub(crate) dump: Dump,
}

/// Keeps the connection.
pub(crate) struct Keeper {
    pub(crate) watched: Arc<Watched>,
    pub(crate) open: OpenOptions,
    pub(crate) counts: Arc<Counts>,
    pub(crate) log: Log,
    pub(crate) session: Option<Session>,
}

/// Why there is no dump.
enum Trouble {
    Capture(CaptureError),
    Failure(Failure),
}

impl<E: Into<CaptureError>> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble::Capture(error.into())
    }
}

impl Trouble {
    /// True if the connection is no good any more.
    fn is_broken(&self) -> bool {
        matches!(self, Trouble::Capture(CaptureError::Cdp(CdpError::Closed(_) | CdpError::Protocol(_))))
    }

    fn into_failure(self) -> Failure {
        match self {
            Trouble::Capture(error) if error.is_interruption() => Failure::stopping(),
            Trouble::Capture(error) => error.into(),
            Trouble::Failure(failure) => failure,
        }
    }
}

impl Keeper {
    /// Works until nobody can ask any more; then the process is left as it was found.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = self.next(&mut orders).await {
            match order {
                Order::Dump(order) => self.dump(*order).await,
                Order::Sample(order) => {
                    if self.session.is_some() || order.may_connect {
                        // The age of the last sample tells when there are no new ones.
                        let _: Result<(), Trouble> = self.sample().await;
                    }
                    drop(order.under_way);
                    // The client may have gone.
                    let _: Result<(), ()> = order.done.send(());
                }
            }
        }
        if let Some(session) = self.session.take() {
            self.close(session).await;
        }
    }

    /// The next order. Meanwhile the connection is listened to: a process that exits waits for its debuggers to go.
    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Option<Order> {
        loop {
            let Some(session) = &mut self.session else { return orders.recv().await };
            let ended = tokio::select! {
                order = orders.recv() => return order,
                ended = session.idle_until(Instant::now() + IDLE) => ended,
            };
            match ended {
                Ok(()) => {}
                // The server ends as well; there may be an order to refuse.
                Err(error) if error.is_interruption() => return orders.recv().await,
                Err(error) => {
                    (self.log)(&format!("the connection to the process ended: {error}"));
                    // Without a goodbye, for it may not be able to answer any more.
                    self.session = None;
                }
            }
        }
    }

    async fn dump(&mut self, order: DumpOrder) {
        let DumpOrder { thread, options, place, mut permit, answer } = order;
        let method = if options.pause_free { "pause-free" } else { "ordinary" };
        let mut stalled = false;
        let mut outs = Outs::new(place);
        let result = self.take(&thread, &options, &mut outs, &mut stalled).await;
        if stalled {
            permit.count();
        }
        let was_abandoned = outs.is_abandoned();
        let result = match result {
            Ok(dump) => match outs.finish().await {
                Ok(path) => Ok(Done { path, dump }),
                Err(error) => Err(Failure::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("can't store the dump: {error}"),
                    "look at the server's disk",
                )),
            },
            Err(trouble) => {
                outs.discard().await;
                Err(trouble.into_failure())
            }
        };
        match &result {
            Ok(done) => {
                self.counts.dump(method, "ok", Some(done.dump.pause));
                let place = match &done.path {
                    Some(path) => format!("in {}", path.display()),
                    None => "sent to the client".to_owned(),
                };
                (self.log)(&format!(
                    "dump of {thread}: {} bytes {place}; it stood still for {:.3} s",
                    done.dump.written.bytes,
                    done.dump.pause.as_secs_f64()
                ));
            }
            Err(failure) => {
                let result = match failure {
                    _ if was_abandoned => "cancelled",
                    failure if failure.is_refusal() => "refused",
                    _ => "failed",
                };
                self.counts.dump(method, result, None);
                let why = if was_abandoned { "the client hung up" } else { &failure.message };
                (self.log)(&format!("dump of {thread}: {result} ({}): {why}", failure.status.as_u16()));
            }
        }
        // What is left of a broken dump must be out of the way before the next one begins.
        let is_dirty = result.is_err() && stalled && !options.pause_free;
        if is_dirty {
            let _: Result<(), _> = answer.send(result);
            self.settle(&thread).await;
            drop(permit);
        } else {
            // The client may ask for the next one as soon as it has the answer.
            drop(permit);
            let _: Result<(), _> = answer.send(result);
        }
    }

    async fn take(
        &mut self,
        thread: &str,
        options: &DumpOptions,
        outs: &mut Outs,
        stalled: &mut bool,
    ) -> Result<Dump, Trouble> {
        let (mut session, isolates) = self.ready().await?;
        let result = take_with(&mut session, &isolates, thread, options, outs, stalled).await;
        match &result {
            Err(trouble) if trouble.is_broken() => self.give_up(session, trouble).await,
            _ => self.session = Some(session),
        }
        if result.is_err() && self.watched.is_gone() {
            return Err(Trouble::Failure(Failure::gone(&self.watched.target.to_string())));
        }
        result
    }

    /// A connection that works, and the isolates there are.
    async fn ready(&mut self) -> Result<(Session, Vec<Isolate>), Trouble> {
        if self.watched.is_gone() {
            if let Some(session) = self.session.take() {
                self.close(session).await;
            }
            return Err(Trouble::Failure(Failure::gone(&self.watched.target.to_string())));
        }
        // An idle connection may have died unnoticed: then there is a second chance with a new one.
        if let Some(mut session) = self.session.take() {
            match session.isolates().await.map_err(Trouble::from) {
                Ok(isolates) => return Ok((session, isolates)),
                Err(trouble) if trouble.is_broken() => {
                    self.give_up(session, &trouble).await;
                    let failure = trouble.into_failure();
                    (self.log)(&format!("the connection is made anew: {}", failure.message));
                }
                Err(trouble) => {
                    self.session = Some(session);
                    return Err(trouble);
                }
            }
        }
        let mut session = Session::open(&self.watched.target, &self.open).await?;
        self.watched.found(session.process.as_ref());
        if session.is_opened_by_us() {
            (self.log)("the process opened its inspector for us; it is shut again when this server ends");
        }
        match session.isolates().await {
            Ok(isolates) => Ok((session, isolates)),
            Err(error) => {
                self.close(session).await;
                Err(error.into())
            }
        }
    }

    /// Waits until what remains of a cancelled dump has come in.
    async fn settle(&mut self, thread: &str) {
        let deadline = Instant::now() + SETTLE;
        let Some(mut session) = self.session.take() else { return };
        while Instant::now() < deadline {
            match session.isolates().await {
                Ok(isolates) if isolates.iter().any(|i| i.thread == thread && i.heap.is_none()) => {}
                Err(CaptureError::Cdp(CdpError::Timeout { .. })) => {}
                Ok(_) | Err(CaptureError::Cdp(CdpError::Interrupted)) => {
                    self.session = Some(session);
                    return;
                }
                Err(error) => return self.give_up(session, &error.into()).await,
            }
        }
        self.close(session).await;
    }

    async fn sample(&mut self) -> Result<(), Trouble> {
        let (mut session, isolates) = self.ready().await?;
        let taken = Instant::now();
        let mut heaps = Vec::new();
        let mut result = Ok(());
        for isolate in &isolates {
            let mut heap = HeapSample { thread: isolate.thread.clone(), ..HeapSample::default() };
            if let Some(sizes) = isolate.heap {
                heap.used = Some(sizes.used_bytes);
                heap.total = Some(sizes.total_bytes);
                heap.external = sizes.external_bytes;
                match session.evaluate(isolate, STATISTICS).await.map_err(Trouble::from) {
                    Ok(statistics) => note(&mut heap, &statistics),
                    Err(trouble) if trouble.is_broken() => {
                        result = Err(trouble);
                        break;
                    }
                    // A worker that has just ended, or a process that hides its modules.
                    Err(_) => {}
                }
            }
            heaps.push(heap);
        }
        match &result {
            Ok(()) => {
                self.counts.sampled(Sample { taken, heaps });
                self.session = Some(session);
            }
            Err(trouble) => self.give_up(session, trouble).await,
        }
        result
    }

    /// Leaves a connection that is no good any more.
    async fn give_up(&self, session: Session, trouble: &Trouble) {
        if let Trouble::Capture(CaptureError::Cdp(CdpError::Closed(_))) = trouble {
            // Nobody is there to say goodbye to, or somebody who waits for us to be gone.
            drop(session);
        } else {
            self.close(session).await;
        }
    }

    async fn close(&self, session: Session) {
        if !session.close().await {
            (self.log)(
                "the inspector of the process is still open: it closes as soon as the event loop is free",
            );
        }
    }
}

async fn take_with(
    session: &mut Session,
    isolates: &[Isolate],
    thread: &str,
    options: &DumpOptions,
    outs: &mut Outs,
    stalled: &mut bool,
) -> Result<Dump, Trouble> {
    let Some(isolate) = isolates.iter().find(|i| i.thread == thread) else {
        let threads = isolates.iter().map(|i| i.thread.clone()).collect();
        return Err(Trouble::Failure(Failure::no_thread(thread, threads)));
    };
    if options.pause_free {
        // How large the process is decides how long the fork takes.
        session.refresh_facts().await?;
    }
    outs.is_of(session.process.as_ref().map_or(session.facts.own_pid, |p| p.pid), thread);
    // The files are written through handles, so the disk has to be looked at here.
    let mut warnings = Vec::new();
    if let Outs::File { folder, naming, .. } = &outs {
        let folder = folder.path_of_handle();
        let (_, refusals) = session.forecast(isolate, options, Some(&folder), naming.is_compressed());
        let (refused, worries): (Vec<Refusal>, Vec<Refusal>) =
            refusals.into_iter().partition(|r| r.level() == Level::Refuse);
        if !options.force && !refused.is_empty() {
            return Err(CaptureError::Refused { thread: thread.to_owned(), refusals: refused }.into());
        }
        let disk = refused.iter().chain(&worries).filter(|r| matches!(r, Refusal::Disk { .. }));
        warnings.extend(disk.map(Refusal::to_string));
    }
    let mut dump = session.dump(isolate, options, &mut || outs.next(), &mut |_| *stalled = true).await?;
    dump.warnings.splice(0..0, warnings);
    Ok(dump)
}

/// Reads what [`STATISTICS`] gave.
fn note(heap: &mut HeapSample, statistics: &Value) {
    let bytes = |value: &Value, name: &str| value[name].as_u64();
    let all = &statistics[0];
    heap.limit = bytes(all, "heap_size_limit");
    heap.external = bytes(all, "external_memory").or(heap.external);
    for space in statistics[1].as_array().into_iter().flatten() {
        if let Some(name) = space["space_name"].as_str() {
            heap.spaces.push(SpaceSample {
                space: name.to_owned(),
                used: bytes(space, "space_used_size").unwrap_or_default(),
                size: bytes(space, "space_size").unwrap_or_default(),
                available: bytes(space, "space_available_size").unwrap_or_default(),
            });
        }
    }
}
