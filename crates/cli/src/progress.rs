//! Progress on long work, and the times of the passes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use twinheap_jsheap::{Watch, Work};
use twinheap_report::clean;
use twinheap_web::FileProgress;

use crate::args::Global;
use crate::output::Output;

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often the spinner turns while a pass runs.
const TURN: Duration = Duration::from_millis(120);

/// How long a bar may take to leave the screen at the end: a terminal can be stopped.
const LEAVING: Duration = Duration::from_millis(200);

/// The bar that is on the screen, for those who end the program while another thread works.
static ON_SCREEN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Takes the bar off the screen for good, whoever it belongs to: the shell's prompt shall begin a line.
pub(crate) fn leave_screen() {
    let Some(bar) = ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let (done, is_done) = mpsc::channel();
    // Not waited for without end. It goes with the process.
    let clearing = std::thread::Builder::new().spawn(move || {
        bar.finish_and_clear();
        // Nobody waits any more if it took too long.
        let _: Result<(), _> = done.send(());
    });
    if clearing.is_ok() {
        let _: Result<(), _> = is_done.recv_timeout(LEAVING);
    }
}

/// A finished pass, as `--timings` writes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timing {
    pass: &'static str,
    seconds: f64,
    /// Bytes of columns the pass reads and writes at least once: a model, not a measurement.
    bytes: u64,
    items: u64,
    unit: &'static str,
}

/// Shows a bar while bytes are read and the names of the passes afterwards; collects times.
pub(crate) struct Progress {
    started: Instant,
    bar: ProgressBar,
    is_visible: bool,
    running: Mutex<Vec<(&'static str, Instant, Work)>>,
    timings: Mutex<Vec<Timing>>,
    /// Somebody else who wants to know.
    listener: Option<Arc<FileProgress>>,
}

impl Progress {
    pub(crate) fn new(global: &Global) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Progress {
            started: Instant::now(),
            bar,
            is_visible: !global.quiet && std::io::IsTerminal::is_terminal(&std::io::stderr()),
            running: Mutex::default(),
            timings: Mutex::default(),
            listener: None,
        }
    }

    /// Tells somebody else too, always and at once.
    pub(crate) fn with_listener(self, listener: Arc<FileProgress>) -> Self {
        Progress { listener: Some(listener), ..self }
    }

    /// So many bytes of `file` are read, of all if that is known.
    pub(crate) fn bytes(&self, file: &str, done: u64, all: Option<u64>) {
        if let Some(listener) = &self.listener {
            listener.bytes(done, all);
        }
        if !self.show() {
            return;
        }
        if let Some(all) = all {
            self.bar.set_length(all);
            let template = "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {eta} left";
            self.template(template);
        } else {
            self.template("{spinner} {msg} {decimal_bytes}");
        }
        self.bar.set_message(format!("reading {}", clean(file, usize::MAX)));
        self.bar.set_position(done);
    }

    /// So much of something is done, of about so much: objects, or bytes.
    pub(crate) fn part(&self, message: &str, done: u64, all: u64, is_bytes: bool) {
        if !self.show() {
            return;
        }
        self.template(match is_bytes {
            // The end of what a live process writes is foreseen, not known.
            true if done > all => "{spinner} {msg} {decimal_bytes} in {elapsed}",
            true => "{msg} {wide_bar} {decimal_bytes} of about {decimal_total_bytes} {eta} left",
            false => "{msg} {wide_bar} {human_pos}/{human_len} {eta} left",
        });
        self.bar.set_length(all);
        self.bar.set_message(clean(message, usize::MAX));
        self.bar.set_position(done);
    }

    /// Runs `work` as a pass of its own.
    pub(crate) fn pass<T>(&self, name: &'static str, work: Work, run: impl FnOnce() -> T) -> T {
        self.begin(name, work);
        let result = run();
        self.end(name);
        result
    }

    /// Notes a pass whose time the caller took; `bytes` of a file were read in it.
    pub(crate) fn note_reading(&self, pass: &'static str, took: Duration, bytes: u64) {
        let timing = Timing { pass, seconds: took.as_secs_f64(), bytes, items: bytes, unit: "bytes" };
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }

    /// Something goes on whose end is not known.
    pub(crate) fn busy(&self, message: &str) {
        if self.show() {
            self.template("{spinner} {msg} {elapsed}");
            self.bar.set_message(message.to_owned());
            self.bar.enable_steady_tick(TURN);
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    /// Prints the times if asked with `-v`, and writes them if asked with `--timings`.
    pub(crate) fn finish(&self, global: &Global, output: &Output) -> anyhow::Result<()> {
        self.clear();
        let timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        if global.verbose {
            for t in timings.iter() {
                let rate = if t.seconds > 0.0 { t.items as f64 / t.seconds / 1e6 } else { 0.0 };
                output.note(&format!("{:>8.1} ms  {} ({rate:.0} M {}/s)", t.seconds * 1e3, t.pass, t.unit));
            }
            output.note(&format!("{:>8.1} ms  in all", self.started.elapsed().as_secs_f64() * 1e3));
        }
        if let Some(path) = &global.timings {
            write_timings(path, &timings)?;
        }
        Ok(())
    }

    fn show(&self) -> bool {
        if !self.is_visible || self.started.elapsed() < PATIENCE {
            return false;
        }
        if self.bar.is_hidden() {
            *ON_SCREEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.bar.clone());
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        true
    }

    fn template(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

fn write_timings(path: &Path, timings: &[Timing]) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(timings)?;
    std::fs::write(path, text).with_context(|| format!("can't write `{}`", path.display()))
}

impl Watch for Progress {
    fn begin(&self, pass: &'static str, work: Work) {
        if let Some(listener) = &self.listener {
            listener.begin(pass, work);
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push((pass, Instant::now(), work));
        if self.show() {
            self.template("{spinner} {msg} {elapsed}");
            self.bar.set_message(pass);
            self.bar.enable_steady_tick(TURN);
        }
    }

    fn end(&self, pass: &'static str) {
        if let Some(listener) = &self.listener {
            listener.end(pass);
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = running.iter().position(|r| r.0 == pass) else { return };
        let (_, began, work) = running.swap_remove(at);
        let (items, unit) = match work {
            Work { edges, .. } if edges > 0 => (edges, "edges"),
            Work { nodes, .. } if nodes > 0 => (nodes, "nodes"),
            Work { bytes, .. } => (bytes, "bytes"),
        };
        let timing = Timing { pass, seconds: began.elapsed().as_secs_f64(), bytes: work.bytes, items, unit };
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).push(timing);
    }
}
