//! twinheap takes and explains both heaps of a live Node.js process.
//!
//! One module a verb under `verbs`. Data goes to stdout, everything else to stderr; exit codes are a contract:
//! 0 fine, 1 a finding, 2 bad usage or unreadable input, 3 damaged input with a partial result, 4 refused for safety,
//! 130 interrupted.

mod args;
mod demo;
mod failure;
mod input;
mod interrupt;
mod live;
mod load;
mod memory;
mod output;
mod progress;
mod sink;
mod source_maps;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Verb};
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::install();
    let output = Output::new(&arguments.global);
    match run(&arguments, &output) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The threads that write files clean up by themselves, but we don't wait for them.
            twinheap_capture::remove_unfinished();
            failure::report(&error, &output)
        }
    }
}

/// Runs the verb; the number is the exit code.
fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<u8> {
    let global = &arguments.global;
    match &arguments.verb {
        Verb::Summary(args) => verbs::summary::run(args, global, output),
        Verb::Diff(args) => verbs::diff::run(args, global, output),
        Verb::Leaks(args) => verbs::leaks::run(args, global, output),
        Verb::Assert(args) => verbs::assert::run(args, global, output),
        Verb::Report(args) => verbs::report::run(args, global, output),
        Verb::Objects(args) => verbs::objects::run(args, global, output),
        Verb::Object(args) => verbs::objects::run_one(args, global, output),
        Verb::Retainers(args) => verbs::retainers::run(args, global, output),
        Verb::Path(args) => verbs::path::run(args, global, output),
        Verb::Dominators(args) => verbs::dominators::run(args, global, output),
        Verb::Strings(args) => verbs::strings::run(args, global, output),
        Verb::Tree(args) => verbs::tree::run(args, global, output),
        Verb::Histogram(args) => verbs::histogram::run(args, global, output),
        Verb::Timeline(args) => verbs::timeline::run(args, global, output),
        Verb::Convert(args) => verbs::convert::run(args, global, output),
        Verb::Export(args) => verbs::export::run(args, global, output),
        Verb::Flamegraph(args) => verbs::flamegraph::run(args, global, output),
        Verb::Redact(args) => verbs::redact::run(args, global, output),
        Verb::Ps(args) => verbs::ps::run(args, global, output),
        Verb::Snapshot(args) => verbs::snapshot::run(args, global, output),
        Verb::Record(args) => verbs::record::run(args, global, output),
        Verb::Serve(args) => verbs::serve::run(args, global, output),
        Verb::Open(args) => verbs::open::run(args, global, output),
        Verb::Demo(args) => verbs::demo::run(args, global, output),
    }
}
