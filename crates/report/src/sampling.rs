//! `summary` of a sampling heap profile.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_jsheap::SampledFunction;
use twinheap_snapshot::SamplingProfile;

use crate::names::{clean, json};
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    nodes: usize,
    samples: u64,
    total_size: u64,
    functions: Vec<FunctionJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct FunctionJson {
    function: Box<RawValue>,
    script: Box<RawValue>,
    /// From 1; 0 if unknown.
    line: u64,
    column: u64,
    self_size: u64,
    total_size: u64,
}

/// Functions by the bytes they allocated that are alive.
pub fn sampling_json<'a>(
    profile: &SamplingProfile,
    functions: &[SampledFunction],
    file: &'a str,
    warnings: &'a [String],
) -> impl Serialize + use<'a> {
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "js-sampling-profile",
        file,
        nodes: profile.nodes.len(),
        samples: profile.samples,
        total_size: functions.iter().map(|f| f.self_size).sum(),
        functions: functions
            .iter()
            .map(|f| FunctionJson {
                function: json(profile.text(f.function)),
                script: json(profile.text(f.url)),
                line: f.line,
                column: f.column,
                self_size: f.self_size,
                total_size: f.total_size,
            })
            .collect(),
        warnings,
    }
}

/// The same in words.
pub fn sampling_text(
    profile: &SamplingProfile,
    functions: &[SampledFunction],
    file: &str,
    style: &Style,
    most: usize,
) -> String {
    let total: u64 = functions.iter().map(|f| f.self_size).sum();
    let mut out = format!(
        "{}\nsampling heap profile: {} frames, {} samples, {} alive (an estimate)\n\n",
        style.bold(&clean(file, 200)),
        style.count(profile.nodes.len() as u64),
        style.count(profile.samples),
        style.size(total),
    );
    let mut table = Table::new(&[
        ("function", Align::Left),
        ("self", Align::Right),
        ("", Align::Right),
        ("with callees", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for f in functions.iter().take(most) {
        let name = profile.text(f.function).to_string_lossy();
        let name = if name.is_empty() { "(anonymous)" } else { &name };
        let url = profile.text(f.url).to_string_lossy();
        let place = if url.is_empty() { String::new() } else { format!("  {url}:{}:{}", f.line, f.column) };
        table.row(vec![
            clean(&format!("{name}{place}"), style.width.saturating_sub(50).max(30)),
            style.size(f.self_size),
            style.percent(f.self_size, total),
            style.size(f.total_size),
            style.percent(f.total_size, total),
            style.bar(f.self_size, total, 10),
        ]);
    }
    out.push_str(&table.render(style));
    if let Some(rest) = functions.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {} more functions (--limit N)\n", style.count(rest as u64))));
    }
    out
}
