//! Columns under construction: reserved by what the header promises, grown when it lied, filled by one thread or
//! two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::columns::{WideColumn, WideWriter};
use crate::header::Header;
use crate::parser::Join;
use crate::records::{EdgeSink, NodeSink, OddValues, ReadStop, RecordReader, Sink};

/// Stretches shorter than this are not worth a second thread.
const LEAST_TO_SHARE: usize = 4 << 20;
/// Longest stretch that is shared at once: what both threads counted is then still in the cache when they read it.
const MOST_TO_SHARE: usize = 32 << 20;
/// Records reserved at first when the size of the file is not known.
const BLIND_RESERVE: u64 = 1 << 20;

/// A table that a section is read into.
pub(crate) trait ReadTable {
    /// A view of a stretch of the columns.
    type Sink<'a>: Sink + Send
    where
        Self: 'a;

    /// Records in the table.
    fn len(&self) -> usize;
    /// Room in the columns, used or not.
    fn room(&self) -> usize;
    /// Makes room; false if 32-bit indices don't reach that far.
    fn grow(&mut self) -> bool;
    /// Views of the free room: `first` records of it, and the rest.
    fn sinks<'a>(&'a mut self, header: &'a Header, first: usize) -> (Self::Sink<'a>, Self::Sink<'a>);
    /// What a sink leaves: records written, and what did not fit its columns.
    fn leavings(sink: Self::Sink<'_>) -> Leavings;
    /// Counts records as written.
    fn advance(&mut self, leavings: Leavings);
    /// Makes a stretch of the free room as if nothing had been written there.
    fn clean(&mut self, from: usize);
    /// Integers a record.
    fn stride(header: &Header) -> usize;

    /// Reads on from `input`; returns the bytes used. [`ReadStop::Full`] means that no index reaches further.
    fn read(
        &mut self,
        header: &Header,
        reader: &mut RecordReader,
        input: &[u8],
        join: Option<&Join<'_>>,
    ) -> (usize, ReadStop) {
        let mut at = 0;
        loop {
            if let Some(join) = join
                && input.len() - at >= LEAST_TO_SHARE
            {
                let until = input.len().min(at + MOST_TO_SHARE);
                if let Some((used, stop)) = read_shared(self, header, reader, &input[at..until], join) {
                    at += used;
                    match stop {
                        ReadStop::NeedInput if at < input.len() => continue,
                        ReadStop::Full => {}
                        _ => return (at, stop),
                    }
                }
            }
            let until = if join.is_some() { input.len().min(at + MOST_TO_SHARE) } else { input.len() };
            let room = self.room() - self.len();
            let (mut sink, _) = self.sinks(header, room);
            let (used, stop) = reader.read(&input[at..until], &mut sink);
            let leavings = Self::leavings(sink);
            self.advance(leavings);
            at += used;
            match stop {
                ReadStop::Full => {
                    if !self.grow() {
                        return (at, ReadStop::Full);
                    }
                }
                ReadStop::NeedInput if at < input.len() => {}
                _ => return (at, stop),
            }
        }
    }
}

/// What a sink leaves when it is done.
pub(crate) struct Leavings {
    records: usize,
    odd: OddValues,
    wide: [Vec<(u32, u64)>; 2],
}

/// Reads a stretch with two threads. `None` if it can't be shared; nothing has happened then.
///
/// Where the second half's records begin follows from the number of commas in the first, which is counted at
/// more than ten times the speed of reading. Text in which commas and numbers don't alternate breaks that rule;
/// the first half notices, and the second is read again after it.
fn read_shared<T: ReadTable + ?Sized>(
    table: &mut T,
    header: &Header,
    reader: &mut RecordReader,
    input: &[u8],
    join: &Join<'_>,
) -> Option<(usize, ReadStop)> {
    let stride = T::stride(header);
    let cut = comma_from(input, input.len() / 2)?;
    let (front, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let bracket = AtomicBool::new(false);
    join(
        &mut || {
            let (commas, has_bracket) = count_commas(&input[..cut]);
            front.store(commas, Ordering::Relaxed);
            bracket.store(has_bracket, Ordering::Relaxed);
        },
        &mut || back.store(count_commas(&input[cut..]).0, Ordering::Relaxed),
    );
    if bracket.load(Ordering::Relaxed) {
        return None;
    }
    let integers = reader.scanner.until_comma(front.load(Ordering::Relaxed))? + reader.left_over() as u64;
    // The first half also takes the rest of the record that the cut goes through.
    let missing = (stride as u64 - integers % stride as u64) % stride as u64;
    let mut cut = cut;
    for _ in 0..missing {
        cut = comma_from(input, cut)?;
    }
    if input[..cut].last() != Some(&b',') || input[cut - input.len().min(64).min(cut)..cut].contains(&b']') {
        return None;
    }
    let first = usize::try_from((integers + missing) / stride as u64).ok()?;
    let second = usize::try_from(back.load(Ordering::Relaxed)).ok()? / stride + 2;
    if first.checked_add(second)? > table.room() - table.len() {
        return None;
    }

    let before = table.len();
    let (mut sink_a, mut sink_b) = table.sinks(header, first);
    let mut reader_b = RecordReader::new();
    let mut result_a = (0, ReadStop::NeedInput);
    let mut result_b = (0, ReadStop::NeedInput);
    join(&mut || result_a = reader.read(&input[..cut], &mut sink_a), &mut || {
        result_b = reader_b.read(&input[cut..], &mut sink_b);
    });
    let (left_a, left_b) = (T::leavings(sink_a), T::leavings(sink_b));
    let as_expected = result_a == (cut, ReadStop::NeedInput)
        && left_a.records == first
        && reader.left_over() == 0
        && !reader.scanner.in_number();
    table.advance(left_a);
    if !as_expected {
        table.clean(before + first);
        return Some(result_a);
    }
    table.advance(left_b);
    reader.continue_with(reader_b);
    Some((cut + result_b.0, result_b.1))
}

/// The position behind the first comma at or after `from`.
fn comma_from(input: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(b',', &input[from..]).map(|at| from + at + 1)
}

/// Commas of a stretch, and whether it holds a closing bracket.
fn count_commas(input: &[u8]) -> (u64, bool) {
    let mut commas = 0u64;
    let mut bracket = false;
    // 255 lanes of at most 255 each: the compiler turns this into wide byte compares.
    for block in input.chunks(4080) {
        let mut any = 0u8;
        for part in block.chunks(255) {
            let mut sum = 0u8;
            for &byte in part {
                sum += u8::from(byte == b',');
                any |= u8::from(byte == b']');
            }
            commas += u64::from(sum);
        }
        bracket |= any != 0;
    }
    (commas, bracket)
}

/// Records to reserve: what the header promises, unless the file is too short for it.
fn promised(count: u64, least_bytes: u64, bytes_left: Option<u64>) -> usize {
    let bound = match bytes_left {
        Some(bytes) => bytes / least_bytes + 1,
        None => BLIND_RESERVE,
    };
    // Two more than promised: what two threads share is cut so that the second may need that much.
    count.saturating_add(2).min(bound).min(u64::from(u32::MAX) - 1) as usize
}

/// Twice the room, within what indices reach.
fn grown(room: usize) -> Option<usize> {
    let most = u32::MAX as usize - 1;
    (room < most).then(|| (room * 2).clamp(1024, most))
}

/// The node columns under construction.
#[derive(Default)]
pub(crate) struct NodeTable {
    pub(crate) kind: Vec<u8>,
    pub(crate) name: Vec<u32>,
    pub(crate) id: WideColumn,
    pub(crate) self_size: WideColumn,
    pub(crate) edge_count: Vec<u32>,
    pub(crate) trace_node: Vec<u32>,
    len: usize,
    pub(crate) odd: OddValues,
}

impl NodeTable {
    pub(crate) fn reserve(&mut self, header: &Header, bytes_left: Option<u64>) {
        let room = promised(header.node_count, 2 * header.node.stride as u64, bytes_left);
        self.kind = vec![0; room];
        self.name = vec![0; room];
        self.id = WideColumn::zeroed(room);
        self.self_size = WideColumn::zeroed(room);
        // One more: it becomes the column of first edges, which has an end.
        self.edge_count = vec![0; room + 1];
        self.trace_node = if header.node.trace_node.is_some() { vec![0; room] } else { Vec::new() };
    }
}

impl ReadTable for NodeTable {
    type Sink<'a> = NodeSink<'a>;

    fn len(&self) -> usize {
        self.len
    }

    fn room(&self) -> usize {
        self.kind.len()
    }

    fn stride(header: &Header) -> usize {
        header.node.stride
    }

    fn grow(&mut self) -> bool {
        let Some(room) = grown(self.room()) else { return false };
        if !self.trace_node.is_empty() || self.room() == 0 {
            self.trace_node.resize(room, 0);
        }
        self.kind.resize(room, 0);
        self.name.resize(room, 0);
        self.id.resize(room);
        self.self_size.resize(room);
        self.edge_count.resize(room + 1, 0);
        true
    }

    fn sinks<'a>(&'a mut self, header: &'a Header, first: usize) -> (NodeSink<'a>, NodeSink<'a>) {
        let len = self.len;
        let room = self.kind.len();
        let (kind_a, kind_b) = self.kind[len..].split_at_mut(first);
        let (name_a, name_b) = self.name[len..].split_at_mut(first);
        let (id_a, id_b) = self.id.low_mut()[len..].split_at_mut(first);
        let (size_a, size_b) = self.self_size.low_mut()[len..].split_at_mut(first);
        let (edges_a, edges_b) = self.edge_count[len..room].split_at_mut(first);
        let (trace_a, trace_b) = if self.trace_node.is_empty() {
            (&mut [][..], &mut [][..])
        } else {
            self.trace_node[len..].split_at_mut(first)
        };
        let sink = |kind, name, id, self_size, edge_count, trace_node, base| NodeSink {
            layout: header.node,
            types: &header.node_types,
            kind,
            name,
            id: WideWriter::new(id, base),
            self_size: WideWriter::new(self_size, base),
            edge_count,
            trace_node,
            at: 0,
            odd: OddValues::default(),
        };
        (
            sink(kind_a, name_a, id_a, size_a, edges_a, trace_a, len),
            sink(kind_b, name_b, id_b, size_b, edges_b, trace_b, len + first),
        )
    }

    fn leavings(sink: NodeSink<'_>) -> Leavings {
        let wide = [sink.id.into_wide(), sink.self_size.into_wide()];
        Leavings { records: sink.at, odd: sink.odd, wide }
    }

    fn advance(&mut self, leavings: Leavings) {
        let [ids, sizes] = leavings.wide;
        self.id.append_wide(ids);
        self.self_size.append_wide(sizes);
        self.odd.join(leavings.odd, self.len);
        self.len += leavings.records;
    }

    fn clean(&mut self, from: usize) {
        // Every other column is written again in full.
        if let Some(rest) = self.trace_node.get_mut(from..) {
            rest.fill(0);
        }
    }
}

/// The edge columns under construction.
#[derive(Default)]
pub(crate) struct EdgeTable {
    pub(crate) packed: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) wide_names: Vec<(u32, u64)>,
    len: usize,
    pub(crate) odd: OddValues,
    /// Nodes there are, or can be.
    pub(crate) node_limit: u64,
}

