//! The JSON of speedscope, a flame graph viewer: frames, and a sampled profile for each cost.

use std::io::Write;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::ExportError;
use super::folded::frame_name;
use crate::ids::{FrameId, StackId};
use crate::profile::{CostType, Profile};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// The costs that make a profile, with its name; what a person asks for first comes first.
const PROFILES: [(CostType, &str); 6] = [
    (CostType::PeakBytes, "peak"),
    (CostType::LiveBytes, "leaked"),
    (CostType::Allocations, "allocations"),
    (CostType::AllocatedBytes, "allocated bytes"),
    (CostType::Temporary, "temporary allocations"),
    (CostType::Weight, "weight"),
];

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    name: &'a str,
    exporter: &'a str,
    #[serde(rename = "activeProfileIndex")]
    active: usize,
    shared: Shared,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    col: Option<u32>,
}

#[derive(Serialize)]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: u64,
    #[serde(rename = "endValue")]
    end: u64,
    /// Root first.
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

/// The costs that the file of a profile has.
pub(super) fn costs(profile: &Profile) -> Vec<CostType> {
    let all = PROFILES.into_iter().map(|(cost, _)| cost);
    all.filter(|&cost| profile.samples.column(cost).is_some()).collect()
}

/// Writes a profile for each of peak, leaked, allocations, allocated bytes and temporary allocations that is known.
/// What costs nothing or less is left out.
///
/// # Errors
/// If none of them is known, and those of `out`.
pub fn write_speedscope(profile: &Profile, name: &str, out: &mut dyn Write) -> Result<(), ExportError> {
    let costs = costs(profile);
    if costs.is_empty() {
        return Err(ExportError::Missing { format: "speedscope", needed: "costs of stacks" });
    }
    // Frames that read the same are one.
    let mut frames: Vec<Frame> = Vec::new();
    let mut known: FxHashMap<(Vec<u8>, Vec<u8>, u32, u32), u32> = FxHashMap::default();
    let number_of: Vec<u32> = (0..profile.frames.len() as u32)
        .map(|id| {
            let frame = profile.frames.get(FrameId(id));
            let name = frame_name(profile, frame);
            let file = profile.strings.get(if frame.file.is_zero() { frame.module } else { frame.file });
            *known.entry((name, file.to_vec(), frame.line, frame.column)).or_insert_with_key(
                |(name, file, ..)| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    frames.push(Frame {
                        name: text(name),
                        file: (!file.is_empty()).then(|| text(file)),
                        line: (frame.line > 0).then_some(frame.line),
                        col: (frame.column > 0).then_some(frame.column),
                    });
                    frames.len() as u32 - 1
                },
            )
        })
        .collect();
    let profiles = PROFILES
        .into_iter()
        .filter_map(|(cost, name)| {
            let column = profile.samples.column(cost)?;
            Some(sampled(profile, cost, name, column, &number_of))
        })
        .collect();
    let exporter = concat!("twinheap ", env!("CARGO_PKG_VERSION"));
    let file = File { schema: SCHEMA, name, exporter, active: 0, shared: Shared { frames }, profiles };
    serde_json::to_writer(&mut *out, &file)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn sampled(
    profile: &Profile,
    cost: CostType,
    name: &'static str,
    column: &[i64],
    number_of: &[u32],
) -> Sampled {
    let mut sum_of: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut sums: Vec<(StackId, u64)> = Vec::new();
    for (&stack, &value) in profile.samples.stacks().iter().zip(column) {
        let Some(value) = u64::try_from(value).ok().filter(|&value| value > 0) else { continue };
        let at = *sum_of.entry(stack).or_insert(sums.len());
        match sums.get_mut(at) {
            Some((_, sum)) => *sum = sum.saturating_add(value),
            None => sums.push((stack, value)),
        }
    }
    let samples = sums.iter().map(|&(stack, _)| {
        let mut frames: Vec<u32> =
            profile.stacks.frames(stack).map(|frame| number_of[frame.index()]).collect();
        frames.reverse();
        frames
    });
    let weights: Vec<u64> = sums.iter().map(|&(_, sum)| sum).collect();
    Sampled {
        kind: "sampled",
        name,
        unit: if cost.is_bytes() { "bytes" } else { "none" },
        start: 0,
        end: weights.iter().fold(0, |sum: u64, &weight| sum.saturating_add(weight)),
        samples: samples.collect(),
        weights,
    }
}
