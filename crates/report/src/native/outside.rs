//! Memory that malloc's calls don't show, as a part of the summary.

use serde::Serialize;
use serde_json::value::RawValue;
use twinheap_native::{Outside, OutsideKind, OutsidePart};
use twinheap_trace::Trace;
use twinheap_trace::heaptrace::{EmbeddedAllocator, RefusedHook};

use super::{file_name, seconds, signed};
use crate::Style;
use crate::names::{clean, json_bytes};
use crate::table::{Align, Table};

/// Parts with less than this share of the resident memory are one line of the text.
const SMALL: u64 = 100;

#[derive(Serialize)]
pub(super) struct OutsideJson {
    /// Resident bytes at the peak outside of every heap whose calls are recorded.
    peak_bytes: u64,
    end_bytes: u64,
    /// Seconds since the recording began.
    peak_time: f64,
    end_time: f64,
    peak_rss: u64,
    end_rss: u64,
    /// Parts and this make the resident memory.
    unexplained_at_peak: i64,
    unexplained_at_end: i64,
    parts: Vec<PartJson>,
    /// Allocators inside of modules, and which of their functions' calls are recorded.
    allocators: Vec<EmbeddedAllocator>,
}

#[derive(Serialize)]
struct PartJson {
    name: Box<RawValue>,
    kind: &'static str,
    /// The mapped file, or the module that asked for the memory.
    path: Option<Box<RawValue>>,
    /// An allocator inside the module.
    allocator: Option<String>,
    /// Calls show it too: it is not counted in `peak_bytes`.
    recorded: bool,
    bytes_at_peak: u64,
    bytes_at_end: u64,
    maps: u32,
}

pub(super) fn outside_json(outside: &Outside, allocators: &[EmbeddedAllocator]) -> OutsideJson {
    let part = |part: &OutsidePart| PartJson {
        name: json_bytes(words(part).as_bytes()),
        kind: part.kind.word(),
        path: matches!(part.kind, OutsideKind::File | OutsideKind::Module).then(|| json_bytes(&part.name)),
        allocator: part.allocator.clone(),
        recorded: part.is_inside(),
        bytes_at_peak: part.at_peak,
        bytes_at_end: part.at_end,
        maps: part.ranges,
    };
    OutsideJson {
        peak_bytes: outside.peak(),
        end_bytes: outside.end(),
        peak_time: seconds(outside.peak_ms),
        end_time: seconds(outside.end_ms),
        peak_rss: outside.peak_rss,
        end_rss: outside.end_rss,
        unexplained_at_peak: outside.unexplained_at_peak(),
        unexplained_at_end: outside.unexplained_at_end(),
        parts: outside.parts.iter().map(part).collect(),
        allocators: allocators.to_vec(),
    }
}

/// What a part is called.
fn words(part: &OutsidePart) -> String {
    let name = file_name(&part.name);
    match part.kind {
        OutsideKind::Malloc => "malloc's heap".to_owned(),
        OutsideKind::V8Heap => "V8's heap".to_owned(),
        OutsideKind::V8Code => "V8's code".to_owned(),
        OutsideKind::Wasm => "WebAssembly memories, growable buffers".to_owned(),
        OutsideKind::Stack => "stacks of threads".to_owned(),
        OutsideKind::File => format!("file {name}"),
        OutsideKind::Module => match &part.allocator {
            Some(allocator) => format!("{name} by mmap ({allocator} inside)"),
            None => format!("{name} by mmap"),
        },
        OutsideKind::Named => format!("anonymous, named {}", String::from_utf8_lossy(&part.name)),
        OutsideKind::Recorder => "twinheap's recorder".to_owned(),
        OutsideKind::Unknown => "anonymous, by no recorded call".to_owned(),
    }
}

/// The table of the summary.
pub(super) fn outside_text(outside: &Outside, style: &Style) -> String {
    let mut table = Table::new(&[
        ("at the peak", Align::Right),
        ("at the end", Align::Right),
        ("maps", Align::Right),
        ("resident memory of", Align::Left),
    ]);
    let room = style.width.saturating_sub(40).max(40);
    let is_small = |part: &&OutsidePart| {
        part.kind == OutsideKind::File
            && part.at_peak < outside.peak_rss / SMALL
            && part.at_end < outside.end_rss / SMALL
    };
    for part in outside.parts.iter().filter(|part| !is_small(part)) {
        let shown = if part.is_recorded { ", its blocks are recorded" } else { "" };
        table.row(vec![
            style.size(part.at_peak),
            style.size(part.at_end),
            style.count(u64::from(part.ranges)),
            clean(&format!("{}{shown}", words(part)), room),
        ]);
    }
    let small: Vec<&OutsidePart> = outside.parts.iter().filter(is_small).collect();
    if !small.is_empty() {
        let files = if small.len() == 1 { "1 more file" } else { &format!("{} more files", small.len()) };
        table.row(vec![
            style.size(small.iter().map(|part| part.at_peak).sum()),
            style.size(small.iter().map(|part| part.at_end).sum()),
            style.count(small.iter().map(|part| u64::from(part.ranges)).sum()),
            files.to_owned(),
        ]);
    }
    let mut row = |peak: String, end: String, what: &str| {
        table.row(vec![peak, end, String::new(), what.to_owned()]);
    };
    row(
        signed(style, outside.unexplained_at_peak()),
        signed(style, outside.unexplained_at_end()),
        "not explained",
    );
    row(style.size(outside.peak_rss), style.size(outside.end_rss), "all (RSS)");
    format!(
        "\nMemory outside malloc: {} when most was resident, after {:.2} s; {} at the end, after {:.2} s\n{}",
        style.size(outside.peak()),
        seconds(outside.peak_ms),
        style.size(outside.end()),
        seconds(outside.end_ms),
        table.render(style)
    )
}

/// Allocators inside of the process's modules.
pub(super) fn allocators(trace: &Trace) -> &[EmbeddedAllocator] {
    let end = trace.recording.as_ref().and_then(|recording| recording.end.as_ref());
    end.map(|end| end.allocators.as_slice()).unwrap_or_default()
}

/// A sentence on each allocator inside of a module.
pub(super) fn allocators_text(allocators: &[EmbeddedAllocator], style: &Style) -> String {
    let sentence = |allocator: &EmbeddedAllocator| {
        let module = file_name(allocator.module.as_bytes());
        let inside = format!("{module} has {} inside", allocator.name);
        let refused = |refused: &RefusedHook| format!("`{}` ({})", refused.function, refused.reason);
        let names: Vec<String> = allocator.refused.iter().map(refused).collect();
        let but = if names.is_empty() { String::new() } else { format!("; not: {}", names.join(", ")) };
        let words = match (&allocator.reason, allocator.hooked.len()) {
            (Some(reason), _) => format!("{inside}, whose calls are not recorded: {reason}{but}"),
            (None, 0) => format!("{inside}, whose calls are not recorded{but}"),
            (None, count) => format!("{inside}: calls of {count} of its functions are recorded{but}"),
        };
        format!("{}\n", clean(&words, 400))
    };
    let all: String = allocators.iter().map(sentence).collect();
    if all.is_empty() { all } else { style.dim(&all) }
}
