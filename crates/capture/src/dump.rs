//! Snapshots of the isolates of a session.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cdp::{CdpError, Incoming, unless_stopped};
use crate::error::CaptureError;
use crate::safety::{self, Kind, Level, Limit, Limits, Prediction, Refusal, Room};
use crate::session::{Isolate, Session};
use crate::sink::{Out, Sink, Written};

/// The inspector sends progress and pieces all the time while it works; silence for this long means that the
/// process is stopped, or gone behind a dead connection.
const SILENCE: Duration = Duration::from_secs(600);

/// What we assume of a machine that we can't ask.
const UNKNOWN_ROOM: Room =
    Room { limit: Limit::Machine, available_bytes: u64::MAX, oom_group: false, throttle_bytes: None };

/// What V8 puts into a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// V8's own objects too.
    pub expose_internals: bool,
    /// Numbers too.
    pub numeric_values: bool,
}

/// How snapshots are taken.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// What V8 puts in.
    pub snapshot: SnapshotOptions,
    /// By a forked copy, while the process goes on.
    pub pause_free: bool,
    /// If that fails, let the process itself do it.
    pub fallback: bool,
    /// Replace values, with this salt.
    pub salt: Option<Vec<u8>>,
    /// The longest pause, in seconds.
    pub max_pause_seconds: Option<f64>,
    /// Do it although the machine hasn't the room.
    pub force: bool,
}

/// Who made the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The process itself, which stood still.
    Ordinary,
    /// A forked copy, at the attempt with this number.
    PauseFree {
        /// From 1.
        attempts: u32,
    },
}

/// A finished snapshot.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The thread's name.
    pub thread: String,
    /// What went into the file.
    pub written: Written,
    /// How long the thread stood still, as its own clock has it.
    pub pause: Duration,
    /// From the request to the complete file.
    pub took: Duration,
    /// Who made it.
    pub method: Method,
    /// Why earlier copies gave up, one for each.
    pub retries: Vec<&'static str>,
    /// What was foreseen.
    pub prediction: Prediction,
    /// Worries that did not hinder it.
    pub warnings: Vec<String>,
}

/// What happens during a snapshot, for whoever shows progress.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// V8 has visited so many of the heap's objects, of all.
    Walking {
        /// So many.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// So many bytes of JSON have come, of about so many.
    Writing {
        /// Bytes of JSON.
        bytes: u64,
        /// As foreseen; it may be more.
        expected: u64,
    },
    /// A copy could not do it, and another one tries.
    Again {
        /// The number of the next attempt.
        attempt: u32,
        /// Why the last one failed.
        reason: &'static str,
    },
}

/// Told of progress.
pub type Watch<'a> = &'a mut (dyn FnMut(Progress) + Send);

impl Session {
    /// What a snapshot of the isolate will take, and what speaks against it.
    ///
    /// `folder` is where the file goes, if it goes to a file; `compressed` whether it is compressed on the way.
    /// An isolate that does not say how large it is, and a process of another machine, can't be judged.
    pub fn forecast(
        &self,
        isolate: &Isolate,
        options: &DumpOptions,
        folder: Option<&Path>,
        compressed: bool,
    ) -> (Prediction, Vec<Refusal>) {
        let heap = isolate.heap.unwrap_or_default();
        let kind = if options.pause_free {
            Kind::PauseFree { rss_bytes: self.facts.rss_bytes }
        } else {
            Kind::Ordinary
        };
        let prediction = safety::predict(heap.into(), self.facts.major(), kind);
        let limits = Limits { max_pause_seconds: options.max_pause_seconds, compressed };
        let disk = folder.and_then(|f| safety::disk_room(f).ok());
        let refusals = match &self.process {
            Some(process) => match safety::room(process.pid, Path::new("/proc"), Path::new("/")) {
                Ok(room) => safety::check(&prediction, &room, disk, &limits),
                Err(_) => Vec::new(),
            },
            // The memory of another machine is out of sight; our disk and the user's patience are not.
            None => safety::check(&prediction, &UNKNOWN_ROOM, disk, &limits),
        };
        (prediction, refusals)
    }

