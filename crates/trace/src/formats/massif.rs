//! valgrind's massif: how much was alive over time, and at some of the times which stacks held it.
//!
//! Header lines, then snapshots of `key=value` lines; a detailed one ends with a tree whose root is the allocator and
//! whose children are callers:
//!
//! ```text
//! n2: 11000 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.
//!  n1: 7000 0x10919B: g (vg.c:4)
//!   n0: 4000 0x1091D7: main (vg.c:5)
//!  n0: 20 in 3 places, all below massif's threshold (1.00%)
//! ```
//!
//! `nK` is the number of children, the number behind it the bytes of the node and its children.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::lines::{Line, Lines, Wrongs, cost, decimal};
use super::{ExportError, Failure, ReadProfile, frame_text};
use crate::ids::{FrameId, StackId};
use crate::profile::{CostType, Detail, Profile, ProfileBuilder, ProfileClock, ProfileFrame, Snapshot};

const NO_SNAPSHOT: &str = "a line belongs to no snapshot";
const VALUE: &str = "a value is no number";
const UNKNOWN: &str = "a line is none of massif's";
const NO_PARENT: &str = "a node of a tree has no parent";
const TOO_MANY: &str = "a node of a tree has more children than it says";
const LESS: &str = "a node of a tree has fewer bytes than its children";
const CUT: &str = "the file ends within a tree: it is cut short";
const TWO_PEAKS: &str = "there is more than one peak; the last counts";

/// A node of the tree whose children may still come.
struct Open {
    bytes: u64,
    children_bytes: u64,
    /// Children that are still to come.
    missing: u64,
    frame: ProfileFrame,
}

struct Reader {
    builder: ProfileBuilder,
    wrongs: Wrongs,
    clock: ProfileClock,
    snapshots: Vec<Snapshot>,
    /// From the root of the tree to the node that was read last.
    path: Vec<Open>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    let mut reader = Reader {
        builder: ProfileBuilder::for_file(&[CostType::LiveBytes, CostType::PeakBytes], bytes.len()),
        wrongs: Wrongs::default(),
        clock: ProfileClock::default(),
        snapshots: Vec::new(),
        path: Vec::new(),
    };
    let mut last = None;
    for line in Lines::new(bytes) {
        reader.line(line)?;
        last = Some(line);
    }
    if let Some(last) = last.filter(|_| reader.path.iter().any(|open| open.missing > 0)) {
        reader.wrongs.add(last, CUT);
    }
    reader.close_to(0)?;
    if reader.snapshots.is_empty() {
        return Err(Failure::at(bytes.len(), "it has no snapshot"));
    }
    reader.finish(last)
}

impl Reader {
    fn line(&mut self, line: Line<'_>) -> Result<(), Failure> {
        let text = line.text;
        if text.is_empty() || text[0] == b'#' {
            return Ok(());
        }
        let indent = text.iter().take_while(|&&byte| byte == b' ').count();
        if text[indent..].starts_with(b"n") && text.get(indent + 1).is_some_and(u8::is_ascii_digit) {
            return self.node(line, indent, &text[indent + 1..]);
        }
        self.close_to(0)?;
        let meta = &mut self.builder.profile.meta;
        if let Some(desc) = text.strip_prefix(b"desc:") {
            if !meta.description.is_empty() {
                meta.description.push(b'\n');
            }
            meta.description.extend_from_slice(desc.trim_ascii());
        } else if let Some(command) = text.strip_prefix(b"cmd:") {
            meta.command = command.trim_ascii().to_vec();
        } else if let Some(unit) = text.strip_prefix(b"time_unit:") {
            self.clock.unit = unit.trim_ascii().to_vec();
        } else if let Some(at) = memchr::memchr(b'=', text) {
            self.value(line, &text[..at], text[at + 1..].trim_ascii());
        } else {
            self.wrongs.add(line, UNKNOWN);
        }
        Ok(())
    }

