//! The command line of the verbs for native traces.
//!
//! Options that `heaptrack_print` has too can be given by its names and letters.

use std::ops::Range;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use twinheap_native::Measure;

/// A native trace.
#[derive(Debug, Args)]
pub(crate) struct TraceFile {
    /// The native trace; `-` is standard input
    #[arg(value_name = "TRACE")]
    pub(crate) file: PathBuf,
}

/// What of a native trace counts, and how it is shown.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Native traces")]
pub(crate) struct SelectArgs {
    /// Count from this time on: seconds since the recording began, or with a unit, such as 250ms or 2m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) from: Option<u64>,
    /// Count up to this time, itself not included
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) to: Option<u64>,
    /// Count only stacks that pass through a function with this text in its name
    #[arg(long, value_name = "TEXT", alias = "filter-bt-function")]
    pub(crate) filter_function: Option<String>,
    /// Leave out the template arguments and parameters of C++ functions, or don't [default: true]
    #[arg(short = 't', long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub(crate) shorten_templates: Option<bool>,
    /// Don't count leaks that a line of this file names, as `leak:PATTERN`; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) suppressions: Vec<PathBuf>,
    /// Count leaks although the recorded program asks not to
    #[arg(long, alias = "disable-embedded-suppressions")]
    pub(crate) no_embedded_suppressions: bool,
    /// Count known leaks of libc and glib too
    #[arg(long, alias = "disable-builtin-suppressions")]
    pub(crate) no_builtin_suppressions: bool,
}

impl SelectArgs {
    /// The stretch of time in milliseconds, if not all of it.
    pub(crate) fn ms(&self) -> Option<Range<u64>> {
        let is_given = self.from.is_some() || self.to.is_some();
        is_given.then(|| self.from.unwrap_or(0)..self.to.unwrap_or(u64::MAX))
    }

    /// An option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.from.is_some(), "--from"),
            (self.to.is_some(), "--to"),
            (self.filter_function.is_some(), "--filter-function"),
            (self.shorten_templates.is_some(), "--shorten-templates"),
            (!self.suppressions.is_empty(), "--suppressions"),
            (self.no_embedded_suppressions, "--no-embedded-suppressions"),
            (self.no_builtin_suppressions, "--no-builtin-suppressions"),
        ];
        all.iter().find(|(is_given, _)| *is_given).map(|(_, name)| *name)
    }
}

/// What the summary of a native trace has beside that.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Native traces")]
pub(crate) struct NativeSummaryArgs {
    /// Print so many of the largest stacks below each call site
    #[arg(short, long, value_name = "N", alias = "sub-peak-limit")]
    pub(crate) stacks: Option<usize>,
    /// Put stacks together that allocate at the same place, or print each in full [default: true]
    #[arg(short, long, value_name = "BOOL", value_parser = BoolishValueParser::new(), num_args = 0..=1,
          default_missing_value = "true", alias = "merge-backtraces")]
    pub(crate) merge: Option<bool>,
    /// Print each stack in full
    #[arg(long, conflicts_with = "merge")]
    pub(crate) no_merge: bool,
    /// List what was suppressed, and by which pattern
    #[arg(long, alias = "print-suppressions")]
    pub(crate) show_suppressions: bool,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

impl NativeSummaryArgs {
    /// An option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            (self.stacks.is_some(), "--stacks"),
            (self.merge.is_some(), "--merge"),
            (self.no_merge, "--no-merge"),
            (self.show_suppressions, "--show-suppressions"),
        ];
        let own = all.iter().find(|(is_given, _)| *is_given).map(|(_, name)| *name);
        own.or_else(|| self.select.given())
    }
}

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Bytes alive when all together had the most
    Peak,
    /// Bytes not freed
    Leaked,
    /// Calls to malloc and its like
    Allocations,
    /// Calls whose block was freed before the next call
    Temporary,
}

