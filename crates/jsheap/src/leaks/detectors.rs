//! Detectors: what programs on Node.js do wrong, each with its own name, evidence and advice.
//!
//! A detector looks at one heap. For several dumps it is run on each, and findings with the same
//! [`Evidence::key`] are the same; so keys hold names and places, never ids or counts.
//!
//! What they look for is found for all of them in one pass (`survey`), so that each has to look at the neighbours of
//! few objects only.

use crate::leaks::{Evidence, Scene};

mod abort_signals;
mod async_storage;
mod backlog;
mod collections;
mod contexts;
mod duplicates;
mod findings;
mod listeners;
mod metrics;
mod modules;
mod promises;
mod slices;
mod sparse;
pub(crate) mod survey;
mod terminal;
mod timers;
mod weak_references;

pub(crate) use duplicates::Doubles;

/// Names of the detectors, those that name a cause before those that describe what is there.
const RANKS: &[&str] = &[
    abort_signals::NAME,
    listeners::NAME,
    timers::NAME,
    backlog::NAME,
    metrics::NAME,
    modules::NAME,
    weak_references::NAME,
    terminal::NAME,
    async_storage::NAME,
    promises::NAME,
    slices::BUFFERS,
    slices::STRINGS,
    slices::ROPES,
    sparse::NAME,
    contexts::NAME,
    collections::NAME,
    duplicates::STRINGS,
    duplicates::OBJECTS,
];

/// Where a detector stands among them; growth alone, without a detector, comes last.
pub(crate) fn rank(name: &str) -> usize {
    RANKS.iter().position(|&known| known == name).unwrap_or(RANKS.len())
}

/// True for a detector that knows a mistake, false for one that says what the objects are like.
pub(crate) fn names_cause(name: &str) -> bool {
    rank(name) < rank(slices::BUFFERS)
}

/// True for a detector whose notes are questions: it can't know whether what it sees is a mistake.
pub(crate) fn asks(name: &str) -> bool {
    name == slices::BUFFERS || name == contexts::NAME
}

/// Adds what it finds.
pub type Detector = fn(&Scene<'_>, &mut Vec<Evidence>);

/// All detectors, in the order in which their findings are listed when they weigh the same: those that name a cause
/// before those that describe.
pub const ALL: &[Detector] = &[
    abort_signals::detect,
    listeners::detect,
    timers::detect,
    promises::detect,
    backlog::detect,
    metrics::detect,
    modules::detect,
    weak_references::detect,
    terminal::detect,
    async_storage::detect,
    contexts::detect,
    slices::buffers,
    slices::strings,
    slices::ropes,
    sparse::detect,
    duplicates::strings,
    duplicates::objects,
    collections::detect,
];
