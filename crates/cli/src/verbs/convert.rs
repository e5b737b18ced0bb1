//! `twinheap convert`.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use twinheap_capture::PartFile;
use twinheap_jsheap::Work;
use twinheap_native::{NativeHeap, Suppressions, profile};
use twinheap_trace::{
    CostType, ExportError, ExportFormat, MASSIF_THRESHOLD, Profile, Trace, heaptrack_losses, write_dhat,
    write_folded, write_heaptrack, write_massif, write_pprof, write_speedscope,
};

use crate::args::Global;
use crate::args::native::parse_time;
use crate::failure::{Failure, check_target};
use crate::load::{Loaded, Notes, load_any};
use crate::output::Output;
use crate::progress::Progress;
use crate::sink::Sink;

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// A native trace or profile: of heaptrack, massif, DHAT, gperftools, jemalloc, pprof, or folded stacks; `-` is
    /// standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Where to write; `-` is standard output. The name tells the format: NAME.zst or NAME.gz is heaptrack's,
    /// massif.out.NAME, NAME.pb.gz, NAME.folded, NAME.speedscope.json, NAME.dhat.json. What ends in .zst or .gz is
    /// compressed
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// The format, if the name of OUT does not tell
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Which cost folded stacks have [default: the first of those listed that is known]
    #[arg(long, value_enum, value_name = "COST")]
    pub(crate) by: Option<By>,
    /// Only what happened from this time on: seconds since the recording began, or with a unit, such as 250ms or 2m
    #[arg(long, value_name = "TIME", value_parser = parse_time_not_format)]
    pub(crate) from: Option<u64>,
    /// Only what happened up to this time, itself not included
    #[arg(long, value_name = "TIME", value_parser = parse_time_not_format)]
    pub(crate) to: Option<u64>,
}

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// heaptrack's data file, version 3, for heaptrack_gui and heaptrack_print
    Heaptrack,
    /// valgrind's massif, for ms_print and massif-visualizer
    Massif,
    /// pprof's profile.proto, gzipped
    Pprof,
    /// Folded stacks, for flame graphs
    Folded,
    /// speedscope's JSON
    Speedscope,
    /// valgrind's DHAT, for dh_view.html
    Dhat,
}

impl Format {
    fn exported(self) -> ExportFormat {
        match self {
            Format::Heaptrack => ExportFormat::Heaptrack,
            Format::Massif => ExportFormat::Massif,
            Format::Pprof => ExportFormat::Pprof,
            Format::Folded => ExportFormat::Folded,
            Format::Speedscope => ExportFormat::Speedscope,
            Format::Dhat => ExportFormat::Dhat,
        }
    }

    /// The format that a file name asks for.
    fn of_name(target: &Path) -> Option<Format> {
        let name = target.file_name()?.to_str()?.to_ascii_lowercase();
        let is_compressed = name.ends_with(".gz") || name.ends_with(".zst");
        let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let ends = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
        if ends(&[".pb", ".pprof"]) {
            Some(Format::Pprof)
        } else if ends(&[".speedscope.json", ".speedscope"]) {
            Some(Format::Speedscope)
        } else if ends(&[".dhat", ".dhat.json"]) || plain.starts_with("dhat.out") || plain == "dhat-heap.json"
        {
            Some(Format::Dhat)
        } else if ends(&[".folded", ".collapsed", ".stacks"]) {
            Some(Format::Folded)
        } else if ends(&[".massif"]) || plain.starts_with("massif.out") {
            Some(Format::Massif)
        } else if is_compressed || ends(&[".heaptrack"]) || plain.starts_with("heaptrack.") {
            Some(Format::Heaptrack)
        } else {
            None
        }
    }
}

/// A cost of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Bytes alive at the peak
    Peak,
    /// Bytes not freed
    Leaked,
    /// Calls
    Allocations,
    /// Bytes allocated
    Bytes,
    /// Calls whose block was freed at once
    Temporary,
    /// The number of a file of folded stacks
    Weight,
}

impl By {
    fn cost(self) -> CostType {
        match self {
            By::Peak => CostType::PeakBytes,
            By::Leaked => CostType::LiveBytes,
            By::Allocations => CostType::Allocations,
            By::Bytes => CostType::AllocatedBytes,
            By::Temporary => CostType::Temporary,
            By::Weight => CostType::Weight,
        }
    }
}

