//! What a process had lost when it exited, as a part of the summary.

use serde::Serialize;
use twinheap_native::{Lost, LostCost};

use super::{FrameJson, NativeSource, callers_words, frame_words, frames_json};
use crate::Style;
use crate::names::clean;
use crate::table::{Align, Table};

/// Lost blocks in JSON.
#[derive(Serialize)]
pub(super) struct LostJson {
    #[serde(flatten)]
    cost: LostCostJson,
    suppressed_bytes: u64,
    stacks: Vec<LostStackJson>,
}

#[derive(Serialize)]
struct LostCostJson {
    direct_blocks: u64,
    direct_bytes: u64,
    indirect_blocks: u64,
    indirect_bytes: u64,
}

#[derive(Serialize)]
struct LostStackJson {
    #[serde(flatten)]
    cost: LostCostJson,
    frames: Vec<FrameJson>,
}

impl From<&LostCost> for LostCostJson {
    fn from(cost: &LostCost) -> Self {
        let LostCost { direct_blocks, direct_bytes, indirect_blocks, indirect_bytes } = *cost;
        LostCostJson { direct_blocks, direct_bytes, indirect_blocks, indirect_bytes }
    }
}

/// The `most` stacks that lost most, and all together.
pub(super) fn lost_json(source: &NativeSource<'_>, lost: &Lost, most: usize) -> LostJson {
    let stacks = lost.stacks.iter().take(most).map(|stack| LostStackJson {
        cost: LostCostJson::from(&stack.cost),
        frames: frames_json(source.heap, stack.stack),
    });
    LostJson {
        cost: LostCostJson::from(&lost.total),
        suppressed_bytes: lost.suppressed_bytes,
        stacks: stacks.collect(),
    }
}

/// Completes the row of the totals that says how many bytes are lost.
pub(super) fn lost_words(lost: &Lost, style: &Style) -> String {
    let LostCost { direct_blocks, indirect_blocks, indirect_bytes, .. } = lost.total;
    let mut words = format!("nothing points to {} blocks", style.count(direct_blocks));
    if indirect_blocks > 0 {
        let bytes = style.size(indirect_bytes);
        words.push_str(&format!(", on which {} more of {bytes} hang", style.count(indirect_blocks)));
    }
    if lost.suppressed_bytes > 0 {
        words.push_str(&format!("; {} of known leaks, suppressed", style.size(lost.suppressed_bytes)));
    }
    words
}

/// The stacks that lost most; nothing if nothing is lost.
pub(super) fn lost_text(
    source: &NativeSource<'_>,
    lost: &Lost,
    most: usize,
    style: &Style,
) -> Option<String> {
    if lost.stacks.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("bytes", Align::Right),
        ("blocks", Align::Right),
        ("with them", Align::Right),
        ("call site ← callers", Align::Left),
    ]);
    let room = style.width.saturating_sub(36).max(40);
    for stack in lost.stacks.iter().take(most) {
        let LostCost { direct_blocks, direct_bytes, indirect_bytes, .. } = stack.cost;
        let first = source.heap.places(stack.stack).flat_map(|ip| source.heap.frames(ip)).next();
        let words = first.map_or_else(
            || "(no stack)".to_owned(),
            |frame| {
                let callers = callers_words(source, stack.stack, 4);
                format!("{}{callers}", frame_words(&frame, source.full_names))
            },
        );
        table.row(vec![
            style.size(direct_bytes),
            style.count(direct_blocks),
            style.size(indirect_bytes),
            clean(&words, room),
        ]);
    }
    let mut out = table.render(style);
    if let Some(rest) = lost.stacks.len().checked_sub(most).filter(|&rest| rest > 0) {
        out.push_str(&style.dim(&format!("… {} more stacks (--limit N)\n", style.count(rest as u64))));
    }
    Some(out)
}
