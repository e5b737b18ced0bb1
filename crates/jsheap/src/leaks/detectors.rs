//! Detectors: what programs on Node.js do wrong, each with its own name, evidence and advice.
//!
//! A detector looks at one heap. For several dumps it is run on each, and findings with the same
//! [`Evidence::key`] are the same; so keys hold names and places, never ids or counts.

use crate::leaks::{Evidence, Scene};

/// Adds what it finds.
pub type Detector = fn(&Scene<'_>, &mut Vec<Evidence>);

/// All detectors, in the order in which their findings are listed when they weigh the same.
pub const ALL: &[Detector] = &[];
