//! Where twinheap's time goes, as it says itself with `summary --timings`.

use std::{fs::File, io::BufReader, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{
    measure::{self, Outcome},
    work_dir,
};

/// The fastest of so many runs counts, pass by pass.
const RUNS: usize = 3;

/// One pass over the data, as twinheap reports it.
#[derive(Clone, Deserialize)]
pub(super) struct Pass {
    pub(super) pass: String,
    pub(super) seconds: f64,
    /// Bytes of memory that the pass has to read and write, by its own model.
    pub(super) bytes: u64,
    /// How many things it goes over.
    pub(super) items: u64,
    /// What the things are: nodes, edges or bytes.
    pub(super) unit: String,
}

/// The passes on one thread and on all.
pub(super) struct PassTable {
    pub(super) one_thread: Vec<Pass>,
    pub(super) all_threads: Vec<Pass>,
}

impl PassTable {
    /// Nothing if this twinheap has no `--timings`.
    pub(super) fn measure(twinheap: &Path, file: &Path) -> Result<Option<PassTable>> {
        let Some(one_thread) = passes(twinheap, file, &["--threads", "1"])? else { return Ok(None) };
        let Some(all_threads) = passes(twinheap, file, &[])? else { return Ok(None) };
        Ok(Some(PassTable { one_thread, all_threads }))
    }

    /// Seconds that a pass takes on all threads.
    pub(super) fn seconds_on_all(&self, pass: &str) -> Option<f64> {
        self.all_threads.iter().find(|other| other.pass == pass).map(|other| other.seconds)
    }
}

fn passes(twinheap: &Path, file: &Path, options: &[&str]) -> Result<Option<Vec<Pass>>> {
    let timings = work_dir().join("timings.json");
    let mut fastest: Vec<Pass> = Vec::new();
    for _ in 0..RUNS {
        let mut command = Command::new(twinheap);
        command.arg("summary").arg(file).args(["--json", "--timings"]).arg(&timings).args(options);
        match measure::run(command, &work_dir().join("answer-timings.json"))? {
            Outcome::Finished(_) => {}
            Outcome::Failed(why) => {
                println!("  no pass-by-pass timings: {why}");
                return Ok(None);
            }
        }
        let passes: Vec<Pass> = serde_json::from_reader(BufReader::new(File::open(&timings)?))
            .with_context(|| format!("{} is not the expected JSON", timings.display()))?;
        if fastest.is_empty() {
            fastest.clone_from(&passes);
        }
        for (fast, pass) in fastest.iter_mut().zip(passes) {
            if pass.seconds < fast.seconds {
                *fast = pass;
            }
        }
    }
    Ok(Some(fastest))
}
