//! Flame graphs: who calls whom down to what costs, as boxes that are as wide as their cost.
//!
//! [`FlameGraph`] holds what there is to draw. [`flame_html`] makes a page of it that draws in the browser, with
//! search, zoom and all costs; [`flame_svg`] a picture of one cost that is readable without scripts too. Both are
//! single files that load nothing. Whatever a function is called, its name is shown as text and does nothing.
//!
//! A caller lies above what it calls. The order of boxes says nothing about time: the widest comes first.

mod colors;
mod graph;
mod html;
mod layout;
mod svg;

pub use graph::{FlameCost, FlameGraph};
pub use html::flame_html;
pub use svg::flame_svg;

/// What a flame graph shows first, and what is written around it.
#[derive(Clone, Debug)]
pub struct FlameView<'a> {
    /// The heading.
    pub title: &'a str,
    /// Lines below the heading: the command, the stretch of time, what is damaged.
    pub notes: &'a [String],
    /// The cost that makes a box wide. A page can be switched to the others.
    pub by: FlameCost,
    /// Begin with the functions that allocate, and put their callers below them.
    pub bottom_up: bool,
    /// Leave out what has less of the whole than this, in percent.
    pub min_percent: f64,
}

/// A drawn graph, and how much of the graph is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The file's text.
    pub text: String,
    /// Frames that are in it.
    pub frames: usize,
    /// Frames that were too small.
    pub left_out: usize,
}
