//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use twinheap_capture::{Target, TargetError};

use crate::demo::DemoArgs;
use crate::verbs::assert::AssertArgs;
use crate::verbs::convert::ConvertArgs;
use crate::verbs::flamegraph::FlamegraphArgs;
use crate::verbs::leaks::LeaksArgs;
use crate::verbs::open::OpenArgs;
use crate::verbs::report::ReportArgs;
use crate::verbs::serve::ServeArgs;

pub(crate) mod native;

use native::{By, HistogramArgs, NativeSummaryArgs, SelectArgs, TimelineArgs, TreeArgs};

/// Explains the heap of a Node.js process: what fills it, what holds it, what changed.
///
/// Reads V8 heap snapshots (.heapsnapshot, .heaptimeline; summary also .heapprofile) of Node 12 to 26, Deno and
/// Chrome, plain or compressed with gzip or zstd; `-` is standard input. Numbers are those of Chrome DevTools.
/// Native traces are recordings of malloc and free by heaptrack; numbers are those of heaptrack.
#[derive(Debug, Parser)]
#[command(name = "twinheap", version, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print exact bytes instead of kB and MB
    #[arg(long, global = true)]
    pub(crate) bytes: bool,
    /// Use colour; NO_COLOR counts too
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// No progress and no notes, errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: the passes and their times
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Threads to use, 1 or 2; the result is the same
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
    /// Where the program's scripts, source maps and sources are on this machine, if the snapshot is from another
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) source_root: Option<PathBuf>,
    /// Write the times of the passes to this file
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub(crate) timings: Option<PathBuf>,
}

/// When to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If standard output is a terminal.
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// What is in a file: kinds of bytes, classes, sizes; of a native trace, who allocates
    Summary(SummaryArgs),
    /// What changed from snapshot A to the newer snapshot B of the same process, or between two native traces
    Diff(DiffArgs),
    /// The verdict: what leaks, who holds it, which line to look at; from one snapshot or, better, several of one process
    Leaks(LeaksArgs),
    /// For CI: fail if something leaks, or if a class grows faster than it may
    Assert(AssertArgs),
    /// The verdict as one file: Markdown for an issue, a page with pictures, or JSON
    Report(ReportArgs),
    /// List objects: the largest, those of a class, or those whose name contains a text
    Objects(ObjectsArgs),
    /// One object: sizes, who holds it, what it refers to
    Object(ObjectArgs),
    /// Who holds an object
    Retainers(RetainersArgs),
    /// The shortest path from the roots to an object, or to all objects of a class
    Path(PathArgs),
    /// What a node dominates: the bytes that would be freed with it
    Dominators(DominatorsArgs),
    /// Duplicate strings and the largest strings
    Strings(StringsArgs),
    /// Native trace: who allocates and who calls them, as a tree, by function, or by module and package
    Tree(TreeArgs),
    /// Native trace: how many blocks of which size
    Histogram(HistogramArgs),
    /// Native trace: bytes alive, calls, temporary blocks and RSS over time
    Timeline(TimelineArgs),
    /// Write a native trace or profile in the format of another tool
    Convert(ConvertArgs),
    /// Write all nodes with their computed sizes as a table
    Export(ExportArgs),
    /// Draw the stacks of a native trace: a page or picture with zoom and search
    Flamegraph(FlamegraphArgs),
    /// Replace the texts and numbers in a snapshot, so that it can be shared
    Redact(RedactArgs),
    /// List the Node.js processes of this machine, and what is known of their heaps
    Ps(PsArgs),
    /// Take heap snapshots of a live process: of every isolate, or of some threads
    Snapshot(SnapshotArgs),
    /// Start a program and record its native heap: every malloc and free, with stacks; ends with the program's exit code
    Record(RecordArgs),
    /// Take dumps of a live process when asked over HTTP
    Serve(ServeArgs),
    /// Show files in the browser: a local page for snapshots and native traces
    Open(OpenArgs),
    /// Start a leaking sample server, take snapshots while it grows, and find the leak
    Demo(DemoArgs),
}

