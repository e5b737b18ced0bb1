//! One version of Node: a server under load, snapshots of it, and whether it took harm.

use std::{collections::BTreeMap, fs, path::PathBuf, thread, time::Duration};

use anyhow::Result;

use super::{
    figures::{Dumps, Stretch, Trial},
    held, load_average,
    scene::{Play, Scene, Stage},
    shots::{Camera, Classes, Failure, Method},
};

/// What a server may take to end.
const SETTLE: Duration = Duration::from_secs(5);
/// A dump of each so many is one of the worker.
const WORKER_EVERY: u32 = 5;
/// The thread's name.
const WORKER: &str = "network";
/// Classes with fewer objects are not compared.
const COUNTED_FROM: u64 = 1000;

/// What is done with each version.
pub(super) struct Plan {
    pub(super) play: Play,
    /// Pause-free snapshots.
    pub(super) count: u32,
    /// Ordinary ones.
    pub(super) ordinary: u32,
    pub(super) quiet: Duration,
    pub(super) twinheap: PathBuf,
}

/// A running trial.
struct Soak<'a> {
    plan: &'a Plan,
    scene: Scene<'a>,
    camera: Camera<'a>,
}

/// Runs one version. An error, or a list of what went wrong beside the figures.
pub(super) fn run(plan: &Plan) -> Result<(Trial, Vec<String>)> {
    let stage = Stage::new()?;
    // Any free port: the usual one may be another program's.
    let scene = Scene::start(&plan.play, &stage, &[], &["--inspect-port=0"])?;
    let camera = Camera { twinheap: &plan.twinheap, folder: stage.path() };
    let mut soak = Soak { plan, scene, camera };
    let outcome = soak.run();
    let harm = std::mem::take(&mut soak.scene.harm);
    outcome.map(|trial| (trial, harm)).map_err(|error| soak.scene.explain(&error))
}

impl Soak<'_> {
    fn run(&mut self) -> Result<Trial> {
        let load_before = load_average();
        thread::sleep(self.plan.play.warm_up);
        self.scene.mark()?;
        let mut quiet = Stretch::default();
        let cores = self.stay_quiet(&mut quiet)?;
        let before = self.scene.rest(None)?;
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
        self.scene.rest(Some(&before))?;
        let (equal_classes, most_different) = match (last_pause_free, last_ordinary) {
            (Some(ours), Some(theirs)) => compare(&ours, &theirs),
            _ => ([0; 2], None),
        };
        if let Some((class, ours, theirs)) = &most_different
            && ours.min(theirs) < &(ours.max(theirs) / 2)
        {
            self.scene.harm.push(format!(
                "a pause-free snapshot has {ours} × {class}, an ordinary one of the same minute {theirs}"
            ));
        }
        let spawned = self.scene.children()?;
        let keys = self.scene.end()?;
        let status = self.scene.server.wait(SETTLE)?;
        if status.code().map(i64::from) != self.scene.exit_code() {
            let words = self.scene.server.log_tail();
            self.scene.harm.push(format!("the server ended with {status}\n{words}"));
        }
        self.scene.check_what_is_left(keys)?;
        Ok(Trial {
            major: self.plan.play.major,
            version: self.scene.ready["version"].as_str().unwrap_or_default().to_owned(),
            heap_mb: self.plan.play.heap_mb,
            rate: self.plan.play.rate,
            cores,
            quiet,
            quiet_after,
            quiet_at_end,
            main,
            worker,
            ordinary,
            requests: self.scene.requests,
            wrong_answers: self.scene.wrong_answers,
            spawned,
            keys,
            equal_classes,
            most_different,
            load_average: [load_before, load_average()],
        })
    }

    /// Lets server and load alone; how much processor time the server takes, in cores.
    fn stay_quiet(&mut self, stretch: &mut Stretch) -> Result<f64> {
        let pid = self.scene.pid()?;
        let before = held::cpu_seconds(pid);
        thread::sleep(self.plan.quiet);
        let cores = (held::cpu_seconds(pid) - before) / self.plan.quiet.as_secs_f64();
        stretch.add(&self.scene.mark()?);
        Ok(cores)
    }

    /// One snapshot, and what was noticed meanwhile; the classes in it.
    fn dump(&mut self, dumps: &mut Dumps, thread: &str, method: Method) -> Result<Option<Classes>> {
        self.scene.mark()?;
        let taken = self.camera.take(self.scene.pid()?, thread, method)?;
        dumps.during.add(&self.scene.mark()?);
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
        for (class, count) in self.scene.ready[statics].as_object().into_iter().flatten() {
            let found = classes.get(class).copied().unwrap_or(0);
            if count.as_u64() != Some(found) {
                self.scene
                    .harm
                    .push(format!("a {method:?} snapshot of {thread} has {found} × {class}, not {count}"));
            }
        }
        Ok(Some(classes))
    }

    fn failed(&mut self, dumps: &mut Dumps, failure: Failure) -> Option<Classes> {
        self.scene.harm.push(format!(
            "a snapshot failed: {}\n{}",
            failure.reason,
            failure.evidence.trim_end()
        ));
        *dumps.failures.entry(failure.reason).or_default() += 1;
        None
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