impl From<By> for Measure {
    fn from(by: By) -> Self {
        match by {
            By::Peak => Measure::Peak,
            By::Leaked => Measure::Leaked,
            By::Allocations => Measure::Allocations,
            By::Temporary => Measure::Temporary,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    #[command(flatten)]
    pub(crate) file: TraceFile,
    /// Begin with main, and put below a function those it calls; without this, begin with who allocates
    #[arg(long)]
    pub(crate) top_down: bool,
    /// List functions with what they cost alone and with all they call, their callers and callees
    #[arg(long, conflicts_with = "top_down")]
    pub(crate) caller_callee: bool,
    /// Add up what each of these costs
    #[arg(long, value_enum, value_name = "OWNER", conflicts_with_all = ["top_down", "caller_callee", "lines"])]
    pub(crate) per: Option<Per>,
    /// What counts
    #[arg(long, value_enum, value_name = "COST", default_value = "peak")]
    pub(crate) by: By,
    /// Tell calls from different lines of a function apart
    #[arg(long)]
    pub(crate) lines: bool,
    /// Levels of the tree
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) depth: u32,
    /// Leave out what has a smaller share of the whole
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = parse_percent)]
    pub(crate) min_percent: f64,
    /// Lines to print, or functions; JSON has all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// An owner of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Per {
    /// The thread that allocates, where the recording knows it
    Thread,
    /// The executable or library
    Module,
    /// The npm package
    Package,
}

#[derive(Debug, Args)]
pub(crate) struct HistogramArgs {
    #[command(flatten)]
    pub(crate) file: TraceFile,
    /// Show each size for itself instead of powers of two
    #[arg(long)]
    pub(crate) exact: bool,
    /// Show how long blocks lived instead of their sizes, where the recording knows
    #[arg(long, conflicts_with_all = ["exact", "by", "limit", "from", "to"])]
    pub(crate) lifetime: bool,
    /// Show the call sites that make blocks grow by realloc, and what that copies at most, where the recording knows
    #[arg(long, conflicts_with_all = ["lifetime", "exact", "by", "from", "to"])]
    pub(crate) realloc: bool,
    /// What the bars and the largest call site go by
    #[arg(long, value_enum, value_name = "COST", default_value = "allocations")]
    pub(crate) by: SizeBy,
    /// Sizes to print, or call sites; JSON has all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 70)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// What counts of blocks of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SizeBy {
    /// Bytes alive when all together had the most
    Peak,
    /// Bytes not freed
    Leaked,
    /// Calls to malloc and its like
    Allocations,
}

impl From<SizeBy> for Measure {
    fn from(by: SizeBy) -> Self {
        match by {
            SizeBy::Peak => Measure::Peak,
            SizeBy::Leaked => Measure::Leaked,
            SizeBy::Allocations => Measure::Allocations,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    #[command(flatten)]
    pub(crate) file: TraceFile,
    /// Stretches of time, at most; there are no more than the recorder's clock ticked [default: what fits the
    /// terminal, 30 in a table, 100 in JSON]
    #[arg(long, value_name = "N", value_parser = parse_buckets)]
    pub(crate) buckets: Option<usize>,
    /// Show the share of so many call sites too
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) by_site: usize,
    /// Which call sites these are
    #[arg(long, value_enum, value_name = "COST", default_value = "peak")]
    pub(crate) by: By,
    /// Print numbers instead of charts
    #[arg(long)]
    pub(crate) table: bool,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// A time since the recording began, in milliseconds.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time; times look like 2.5 (seconds), 250ms, 10s, 2m or 1h");
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let ms_of_unit = match unit {
        "" | "s" => 1e3,
        "us" => 1e-3,
        "ms" => 1.0,
        "m" | "min" => 60e3,
        "h" => 3600e3,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let ms = number * ms_of_unit;
    // Beyond this a number is no longer exact, and no recording lasts.
    if (0.0..9e15).contains(&ms) { Ok(ms.round() as u64) } else { Err(wrong()) }
}

pub(crate) fn parse_percent(text: &str) -> Result<f64, String> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let percent = digits.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| format!("`{text}` is no percentage from 0 to 100"))
}

fn parse_buckets(text: &str) -> Result<usize, String> {
    let buckets = text.parse().ok().filter(|buckets| (1..=1_000_000).contains(buckets));
    buckets.ok_or_else(|| format!("`{text}` is no number from 1 to 1000000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse_time(text).ok(), expected, "{text:?}");
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        check("0", Some(0));
        check("2.5", Some(2500));
        check("250ms", Some(250));
        check("0.5s", Some(500));
        check("10 s", Some(10_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("1500us", Some(2));
        check("", None);
        check("-1", None);
        check("5 parsecs", None);
        check("1e300", None);
        check("inf", None);
        check("nan", None);
    }

    #[test]
    fn percentages_may_have_their_sign() {
        assert_eq!(parse_percent("0.5%"), Ok(0.5));
        assert!(parse_percent("101").is_err());
        assert!(parse_percent("NaN").is_err());
    }
}