    fn value(&mut self, line: Line<'_>, key: &[u8], value: &[u8]) {
        if key == b"snapshot" {
            self.snapshots.push(Snapshot::default());
            return;
        }
        let Some(snapshot) = self.snapshots.last_mut() else {
            self.wrongs.add(line, NO_SNAPSHOT);
            return;
        };
        let number = match key {
            b"time" => {
                let time = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f64>().ok());
                match time.filter(|time| time.is_finite() && *time >= 0.0) {
                    Some(time) => snapshot.time = time,
                    None => self.wrongs.add(line, VALUE),
                }
                return;
            }
            b"heap_tree" => {
                snapshot.detail = match value {
                    b"peak" => Detail::Peak,
                    b"detailed" => Detail::Stacks,
                    _ => Detail::Totals,
                };
                return;
            }
            b"mem_heap_B" => &mut snapshot.heap_bytes,
            b"mem_heap_extra_B" => &mut snapshot.extra_bytes,
            b"mem_stacks_B" => &mut snapshot.stack_bytes,
            _ => return self.wrongs.add(line, UNKNOWN),
        };
        match decimal(value) {
            Some(value) => *number = value,
            None => self.wrongs.add(line, VALUE),
        }
    }

    fn node(&mut self, line: Line<'_>, depth: usize, text: &[u8]) -> Result<(), Failure> {
        if self.snapshots.is_empty() {
            self.wrongs.add(line, NO_SNAPSHOT);
            return Ok(());
        }
        let Some((children, bytes, what)) = split_node(text) else {
            self.wrongs.add(line, VALUE);
            return Ok(());
        };
        if depth > self.path.len() || (depth == 0 && !self.path.is_empty()) {
            self.wrongs.add(line, NO_PARENT);
            return Ok(());
        }
        self.close_to(depth)?;
        let mut frame = ProfileFrame::default();
        if let Some(parent) = self.path.last_mut() {
            match parent.missing.checked_sub(1) {
                Some(missing) => parent.missing = missing,
                None => self.wrongs.add(line, TOO_MANY),
            }
            parent.children_bytes = parent.children_bytes.saturating_add(bytes);
            if parent.children_bytes > parent.bytes {
                self.wrongs.add(line, LESS);
            }
            frame = frame_text::parse(what, &mut self.builder);
        }
        self.path.push(Open { bytes, children_bytes: 0, missing: children, frame });
        Ok(())
    }

    /// Ends the nodes that are deeper: what their children don't account for is their own.
    fn close_to(&mut self, depth: usize) -> Result<(), Failure> {
        while self.path.len() > depth {
            let Some(last) = self.path.last() else { break };
            let own = last.bytes.saturating_sub(last.children_bytes);
            if own > 0 {
                let frames: Vec<ProfileFrame> = self.path[1..].iter().map(|open| open.frame).collect();
                let stack = self.builder.stack(&frames)?;
                if let Some(snapshot) = self.snapshots.last_mut() {
                    snapshot.stacks.push((stack, own));
                }
            }
            self.path.pop();
        }
        Ok(())
    }

    fn finish(mut self, last: Option<Line<'_>>) -> Result<ReadProfile, Failure> {
        for snapshot in &mut self.snapshots {
            merge(&mut snapshot.stacks);
        }
        let peaks = self.snapshots.iter().filter(|snapshot| snapshot.detail == Detail::Peak).count();
        if let Some(last) = last.filter(|_| peaks > 1) {
            self.wrongs.add(last, TWO_PEAKS);
        }
        let at_peak = self.snapshots.iter().rposition(|snapshot| snapshot.detail == Detail::Peak);
        for snapshot in self.snapshots.iter_mut().take(at_peak.unwrap_or(0)) {
            if snapshot.detail == Detail::Peak {
                snapshot.detail = Detail::Stacks;
            }
        }
        // Only a snapshot with stacks tells what was alive at the end.
        let at_end =
            self.snapshots.len().checked_sub(1).filter(|&last| self.snapshots[last].detail != Detail::Totals);
        self.clock.end = self.snapshots.last().map_or(0.0, |snapshot| snapshot.time);
        self.clock.peak = at_peak.map(|at| self.snapshots[at].time);

        let mut columns = Vec::new();
        columns.extend(at_end.map(|_| CostType::LiveBytes));
        columns.extend(at_peak.map(|_| CostType::PeakBytes));
        let mut profile = self.builder.profile;
        profile.samples =
            samples(&columns, at_end.map(|at| &self.snapshots[at]), at_peak.map(|at| &self.snapshots[at]));
        profile.meta.clock = Some(self.clock);
        profile.snapshots = self.snapshots;
        Ok(ReadProfile { profile, damage: self.wrongs.finish(), notes: Vec::new() })
    }
}

fn split_node(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let colon = memchr::memchr(b':', text)?;
    let rest = text[colon + 1..].trim_ascii_start();
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let what = rest.get(end + 1..).unwrap_or_default();
    Some((decimal(&text[..colon])?, decimal(&rest[..end])?, what))
}

/// Each stack once, in the order of first appearance.
fn merge(stacks: &mut Vec<(StackId, u64)>) {
    let mut place: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut merged: Vec<(StackId, u64)> = Vec::with_capacity(stacks.len());
    for &(stack, bytes) in stacks.iter() {
        let at = *place.entry(stack).or_insert(merged.len());
        match merged.get_mut(at) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => merged.push((stack, bytes)),
        }
    }
    *stacks = merged;
}