/// A file of a verb.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// The snapshot; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The filters of DevTools' Summary view.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Count only these nodes
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) filter: Option<FilterKind>,
    /// Count only what was allocated after this snapshot was taken (a file of the same process, or an id)
    #[arg(long, value_name = "FILE|ID", conflicts_with = "filter")]
    pub(crate) newer_than: Option<String>,
    /// Count only what was allocated before this snapshot was taken (a file of the same process, or an id)
    #[arg(long, value_name = "FILE|ID", conflicts_with = "filter")]
    pub(crate) older_than: Option<String>,
    /// Count only what belongs to this native context (realm), by its id; `list` shows them
    #[arg(long, value_name = "ID", conflicts_with_all = ["filter", "newer_than", "older_than"])]
    pub(crate) native_context: Option<String>,
}

impl FilterArgs {
    /// An option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.filter.is_some(), "--filter"),
            (self.newer_than.is_some(), "--newer-than"),
            (self.older_than.is_some(), "--older-than"),
            (self.native_context.is_some(), "--native-context"),
        ];
        all.iter().find(|(is_given, _)| *is_given).map(|(_, name)| *name)
    }
}

/// A filter without a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilterKind {
    /// Strings whose text is there more than once
    DuplicatedStrings,
    /// What only detached nodes hold
    Detached,
    /// What only the variables of closures hold
    Contexts,
    /// What only the DevTools console holds
    Console,
    /// What only event handlers hold
    EventHandlers,
    /// What several native contexts share
    SharedContexts,
    /// What belongs to no native context
    NoContext,
}

#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Rows to print: 30 classes if not given, or 10 call sites of each kind; JSON has all classes, and of each kind
    /// 100 stacks or N
    #[arg(short = 'n', long, value_name = "N", alias = "peak-limit")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) native: NativeSummaryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older snapshot or native trace
    #[arg(value_name = "A")]
    pub(crate) base: PathBuf,
    /// The newer snapshot or native trace
    #[arg(value_name = "B")]
    pub(crate) new: PathBuf,
    /// Trust the object ids, or don't, whatever they look like
    #[arg(long, value_name = "BOOL")]
    pub(crate) by_id: Option<bool>,
    /// Rows to print, 30 if not given; JSON has all classes, and of native traces N or 1000 stacks
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Native traces: what counts [default: peak]
    #[arg(long, value_enum, value_name = "COST")]
    pub(crate) by: Option<By>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ObjectsArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Objects of this class: its name, or its key as `summary --json` has it
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Objects whose name contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Which come first
    #[arg(long, value_enum, value_name = "BY", default_value = "retained")]
    pub(crate) sort: Sort,
    /// Objects to list
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) limit: usize,
}

/// An order of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Largest retained size first
    Retained,
    /// Largest shallow size first
    Shallow,
    /// Nearest to the roots first
    Distance,
    /// Oldest first
    Id,
}

