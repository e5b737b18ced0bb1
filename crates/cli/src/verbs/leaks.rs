//! `twinheap leaks`.

use std::path::PathBuf;

use clap::Args;
use twinheap_jsheap::Work;
use twinheap_jsheap::leaks::{Findings, Ladder, Scene, Verdict};
use twinheap_report::{Describer, LeaksView, leaks_json, leaks_text};

use crate::args::Global;
use crate::failure::{DAMAGED, Failure};
use crate::load::{LoadedHeap, load};
use crate::output::Output;
use crate::progress::Progress;

/// There is a leak, and the caller wanted to know.
const FOUND: u8 = 1;

/// Arguments of `leaks`.
#[derive(Debug, Args)]
pub(crate) struct LeaksArgs {
    /// Heap snapshots of one process, oldest first. One shows what is large; two what grew; three and more, some
    /// time apart, whether it goes on growing
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// End with exit code 1 if there is a leak
    #[arg(long)]
    pub(crate) fail_on_leak: bool,
    /// Suspects to print; JSON has all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
}

pub(crate) fn run(args: &LeaksArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    if args.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        let what = "can't read several dumps from standard input: it can be read only once";
        return Err(Failure::new(what).hint("give at most one of them as `-`").into());
    }
    let progress = Progress::new(global);
    let (findings, newest, notes) = climb(&args.files, global, &progress)?;
    progress.finish(global, output)?;

    let warnings: Vec<String> = notes.warnings.iter().chain(&findings.warnings).cloned().collect();
    let view = LeaksView { findings: &findings, files: &notes.files, warnings: &warnings };
    let describer = Describer::new(&newest.heap);
    if global.json {
        output.json(&leaks_json(&describer, &view))?;
    } else {
        output.text(&leaks_text(&describer, &view, &output.style, args.limit))?;
    }
    for warning in &warnings {
        output.warning(warning);
    }
    Ok(match findings.verdict {
        _ if notes.is_damaged => DAMAGED,
        Verdict::Leak if args.fail_on_leak => FOUND,
        _ => 0,
    })
}

/// What there is to say about the files of a ladder.
pub(crate) struct LadderNotes {
    pub(crate) files: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) is_damaged: bool,
}

/// Reads dumps, oldest first, and judges them. Of the heaps only the newest is kept; each of the others is reduced to
/// its sums before the next is read.
pub(crate) fn climb(
    files: &[PathBuf],
    global: &Global,
    progress: &Progress,
) -> anyhow::Result<(Findings, LoadedHeap, LadderNotes)> {
    let mut notes = LadderNotes { files: Vec::new(), warnings: Vec::new(), is_damaged: false };
    let mut ladder = Ladder::new();
    let Some((last, earlier)) = files.split_last() else {
        return Err(Failure::new("no dump was given").into());
    };
    for file in earlier {
        let loaded = load(file, global, progress)?;
        notes.add(&loaded);
        progress.pass("paths and sums", work(&loaded), || ladder.add(&Scene::new(&loaded.heap)));
    }
    let newest = load(last, global, progress)?;
    notes.add(&newest);
    let findings = progress.pass("verdict", work(&newest), || ladder.finish(&Scene::new(&newest.heap)));
    Ok((findings, newest, notes))
}

fn work(loaded: &LoadedHeap) -> Work {
    let (nodes, edges) = (loaded.heap.snapshot.node_count() as u64, loaded.heap.snapshot.edge_count() as u64);
    Work { nodes, edges, bytes: 4 * edges + 60 * nodes }
}

impl LadderNotes {
    fn add(&mut self, loaded: &LoadedHeap) {
        let notes = &loaded.notes;
        self.files.push(notes.file.clone());
        self.warnings.extend(notes.warnings.iter().map(|warning| format!("{}: {warning}", notes.file)));
        self.is_damaged |= notes.is_damaged;
    }
}