/// The samples of a profile from its last snapshot and its peak.
fn samples(columns: &[CostType], end: Option<&Snapshot>, peak: Option<&Snapshot>) -> crate::profile::Samples {
    let mut place: FxHashMap<StackId, usize> = FxHashMap::default();
    let mut rows: Vec<(StackId, [i64; 2])> = Vec::new();
    for (column, snapshot) in [(1, peak), (0, end)] {
        for &(stack, bytes) in snapshot.iter().flat_map(|snapshot| &snapshot.stacks) {
            let at = *place.entry(stack).or_insert(rows.len());
            if at == rows.len() {
                rows.push((stack, [0; 2]));
            }
            rows[at].1[column] = cost(bytes);
        }
    }
    let mut builder = ProfileBuilder::new(columns);
    for (stack, [end_bytes, peak_bytes]) in rows {
        let values = [end.map(|_| end_bytes), peak.map(|_| peak_bytes)];
        let values: Vec<i64> = values.into_iter().flatten().collect();
        builder.sample(stack, 0, &values);
    }
    builder.profile.samples
}

/// massif's own threshold: nodes below so many percent of a snapshot's bytes are put together.
pub const MASSIF_THRESHOLD: f64 = 1.0;

/// Frames of a stack that are written, from its leaf on: each level takes one more space of indent, so that a stack of
/// thousands would take megabytes. massif itself stops at 200 at most.
pub(super) const DEEPEST: usize = 500;

/// Writes the snapshots, or the peak alone if there are none; nodes below `threshold` percent are put together.
///
/// `ms_print` knows three units of time: others are taken as milliseconds if they are a time, and left out if not.
///
/// # Errors
/// If it is not known what was alive, and those of `out`.
pub fn write_massif(profile: &Profile, threshold: f64, out: &mut dyn Write) -> Result<(), ExportError> {
    let meta = &profile.meta;
    if profile.snapshots.is_empty() && single_cost(profile).is_none() {
        return Err(ExportError::Missing { format: "massif", needed: "bytes that are alive" });
    }
    let line = |text: &[u8]| String::from_utf8_lossy(text).replace(['\n', '\r'], " ");
    writeln!(out, "desc: {}", line(&meta.description))?;
    writeln!(out, "cmd: {}", if meta.command.is_empty() { "?".to_owned() } else { line(&meta.command) })?;
    let clock = meta.clock.clone().unwrap_or_default();
    let is_known = matches!(&clock.unit[..], b"i" | b"ms" | b"B");
    // A damaged profile may have a time that no number of milliseconds holds, or one before the start.
    let time = |time: f64| {
        let time = if is_known { time } else { clock.seconds(time).unwrap_or(0.0) * 1e3 };
        if time >= 0.0 { time.min(f64::MAX) } else { 0.0 }
    };
    writeln!(out, "time_unit: {}", if is_known { line(&clock.unit) } else { "ms".to_owned() })?;
    let only;
    let snapshots = if profile.snapshots.is_empty() {
        only = [single(profile)];
        &only[..]
    } else {
        &profile.snapshots
    };
    for (number, snapshot) in snapshots.iter().enumerate() {
        let tree = match snapshot.detail {
            Detail::Totals => "empty",
            Detail::Stacks => "detailed",
            Detail::Peak => "peak",
        };
        write!(
            out,
            "#-----------\nsnapshot={number}\n#-----------\ntime={}\nmem_heap_B={}\nmem_heap_extra_B={}\n\
             mem_stacks_B={}\nheap_tree={tree}\n",
            time(snapshot.time),
            snapshot.heap_bytes,
            snapshot.extra_bytes,
            snapshot.stack_bytes,
        )?;
        if snapshot.detail != Detail::Totals {
            Tree::new(profile, snapshot).write(threshold, out)?;
        }
    }
    Ok(())
}

/// What a file of this profile lacks or has otherwise.
pub(super) fn losses(profile: &Profile) -> Vec<String> {
    let mut lost =
        vec![format!("massif puts together what holds less than {MASSIF_THRESHOLD} % of a snapshot")];
    if profile.stacks.deepest() > DEEPEST {
        lost.push(format!("massif keeps {DEEPEST} frames of a stack"));
    }
    if profile.snapshots.is_empty() && single_cost(profile) == Some(CostType::LiveBytes) {
        lost.push("the peak is unknown: what is alive at the end stands for it".to_owned());
    }
    lost
}

/// The cost that makes the only snapshot of a profile without a series.
fn single_cost(profile: &Profile) -> Option<CostType> {
    let costs = [CostType::PeakBytes, CostType::LiveBytes];
    costs.into_iter().find(|&cost| profile.samples.column(cost).is_some())
}