    /// Takes a snapshot of an isolate. `out` is asked for a destination for each attempt.
    ///
    /// # Errors
    /// If it is refused for safety, or fails; then there is no file.
    pub async fn dump(
        &mut self,
        isolate: &Isolate,
        options: &DumpOptions,
        out: &mut (dyn FnMut() -> Out + Send),
        watch: Watch<'_>,
    ) -> Result<Dump, CaptureError> {
        if !self.is_there(isolate) {
            return Err(CdpError::ThreadEnded.into());
        }
        let (folder, compressed) = place(&out());
        let (prediction, refusals) = self.forecast(isolate, options, folder.as_deref(), compressed);
        if !options.force && refusals.iter().any(|r| r.level() == Level::Refuse) {
            let refusals = refusals.into_iter().filter(|r| r.level() == Level::Refuse).collect();
            return Err(CaptureError::Refused { thread: isolate.thread.clone(), refusals });
        }
        let mut warnings: Vec<String> = refusals.iter().map(Refusal::to_string).collect();
        let expected = prediction.file_bytes.low.midpoint(prediction.file_bytes.high);
        let began = Instant::now();
        let mut retries = Vec::new();
        let copied = if options.pause_free {
            let mut noting = |step: Progress| {
                if let Progress::Again { reason, .. } = step {
                    retries.push(reason);
                }
                watch(step);
            };
            match self.dump_by_copy(isolate, options, expected, out, &mut noting).await {
                Err(CaptureError::PauseFree { reason, .. }) if options.fallback => {
                    warnings.push(format!("no pause-free snapshot: {reason}; took an ordinary one"));
                    // The ordinary way has dangers of its own.
                    let ordinary = DumpOptions { pause_free: false, ..options.clone() };
                    let (_, refusals) = self.forecast(isolate, &ordinary, folder.as_deref(), compressed);
                    if !options.force && refusals.iter().any(|r| r.level() == Level::Refuse) {
                        return Err(CaptureError::Refused { thread: isolate.thread.clone(), refusals });
                    }
                    None
                }
                result => Some(result?),
            }
        } else {
            None
        };
        let (written, pause, method) = match copied {
            Some(copied) => copied,
            None => {
                let sink = Sink::open(out(), options.salt.as_deref())?;
                let (written, pause) = self.dump_in_place(isolate, options, expected, sink, watch).await?;
                (written, pause, Method::Ordinary)
            }
        };
        Ok(Dump {
            thread: isolate.thread.clone(),
            written,
            pause,
            took: began.elapsed(),
            method,
            retries,
            prediction,
            warnings,
        })
    }

    /// The ordinary way: the isolate's thread writes the snapshot and does nothing else meanwhile.
    async fn dump_in_place(
        &mut self,
        isolate: &Isolate,
        options: &DumpOptions,
        expected: u64,
        mut sink: Sink,
        watch: Watch<'_>,
    ) -> Result<(Written, Duration), CaptureError> {
        let to = &isolate.address;
        let params = json!({
            "reportProgress": true,
            // What older versions call the same.
            "treatGlobalObjectsAsRoots": !options.snapshot.expose_internals,
            "exposeInternals": options.snapshot.expose_internals,
            "captureNumericValue": options.snapshot.numeric_values,
        });
        let stop = self.cdp.stop();
        let before = self.active_time(isolate).await?;
        let began = Instant::now();
        let snapshot = self.cdp.send(to, "HeapProfiler.takeHeapSnapshot", params).await?;
        let mut bytes = 0;
        loop {
            let Some(incoming) = self.cdp.next_until(Instant::now() + SILENCE).await? else {
                let method = "HeapProfiler.takeHeapSnapshot".to_owned();
                return Err(CdpError::Timeout { method, patience: SILENCE }.into());
            };
            match incoming {
                Incoming::Chunk(chunk) => {
                    bytes += chunk.len() as u64;
                    unless_stopped(stop, sink.send(chunk)).await??;
                    watch(Progress::Writing { bytes, expected });
                }
                Incoming::Progress { done, total } => watch(Progress::Walking { done, total }),
                Incoming::Answer { id, result } if id == snapshot => {
                    let method = "HeapProfiler.takeHeapSnapshot".to_owned();
                    result.map_err(|message| CdpError::Refused { method, message })?;
                    break;
                }
                Incoming::Detached { session } if *to == crate::cdp::Address::Worker(session.clone()) => {
                    self.note(Incoming::Detached { session });
                    return Err(CdpError::ThreadEnded.into());
                }
                event => self.note(event),
            }
        }
        // When we asked and when the answer came is known in any case.
        let took = began.elapsed();
        let after = match self.active_time(isolate).await {
            Err(error) if error.is_interruption() => return Err(error),
            // The snapshot is whole, whatever becomes of the thread now.
            after => after.ok().flatten(),
        };
        let pause = match (before, after) {
            (Some(before), Some(after)) => after.saturating_sub(before).min(took),
            _ => took,
        };
        Ok((unless_stopped(stop, sink.finish()).await??, pause))
    }
}

/// The folder of a destination, and whether it is compressed.
fn place(out: &Out) -> (Option<PathBuf>, bool) {
    match out {
        // A device or pipe, which is written as it is.
        Out::File(path) if fs::metadata(path).is_ok_and(|about| !about.is_file()) => (None, false),
        Out::File(path) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            (Some(parent.unwrap_or(Path::new(".")).to_owned()), path.extension().is_some_and(|e| e == "zst"))
        }
        Out::Stream { is_compressed, .. } => (None, *is_compressed),
    }
}
