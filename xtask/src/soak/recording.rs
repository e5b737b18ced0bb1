//! `cargo xtask soak --record`: a busy server that runs under `twinheap record` from its start to its end.
//!
//! It must not notice: answers, children, descriptors, threads, keys, exit code. And the recording must be whole and
//! plausible: readable to its end, as many allocations as were recorded, and as much alive at a moment as the process
//! had memory for then.

mod document;
mod mapped;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    figures::{Stretch, quantile},
    load_average,
    scene::{PATIENCE, Play, Scene, Stage},
};
pub(crate) use document::HEADING;
pub(super) use document::{line, write};
use mapped::Mapped;
use watch::Watch;

/// How often answers are checked in between.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// What a recording may take to find the names of functions, after the program's end.
const NAMING: Duration = Duration::from_secs(300);
/// Nothing changes for this long on both sides of the moment at which live bytes are compared, so that the recording's
/// clock need not be exactly ours.
const STILL: Duration = Duration::from_millis(1500);
/// The collector's own memory that would be a leak in these runs, in bytes.
const BOUND: u64 = 512 << 20;
/// The sample of the sampled share, as `--sample` takes it.
const SAMPLE: &str = "512K";

/// How a server is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Mode {
    /// Every call.
    Full,
    /// A sample of them.
    Sample,
    /// Every call, and those of child processes.
    Follow,
}

impl Mode {
    pub(super) const ALL: [Mode; 3] = [Mode::Full, Mode::Sample, Mode::Follow];

    fn options(self) -> &'static [&'static str] {
        match self {
            Mode::Full => &[],
            Mode::Sample => &["--sample", SAMPLE],
            Mode::Follow => &["--follow"],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Sample => "sample",
            Mode::Follow => "follow",
        }
    }
}

/// What is done with a version in a mode.
pub(super) struct Plan {
    pub(super) play: Play,
    pub(super) mode: Mode,
    /// Under load.
    pub(super) duration: Duration,
    pub(super) twinheap: PathBuf,
}

/// What came of it. Sizes are in bytes, times in milliseconds unless a name says otherwise.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) major: u32,
    pub(super) version: String,
    pub(super) mode: Mode,
    /// Seconds from the server's start to its end.
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) wrong_answers: u64,
    pub(super) latency_p50: f64,
    pub(super) latency_p99: f64,
    /// Worst delay of the main thread's event loop.
    pub(super) lag_worst: f64,
    /// Child processes that the server started.
    pub(super) spawned: u64,
    /// Keys that were found in the database afterwards.
    pub(super) keys: u64,
    pub(super) allocations: u64,
    /// Alive in the recording while the server rested.
    pub(super) live: i64,
    /// Contents of ArrayBuffers at that moment, by Node's own count: all of them are malloc's.
    pub(super) array_buffers: u64,
    /// Anonymous memory of the process at that moment.
    pub(super) mapped: Mapped,
    pub(super) file: u64,
    /// Recordings of child processes.
    pub(super) files_of_children: u64,
    pub(super) collector: Collector,
    /// Whether heaptrack_print counted the same; none if it is not there or the recording is a sample.
    pub(super) equal_to_peer: Option<bool>,
    /// The machine's load averages at the beginning and at the end.
    pub(super) load_average: [String; 2],
}

/// Memory of the `record` process.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Collector {
    /// Its own at the beginning of the load.
    pub(super) early: u64,
    /// Its own at the end of the load.
    pub(super) late: u64,
    /// At the worst, the ring and mapped files with it, while names are looked up too.
    pub(super) peak: u64,
}

/// Records a server. An error, or a list of what went wrong beside the figures.
pub(super) fn run(plan: &Plan) -> Result<(Trial, Vec<String>)> {
    let stage = Stage::new()?;
    let file = stage.path().join("a.heaptrace");
    let twinheap = plan.twinheap.to_string_lossy();
    let mut before: Vec<String> = vec![twinheap.into_owned(), "record".into()];
    before.extend(plan.mode.options().iter().map(|&option| option.to_owned()));
    before.extend(["-o".into(), file.to_string_lossy().into_owned(), "--".into()]);
    let began = Instant::now();
    let scene = Scene::start(&plan.play, &stage, &before, &[])?;
    let mut soak = Soak { plan, scene, file, began };
    let outcome = soak.run();
    let harm = std::mem::take(&mut soak.scene.harm);
    outcome.map(|trial| (trial, harm)).map_err(|error| soak.scene.explain(&error))
}

