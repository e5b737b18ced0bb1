//! The sample server's process: recorded if that works here, or by itself.

use std::{
    io,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};
use twinheap_capture::record::{JsNames, RecordError, RecordOptions, Recordings, Wish, record};

/// Frames of a stack: Node's ways from a request to an addon are shorter.
const FRAMES: u32 = 128;
/// zstd's level, as `twinheap record` has it.
const LEVEL: i32 = 1;

/// A child process that doesn't outlive its owner.
pub(super) struct Guard(pub(super) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Fine for one that is gone already.
        let _: io::Result<()> = self.0.kill();
        let _: io::Result<ExitStatus> = self.0.wait();
    }
}

/// A running process. Dropping it ends it.
pub(super) enum Process {
    Plain(Guard),
    Recorded(Recorder),
}

/// A process with the thread that records it.
pub(super) struct Recorder {
    /// The server ends when this closes.
    stdin: Option<ChildStdin>,
    thread: Option<JoinHandle<Result<Recordings, RecordError>>>,
    end: Arc<AtomicBool>,
    pid: u32,
}

impl Process {
    /// Starts a command whose input and output are pipes; its output comes too.
    pub(super) fn plain(mut command: Command, program: &Path) -> Result<(Process, ChildStdout)> {
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut guard = Guard(child);
        let stdout = guard.0.stdout.take().context("the server's stdout was not piped")?;
        Ok((Process::Plain(guard), stdout))
    }

    /// The same under the recorder, whose file goes to `file`.
    ///
    /// # Errors
    /// Why it can't be recorded.
    pub(super) fn recorded(command: Command, file: &Path) -> Result<(Process, ChildStdout)> {
        let options = RecordOptions {
            output: file.to_owned(),
            sample: None,
            min_lifetime: None,
            drop: false,
            follow: false,
            frames: FRAMES,
            duration: None,
            leak_check: false,
            js_names: JsNames::Auto,
            level: LEVEL,
            debug_paths: Vec::new(),
            sysroot: None,
        };
        let end = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&end);
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("recorder".into()).spawn(move || {
            let mut started = |child: &mut Child| {
                // Whoever waits for it has gone if this fails, and the server ends with its input.
                let _ = sender.send((child.id(), child.stdin.take(), child.stdout.take()));
            };
            let wish = || if is_over.load(Ordering::Relaxed) { Wish::EndProgram } else { Wish::GoOn };
            record(command, &options, &mut started, &wish, &mut |_| {})
        })?;
        // It hangs up if the program doesn't start.
        let Ok((pid, stdin, stdout)) = receiver.recv() else {
            return Err(ended(thread).err().unwrap_or_else(|| anyhow!("the recorder ended")));
        };
        let recorder = Recorder { stdin, thread: Some(thread), end, pid };
        Ok((Process::Recorded(recorder), stdout.context("the server's stdout was not piped")?))
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Process::Plain(guard) => guard.0.id(),
            Process::Recorded(recorder) => recorder.pid,
        }
    }

    /// Waits for the end of a server that ends by itself, and for its recording.
    ///
    /// # Errors
    /// Why there is no recording.
    pub(super) fn wait(self) -> Result<()> {
        match self {
            Process::Plain(guard) => drop(guard),
            Process::Recorded(mut recorder) => {
                if let Some(thread) = recorder.thread.take() {
                    ended(thread)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever drops a recording doesn't ask how it went.
            let _ = ended(thread);
        }
    }
}

fn ended(thread: JoinHandle<Result<Recordings, RecordError>>) -> Result<Recordings> {
    let outcome = thread.join().map_err(|_| anyhow!("the recorder panicked"))?;
    Ok(outcome?)
}
