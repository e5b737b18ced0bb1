//! `twinheap flamegraph`.

use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use twinheap_capture::PartFile;
use twinheap_jsheap::Work;
use twinheap_native::{Costs, Measure, NativeHeap, Suppressions, top_down};
use twinheap_report::{Drawn, FlameCost, FlameGraph, FlameView, flame_html, flame_svg};

use crate::args::native::{parse_percent, parse_time};
use crate::args::{File, Global};
use crate::failure::{Failure, check_target};
use crate::load::{Notes, load_native};
use crate::output::Output;
use crate::progress::Progress;
use crate::verbs::native::check_measure;

/// Draw the stacks of a native trace: a page or picture with zoom and search.
///
/// F.html is a page for the browser: all costs, search, zoom, both directions, nothing left out.
/// F.svg is a picture of one cost that any viewer shows; a browser adds zoom and search.
/// Both are single files that load nothing from anywhere.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct FlamegraphArgs {
    #[command(flatten)]
    file: File,
    /// Write to this file; its ending, .html or .svg, says what; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What to write, whatever the file's ending
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The cost that makes a box wide; the page can switch
    #[arg(long, value_enum, value_name = "COST", default_value = "peak")]
    by: By,
    /// Begin with the functions that allocate, and put their callers below; the page can switch
    #[arg(long)]
    bottom_up: bool,
    /// Count only from this time on: seconds since the recording began, or such as 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<u64>,
    /// Count only up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<u64>,
    /// The heading [default: the file's name]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Leave out frames with less of the whole than this; the page can change it
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent)]
    min_percent: f64,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A page for the browser
    Html,
    /// A picture
    Svg,
}

/// A cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Bytes alive at the peak
    Peak,
    /// Bytes not freed
    Leaked,
    /// Calls that allocate
    Allocations,
    /// Calls whose block was freed at once
    Temporary,
    /// All bytes ever allocated
    Bytes,
}

impl From<By> for FlameCost {
    fn from(by: By) -> FlameCost {
        match by {
            By::Peak => FlameCost::Peak,
            By::Leaked => FlameCost::Leaked,
            By::Allocations => FlameCost::Allocations,
            By::Temporary => FlameCost::Temporary,
            By::Bytes => FlameCost::Bytes,
        }
    }
}

pub(crate) fn run(args: &FlamegraphArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let target = &args.output;
    let to_stdout = target.as_os_str() == "-";
    let format = format_of(args)?;
    // What can't be written is noticed before the work.
    if !to_stdout {
        check_target(target)?;
    }
    let progress = Progress::new(global);
    let (trace, notes) = load_native(&args.file.file, global, &progress)?;
    let (events, size) = (trace.events.len(), trace.events.size());
    let heap = progress.pass("stacks", Work { nodes: 0, edges: 0, bytes: size }, || NativeHeap::new(trace));
    if args.by == By::Temporary {
        check_measure(Measure::Temporary, &heap, &notes.file)?;
    }
    let suppressions = Suppressions::built_in().embedded(&heap.trace, false);
    let ms = stretch(args);
    // The events are gone through twice: to the peak, and for the costs.
    let work = Work { nodes: events, edges: 0, bytes: 2 * size };
    let costs = progress.pass("costs", work, || heap.costs(ms.as_ref(), &suppressions));
    let graph = FlameGraph::of_native(&heap, &top_down(&heap, &costs));
    progress.finish(global, output)?;

    let lines = lines(&heap, &costs, &notes, ms.as_ref(), output);
    let view = FlameView {
        title: args.title.as_deref().unwrap_or_else(|| file_name(&notes.file)),
        notes: &lines,
        by: args.by.into(),
        bottom_up: args.bottom_up,
        min_percent: args.min_percent,
    };
    let drawn = match format {
        Format::Html => flame_html(&graph, &view),
        Format::Svg => flame_svg(&graph, &view),
    };
    write(target, to_stdout, &drawn.text)?;
    if graph.is_empty() {
        output.note("there are no allocations in it, and the picture says so");
    }
    if !to_stdout {
        output.note(&told(&drawn, target, output));
    }
    Ok(notes.conclude(output))
}

/// What was asked for, or what the file's name asks for.
fn format_of(args: &FlamegraphArgs) -> Result<Format, Failure> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let ending = args.output.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("html" | "htm") => Ok(Format::Html),
        Some("svg") => Ok(Format::Svg),
        _ if args.output.as_os_str() == "-" => {
            Err(Failure::new("standard output has no ending that says what to write")
                .hint("add --format html or --format svg"))
        }
        _ => Err(Failure::new(format!("can't tell from `{}` what to write", args.output.display()))
            .hint("end the name in .html or .svg, or add --format")),
    }
}

fn stretch(args: &FlamegraphArgs) -> Option<Range<u64>> {
    (args.from.is_some() || args.to.is_some()).then(|| args.from.unwrap_or(0)..args.to.unwrap_or(u64::MAX))
}

/// What stands below the heading.
fn lines(
    heap: &NativeHeap,
    costs: &Costs,
    notes: &Notes,
    ms: Option<&Range<u64>>,
    output: &Output,
) -> Vec<String> {
    let seconds = |ms: u64| format!("{:.2} s", ms as f64 / 1e3);
    let total = &costs.total;
    let mut lines = Vec::new();
    if !heap.trace.command.is_empty() {
        lines.push(String::from_utf8_lossy(&heap.trace.command).into_owned());
    }
    let mut words = format!("recorded for {}", seconds(total.runtime_ms));
    if let Some(ms) = ms {
        let to = if ms.end == u64::MAX { "the end".to_owned() } else { seconds(ms.end) };
        words.push_str(&format!(", here from {} to {to}", seconds(ms.start)));
    }
    if total.cost.peak > 0 {
        let peak = output.style.size(total.cost.peak.unsigned_abs());
        words.push_str(&format!(" · peak of {peak} after {}", seconds(total.peak_ms)));
    }
    lines.push(words);
    lines.extend(notes.warnings.iter().cloned());
    lines
}

/// A file gets its name when it is whole.
fn write(target: &Path, to_stdout: bool, text: &str) -> anyhow::Result<()> {
    if to_stdout {
        let mut out = io::stdout().lock();
        return out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("can't write to standard output");
    }
    let context = || format!("can't write `{}`", target.display());
    let (part, mut file) = PartFile::create(target).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    part.finish(&file).with_context(context)
}

fn told(drawn: &Drawn, target: &Path, output: &Output) -> String {
    let count = |count: usize| output.style.count(count as u64);
    let mut words = format!("{} frames", count(drawn.frames));
    if drawn.left_out > 0 {
        words.push_str(&format!(" ({} too small to show)", count(drawn.left_out)));
    }
    let size = output.style.size(drawn.text.len() as u64);
    format!("{words} written to {} ({size}); open it in a browser", target.display())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