struct Soak<'a> {
    plan: &'a Plan,
    scene: Scene<'a>,
    file: PathBuf,
    began: Instant,
}

/// What the process had at a moment of rest.
struct Moment {
    /// Since the recording began.
    at: Duration,
    mapped: Mapped,
    array_buffers: u64,
}

impl Soak<'_> {
    fn run(&mut self) -> Result<Trial> {
        let load_before = load_average();
        let collector = self.scene.server.pid();
        let watch = Watch::start(collector);
        thread::sleep(self.plan.play.warm_up);
        let before = self.scene.rest(None)?;
        let mut figures = Collector { early: watch::own_memory(collector), ..Collector::default() };
        let mut stretch = Stretch::default();
        let deadline = Instant::now() + self.plan.duration;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            thread::sleep(left.min(CHECK_EVERY));
            stretch.add(&self.scene.mark()?);
        }
        figures.late = watch::own_memory(collector);
        self.scene.rest(Some(&before))?;
        let moment = self.moment()?;
        let spawned = self.scene.children()?;
        let keys = self.scene.end()?;
        let seconds = self.began.elapsed().as_secs_f64();
        let status = self.scene.server.wait(NAMING)?;
        figures.peak = watch.peak();
        let told = self.scene.server.log();
        let recorded = self.check_what_was_told(status.code(), &told);
        self.scene.check_what_is_left(keys)?;
        self.check_collector(figures, collector)?;
        let files_of_children = self.check_children()?;
        if self.plan.mode == Mode::Follow && files_of_children < spawned {
            self.scene.harm.push(format!("{spawned} children have {files_of_children} recordings"));
        }
        let summary = self.summary(&self.file, &[])?;
        let allocations = number(&summary, "allocations")?;
        // Of a sample the file tells an estimate of the whole.
        let is_estimated = summary["estimated"] == true;
        if recorded != Some(allocations) && !is_estimated {
            self.scene
                .harm
                .push(format!("{recorded:?} allocations were recorded, {allocations} are in the file"));
        }
        let live = self.check_live(&moment)?;
        let equal_to_peer = match self.plan.mode {
            Mode::Sample => None,
            _ => self.check_with_peer(&summary)?,
        };
        Ok(Trial {
            major: self.plan.play.major,
            version: self.scene.ready["version"].as_str().unwrap_or_default().to_owned(),
            mode: self.plan.mode,
            seconds,
            requests: self.scene.requests,
            wrong_answers: self.scene.wrong_answers,
            latency_p50: stretch.latency_p50,
            latency_p99: stretch.latency_p99,
            lag_worst: quantile(&stretch.lags, 1.0),
            spawned,
            keys,
            allocations,
            live,
            array_buffers: moment.array_buffers,
            mapped: moment.mapped,
            file: fs::metadata(&self.file)?.len(),
            files_of_children,
            collector: figures,
            equal_to_peer,
            load_average: [load_before, load_average()],
        })
    }

    /// Looks at the server's memory in the middle of a stretch without requests.
    fn moment(&mut self) -> Result<Moment> {
        thread::sleep(STILL);
        let told = self.scene.server.ask("memory", PATIENCE)?;
        let at = self.began.elapsed();
        let mapped = Mapped::of(self.scene.pid()?)?;
        thread::sleep(STILL);
        let array_buffers = told["arrayBuffers"].as_u64().context("the server does not say what it uses")?;
        Ok(Moment { at, mapped, array_buffers })
    }

    /// How many allocations twinheap said it recorded. It ends with the server's code, tells of it, and warns of nothing.
    fn check_what_was_told(&mut self, code: Option<i32>, told: &str) -> Option<u64> {
        let expected = self.scene.exit_code().unwrap_or_default();
        let says_code = told.contains(&format!("the program ended with exit status: {expected}"));
        if code.map(i64::from) != Some(expected) || !says_code || told.contains("warning: ") {
            self.scene.harm.push(format!("twinheap ended with {code:?} and said: {told}"));
        }
        let count =
            told.lines().filter_map(|line| line.strip_prefix("recorded ")?.split_once(" allocations"));
        // Those of children come after it.
        count.map(|(count, _)| count.replace(',', "")).next()?.parse().ok()
    }

    fn check_collector(&mut self, figures: Collector, pid: u32) -> Result<()> {
        if figures.late > BOUND {
            self.scene
                .harm
                .push(format!("the collector's memory grew from {} to {}", figures.early, figures.late));
        }
        let start = format!("twinheap-{pid}.");
        for entry in fs::read_dir("/dev/shm")?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&start) {
                self.scene.harm.push(format!("{} was left", entry.path().display()));
            }
        }
        Ok(())
    }

    /// Opens the recordings of child processes, and deletes them; how many there were.
    fn check_children(&mut self) -> Result<u64> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut count = 0;
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".part") {
                self.scene.harm.push(format!("`{name}` was not finished"));
            }
            if path == self.file || !name.ends_with(".heaptrace") {
                continue;
            }
            count += 1;
            if let Err(error) = self.summary(&path, &[]) {
                self.scene.harm.push(format!("{error:#}"));
            }
            fs::remove_file(&path)?;
        }
        Ok(count)
    }

    /// Compares what was alive at a moment with what the process had then; the bytes alive.
    fn check_live(&mut self, moment: &Moment) -> Result<i64> {
        let to = format!("{}ms", moment.at.as_millis());
        let live = self.summary(&self.file, &["--to", &to])?["leaked_bytes"].as_i64();
        let live = live.context("the summary does not say what is alive")?;
        let bytes = u64::try_from(live).unwrap_or(0);
        if bytes > moment.mapped.writable {
            self.scene
                .harm
                .push(format!("{live} bytes are alive, more than the process has: {:?}", moment.mapped));
        }
        if self.plan.mode != Mode::Sample && bytes < moment.array_buffers {
            self.scene
                .harm
                .push(format!("{live} bytes are alive, but buffers alone hold {}", moment.array_buffers));
        }
        Ok(live)
    }

    /// Whether heaptrack_print counts the same allocations and leaks in the recording, converted for it.
    fn check_with_peer(&mut self, summary: &Value) -> Result<Option<bool>> {
        let converted = self.file.with_extension("zst");
        self.call(&["convert", &self.file.to_string_lossy(), &converted.to_string_lossy()])?;
        let mut peer = Command::new("heaptrack_print");
        peer.args(["-p0", "-a0", "-T0", "-l0", "-f"]).arg(&converted);
        let Ok(output) = peer.output() else { return Ok(None) };
        fs::remove_file(&converted)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let value =
            |start: &str| said.lines().find_map(|line| line.strip_prefix(start)?.split([' ', '(']).next());
        let theirs = value("calls to allocation functions: ").and_then(|count| count.parse::<u64>().ok());
        let is_equal = theirs == Some(number(summary, "allocations")?);
        if !is_equal {
            self.scene.harm.push(format!("heaptrack_print counts {theirs:?} allocations: {said}"));
        }
        Ok(Some(is_equal))
    }

    /// What is in a recording, which must be whole.
    fn summary(&self, file: &Path, options: &[&str]) -> Result<Value> {
        let path = file.to_string_lossy();
        let output = self.call(&[&["summary", "--json", &path], options].concat())?;
        serde_json::from_slice(&output).with_context(|| format!("twinheap prints no JSON of {path}"))
    }

    /// Runs twinheap; what it prints. Any end but the best is an error.
    fn call(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output =
            Command::new(&self.plan.twinheap).args(arguments).output().context("cannot start twinheap")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`twinheap {}`: {}: {said}", arguments.join(" "), output.status);
        }
        Ok(output.stdout)
    }
}

fn number(summary: &Value, field: &str) -> Result<u64> {
    summary[field].as_u64().with_context(|| format!("the summary has no `{field}`"))
}
