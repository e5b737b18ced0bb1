//! The files that are shown: which there are, how far each is read, what is wrong with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;
use twinheap_jsheap::{Heap, Watch, Work};
use twinheap_native::{FrameView, NativeHeap};
use twinheap_trace::Trace;

use crate::answer::Failure;
use crate::heap_view::HeapView;
use crate::native_view::NativeView;

/// Reads files: the caller's business, since it knows disks, compression and formats.
pub trait Load: Send + 'static {
    /// Reads and analyses one file, and says how far it is.
    ///
    /// # Errors
    /// If there is nothing to show, in words.
    fn load(&self, path: &Path, progress: &Arc<FileProgress>) -> Result<Loaded, Problem>;

    /// The npm package that a line of a native stack belongs to, if it belongs to one.
    fn package_of(frame: &FrameView<'_>) -> Option<String>;
}

/// What was in a file.
pub struct Loaded {
    /// The columns.
    pub content: Content,
    /// Sentences on what is wrong with the file or how its numbers are limited.
    pub warnings: Vec<String>,
}

/// A kind of file.
pub enum Content {
    /// A JS heap snapshot, analysed.
    Heap(Box<Heap>),
    /// A recording of malloc and free.
    Native(Box<Trace>),
}

/// Why a file can't be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do next.
    pub hint: String,
}

/// How far the reading of a file is.
#[derive(Debug, Default)]
pub struct FileProgress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    bytes: u64,
    all: Option<u64>,
    running: Vec<&'static str>,
    passes: u32,
}

/// The same as the page gets it.
#[derive(Serialize)]
struct ProgressJson {
    /// Bytes read, after decompression.
    bytes: u64,
    /// Bytes that there are, if that is known.
    total_bytes: Option<u64>,
    /// Passes over the columns that go on right now.
    passes: Vec<&'static str>,
    /// Passes that are done.
    passes_done: u32,
    /// Since the file was opened.
    seconds: f64,
    /// Until it is read, at the rate so far. Absent where that can't be told.
    seconds_left: Option<f64>,
}

impl FileProgress {
    /// So many bytes are read, of all if that is known.
    pub fn bytes(&self, done: u64, all: Option<u64>) {
        let mut state = self.state();
        (state.bytes, state.all) = (done, all);
    }

    fn start(&self) {
        self.state().began = Some(Instant::now());
    }

    fn json(&self) -> ProgressJson {
        let state = self.state();
        let seconds = state.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let left = state.all.filter(|_| state.bytes > 0 && state.passes == 0 && state.running.is_empty());
        let seconds_left =
            left.map(|all| seconds * all.saturating_sub(state.bytes) as f64 / state.bytes as f64);
        ProgressJson {
            bytes: state.bytes,
            total_bytes: state.all,
            passes: state.running.clone(),
            passes_done: state.passes,
            seconds,
            seconds_left,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for FileProgress {
    fn begin(&self, pass: &'static str, _work: Work) {
        self.state().running.push(pass);
    }

    fn end(&self, pass: &'static str) {
        let mut state = self.state();
        state.running.retain(|running| *running != pass);
        state.passes += 1;
    }
}

/// A file that is read.
pub(crate) enum Opened {
    Heap(Box<HeapView>),
    Native(Box<NativeView>),
}

struct File {
    path: PathBuf,
    progress: Arc<FileProgress>,
    opened: OnceLock<Result<Arc<Ready>, Problem>>,
}

pub(crate) struct Ready {
    pub(crate) content: Opened,
    pub(crate) warnings: Vec<String>,
    /// How long it took to read.
    seconds: f64,
}

/// All files, in the order of the command line.
pub(crate) struct Files(Vec<File>);

#[derive(Serialize)]
pub(crate) struct FileJson {
    id: usize,
    /// The last part of the path.
    name: String,
    path: String,
    status: &'static str,
    kind: Option<&'static str>,
    progress: ProgressJson,
    /// How long it took to read and analyse.
    load_seconds: Option<f64>,
    problem: Option<Problem>,
    warnings: Vec<String>,
}

impl Files {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Files {
        let file = |path| File { path, progress: Arc::default(), opened: OnceLock::new() };
        Files(paths.into_iter().map(file).collect())
    }

    /// Reads one after the other: two at once would share the memory's speed, and the first is wanted first.
    pub(crate) fn load_all<L: Load>(&self, load: &L) {
        for file in &self.0 {
            file.progress.start();
            let began = Instant::now();
            let opened = load.load(&file.path, &file.progress).map(|loaded| {
                let content = match loaded.content {
                    Content::Heap(heap) => Opened::Heap(Box::new(HeapView::new(*heap, &*file.progress))),
                    Content::Native(trace) => {
                        file.progress.begin("stacks", Work { nodes: 0, edges: 0, bytes: 0 });
                        let view = NativeView::new(NativeHeap::new(*trace), L::package_of);
                        file.progress.end("stacks");
                        Opened::Native(Box::new(view))
                    }
                };
                let seconds = began.elapsed().as_secs_f64();
                Arc::new(Ready { content, warnings: loaded.warnings, seconds })
            });
            // Nobody else fills it.
            let _: Result<(), _> = file.opened.set(opened);
            if let Some(Ok(ready)) = file.opened.get() {
                match &ready.content {
                    Opened::Heap(view) => view.warm(),
                    Opened::Native(view) => view.warm(),
                }
            }
        }
    }

    pub(crate) fn json(&self) -> Vec<FileJson> {
        let one = |(id, file): (usize, &File)| {
            let (status, ready, problem) = match file.opened.get() {
                Some(Ok(ready)) => ("ready", Some(ready), None),
                Some(Err(problem)) => ("failed", None, Some(problem.clone())),
                None if file.progress.state().began.is_some() => ("loading", None, None),
                None => ("waiting", None, None),
            };
            FileJson {
                id,
                name: file.path.file_name().unwrap_or(file.path.as_os_str()).to_string_lossy().into_owned(),
                path: file.path.display().to_string(),
                status,
                kind: ready.map(|ready| match ready.content {
                    Opened::Heap(_) => "js-snapshot",
                    Opened::Native(_) => "native-trace",
                }),
                progress: file.progress.json(),
                load_seconds: ready.map(|ready| ready.seconds),
                problem,
                warnings: ready.map(|ready| ready.warnings.clone()).unwrap_or_default(),
            }
        };
        self.0.iter().enumerate().map(one).collect()
    }

    /// The file's name, as the command line gave it.
    pub(crate) fn path(&self, id: usize) -> String {
        self.0.get(id).map(|file| file.path.display().to_string()).unwrap_or_default()
    }

    /// A file that is read.
    pub(crate) fn get(&self, id: usize) -> Result<Arc<Ready>, Failure> {
        let none =
            || Failure::missing(format!("there is no file {id}"), "choose one of the files in the list");
        let file = self.0.get(id).ok_or_else(none)?;
        match file.opened.get() {
            Some(Ok(ready)) => Ok(Arc::clone(ready)),
            Some(Err(problem)) => Err(Failure::bad(problem.error.clone(), problem.hint.clone())),
            None => Err(Failure::new(
                axum::http::StatusCode::CONFLICT,
                "the file is not read yet",
                "wait until it is: the page says how far it is",
            )),
        }
    }
}
