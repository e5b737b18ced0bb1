//! What a cost is in JSON and in words, and what of a recording it is of.

use serde::Serialize;
use twinheap_native::{Cost, Measure, Variances};

use super::{NativeSource, number, seconds};
use crate::Style;
use crate::names::clean;

/// What of a recording was asked for, and what its numbers are.
#[derive(Serialize)]
pub(super) struct SelectionJson<'a> {
    /// Seconds; null is the start.
    pub(super) from: Option<f64>,
    /// Seconds; null is the end.
    pub(super) to: Option<f64>,
    /// The costs of the stacks that pass through the function, if that was asked.
    filter: Option<FilterJson<'a>>,
    /// True if only a sample was recorded.
    estimated: bool,
    /// Bytes between two samples on average.
    pub(super) sample_interval: Option<u64>,
}

#[derive(Serialize)]
struct FilterJson<'a> {
    function: &'a str,
    #[serde(flatten)]
    cost: CostJson,
}

#[derive(Serialize)]
pub(super) struct CostJson {
    /// All that was ever allocated.
    bytes: u64,
    allocations: u64,
    /// Null of a sample.
    temporary: Option<u64>,
    peak: i64,
    leaked: i64,
    /// Only of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_95: Option<ErrorJson>,
}

/// How far estimates are off, at most, in 95 of 100 recordings.
#[derive(Serialize)]
pub(super) struct ErrorJson {
    bytes: u64,
    allocations: u64,
    peak: u64,
    leaked: u64,
}

impl From<&Variances> for ErrorJson {
    fn from(variances: &Variances) -> Self {
        let Variances { allocations, bytes, leaked, peak } = variances;
        ErrorJson {
            bytes: bytes.error(),
            allocations: allocations.error(),
            peak: peak.error(),
            leaked: leaked.error(),
        }
    }
}

/// The same under the names that the totals have.
#[derive(Serialize)]
pub(super) struct TotalErrorJson {
    allocations: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    leaked_bytes: u64,
}

impl From<&Variances> for TotalErrorJson {
    fn from(variances: &Variances) -> Self {
        let ErrorJson { bytes, allocations, peak, leaked } = ErrorJson::from(variances);
        TotalErrorJson { allocations, allocated_bytes: bytes, peak_bytes: peak, leaked_bytes: leaked }
    }
}

impl<'a> NativeSource<'a> {
    pub(super) fn selection(&self) -> SelectionJson<'a> {
        SelectionJson {
            from: self.ms.map(|ms| seconds(ms.start)),
            to: self.ms.filter(|ms| ms.end < u64::MAX).map(|ms| seconds(ms.end)),
            filter: self
                .function
                .map(|function| FilterJson { function, cost: self.cost_json(&self.costs.sum()) }),
            estimated: self.is_estimated(),
            sample_interval: self.heap.sample_interval(),
        }
    }

    pub(super) fn cost_json(&self, cost: &Cost) -> CostJson {
        let Cost { allocations, temporary, bytes, leaked, peak, .. } = *cost;
        let temporary = self.heap.has_temporary().then_some(temporary);
        let error_95 = self.is_estimated().then(|| ErrorJson::from(&cost.variance));
        CostJson { bytes, allocations, temporary, peak, leaked, error_95 }
    }

    /// True if only a sample was recorded, so that all numbers are estimates.
    pub(super) fn is_estimated(&self) -> bool {
        self.heap.sample_interval().is_some()
    }

    /// `± 12 MB`, or nothing if the number was counted.
    pub(super) fn error(&self, style: &Style, by: Measure, cost: &Cost) -> String {
        let error = by.variance_of(cost).error();
        let number = || number(style, by, i64::try_from(error).unwrap_or(i64::MAX));
        if self.is_estimated() { format!("± {}", number()) } else { String::new() }
    }

    /// The same for all bytes ever allocated.
    pub(super) fn bytes_error(&self, style: &Style, cost: &Cost) -> String {
        let error = cost.variance.bytes.error();
        if self.is_estimated() { format!("± {}", style.size(error)) } else { String::new() }
    }

    /// The file, and what of it is shown.
    pub(super) fn heading(&self, style: &Style) -> String {
        let mut out = style.bold(&clean(self.file, 200));
        if let Some(ms) = self.ms {
            let from = format!("from {} s", seconds(ms.start));
            let to = if ms.end < u64::MAX { format!(" to {} s", seconds(ms.end)) } else { String::new() };
            out.push_str(&format!("\n{from}{to}: growth since then, and calls in between"));
        }
        if let Some(function) = self.function {
            out.push_str(&format!(
                "\nonly stacks through functions with `{}` in their name",
                clean(function, 80)
            ));
        }
        if let Some(interval) = self.heap.sample_interval() {
            out.push_str(&format!(
                "\nestimates from a sample, one in {}; 95 of 100 are no further off than ±",
                style.size(interval)
            ));
        }
        out.push('\n');
        out
    }

    /// What everything together costs, by a measure, whatever its sign.
    pub(super) fn whole(&self, by: Measure) -> u64 {
        by.of(&self.costs.total.cost).unsigned_abs()
    }
}
