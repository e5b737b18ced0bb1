//! One version of Node: a server under load, snapshots of it, and whether it took harm.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::{
    actor::Actor,
    figures::{Dumps, Stretch, Trial},
    held::{self, Held},
    load_average,
    shots::{Camera, Classes, Failure, Method},
};
use crate::root;

/// Answers of server and load. An ordinary dump may be under way.
const PATIENCE: Duration = Duration::from_secs(600);
/// A dump of each so many is one of the worker.
const WORKER_EVERY: u32 = 5;
/// The thread's name.
const WORKER: &str = "network";
/// What a rested server may take to close what its clients have closed.
const SETTLE: Duration = Duration::from_secs(5);
/// Classes with fewer objects are not compared.
const COUNTED_FROM: u64 = 1000;
/// Failures that are shown in full.
const SHOWN: usize = 3;

/// What is done with each version.
pub(super) struct Plan {
    pub(super) major: u32,
    /// Pause-free snapshots.
    pub(super) count: u32,
    /// Ordinary ones.
    pub(super) ordinary: u32,
    /// Of what stays in the heap.
    pub(super) heap_mb: u32,
    /// Requests a second.
    pub(super) rate: u32,
    pub(super) warm_up: Duration,
    pub(super) quiet: Duration,
    pub(super) twinheap: PathBuf,
}

/// The executable of a version.
pub(super) fn node(major: u32) -> PathBuf {
    root().join(format!("tests/oracle/node_modules/node{major}/bin/node"))
}

/// The version that runs the load and the check of the database.
const LOAD_NODE: u32 = 24;

/// A running trial.
struct Soak<'a> {
    plan: &'a Plan,
    server: Actor,
    load: Actor,
    ready: Value,
    camera: Camera<'a>,
    database: &'a Path,
    /// What went wrong, in words, with evidence.
    harm: Vec<String>,
    requests: u64,
    wrong_answers: u64,
}

/// Runs one version. An error, or a list of what went wrong beside the figures.
pub(super) fn run(plan: &Plan) -> Result<(Trial, Vec<String>)> {
    let folder = tempfile::Builder::new().prefix("twinheap-soak-").tempdir()?;
    let database = folder.path().join("database");
    // Where the server keeps temporary files; twinheap must leave none.
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary)?;
    let scripts = root().join("tests/soak");
    let mut command = Command::new(node(plan.major));
    // Any free port: the usual one may be another program's.
    command
        .arg("--inspect-port=0")
        .arg(scripts.join("server.cjs"))
        .arg(&database)
        .arg(plan.heap_mb.to_string());
    command.env("TMPDIR", &temporary);
    let (server, ready) = Actor::start("server", &mut command, &folder.path().join("server.log"))?;
    let port = ready["port"].as_u64().context("the server has no port")?;
    let mut command = Command::new(node(LOAD_NODE));
    command.arg(scripts.join("load.cjs")).args([port.to_string(), plan.rate.to_string()]);
    let (load, _) = Actor::start("load", &mut command, &folder.path().join("load.log"))?;
    let camera = Camera { twinheap: &plan.twinheap, folder: folder.path() };
    let mut soak = Soak {
        plan,
        server,
        load,
        ready,
        camera,
        database: &database,
        harm: Vec::new(),
        requests: 0,
        wrong_answers: 0,
    };
    soak.run(&temporary).map(|trial| (trial, std::mem::take(&mut soak.harm))).map_err(|error| {
        let harm = soak.harm.join("\n");
        anyhow!(
            "node {}: {error:#}\n{harm}\nthe server's last words:\n{}",
            plan.major,
            soak.server.log_tail()
        )
    })
}

