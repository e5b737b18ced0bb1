//! Calls of twinheap: a snapshot, and what is in it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

/// Longer than any dump of these heaps takes.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often a running twinheap is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How a snapshot is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    PauseFree,
    Ordinary,
}

/// A finished snapshot, as twinheap describes it.
pub(super) struct Shot {
    pub(super) file: PathBuf,
    pub(super) attempts: u32,
    /// How long the thread stood still by twinheap's measure, in milliseconds.
    pub(super) pause_ms: f64,
    /// In seconds.
    pub(super) took: f64,
    pub(super) json_bytes: u64,
}

/// How many objects each class has.
pub(super) type Classes = BTreeMap<String, u64>;

/// Why a call of twinheap failed.
pub(super) struct Failure {
    /// The error's line.
    pub(super) reason: String,
    /// All that it wrote to standard error.
    pub(super) evidence: String,
}

/// twinheap and where its files go.
pub(super) struct Camera<'a> {
    pub(super) twinheap: &'a Path,
    pub(super) folder: &'a Path,
}

impl Camera<'_> {
    /// Takes a snapshot. The outer error is ours, the inner one twinheap's.
    pub(super) fn take(&self, pid: u32, thread: &str, method: Method) -> Result<Result<Shot, Failure>> {
        let file = self.folder.join(match method {
            Method::PauseFree => "pause-free.heapsnapshot",
            Method::Ordinary => "ordinary.heapsnapshot",
        });
        let mut arguments = vec!["snapshot", "--json", "--thread", thread];
        if method == Method::PauseFree {
            arguments.push("--pause-free");
        }
        let pid = pid.to_string();
        let name = file.to_string_lossy();
        arguments.extend([pid.as_str(), "-o", &name]);
        let document = match self.call(&arguments)? {
            Ok(document) => document,
            Err(failure) => return Ok(Err(failure)),
        };
        let entry = &document["files"][0];
        let (Some(pause), Some(took), Some(json_bytes)) =
            (entry["pause_seconds"].as_f64(), entry["took_seconds"].as_f64(), entry["json_bytes"].as_u64())
        else {
            return Ok(Err(Failure::of("prints no snapshot", document.to_string())));
        };
        let wanted = match method {
            Method::PauseFree => "pause-free",
            Method::Ordinary => "ordinary",
        };
        if entry["method"] != wanted {
            return Ok(Err(Failure::of("used another method", document.to_string())));
        }
        let attempts = entry["attempts"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        Ok(Ok(Shot { file, attempts, pause_ms: pause * 1e3, took, json_bytes }))
    }

    /// Reads a snapshot from its first byte to its last.
    pub(super) fn classes(&self, file: &Path) -> Result<Result<Classes, Failure>> {
        let document = match self.call(&["summary", "--json", &file.to_string_lossy()])? {
            Ok(document) => document,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut classes = Classes::new();
        for row in document["classes"].as_array().into_iter().flatten() {
            if let (Some(name), Some(count)) = (row["name"].as_str(), row["count"].as_u64()) {
                // Classes of different scripts may share a name.
                *classes.entry(name.to_owned()).or_default() += count;
            }
        }
        Ok(Ok(classes))
    }

    /// Runs twinheap; one that does not end is a failure too.
    fn call(&self, arguments: &[&str]) -> Result<Result<Value, Failure>> {
        // Files, since a pipe that nobody reads would hold it up.
        let [output, errors] = ["twinheap.out", "twinheap.err"].map(|name| self.folder.join(name));
        let mut command = Command::new(self.twinheap);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(File::create(&output)?).stderr(File::create(&errors)?);
        let mut child = command.spawn().context("cannot start twinheap")?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(POLL);
        };
        let evidence = fs::read_to_string(&errors)?;
        let Some(status) = status else { return Ok(Err(Failure::of("does not end", evidence))) };
        if !status.success() {
            let line = evidence.lines().find(|line| line.starts_with("error: "));
            let reason = line.map_or_else(|| status.to_string(), str::to_owned);
            return Ok(Err(Failure { reason, evidence }));
        }
        match serde_json::from_str(&fs::read_to_string(&output)?) {
            Ok(document) => Ok(Ok(document)),
            Err(error) => Ok(Err(Failure::of("prints no JSON", format!("{error}\n{evidence}")))),
        }
    }
}

impl Failure {
    fn of(reason: &str, evidence: String) -> Failure {
        Failure { reason: format!("twinheap {reason}"), evidence }
    }
}