/// An object of a file.
#[derive(Debug, Args)]
pub(crate) struct Object {
    #[command(flatten)]
    pub(crate) file: File,
    /// The object's id, with or without `@`
    #[arg(value_name = "ID", value_parser = parse_id)]
    pub(crate) id: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    #[command(flatten)]
    pub(crate) object: Object,
    /// Edges to print; JSON has all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RetainersArgs {
    #[command(flatten)]
    pub(crate) object: Object,
    /// How many levels to go up: at each, the nearest retainer is opened
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) depth: u32,
    /// Retainers to list at each level
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct PathArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// The object's id, with or without `@`
    #[arg(value_name = "ID", value_parser = parse_id, required_unless_present = "merge")]
    pub(crate) id: Option<u64>,
    /// Paths to all objects of this class (name or key) as one tree
    #[arg(long, value_name = "CLASS", conflicts_with = "id")]
    pub(crate) merge: Option<String>,
    /// Find a path around this object; may be given several times
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(crate) ignore: Vec<u64>,
    /// Lines of the merged tree to print; JSON has all
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct DominatorsArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// The node to look below, with or without `@`; the root if left out
    #[arg(value_name = "ID", value_parser = parse_id)]
    pub(crate) id: Option<u64>,
    /// Group what it dominates by class
    #[arg(long)]
    pub(crate) group: bool,
    /// Rows to list
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct StringsArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Rows to list of either kind
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Where to write the table of nodes (TSV); `-` is standard output
    #[arg(long, value_name = "F.tsv")]
    pub(crate) nodes: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RedactArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Where to write the redacted snapshot, compressed if it ends in .zst or .gz; `-` is standard output
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Replace equal texts equally in all files redacted with this salt; random if left out
    #[arg(long, value_name = "TEXT")]
    pub(crate) salt: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Only these processes; they are asked for their isolates, for which their inspector opens for a moment
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pids: Vec<u32>,
    /// Ask all processes for their isolates; without this, only those are asked whose inspector is open anyway
    #[arg(long)]
    pub(crate) attach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// A pid, host:port of an inspector, ws://host:port/id, or http://host:port of a Lodestar REST API
    #[arg(value_name = "TARGET", value_parser = parse_target)]
    pub(crate) target: Target,
    /// A file, a folder, or `-` for standard output; a name ending in .zst is compressed [default: heap-PID-TIME-THREAD.heapsnapshot.zst]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only this thread: `main`, or a worker's name as `ps` shows it; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) thread: Vec<String>,
    /// Let a forked copy write the snapshot while the process goes on
    #[arg(long)]
    pub(crate) pause_free: bool,
    /// If no copy succeeds, let the process itself write it
    #[arg(long, requires = "pause_free")]
    pub(crate) fallback: bool,
    /// Replace the values of strings and numbers before anything is stored
    #[arg(long)]
    pub(crate) redact: bool,
    /// Replace equal values equally in all snapshots with this salt; random for each run if left out
    #[arg(long, value_name = "TEXT", requires = "redact")]
    pub(crate) salt: Option<String>,
    /// Include V8's own objects (Node.js 20 and newer)
    #[arg(long)]
    pub(crate) expose_internals: bool,
    /// Include the values of numbers (Node.js 20 and newer)
    #[arg(long)]
    pub(crate) numeric_values: bool,
    /// Take a series: the next one so long after the last one began, such as 30s or 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "count")]
    pub(crate) every: Option<Duration>,
    /// How many of the series
    #[arg(long, value_name = "N", requires = "every", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    /// Refuse if a thread would stand still for longer
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) max_pause: Option<Duration>,
    /// Do it although memory, disk or time are too short, or it can't be told who handles SIGUSR1
    #[arg(long)]
    pub(crate) force: bool,
    /// How long the process may take to open its inspector
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "15s")]
    pub(crate) timeout: Duration,
    /// Lodestar only: the folder on the node's machine to write to [default: that of --output]
    #[arg(long, value_name = "DIR")]
    pub(crate) dirpath: Option<String>,
}

fn parse_target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error: TargetError| format!("{error}; {}", error.hint()))
}

fn parse_id(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    digits.parse().map_err(|_| format!("`{text}` is no object id; ids look like 1234 or @1234"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn ids_are_taken_as_devtools_shows_them() {
        assert_eq!(parse_id("@17"), Ok(17));
        assert_eq!(parse_id("17"), Ok(17));
        assert!(parse_id("@@17").is_err());
    }
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The program and its arguments; `--` in front of them is optional
    #[arg(value_name = "CMD", required_unless_present_any = HeaptrackArgs::WITHOUT_COMMAND, trailing_var_arg = true,
          allow_hyphen_values = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
    /// The file; %p becomes the process's number, %h the machine's name [default: twinheap.PROGRAM.PID.heaptrace]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Record a sample of allocations only, one in so many bytes on average, such as 512K: for production. All numbers
    /// are estimates then, with their errors
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) sample: Option<u64>,
    /// Only count blocks that live for less than this, such as 100ms
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) min_lifetime: Option<Duration>,
    /// Leave events and child processes out, and count them, when twinheap or the disk is too slow for them; otherwise
    /// the program waits
    #[arg(long)]
    pub(crate) drop: bool,
    /// Record child processes too, each into a file of its own
    #[arg(long)]
    pub(crate) follow: bool,
    /// Stop recording after this time; the program runs on
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// No names for JavaScript functions
    #[arg(long, conflicts_with = "js_names")]
    pub(crate) no_js_names: bool,
    /// When the program exits, stop it for a moment and look which of its blocks nothing points to any more
    #[arg(long, conflicts_with_all = ["sample", "drop"])]
    pub(crate) leak_check: bool,
    /// Where the names of JavaScript functions come from
    #[arg(long, value_name = "HOW", value_enum, default_value_t = JsNamesArg::Auto)]
    pub(crate) js_names: JsNamesArg,
    /// Frames of a stack at most
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) frames: u32,
    /// A folder with files of debug information; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) debug_path: Vec<PathBuf>,
    /// The folder that is the program's /
    #[arg(long, value_name = "DIR")]
    pub(crate) sysroot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) heaptrack: HeaptrackArgs,
}