impl Soak<'_> {
    fn run(&mut self, temporary: &Path) -> Result<Trial> {
        let load_before = load_average();
        thread::sleep(self.plan.warm_up);
        self.mark(&mut Stretch::default())?;
        let mut quiet = Stretch::default();
        let cores = self.stay_quiet(&mut quiet)?;
        let before = self.rest(None)?;
        let mut main = Dumps::default();
        let mut worker = Dumps::default();
        let mut ordinary = Dumps::default();
        let mut last_pause_free = None;
        for number in 0..self.plan.count {
            if number % WORKER_EVERY == 1 {
                self.dump(&mut worker, WORKER, Method::PauseFree)?;
            } else {
                last_pause_free = self.dump(&mut main, "main", Method::PauseFree)?.or(last_pause_free);
            }
        }
        // An ordinary dump may leave a slower server behind, so this comes before them.
        let mut quiet_after = Stretch::default();
        self.stay_quiet(&mut quiet_after)?;
        let mut last_ordinary = None;
        for _ in 0..self.plan.ordinary {
            last_ordinary = self.dump(&mut ordinary, "main", Method::Ordinary)?.or(last_ordinary);
        }
        let mut quiet_at_end = Stretch::default();
        self.stay_quiet(&mut quiet_at_end)?;
        self.rest(Some(&before))?;
        let (equal_classes, most_different) = match (last_pause_free, last_ordinary) {
            (Some(ours), Some(theirs)) => compare(&ours, &theirs),
            _ => ([0; 2], None),
        };
        if let Some((class, ours, theirs)) = &most_different
            && ours.min(theirs) < &(ours.max(theirs) / 2)
        {
            self.harm.push(format!(
                "a pause-free snapshot has {ours} × {class}, an ordinary one of the same minute {theirs}"
            ));
        }
        for entry in fs::read_dir(temporary)?.flatten() {
            self.harm.push(format!("a temporary file was left: {}", entry.file_name().display()));
        }
        let spawned = self.children()?;
        let keys = self.end()?;
        Ok(Trial {
            major: self.plan.major,
            version: self.ready["version"].as_str().unwrap_or_default().to_owned(),
            heap_mb: self.plan.heap_mb,
            rate: self.plan.rate,
            cores,
            quiet,
            quiet_after,
            quiet_at_end,
            main,
            worker,
            ordinary,
            requests: self.requests,
            wrong_answers: self.wrong_answers,
            spawned,
            keys,
            equal_classes,
            most_different,
            load_average: [load_before, load_average()],
        })
    }

    /// Ends a stretch of time.
    fn mark(&mut self, stretch: &mut Stretch) -> Result<()> {
        let load = self.load.ask("mark", PATIENCE)?;
        self.check_answers(&load);
        let server = self.server.ask("mark", PATIENCE)?;
        stretch.add(&server, &load);
        Ok(())
    }

    fn check_answers(&mut self, load: &Value) {
        self.requests += load["latencies"].as_array().map_or(0, |latencies| latencies.len() as u64);
        let failures = load["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.wrong_answers += failures.len() as u64;
        if !failures.is_empty() {
            let shown: Vec<String> = failures.iter().take(SHOWN).map(Value::to_string).collect();
            self.harm.push(format!("{} requests failed: {}", failures.len(), shown.join("; ")));
        }
    }

    /// Lets server and load alone; how much processor time the server takes, in cores.
    fn stay_quiet(&mut self, stretch: &mut Stretch) -> Result<f64> {
        let pid = self.server.pid();
        let before = held::cpu_seconds(pid);
        thread::sleep(self.plan.quiet);
        let cores = (held::cpu_seconds(pid) - before) / self.plan.quiet.as_secs_f64();
        self.mark(stretch)?;
        Ok(cores)
    }

    /// Stops the load for a moment to see what the server holds: as much as `before`.
    fn rest(&mut self, before: Option<&Held>) -> Result<Held> {
        let load = self.load.ask("rest", PATIENCE)?;
        self.check_answers(&load);
        self.server.ask("rest", PATIENCE)?;
        let deadline = Instant::now() + SETTLE;
        // Connections that the clients have closed are closed here a little later.
        let held = loop {
            let held = Held::of(self.server.pid(), self.database)?;
            let is_settled = match before {
                Some(before) => before.changes(&held).is_empty(),
                None => {
                    thread::sleep(Duration::from_millis(200));
                    held == Held::of(self.server.pid(), self.database)?
                }
            };
            if is_settled || Instant::now() >= deadline {
                break held;
            }
            thread::sleep(Duration::from_millis(50));
        };
        for change in before.iter().flat_map(|before| before.changes(&held)) {
            self.harm.push(format!("after the dumps the server holds something else: {change}"));
        }
        if before.is_none() {
            self.server.ask("resume", PATIENCE)?;
            self.load.ask("resume", PATIENCE)?;
            thread::sleep(self.plan.warm_up);
            self.mark(&mut Stretch::default())?;
        }
        Ok(held)
    }

    /// One snapshot, and what was noticed meanwhile; the classes in it.
    fn dump(&mut self, dumps: &mut Dumps, thread: &str, method: Method) -> Result<Option<Classes>> {
        self.mark(&mut Stretch::default())?;
        let taken = self.camera.take(self.server.pid(), thread, method)?;
        self.mark(&mut dumps.during)?;
        let shot = match taken {
            Ok(shot) => shot,
            Err(failure) => return Ok(self.failed(dumps, failure)),
        };
        *dumps.attempts.entry(shot.attempts).or_default() += 1;
        dumps.pauses.push(shot.pause_ms);
        dumps.took_seconds.push(shot.took);
        dumps.json_bytes = dumps.json_bytes.max(shot.json_bytes);
        let classes = match self.camera.classes(&shot.file)? {
            Ok(classes) => classes,
            Err(failure) => return Ok(self.failed(dumps, failure)),
        };
        fs::remove_file(&shot.file)?;
        dumps.taken += 1;
        let statics = if thread == WORKER { "worker_statics" } else { "statics" };
        for (class, count) in self.ready[statics].as_object().into_iter().flatten() {
            let found = classes.get(class).copied().unwrap_or(0);
            if count.as_u64() != Some(found) {
                self.harm
                    .push(format!("a {method:?} snapshot of {thread} has {found} × {class}, not {count}"));
            }
        }
        Ok(Some(classes))
    }

    fn failed(&mut self, dumps: &mut Dumps, failure: Failure) -> Option<Classes> {
        self.harm.push(format!("a snapshot failed: {}\n{}", failure.reason, failure.evidence.trim_end()));
        *dumps.failures.entry(failure.reason).or_default() += 1;
        None
    }

    /// How many children the server started; each must have given one SIGCHLD.
    fn children(&mut self) -> Result<u64> {
        let told = self.server.ask("rest", PATIENCE)?;
        let (spawned, signals) = (told["spawned"].as_u64(), told["signals"].as_u64());
        if spawned != signals {
            self.harm.push(format!("{spawned:?} children were started and {signals:?} SIGCHLD came"));
        }
        spawned.context("the server does not say how many children it started")
    }

    /// Ends both; how many keys the database has.
    fn end(&mut self) -> Result<u64> {
        let told = self.load.ask("end", PATIENCE)?;
        self.server.ask("end", PATIENCE)?;
        let status = self.server.wait(SETTLE)?;
        if status.code().map(i64::from) != self.ready["exit_code"].as_i64() {
            self.harm.push(format!("the server ended with {status}\n{}", self.server.log_tail()));
        }
        let last = told["last"].as_u64().context("the load does not say what it stored")?;
        let mut verify = Command::new(node(LOAD_NODE));
        verify.arg(root().join("tests/soak/verify.cjs")).arg(self.database).arg(last.to_string());
        let output = verify.output().context("cannot start node")?;
        if !output.status.success() {
            bail!("the database can't be read: {}", String::from_utf8_lossy(&output.stderr));
        }
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let wrong = found["wrong"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !wrong.is_empty() {
            let shown: Vec<String> = wrong.iter().take(SHOWN).map(Value::to_string).collect();
            self.harm.push(format!("{} keys are wrong: {}", wrong.len(), shown.join("; ")));
        }
        Ok(last)
    }
}

/// Of the classes with many objects: how many have equal counts, how many there are, and which differs most.
fn compare(ours: &Classes, theirs: &Classes) -> ([usize; 2], Option<(String, u64, u64)>) {
    let names: BTreeMap<&String, ()> = ours.keys().chain(theirs.keys()).map(|name| (name, ())).collect();
    let mut counts = Vec::new();
    for name in names.into_keys() {
        let [a, b] = [ours, theirs].map(|classes| classes.get(name).copied().unwrap_or(0));
        if a.max(b) >= COUNTED_FROM {
            counts.push((name, a, b));
        }
    }
    let equal = counts.iter().filter(|(_, a, b)| a == b).count();
    let share = |&(_, a, b): &(&String, u64, u64)| a.abs_diff(b) as f64 / a.max(b) as f64;
    // V8 makes and drops its own things, such as `(compiled code)`, as it likes.
    let is_v8s = |name: &str| name.starts_with('(');
    let most = counts
        .iter()
        .filter(|(name, a, b)| a != b && !is_v8s(name))
        .max_by(|x, y| share(x).total_cmp(&share(y)));
    ([equal, counts.len()], most.map(|&(name, a, b)| (name.clone(), a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_classes_are_compared_by_their_counts() {
        let classes = |rows: &[(&str, u64)]| rows.iter().map(|&(name, n)| (name.to_owned(), n)).collect();
        let ours = classes(&[("A", 5000), ("B", 2000), ("C", 5), ("D", 1000)]);
        let theirs = classes(&[("A", 5000), ("B", 2100), ("C", 9), ("D", 1500)]);
        assert_eq!(compare(&ours, &theirs), ([1, 3], Some(("D".to_owned(), 1000, 1500))));
        assert_eq!(compare(&ours, &ours), ([3, 3], None));
    }
}
