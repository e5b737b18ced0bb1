//! Errors as people see them: what, why, what to do.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use twinheap_capture::CaptureError;
use twinheap_capture::record::RecordError;

use crate::demo::{DemoError, Interrupted};
use crate::output::Output;

/// There is what the caller asked to be told of: a leak, a limit exceeded.
pub(crate) const FOUND: u8 = 1;
/// Bad usage or unreadable input.
pub(crate) const UNUSABLE: u8 = 2;
/// Damaged input; what could be read was printed.
pub(crate) const DAMAGED: u8 = 3;
/// A safety check refused; the message says which, and the hint which flag overrides it.
pub(crate) const REFUSED: u8 = 4;
/// The user pressed Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with something to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Failure { what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// Says what keeps a file from being written under this name, before any work is done for it.
pub(crate) fn check_target(target: &Path) -> Result<(), Failure> {
    if target.is_dir() {
        let what = format!("can't write `{}`: it is a directory", target.display());
        return Err(Failure::new(what).hint("name a file in it"));
    }
    if let Some(folder) = target.parent().filter(|f| !f.as_os_str().is_empty() && !f.is_dir()) {
        let what = format!("can't write `{}`: there is no folder `{}`", target.display(), folder.display());
        return Err(Failure::new(what).hint("make the folder first, or name another one"));
    }
    Ok(())
}

/// Prints an error and chooses the exit code. A closed pipe is none: the reader has seen enough.
pub(crate) fn report(error: &anyhow::Error, output: &Output) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let capture = error.downcast_ref::<CaptureError>();
    if error.is::<Interrupted>() || capture.is_some_and(CaptureError::is_interruption) {
        return ExitCode::from(INTERRUPTED);
    }
    let (text, hint) = words(error);
    output.error(&text);
    if !hint.is_empty() {
        output.hint(&hint);
    }
    let is_refused = matches!(capture, Some(CaptureError::Refused { .. }));
    ExitCode::from(if is_refused { REFUSED } else { UNUSABLE })
}

/// What is wrong, and what to do about it, if anything is known.
pub(crate) fn words(error: &anyhow::Error) -> (String, String) {
    let capture = error.downcast_ref::<CaptureError>();
    // Those of a capture name their causes themselves.
    let recording = error.downcast_ref::<RecordError>();
    let text = capture.map(CaptureError::to_string).or_else(|| recording.map(RecordError::to_string));
    let hint = error
        .downcast_ref::<Failure>()
        .and_then(|failure| failure.hint.clone())
        .or_else(|| error.downcast_ref::<DemoError>().map(|e| e.hint().to_owned()))
        .or_else(|| capture.map(CaptureError::hint))
        .or_else(|| recording.map(|error| error.hint().to_owned()));
    (text.unwrap_or_else(|| format!("{error:#}")), hint.unwrap_or_default())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
