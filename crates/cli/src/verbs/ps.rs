//! `twinheap ps`.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use twinheap_capture::process::{self, Listing, NodeProcess};
use twinheap_capture::{Isolate, Session, Target};
use twinheap_report::{Align, SCHEMA_VERSION, Table, clean};

use crate::args::{Global, PsArgs};
use crate::interrupt::STOP;
use crate::live::{block_on, close, open_options};
use crate::output::Output;

/// How long a process may take to open its inspector: a list should not take longer than its reader's patience.
const PATIENCE: Duration = Duration::from_secs(5);
/// Characters of a command line that are shown in the table.
const COMMAND_WIDTH: usize = 60;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    processes: Vec<Entry<'a>>,
    /// Processes of other users that look like Node and can't be looked into.
    hidden: usize,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Entry<'a> {
    pid: u32,
    version: Option<&'a str>,
    command: &'a str,
    rss_bytes: u64,
    /// Resident bytes of the pages of all isolates; absent where the kernel doesn't show them.
    v8_bytes: Option<u64>,
    threads: u32,
    uid: u32,
    started_seconds_after_boot: f64,
    inspector_open: bool,
    /// Absent if the process was not asked.
    isolates: Option<Vec<IsolateEntry<'a>>>,
}

#[derive(Serialize)]
struct IsolateEntry<'a> {
    thread: &'a str,
    title: &'a str,
    heap_used_bytes: Option<u64>,
    heap_total_bytes: Option<u64>,
    external_bytes: Option<u64>,
}

/// A process and what it answered.
struct Asked {
    process: NodeProcess,
    is_open: bool,
    isolates: Option<Vec<Isolate>>,
}

pub(crate) fn run(args: &PsArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let listing = if args.pids.is_empty() {
        process::node_processes().context("can't list the processes of this machine")?
    } else {
        let processes = args.pids.iter().map(|&pid| process::inspect(pid)).collect::<Result<_, _>>();
        Listing { processes: processes.map_err(twinheap_capture::CaptureError::from)?, hidden: 0 }
    };
    let mut warnings = Vec::new();
    let asked = block_on(ask(listing.processes, args, &mut warnings, output))?;
    if global.json {
        output.json(&document(&asked, listing.hidden, &warnings))?;
    } else {
        output.text(&text(&asked, output))?;
        if listing.hidden > 0 {
            output.note(&format!(
                "{} more belong to other users and can't be looked into; run as root to see them",
                listing.hidden
            ));
        }
        if asked.iter().any(|a| a.isolates.is_none()) {
            output.note("isolates are listed for processes whose inspector is open; `ps PID` or `ps --attach` opens it for a moment");
        }
    }
    for warning in &warnings {
        output.warning(warning);
    }
    Ok(0)
}

/// Asks those that may be asked for their isolates.
async fn ask(
    processes: Vec<NodeProcess>,
    args: &PsArgs,
    warnings: &mut Vec<String>,
    output: &Output,
) -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for process in processes {
        let pid = process.pid;
        let mut isolates = None;
        // One that is only listed gets no signal, also if what looks like its inspector is something else.
        let mut session = Session::open_if_listening(pid, &STOP).await.transpose();
        let is_open = session.is_some();
        if session.is_none() && (args.attach || !args.pids.is_empty()) {
            let options = open_options(PATIENCE, false, &STOP);
            session = Some(Session::open(&Target::Pid(pid), &options).await);
        }
        if let Some(session) = session {
            match session {
                Ok(mut session) => {
                    let result = session.isolates().await;
                    close(session, output).await;
                    match result {
                        Ok(found) => isolates = Some(found),
                        Err(error) if error.is_interruption() => return Err(error.into()),
                        Err(error) => warnings.push(format!("process {pid}: {error}")),
                    }
                }
                Err(error) if error.is_interruption() => return Err(error.into()),
                Err(error) => warnings.push(error.to_string()),
            }
        }
        asked.push(Asked { process, is_open, isolates });
    }
    Ok(asked)
}

fn document<'a>(asked: &'a [Asked], hidden: usize, warnings: &'a [String]) -> Document<'a> {
    let isolate = |i: &'a Isolate| IsolateEntry {
        thread: &i.thread,
        title: &i.title,
        heap_used_bytes: i.heap.map(|h| h.used_bytes),
        heap_total_bytes: i.heap.map(|h| h.total_bytes),
        external_bytes: i.heap.and_then(|h| h.external_bytes),
    };
    let entry = |a: &'a Asked| Entry {
        pid: a.process.pid,
        version: a.process.version.as_deref(),
        command: &a.process.command,
        rss_bytes: a.process.rss_bytes,
        v8_bytes: a.process.v8_bytes,
        threads: a.process.threads,
        uid: a.process.uid,
        started_seconds_after_boot: a.process.started.as_secs_f64(),
        inspector_open: a.is_open,
        isolates: a.isolates.as_ref().map(|list| list.iter().map(isolate).collect()),
    };
    let processes = asked.iter().map(entry).collect();
    Document { schema_version: SCHEMA_VERSION, kind: "processes", processes, hidden, warnings }
}

fn text(asked: &[Asked], output: &Output) -> String {
    if asked.is_empty() {
        return "No Node.js process runs here.\n".to_owned();
    }
    let style = &output.style;
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |b| style.size(b));
    let mut table = Table::new(&[
        ("PID", Align::Right),
        ("Node.js", Align::Left),
        ("RSS", Align::Right),
        ("V8", Align::Right),
        ("Heap used", Align::Right),
        ("Heap total", Align::Right),
        ("External", Align::Right),
        ("Inspector", Align::Left),
        ("Command or thread", Align::Left),
    ]);
    for Asked { process, is_open, isolates } in asked {
        let sum = |of: fn(&Isolate) -> Option<u64>| {
            let list = isolates.as_ref()?;
            Some(list.iter().filter_map(of).sum())
        };
        table.row(vec![
            process.pid.to_string(),
            process.version.clone().unwrap_or_else(|| "?".to_owned()),
            style.size(process.rss_bytes),
            size(process.v8_bytes),
            sum(|i| i.heap.map(|h| h.used_bytes)).map_or_else(String::new, |b| style.size(b)),
            sum(|i| i.heap.map(|h| h.total_bytes)).map_or_else(String::new, |b| style.size(b)),
            sum(|i| i.heap.and_then(|h| h.external_bytes)).map_or_else(String::new, |b| style.size(b)),
            if *is_open { "open" } else { "closed" }.to_owned(),
            clean(&process.command, COMMAND_WIDTH),
        ]);
        let Some(isolates) = isolates else { continue };
        for (at, isolate) in isolates.iter().enumerate() {
            let branch = if at + 1 == isolates.len() { "└" } else { "├" };
            table.row(vec![
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                size(isolate.heap.map(|h| h.used_bytes)),
                size(isolate.heap.map(|h| h.total_bytes)),
                isolate.heap.and_then(|h| h.external_bytes).map_or_else(String::new, |b| style.size(b)),
                String::new(),
                format!("{branch} {}", clean(&isolate.thread, COMMAND_WIDTH)),
            ]);
        }
    }
    table.render(style)
}
