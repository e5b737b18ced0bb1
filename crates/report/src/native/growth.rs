//! A place whose bytes grew steadily, and how the program comes there.

use twinheap_native::{FrameView, NativeGrowth, NativeHeap};

use super::{frame_words, function_name, signed};
use crate::Style;
use crate::names::clean;

/// Lines of a stack at most; around the program's own functions are those that called it.
const MOST_FRAMES: usize = 8;

/// What grew, where it is allocated, and the functions that have a place in a source file on the way there.
pub fn native_growth_text(heap: &NativeHeap, growth: &NativeGrowth, style: &Style) -> String {
    let sizes: Vec<String> = growth.alive.iter().map(|&bytes| signed(style, bytes)).collect();
    let frames: Vec<FrameView<'_>> = heap.places(growth.stack).flat_map(|ip| heap.frames(ip)).collect();
    let has_place = |frame: &FrameView<'_>| frame.line > 0 && (!is_script(frame) || frame.is_own_script());
    let subject = frames.iter().find(|frame| has_place(frame)).or(frames.first());
    let name = subject.map_or_else(|| "(no stack)".to_owned(), |frame| function_name(frame, false));
    let mut out = format!(
        "{} leaks: {} not freed, of {} calls\n",
        style.bold(&format!("{}()", clean(&name, 60))),
        sizes.join(" → "),
        style.count(growth.allocations),
    );
    if let Some(place) = subject.and_then(place_words) {
        out.push_str(&format!("  allocated at {place}\n"));
    }
    out.push_str("  called by:\n");
    let mut left_out = false;
    let mut lines = 0;
    for (at, frame) in frames.iter().enumerate() {
        let is_leaf = at == 0;
        if !is_leaf && !has_place(frame) {
            left_out = true;
            continue;
        }
        if lines == MOST_FRAMES {
            out.push_str(&style.dim("     …\n"));
            break;
        }
        let lead = match (is_leaf, std::mem::take(&mut left_out)) {
            (true, _) => "",
            (false, true) => " ← … ← ",
            (false, false) => " ← ",
        };
        let words = clean(&frame_words(frame, false), style.width.saturating_sub(12).max(40));
        out.push_str(&format!("    {lead}{words}\n"));
        lines += 1;
    }
    out
}

/// The whole path, so that an editor can be pointed to it.
fn place_words(frame: &FrameView<'_>) -> Option<String> {
    let column = if frame.column > 0 { format!(":{}", frame.column) } else { String::new() };
    let file = clean(&String::from_utf8_lossy(frame.file), 200);
    (frame.line > 0).then(|| format!("{file}:{}{column}", frame.line))
}

fn is_script(frame: &FrameView<'_>) -> bool {
    super::kind(frame) == "js"
}
