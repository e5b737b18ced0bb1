//! `twinheap report`: the verdict on a ladder or a recording, as a file for people.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use twinheap_capture::PartFile;
use twinheap_report::{
    Brief, Style, brief_html, brief_json, brief_markdown, leaks_brief, leaks_json, leaks_picture,
    native_leaks_brief, native_leaks_json, native_leaks_picture,
};

use crate::args::Global;
use crate::args::native::SelectArgs;
use crate::failure::{Failure, check_target};
use crate::output::Output;
use crate::verbs::leaks::{Ask, Found, MOMENTS, judge};

/// Suspects of a report: who reads on looks into the dump.
const SUSPECTS: usize = 5;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Heap snapshots of one process, oldest first, or native traces
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The report: F.md for an issue, F.html with pictures, F.json for a program; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What to write, if the file's name does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Suspects to describe
    #[arg(short = 'n', long, value_name = "N", default_value_t = SUSPECTS)]
    limit: usize,
    /// Leaks that are accepted: a signature a line, as `leaks` shows them
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    #[command(flatten)]
    select: SelectArgs,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown, to be pasted into an issue
    Md,
    /// A page in one file, with pictures; it opens from a disk
    Html,
    /// One JSON document
    Json,
}

pub(crate) fn run(args: &ReportArgs, global: &Global, output: &Output) -> anyhow::Result<u8> {
    let format = args.format.map_or_else(|| format_of(&args.output), Ok)?;
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout {
        check_target(&args.output)?;
    }
    let ask = Ask {
        files: &args.files,
        before: &[],
        known: args.known.as_deref(),
        select: &args.select,
        limit: args.limit,
        steps: MOMENTS,
        fail_on_leak: false,
        classes: false,
    };
    // A report has the width of a page, whatever the terminal's.
    let style = Style { color: false, width: 120, ..output.style };
    judge(&ask, global, output, &mut |found| {
        let text = match found {
            Found::Js(describer, view) => {
                let brief = leaks_brief(describer, view, &style, args.limit);
                match format {
                    Format::Md => brief_markdown(&brief),
                    Format::Html => brief_html(&brief, &leaks_picture(describer, view), &style),
                    Format::Json => json(&brief, leaks_json(describer, view))?,
                }
            }
            Found::Native(view) => {
                let brief = native_leaks_brief(view, &style);
                match format {
                    Format::Md => brief_markdown(&brief),
                    Format::Html => brief_html(&brief, &native_leaks_picture(view), &style),
                    Format::Json => json(&brief, native_leaks_json(view))?,
                }
            }
        };
        if to_stdout { output.text(&text) } else { write(&args.output, &text) }
    })
}

fn json(brief: &Brief, findings: impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&brief_json(brief, findings)).context("can't make the report")? + "\n")
}

/// The format that a file's name asks for.
fn format_of(path: &Path) -> Result<Format, Failure> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("md" | "markdown") => Ok(Format::Md),
        Some("html" | "htm") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        _ => {
            let what = format!("`{}` does not tell what to write", path.display());
            Err(Failure::new(what).hint("end the name in .md, .html or .json, or give --format"))
        }
    }
}

fn write(target: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("can't write `{}`", target.display());
    let (part, mut file) = PartFile::create(target).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    part.finish(&file).with_context(context)
}
