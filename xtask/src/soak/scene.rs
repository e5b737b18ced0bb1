//! The server under load, with everything that tells whether it takes harm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{actor::Actor, held::Held};
use crate::root;

/// Answers of server and load. An ordinary dump may be under way.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// What a rested server may take to close what its clients have closed.
const SETTLE: Duration = Duration::from_secs(5);
/// Failures that are shown in full.
const SHOWN: usize = 3;
/// The version that runs the load and the check of the database.
const LOAD_NODE: u32 = 24;

/// The executable of a version.
pub(super) fn node(major: u32) -> PathBuf {
    root().join(format!("tests/oracle/node_modules/node{major}/bin/node"))
}

/// What server and load do.
pub(super) struct Play {
    /// The major version of the server's Node.
    pub(super) major: u32,
    /// What stays in the heap.
    pub(super) heap_mb: u32,
    /// Requests a second.
    pub(super) rate: u32,
    /// Also what keeps malloc busy.
    pub(super) is_busy: bool,
    pub(super) warm_up: Duration,
}

/// A folder with what a scene needs; it goes with this.
pub(super) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(super) fn new() -> Result<Stage> {
        let folder = tempfile::Builder::new().prefix("twinheap-soak-").tempdir()?;
        // Where the server keeps temporary files; twinheap must leave none.
        fs::create_dir(folder.path().join("tmp"))?;
        Ok(Stage { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("database")
    }

    fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }
}

/// A server and its clients at work.
pub(super) struct Scene<'a> {
    stage: &'a Stage,
    play: &'a Play,
    pub(super) server: Actor,
    load: Actor,
    /// What the server said when it was ready.
    pub(super) ready: Value,
    /// What went wrong, in words, with evidence.
    pub(super) harm: Vec<String>,
    /// Answers that were checked.
    pub(super) requests: u64,
    pub(super) wrong_answers: u64,
}

/// What a stretch of time was like, as both sides tell it.
pub(super) struct Told {
    pub(super) server: Value,
    pub(super) load: Value,
}

impl<'a> Scene<'a> {
    /// Starts both. The words of `before` come before the server's command: a program that starts it.
    pub(super) fn start(
        play: &'a Play,
        stage: &'a Stage,
        before: &[String],
        options: &[&str],
    ) -> Result<Self> {
        let scripts = root().join("tests/soak");
        let node_of_server = node(play.major).to_string_lossy().into_owned();
        let words: Vec<&String> = before.iter().chain([&node_of_server]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(options).arg(scripts.join("server.cjs"));
        command.arg(stage.database()).arg(play.heap_mb.to_string());
        command.args(play.is_busy.then_some("busy"));
        command.env("TMPDIR", stage.temporary());
        let (server, ready) = Actor::start("server", &mut command, &stage.path().join("server.log"))?;
        let port = ready["port"].as_u64().context("the server has no port")?;
        let mut command = Command::new(node(LOAD_NODE));
        command.arg(scripts.join("load.cjs")).args([port.to_string(), play.rate.to_string()]);
        command.args(play.is_busy.then_some("busy"));
        let (load, _) = Actor::start("load", &mut command, &stage.path().join("load.log"))?;
        Ok(Scene { stage, play, server, load, ready, harm: Vec::new(), requests: 0, wrong_answers: 0 })
    }

    /// The server's process.
    pub(super) fn pid(&self) -> Result<u32> {
        let pid = self.ready["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.context("the server does not say its pid")
    }

    /// Ends a stretch of time.
    pub(super) fn mark(&mut self) -> Result<Told> {
        let load = self.load.ask("mark", PATIENCE)?;
        self.check_answers(&load);
        let server = self.server.ask("mark", PATIENCE)?;
        Ok(Told { server, load })
    }

    fn check_answers(&mut self, load: &Value) {
        self.requests += load["latencies"].as_array().map_or(0, |latencies| latencies.len() as u64);
        let failures = load["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.wrong_answers += failures.len() as u64;
        if !failures.is_empty() {
            self.harm.push(format!("{} requests failed: {}", failures.len(), some(failures)));
        }
    }

    /// Stops the load for a moment to see what the server holds: as much as `before`. Without a `before`, the load goes
    /// on afterwards.
    pub(super) fn rest(&mut self, before: Option<&Held>) -> Result<Held> {
        let load = self.load.ask("rest", PATIENCE)?;
        self.check_answers(&load);
        self.server.ask("rest", PATIENCE)?;
        let (pid, database) = (self.pid()?, self.stage.database());
        let deadline = Instant::now() + SETTLE;
        // Connections that the clients have closed are closed here a little later.
        let held = loop {
            let held = Held::of(pid, &database)?;
            let is_settled = match before {
                Some(before) => before.changes(&held).is_empty(),
                None => {
                    thread::sleep(Duration::from_millis(200));
                    held == Held::of(pid, &database)?
                }
            };
            if is_settled || Instant::now() >= deadline {
                break held;
            }
            thread::sleep(Duration::from_millis(50));
        };
        for change in before.iter().flat_map(|before| before.changes(&held)) {
            self.harm.push(format!("at the end the server holds something else: {change}"));
        }
        if before.is_none() {
            self.server.ask("resume", PATIENCE)?;
            self.load.ask("resume", PATIENCE)?;
            thread::sleep(self.play.warm_up);
            self.mark()?;
        }
        Ok(held)
    }

    /// How many children the server started; each must have given one SIGCHLD.
    pub(super) fn children(&mut self) -> Result<u64> {
        let told = self.server.ask("rest", PATIENCE)?;
        let (spawned, signals) = (told["spawned"].as_u64(), told["signals"].as_u64());
        if spawned != signals {
            self.harm.push(format!("{spawned:?} children were started and {signals:?} SIGCHLD came"));
        }
        spawned.context("the server does not say how many children it started")
    }

    /// Lets both end; how many keys were stored. Whoever started the server waits for it.
    pub(super) fn end(&mut self) -> Result<u64> {
        let told = self.load.ask("end", PATIENCE)?;
        self.server.ask("end", PATIENCE)?;
        told["last"].as_u64().context("the load does not say what it stored")
    }

    /// The code with which the server has to end.
    pub(super) fn exit_code(&self) -> Option<i64> {
        self.ready["exit_code"].as_i64()
    }

    /// Looks, after the server's end, for what it left behind and for every key.
    pub(super) fn check_what_is_left(&mut self, keys: u64) -> Result<()> {
        for entry in fs::read_dir(self.stage.temporary())?.flatten() {
            self.harm.push(format!("a temporary file was left: {}", entry.file_name().display()));
        }
        let mut verify = Command::new(node(LOAD_NODE));
        verify.arg(root().join("tests/soak/verify.cjs")).arg(self.stage.database()).arg(keys.to_string());
        let output = verify.output().context("cannot start node")?;
        if !output.status.success() {
            bail!("the database can't be read: {}", String::from_utf8_lossy(&output.stderr));
        }
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let wrong = found["wrong"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !wrong.is_empty() {
            self.harm.push(format!("{} keys are wrong: {}", wrong.len(), some(wrong)));
        }
        Ok(())
    }

    /// An error with all that is known of what led to it.
    pub(super) fn explain(&self, error: &Error) -> Error {
        let harm = self.harm.join("\n");
        let words = self.server.log_tail();
        anyhow!("node {}: {error:#}\n{harm}\nthe server's last words:\n{words}", self.play.major)
    }
}

fn some(values: &[Value]) -> String {
    values.iter().take(SHOWN).map(Value::to_string).collect::<Vec<_>>().join("; ")
}
