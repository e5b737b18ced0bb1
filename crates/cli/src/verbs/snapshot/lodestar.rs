//! A dump that a Lodestar beacon node takes of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use twinheap_capture::{Out, Sink, Target, Written, follow, lodestar_dump};

use super::names::{Names, Place};
use super::{Entry, finish};
use crate::args::{Global, SnapshotArgs};
use crate::failure::Failure;
use crate::interrupt::STOP;
use crate::output::Output;
use crate::progress::Progress;

/// Options that its REST address has no word for.
fn check(args: &SnapshotArgs) -> Result<(), Failure> {
    let flags = [
        (args.redact, "--redact"),
        (args.pause_free, "--pause-free"),
        (args.expose_internals, "--expose-internals"),
        (args.numeric_values, "--numeric-values"),
        (args.max_pause.is_some(), "--max-pause"),
        (args.every.is_some(), "--every"),
        (args.output.as_deref().is_some_and(|o| o.as_os_str() == "-"), "--output -"),
    ];
    match flags.into_iter().find(|(is_given, _)| *is_given) {
        None => Ok(()),
        Some((_, flag)) => {
            let what = format!(
                "{flag} can't be had from a Lodestar REST address: the node writes the file by itself"
            );
            Err(Failure::new(what).hint("use the node's pid as the target"))
        }
    }
}

pub(super) async fn run(
    args: &SnapshotArgs,
    global: &Global,
    output: &Output,
    progress: &Progress,
) -> anyhow::Result<u8> {
    check(args)?;
    let Target::Lodestar { address, prefix } = &args.target else { return Ok(0) };
    let mut names = Names::new(args)?;
    let default = ["main".to_owned()];
    let threads = if args.thread.is_empty() { &default[..] } else { &args.thread[..] };
    names.begin_round(&args.target, 1, 1, threads.len());
    let folder = folder(args)?;
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    for thread in threads {
        let began = Instant::now();
        output.note(&format!(
            "{thread}: {} writes a snapshot of itself and stands still meanwhile",
            args.target
        ));
        let theirs = lodestar_dump(address, prefix, thread, &folder, &STOP).await?;
        let place = args.output.as_ref().map(|_| names.of(thread, thread == "main"));
        let (file, written) = match fetch(&theirs, place, progress).await? {
            Some((file, written)) => (file, written),
            None => {
                warnings.push(format!(
                    "`{}` is on the node's machine, not on this one: whether it is complete can't be seen from here",
                    theirs.display()
                ));
                (theirs, Written::default())
            }
        };
        progress.clear();
        files.push(Entry {
            thread: thread.clone(),
            file: Some(file),
            bytes: written.bytes,
            json_bytes: written.json_bytes,
            method: "lodestar",
            attempts: None,
            retries: Vec::new(),
            pause_seconds: None,
            predicted_pause_seconds: None,
            took_seconds: began.elapsed().as_secs_f64(),
            redacted: false,
        });
    }
    finish(args, &files, None, &warnings, global, output)
}

/// The folder that the node is asked to write to.
fn folder(args: &SnapshotArgs) -> anyhow::Result<String> {
    if let Some(folder) = &args.dirpath {
        return Ok(folder.clone());
    }
    let folder = match &args.output {
        Some(path) if path.is_dir() => path.as_path(),
        Some(path) => path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        None => Path::new("."),
    };
    // Seen from the node, `.` is another folder.
    let folder = fs::canonicalize(folder).with_context(|| format!("can't find `{}`", folder.display()))?;
    Ok(folder.to_string_lossy().into_owned())
}

/// Waits until the file is complete, and brings it under the name that was asked for; `None` if it is not here.
async fn fetch(
    theirs: &Path,
    place: Option<Place>,
    progress: &Progress,
) -> anyhow::Result<Option<(PathBuf, Written)>> {
    if !theirs.is_absolute() || !theirs.is_file() {
        return Ok(None);
    }
    let expected = fs::metadata(theirs).map_or(0, |m| m.len());
    let mut watch = |bytes| progress.part("reading it", bytes, expected, true);
    let Some(Place::File(ours)) = place else {
        let written = follow(theirs, None, &STOP, &mut watch).await?;
        return Ok(Some((theirs.to_owned(), written)));
    };
    let sink = Sink::open(Out::File(ours.clone()), None).map_err(twinheap_capture::CaptureError::from)?;
    let written = follow(theirs, Some(sink), &STOP, &mut watch).await?;
    // The copy is complete and synced; two files of gigabytes are one too many.
    fs::remove_file(theirs).with_context(|| format!("can't remove `{}`", theirs.display()))?;
    Ok(Some((ours, written)))
}
