//! Whether a series of numbers, one for each dump or recording of a ladder, grows, and what is said of that.
//!
//! Both heaps are judged by the same rule and with the same words; so the rule stands by itself. It knows numbers
//! only, and neither objects nor stacks.

mod series;

pub use series::{Trend, trend};

/// What is said of a dump or a ladder of dumps as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing grows, or nothing stands out.
    None,
    /// Something stands out; one dump can't show that it grows, or it grows too irregularly to be sure.
    Suspect,
    /// Something grows from dump to dump and is not let go.
    Leak,
}

impl Verdict {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::None => "none",
            Verdict::Suspect => "suspect",
            Verdict::Leak => "leak",
        }
    }
}

/// How sure a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Could be otherwise: one dump, or an irregular growth.
    Low,
    /// Two dumps that agree, or a few that waver.
    Medium,
    /// Each of three or more dumps says so.
    High,
}

impl Confidence {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}

/// How a series of numbers, one for each dump, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// More with each dump: a leak.
    Steady,
    /// More once or twice, else flat: a cache that filled, a module that was loaded.
    Step,
    /// Up and down, upwards on the whole: perhaps a leak under a load that varies.
    Noisy,
}

impl Pattern {
    /// The word of the JSON document.
    pub fn word(self) -> &'static str {
        match self {
            Pattern::Steady => "steady",
            Pattern::Step => "step",
            Pattern::Noisy => "noisy",
        }
    }
}