/// As [`parse_time`]; whoever gives a format in its place is told so.
fn parse_time_not_format(text: &str) -> Result<u64, String> {
    if Format::from_str(text, true).is_ok() {
        return Err(format!("`{text}` is a format and no time; use --format {text}"));
    }
    parse_time(text)
}

/// What there is to write.
enum Source {
    /// Boxed: the columns' headers alone are large.
    Trace(Box<Trace>, Option<Range<u64>>),
    Profile(Box<Profile>),
}

pub(crate) fn run(args: &ConvertArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let target = &args.out;
    let to_stdout = target.as_os_str() == "-";
    let Some(format) = args.format.or_else(|| Format::of_name(target)) else {
        let what = match to_stdout {
            true => "can't tell which format to write to standard output".to_owned(),
            false => format!("can't tell the format from the name `{}`", target.display()),
        };
        let names: Vec<&str> = ExportFormat::ALL.iter().map(|format| format.name()).collect();
        return Err(Failure::new(what)
            .hint(format!("give --format with one of {}", names.join(", ")))
            .into());
    };
    // What can't be written is noticed before the work.
    if !to_stdout {
        check_target(target)?;
    }
    let progress = Progress::new(global);
    let Input { source, notes, suppressed } = load_source(args, format, &progress, global)?;
    let by = cost_to_write(args, format, &source)?;
    progress.finish(global, output)?;
    let mut losses = match &source {
        Source::Trace(trace, _) => heaptrack_losses(trace),
        Source::Profile(profile) => format.exported().losses(profile, by),
    };
    if suppressed != 0 {
        let size = output.style.size(suppressed.unsigned_abs());
        losses.push(format!("{size} of suppressed leaks are not among what is leaked"));
    }
    if to_stdout {
        let mut sink = Sink::plain(io::stdout().lock());
        write(&source, format, by, &notes, &mut sink)
            .and_then(|()| Ok(sink.finish()?))
            .map_err(|error| explain(error, "can't write to standard output"))?;
    } else {
        let context = format!("can't write `{}`", target.display());
        write_file(target, format, |sink| write(&source, format, by, &notes, sink))
            .map_err(|error| explain(error, &context))?;
    }
    for lost in losses {
        output.note(&format!("{}: {lost}", notes.file));
    }
    Ok(notes.conclude(output))
}

struct Input {
    source: Source,
    notes: Notes,
    /// Bytes of leaks that are suppressed, and not in the costs.
    suppressed: i64,
}

/// An error of writing is one of the target; one of the content explains itself.
fn explain(error: ExportError, context: &str) -> anyhow::Error {
    match error {
        ExportError::Io(error) => anyhow::Error::new(error).context(context.to_owned()),
        ExportError::Json(error) => anyhow::Error::new(error).context(context.to_owned()),
        error => Failure::new(error.to_string())
            .hint("`twinheap summary FILE` shows what is in the file; a native trace has all costs")
            .into(),
    }
}

fn load_source(
    args: &ConvertArgs,
    format: Format,
    progress: &Progress,
    global: &Global,
) -> anyhow::Result<Input> {
    let whole = |source, notes| Ok(Input { source, notes, suppressed: 0 });
    let has_range = args.from.is_some() || args.to.is_some();
    let range = || args.from.unwrap_or(0)..args.to.unwrap_or(u64::MAX);
    match load_any(&args.input, global, progress)? {
        Loaded::Native(trace, notes) => {
            let range = has_range.then(range);
            if format == Format::Heaptrack {
                return whole(Source::Trace(trace, range), notes);
            }
            let (events, size) = (trace.events.len(), trace.events.size());
            let work = Work { nodes: 0, edges: 0, bytes: size };
            let heap = progress.pass("stacks", work, || NativeHeap::new(*trace));
            let suppressions = Suppressions::built_in().embedded(&heap.trace, false);
            // The events are gone through three times: to the peak, for the costs, and along the time.
            let work = Work { nodes: events, edges: 0, bytes: 3 * size };
            let profile = progress.pass("costs", work, || {
                let costs = heap.costs(range.as_ref(), &suppressions);
                profile(&heap, &costs, range.as_ref()).map(|profile| (profile, costs.total.suppressed))
            });
            let (profile, suppressed) = profile.map_err(|_| {
                Failure::new(format!("`{}` has more stacks than can be numbered", notes.file))
            })?;
            Ok(Input { source: Source::Profile(Box::new(profile)), notes, suppressed })
        }
        Loaded::Profile(_, notes) if has_range => {
            let what =
                format!("`{}` has no times of allocations, so --from and --to can't choose", notes.file);
            Err(Failure::new(what).hint("leave them out, or convert a native trace").into())
        }
        Loaded::Profile(_, notes) if format == Format::Heaptrack => {
            let what = format!(
                "heaptrack's format holds every call, and `{}` has only what stacks cost",
                notes.file
            );
            Err(Failure::new(what).hint("pprof, folded and speedscope hold costs of stacks").into())
        }
        Loaded::Profile(profile, notes) => whole(Source::Profile(profile), notes),
        Loaded::Heap(loaded) => Err(not_native(&loaded.notes, "a JS heap snapshot").into()),
        Loaded::Sampling(_, notes) => Err(not_native(&notes, "a sampling profile of the JS heap").into()),
    }
}