/// Options of `heaptrack` that `twinheap record` has not: whoever is used to them is told what to do instead.
#[derive(Debug, Args)]
pub(crate) struct HeaptrackArgs {
    #[arg(short, long, hide = true, value_name = "PID")]
    pid: Option<String>,
    #[arg(short, long, hide = true, value_name = "FILE", num_args = 0..=1)]
    analyze: Option<Option<PathBuf>>,
    #[arg(short, long, hide = true, value_name = "FILE", num_args = 0..=1)]
    interpret: Option<Option<PathBuf>>,
    #[arg(short, long, hide = true)]
    raw: bool,
    #[arg(short, long, hide = true)]
    debug: bool,
    #[arg(long, hide = true)]
    use_inject: bool,
    #[arg(long, hide = true)]
    asan: bool,
    /// No other way is known here: nothing to say.
    #[arg(long, hide = true)]
    record_only: bool,
}

impl HeaptrackArgs {
    const WITHOUT_COMMAND: [&str; 3] = ["pid", "analyze", "interpret"];

    /// An option that was given, why there is none such, and what to do instead.
    pub(crate) fn given(&self) -> Option<(&'static str, &'static str, String)> {
        let file = |given: &Option<Option<PathBuf>>| {
            let file =
                given.as_ref()?.as_ref().map_or_else(|| "FILE".into(), |file| file.display().to_string());
            Some(format!(
                "`twinheap summary {file}` shows what is in it, `twinheap flamegraph {file}` draws it"
            ))
        };
        if let Some(pid) = &self.pid {
            let hint = format!(
                "start it with `twinheap record -- CMD`; of Node.js, `twinheap snapshot {pid}` takes the JavaScript heap"
            );
            return Some(("--pid", "a process can be recorded from its start only", hint));
        }
        if let Some(hint) = file(&self.analyze) {
            return Some(("--analyze", "recordings are looked at by other verbs", hint));
        }
        if let Some(hint) = file(&self.interpret) {
            return Some((
                "--interpret",
                "recordings have their names already, and raw ones of heaptrack are read too",
                hint,
            ));
        }
        [
            (self.raw, "--raw", "names are looked up when the program ends", "leave the option out"),
            (self.debug, "--debug", "twinheap starts no debugger", "attach one: `gdb -p PID`"),
            (
                self.use_inject,
                "--use-inject",
                "functions are hooked by the dynamic linker only",
                "leave the option out",
            ),
            (
                self.asan,
                "--asan",
                "a program with AddressSanitizer has a malloc of its own that must come first",
                "build the program without it",
            ),
        ]
        .into_iter()
        .find(|(is_given, ..)| *is_given)
        .map(|(_, option, why, hint)| (option, why, hint.to_owned()))
    }
}

/// Where the names of JavaScript functions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum JsNamesArg {
    /// From their frames if the program is a Node.js that is known, and from V8's options otherwise
    Auto,
    /// From their frames: exact lines, and no cost for the program
    Frames,
    /// From V8 by --perf-basic-prof and --interpreted-frames-native-stack, at some cost
    Flags,
}

/// Bytes, with K, M or G for powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let scale: u64 = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        unit => return Err(format!("there is no unit `{unit}`; K, M and G are known")),
    };
    let value: u64 = number.parse().map_err(|_| "this is no whole number of bytes".to_owned())?;
    value.checked_mul(scale).filter(|bytes| *bytes > 0).ok_or_else(|| "this is no size".to_owned())
}
