//! `twinheap record`.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

use twinheap_capture::record::{JsNames, RecordOptions, RecordProgress, Recorded, TOO_MANY, Wish, record};

use crate::args::{Global, JsNamesArg, RecordArgs};
use crate::failure::{Failure, check_target};
use crate::interrupt::{Cooperative, STOP, Termination};
use crate::output::Output;
use crate::progress::Progress;

/// zstd's level, the fastest of the usual ones: events hardly repeat themselves, and higher levels only search longer.
const LEVEL: i32 = 1;
/// Seconds that a program gets to end after Ctrl-C, which it was sent too.
const PATIENCE: u64 = 10;
/// An exit code for a program that ended and has none.
const FAILED: u8 = 1;
/// Modules without names that are told of.
const PROBLEMS: usize = 3;
/// Processes that are told of one by one, if there is nothing wrong with the others.
const PROCESSES: usize = 8;

pub(crate) fn run(args: &RecordArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    if let Some((option, why, hint)) = args.heaptrack.given() {
        return Err(Failure::new(format!("`{option}` is an option of heaptrack: {why}")).hint(hint).into());
    }
    let path = args.output.clone().unwrap_or_else(|| default_name(&args.command[0]));
    if path.as_os_str() == "-" {
        let failure =
            Failure::new("a recording can't be written to standard output: the program writes there");
        return Err(failure.hint("name a file with -o").into());
    }
    check_target(&path)?;
    let options = RecordOptions {
        output: path,
        sample: args.sample,
        min_lifetime: args.min_lifetime,
        drop: args.drop,
        follow: args.follow,
        frames: args.frames,
        duration: args.duration,
        leak_check: args.leak_check,
        js_names: match args.js_names {
            _ if args.no_js_names => JsNames::None,
            JsNamesArg::Auto => JsNames::Auto,
            JsNamesArg::Frames => JsNames::Frames,
            JsNamesArg::Flags => JsNames::Options,
        },
        level: LEVEL,
        debug_paths: args.debug_path.clone(),
        sysroot: args.sysroot.clone(),
    };
    let progress = Progress::new(global);
    // Ctrl-C goes to the program too, and SIGTERM is handed on: its end is the end of the recording.
    let _cooperative = Cooperative::new();
    let termination = Termination::watch()
        .map_err(|error| Failure::new(format!("can't wait for signals: {error}")).hint(TOO_MANY))?;
    let interrupted = std::cell::Cell::new(None::<Instant>);
    let wish = || {
        let is_terminated = termination.has_come();
        if (is_terminated || STOP.load(Ordering::SeqCst)) && interrupted.get().is_none() {
            interrupted.set(Some(Instant::now()));
            output.note("waiting for the program to end; it was interrupted too");
        }
        match interrupted.get() {
            Some(since) if since.elapsed().as_secs() >= PATIENCE => Wish::Stop,
            _ if is_terminated => Wish::EndProgram,
            _ => Wish::GoOn,
        }
    };
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    let recordings = record(command, &options, &mut |_| {}, &wish, &mut |state| show(&progress, state))?;
    progress.finish(global, output)?;
    tell_all(&recordings.all, output);
    if recordings.bystanders > 0 {
        let count = recordings.bystanders;
        let words = if count == 1 { "1 child process was" } else { &format!("{count} child processes were") };
        output.note(&format!("{words} not recorded; --follow records children too"));
    }
    if recordings.missed > 0 {
        let count = recordings.missed;
        let words = if count == 1 { "1 process is" } else { &format!("{count} processes are") };
        let why = "twinheap was too busy to take it in, or its address space has no room for the recorder";
        output.warning(&format!("{words} missing: {why}"));
    }
    Ok(exit_code(recordings.all.first().and_then(|recording| recording.status)))
}

/// The program's, so that whoever runs it recorded sees what he would see otherwise, as with heaptrack; of a program that
/// a signal ended, what a shell makes of it; 0 for one that still runs.
fn exit_code(status: Option<std::process::ExitStatus>) -> u8 {
    let Some(status) = status else { return 0 };
    let signalled = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

/// Nothing is shown while the program runs: the terminal is its own.
fn show(progress: &Progress, state: RecordProgress) {
    if state.is_naming {
        progress.busy("finding the names of functions");
    }
}

fn tell_all(recordings: &[Recorded], output: &Output) {
    let (mut others, mut allocations, mut bytes) = (0, 0, 0);
    for (at, recording) in recordings.iter().enumerate() {
        let is_special = recording.losses.has_dropped() || recording.leak_check_failed.is_some();
        if at < PROCESSES || is_special {
            tell(recording, output);
        } else {
            others += 1;
            allocations += recording.allocations;
            bytes += recording.bytes;
        }
    }
    if others > 0 {
        output.note(&format!(
            "recorded {} allocations of {} in files beside ({})",
            indicatif::HumanCount(allocations),
            if others == 1 { "one more process".to_owned() } else { format!("{others} more processes") },
            indicatif::DecimalBytes(bytes)
        ));
    }
}

fn tell(recording: &Recorded, output: &Output) {
    let Recorded {
        path,
        pid,
        bytes,
        allocations,
        losses,
        leak_check_failed,
        named,
        fetched,
        problems,
        allocators,
        status,
    } = recording;
    output.note(&format!(
        "recorded {} allocations of process {pid} in `{}` ({})",
        indicatif::HumanCount(*allocations),
        path.display(),
        indicatif::DecimalBytes(*bytes)
    ));
    if let Some(status) = status.filter(|status| !status.success()) {
        output.note(&format!("the program ended with {status}"));
    }
    if named.generated > 0 {
        output.note(&format!(
            "named {} of {} places in generated code, {} of {} in libraries and executables",
            named.generated_named, named.generated, named.native_named, named.native
        ));
    }
    if losses.has_dropped() {
        output.warning(&format!(
            "{} allocations ({}) and {} frees are missing: there was no room to record them at that moment",
            losses.dropped_allocations,
            indicatif::DecimalBytes(losses.dropped_bytes),
            losses.dropped_frees
        ));
    }
    if let Some(reason) = leak_check_failed {
        output.warning(&format!("nobody looked for lost blocks: {reason}"));
    }
    if let Some(fetched) = fetched {
        output.note(fetched);
    }
    for allocator in allocators.iter().filter(|allocator| allocator.hooked.is_empty()).take(PROBLEMS) {
        let reason = allocator.reason.as_deref().unwrap_or("its functions can't be hooked safely");
        output.note(&format!(
            "`{}` has {} inside, whose blocks are not recorded one by one: {reason}",
            allocator.module, allocator.name
        ));
    }
    for problem in problems.iter().take(PROBLEMS) {
        output.note(&format!("without names: {problem}"));
    }
    if problems.len() > PROBLEMS {
        output.note(&format!("and {} modules more", problems.len() - PROBLEMS));
    }
    output.note(&format!("look at it with: twinheap summary {}", path.display()));
}

/// As heaptrack names its files.
fn default_name(program: &std::ffi::OsStr) -> PathBuf {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    PathBuf::from(format!("twinheap.{}.%p.heaptrace", name.replace('%', "%%")))
}