fn not_native(notes: &Notes, what: &str) -> Failure {
    Failure::new(format!("`{}` is {what}, and only native traces and profiles can be converted", notes.file))
        .hint("`twinheap export --nodes` writes a snapshot as a table")
}

/// The cost that folded stacks get.
fn cost_to_write(args: &ConvertArgs, format: Format, source: &Source) -> anyhow::Result<CostType> {
    if args.by.is_some() && format != Format::Folded {
        let what = "--by chooses the cost of folded stacks, and the other formats have all of them";
        return Err(Failure::new(what).hint("leave it out").into());
    }
    let known = |cost: CostType| match source {
        Source::Trace(..) => true,
        Source::Profile(profile) => profile.samples.column(cost).is_some(),
    };
    let first = By::value_variants().iter().map(|by| by.cost()).find(|&cost| known(cost));
    Ok(args.by.map(By::cost).or(first).unwrap_or(CostType::PeakBytes))
}

fn write(
    source: &Source,
    format: Format,
    by: CostType,
    notes: &Notes,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    match (source, format) {
        (Source::Trace(trace, range), _) => write_heaptrack(trace, range.as_ref(), out)?,
        (Source::Profile(profile), Format::Massif) => write_massif(profile, MASSIF_THRESHOLD, out)?,
        (Source::Profile(profile), Format::Pprof) => write_pprof(profile, out)?,
        (Source::Profile(profile), Format::Folded) => write_folded(profile, by, out)?,
        (Source::Profile(profile), Format::Speedscope) => write_speedscope(profile, &notes.file, out)?,
        (Source::Profile(profile), Format::Dhat) => write_dhat(profile, out)?,
        (Source::Profile(_), Format::Heaptrack) => {
            return Err(ExportError::Missing { format: "heaptrack", needed: "events" });
        }
    }
    Ok(())
}

/// Writes a file under a name for the meantime, and compresses it as its name says.
fn write_file(
    target: &Path,
    format: Format,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let (part, file) = PartFile::create(target)?;
    let handle: File = file.try_clone()?;
    // pprof files are always gzipped.
    let is_zstd = target.extension().is_some_and(|ending| ending == "zst");
    let mut sink =
        if format == Format::Pprof && !is_zstd { Sink::gzip(file) } else { Sink::new(target, file)? };
    write(&mut sink)?;
    sink.finish()?;
    part.finish(&handle)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<Format>) {
        assert_eq!(Format::of_name(Path::new(name)), expected, "{name}");
    }

    #[test]
    fn names_tell_formats() {
        check("heaptrack.node.1234.zst", Some(Format::Heaptrack));
        check("out/run.gz", Some(Format::Heaptrack));
        check("run.heaptrack", Some(Format::Heaptrack));
        check("massif.out.77", Some(Format::Massif));
        check("run.massif.gz", Some(Format::Massif));
        check("heap.pb.gz", Some(Format::Pprof));
        check("heap.pprof", Some(Format::Pprof));
        check("heap.folded", Some(Format::Folded));
        check("heap.collapsed.zst", Some(Format::Folded));
        check("heap.speedscope.json", Some(Format::Speedscope));
        check("dhat.out.5", Some(Format::Dhat));
        check("heap.DHAT.json", Some(Format::Dhat));
        check("heap.json", None);
        check("-", None);
    }

    #[test]
    fn times_are_no_formats() {
        assert_eq!(parse_time_not_format("2.5"), Ok(2500));
        assert!(parse_time_not_format("massif").is_err_and(|error| error.contains("--format massif")));
        assert!(parse_time_not_format("5 bananas").is_err());
    }
}
