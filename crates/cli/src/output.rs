//! Where words go: data to stdout, everything else to stderr.

#![expect(clippy::print_stderr, reason = "this is the printer that everything else uses")]

use std::io::{self, BufWriter, IsTerminal as _, Write};

use anyhow::Context as _;
use serde::Serialize;
use twinheap_report::{Style, clean};

use crate::args::{Global, When};

/// Prints as the user asked.
pub(crate) struct Output {
    pub(crate) style: Style,
    color_errors: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wants = |terminal: bool| match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !no_color,
        };
        let style = Style {
            color: wants(io::stdout().is_terminal()),
            exact_bytes: global.bytes,
            width: terminal_width().unwrap_or(120).clamp(60, 240),
        };
        Output { style, color_errors: wants(io::stderr().is_terminal()), quiet: global.quiet }
    }

    /// Prints text that is the answer.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to standard output")
    }

    /// Prints the JSON document that is the answer.
    pub(crate) fn json(&self, document: &impl Serialize) -> anyhow::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        serde_json::to_writer(&mut out, document).context("can't write to standard output")?;
        out.write_all(b"\n").and_then(|()| out.flush()).context("can't write to standard output")
    }

    /// Says something that is not the answer.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}", visible(text));
        }
    }

    /// Warns of something that limits the answer.
    pub(crate) fn warning(&self, text: &str) {
        if !self.quiet {
            eprintln!("{} {}", self.mark("33", "warning:"), visible(text));
        }
    }

    pub(crate) fn error(&self, text: &str) {
        eprintln!("{} {}", self.mark("31", "error:"), visible(text));
    }

    pub(crate) fn hint(&self, text: &str) {
        eprintln!("{} {text}", self.mark("36", "hint:"));
    }

    fn mark(&self, code: &str, word: &str) -> String {
        if self.color_errors { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// One line, with control characters made visible: names of files are in it, and bytes out of files.
fn visible(text: &str) -> String {
    clean(text, usize::MAX)
}

/// Columns of the terminal behind standard output, or what `COLUMNS` says.
fn terminal_width() -> Option<usize> {
    if let Some(columns) = std::env::var_os("COLUMNS").and_then(|c| c.to_str()?.parse().ok()) {
        return Some(columns);
    }
    if !io::stdout().is_terminal() {
        return None;
    }
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(usize::from(columns))
}
