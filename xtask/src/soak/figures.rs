//! What is measured, in figures. Times are in milliseconds unless a name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scene::Told;

/// Everything about one version of Node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) major: u32,
    pub(super) version: String,
    pub(super) heap_mb: u32,
    pub(super) rate: u32,
    /// Processor time of the server while nothing was dumped, in cores.
    pub(super) cores: f64,
    pub(super) quiet: Stretch,
    /// After the last pause-free dump.
    pub(super) quiet_after: Stretch,
    /// After the last ordinary one.
    #[serde(default)]
    pub(super) quiet_at_end: Stretch,
    /// Pause-free, of the main thread.
    pub(super) main: Dumps,
    /// Pause-free, of a worker thread.
    pub(super) worker: Dumps,
    pub(super) ordinary: Dumps,
    /// Answers that were checked.
    pub(super) requests: u64,
    pub(super) wrong_answers: u64,
    /// Child processes that the server started, of which each made one SIGCHLD.
    pub(super) spawned: u64,
    /// Keys that were found in the database afterwards.
    pub(super) keys: u64,
    /// Classes with the same count in a pause-free and in the ordinary snapshot, of all those with 1000 objects.
    pub(super) equal_classes: [usize; 2],
    /// The class whose counts differ most, with both: of the pause-free and of the ordinary snapshot.
    pub(super) most_different: Option<(String, u64, u64)>,
    /// The machine's load averages at the beginning and at the end.
    pub(super) load_average: [String; 2],
}

/// Snapshots of one kind.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Dumps {
    pub(super) taken: u32,
    /// How many needed so many copies.
    pub(super) attempts: BTreeMap<u32, u32>,
    /// Why there is no snapshot, and how often.
    pub(super) failures: BTreeMap<String, u32>,
    /// How long the thread stood still, as twinheap says.
    pub(super) pauses: Vec<f64>,
    pub(super) took_seconds: Vec<f64>,
    pub(super) json_bytes: u64,
    pub(super) during: Stretch,
}

/// What server and clients noticed during some time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// Each measurement's worst lag of the main thread's event loop.
    pub(super) lags: Vec<f64>,
    /// The same of the worker thread.
    pub(super) worker_lags: Vec<f64>,
    #[serde(skip)]
    pub(super) latencies: Vec<f64>,
    pub(super) latency_p50: f64,
    pub(super) latency_p99: f64,
    pub(super) latency_worst: f64,
    #[serde(skip)]
    pub(super) spawn_times: Vec<f64>,
    /// From the call that starts a child to the child's end (median).
    pub(super) spawn_p50: f64,
}

impl Stretch {
    /// Adds what the server and the load said at a mark.
    pub(super) fn add(&mut self, told: &Told) {
        let Told { server, load } = told;
        self.lags.extend(server["lag_worst"].as_f64());
        self.worker_lags.extend(server["worker_lag_worst"].as_f64());
        self.latencies.extend(numbers(&load["latencies"]));
        self.spawn_times.extend(numbers(&server["spawn_times"]));
        self.latency_p50 = quantile(&self.latencies, 0.5);
        self.latency_p99 = quantile(&self.latencies, 0.99);
        self.latency_worst = worst(&self.latencies);
        self.spawn_p50 = quantile(&self.spawn_times, 0.5);
    }
}

fn numbers(value: &Value) -> impl Iterator<Item = f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64)
}

/// The value that a share of the values do not exceed; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    ascending.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

pub(super) fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| quantile(&hundred, share)), [50.0, 99.0, 100.0]);
    }
}