impl EdgeTable {
    pub(crate) fn reserve(&mut self, header: &Header, bytes_left: Option<u64>) {
        let room = promised(header.edge_count, 2 * header.edge.stride as u64, bytes_left);
        self.packed = vec![0; room];
        self.to = vec![0; room];
    }
}

impl ReadTable for EdgeTable {
    type Sink<'a> = EdgeSink<'a>;

    fn len(&self) -> usize {
        self.len
    }

    fn room(&self) -> usize {
        self.packed.len()
    }

    fn stride(header: &Header) -> usize {
        header.edge.stride
    }

    fn grow(&mut self) -> bool {
        let Some(room) = grown(self.room()) else { return false };
        self.packed.resize(room, 0);
        self.to.resize(room, 0);
        true
    }

    fn sinks<'a>(&'a mut self, header: &'a Header, first: usize) -> (EdgeSink<'a>, EdgeSink<'a>) {
        let (packed_a, packed_b) = self.packed[self.len..].split_at_mut(first);
        let (to_a, to_b) = self.to[self.len..].split_at_mut(first);
        let node_limit = self.node_limit;
        let sink = |packed, to| EdgeSink {
            layout: header.edge,
            types: &header.edge_types,
            node_stride: header.node.stride as u64,
            node_limit,
            packed,
            to,
            wide_names: Vec::new(),
            at: 0,
            odd: OddValues::default(),
        };
        (sink(packed_a, to_a), sink(packed_b, to_b))
    }

    fn leavings(sink: EdgeSink<'_>) -> Leavings {
        Leavings { records: sink.at, odd: sink.odd, wide: [sink.wide_names, Vec::new()] }
    }

    fn advance(&mut self, leavings: Leavings) {
        let [wide, _] = leavings.wide;
        let base = self.len as u32;
        self.wide_names.extend(wide.into_iter().map(|(at, name)| (base + at, name)));
        self.odd.join(leavings.odd, self.len);
        self.len += leavings.records;
    }

    fn clean(&mut self, _from: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_counted_in_long_stretches() {
        let text = "12,3\n,".repeat(10_000);
        assert_eq!(count_commas(text.as_bytes()), (20_000, false));
        assert_eq!(count_commas(b",]"), (1, true));
        assert_eq!(count_commas(",".repeat(9000).as_bytes()), (9000, false));
    }

    #[test]
    fn a_lying_header_reserves_no_more_than_the_file_can_hold() {
        assert_eq!(promised(u64::MAX, 12, Some(1200)), 101);
        assert_eq!(promised(u64::MAX, 12, None), 1 << 20);
        assert_eq!(promised(5, 12, Some(1200)), 7);
    }
}