/// The peak as the only snapshot; what is alive at the end if the peak is unknown.
fn single(profile: &Profile) -> Snapshot {
    let samples = &profile.samples;
    let column = single_cost(profile).and_then(|cost| samples.column(cost));
    let mut stacks: Vec<(StackId, u64)> = Vec::new();
    for (&stack, &bytes) in samples.stacks().iter().zip(column.unwrap_or_default()) {
        stacks.extend(u64::try_from(bytes).ok().filter(|&bytes| bytes > 0).map(|bytes| (stack, bytes)));
    }
    merge(&mut stacks);
    let heap_bytes = stacks.iter().fold(0_u64, |sum, &(_, bytes)| sum.saturating_add(bytes));
    let clock = profile.meta.clock.as_ref();
    let time = clock.map_or(0.0, |clock| clock.peak.unwrap_or(clock.end));
    Snapshot { time, heap_bytes, detail: Detail::Peak, stacks, ..Snapshot::default() }
}

/// Stacks merged from their leaves on.
struct Tree<'a> {
    profile: &'a Profile,
    /// Frame and bytes with those of its callers; node 0 is the allocator. A child stands behind its parent.
    nodes: Vec<(FrameId, u64)>,
    /// Nodes by parent, the largest first.
    children: Vec<(u32, u32)>,
}

impl<'a> Tree<'a> {
    fn new(profile: &'a Profile, snapshot: &Snapshot) -> Self {
        let mut nodes = vec![(FrameId(0), 0_u64)];
        let mut known: FxHashMap<(u32, FrameId), u32> = FxHashMap::default();
        let mut children = Vec::new();
        for &(stack, bytes) in &snapshot.stacks {
            let mut node = 0_u32;
            nodes[0].1 = nodes[0].1.saturating_add(bytes);
            for frame in profile.stacks.frames(stack).take(DEEPEST) {
                let next = nodes.len() as u32;
                let child = *known.entry((node, frame)).or_insert(next);
                if child == next {
                    nodes.push((frame, 0));
                    children.push((node, child));
                }
                node = child;
                nodes[node as usize].1 = nodes[node as usize].1.saturating_add(bytes);
            }
        }
        children.sort_by_key(|&(parent, child)| (parent, std::cmp::Reverse(nodes[child as usize].1), child));
        Tree { profile, nodes, children }
    }

    fn children(&self, parent: u32) -> &[(u32, u32)] {
        let start = self.children.partition_point(|&(of, _)| of < parent);
        let len = self.children[start..].partition_point(|&(of, _)| of == parent);
        &self.children[start..start + len]
    }

    fn write(&self, threshold: f64, out: &mut dyn Write) -> io::Result<()> {
        let least = self.nodes[0].1 as f64 * threshold / 100.0;
        // Node and depth. Stacks may be deep, so that this must not recurse.
        let mut todo = vec![(0_u32, 0_usize)];
        // The line for what is below the threshold follows its siblings.
        let mut later: Vec<(usize, usize, u64)> = Vec::new();
        loop {
            let next = todo.last().map(|&(_, depth)| depth);
            while let Some(&(depth, places, bytes)) = later.last() {
                if next.is_some_and(|next| next >= depth) {
                    break;
                }
                later.pop();
                let places =
                    if places == 1 { "1 place,".to_owned() } else { format!("{places} places, all") };
                let indent = " ".repeat(depth);
                writeln!(out, "{indent}n0: {bytes} in {places} below massif's threshold ({threshold:.2}%)")?;
            }
            let Some((node, depth)) = todo.pop() else { return Ok(()) };
            let children = self.children(node);
            // The largest come first.
            let shown = children.partition_point(|&(_, child)| self.nodes[child as usize].1 as f64 >= least);
            let (shown, hidden) = children.split_at(shown);
            let count = shown.len() + usize::from(!hidden.is_empty());
            let (frame, bytes) = self.nodes[node as usize];
            write!(out, "{}n{count}: {bytes} ", " ".repeat(depth))?;
            if node == 0 {
                out.write_all(b"(heap allocation functions) malloc/new/new[], --alloc-fns, etc.")?;
            } else {
                out.write_all(&frame_text::write(self.profile, self.profile.frames.get(frame), false))?;
            }
            out.write_all(b"\n")?;
            todo.extend(shown.iter().rev().map(|&(_, child)| (child, depth + 1)));
            if !hidden.is_empty() {
                let bytes = hidden.iter().map(|&(_, child)| self.nodes[child as usize].1).sum();
                later.push((depth + 1, hidden.len(), bytes));
            }
        }
    }
}
