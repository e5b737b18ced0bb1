//! From runs of integers to columns: nodes, edges, locations, samples, trace functions.
//!
//! A [`RecordReader`] cuts the integers of one section into records and hands whole records to a [`Sink`], which
//! writes them where they belong. Sinks over columns can be split in two, so that two threads can each fill their
//! stretch.

use crate::columns::WideWriter;
use crate::header::{EdgeLayout, EdgeType, LocationLayout, MAX_FIELDS, NodeLayout};
use crate::ints::{IntScanner, Stop};
use crate::snapshot::{Location, Sample, TraceFunction};

/// Integers decoded before they are written to columns: 8 KiB, well inside the first-level cache.
const BATCH: usize = 1024;

/// Takes whole records.
pub(crate) trait Sink {
    /// Integers a record.
    fn stride(&self) -> usize;

    /// Takes `records`, a multiple of the stride. False if there is no room for them.
    fn write(&mut self, records: &[u64]) -> bool;
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadStop {
    /// All input is used.
    NeedInput,
    /// The sink has no room for the next records; nothing of them is consumed.
    Full,
    /// The closing bracket, consumed.
    End,
    /// A byte that does not belong here, not consumed.
    Unexpected(u8),
}

/// State of a section between two chunks.
pub(crate) struct RecordReader {
    pub(crate) scanner: IntScanner,
    /// Integers of the record that is not complete yet, and of a batch that found no room.
    pending: Vec<u64>,
}

impl RecordReader {
    pub(crate) fn new() -> Self {
        RecordReader { scanner: IntScanner::default(), pending: Vec::with_capacity(BATCH + MAX_FIELDS) }
    }

    /// Integers of an incomplete record: none at the end of a whole section.
    pub(crate) fn left_over(&self) -> usize {
        self.pending.len()
    }

    /// Takes over from a reader that read the stretch behind this one's.
    pub(crate) fn continue_with(&mut self, next: RecordReader) {
        self.scanner.join(&next.scanner);
        self.pending = next.pending;
    }

    /// Reads from `input` to `sink`; returns the bytes consumed.
    pub(crate) fn read(&mut self, input: &[u8], sink: &mut dyn Sink) -> (usize, ReadStop) {
        let stride = sink.stride();
        let mut batch = [0u64; BATCH + MAX_FIELDS];
        let mut at = 0;
        loop {
            let kept = self.pending.len();
            if kept >= stride {
                // Left from a call that found no room.
                let whole = kept - kept % stride;
                if !sink.write(&self.pending[..whole]) {
                    return (at, ReadStop::Full);
                }
                self.pending.drain(..whole);
                continue;
            }
            batch[..kept].copy_from_slice(&self.pending);
            self.pending.clear();
            let scan = self.scanner.scan(&input[at..], &mut batch[kept..]);
            at += scan.consumed;
            let filled = kept + scan.produced;
            let whole = filled - filled % stride;
            if whole > 0 && !sink.write(&batch[..whole]) {
                self.pending.extend_from_slice(&batch[..filled]);
                // The stop reason will come again: `End` was consumed, so it must be given now.
                return match scan.stop {
                    Stop::End => {
                        // Put the bracket back, so that it is read again once there is room.
                        (at - 1, ReadStop::Full)
                    }
                    _ => (at, ReadStop::Full),
                };
            }
            self.pending.extend_from_slice(&batch[whole..filled]);
            match scan.stop {
                Stop::OutputFull => {}
                Stop::NeedInput => return (at, ReadStop::NeedInput),
                Stop::End => return (at, ReadStop::End),
                Stop::Unexpected(byte) => return (at, ReadStop::Unexpected(byte)),
            }
        }
    }
}

/// The node columns, or a stretch of them.
pub(crate) struct NodeSink<'a> {
    pub(crate) layout: NodeLayout,
    pub(crate) types: &'a [u8],
    /// Node type in the low five bits, detachedness in the next two.
    pub(crate) kind: &'a mut [u8],
    pub(crate) name: &'a mut [u32],
    pub(crate) id: WideWriter<'a>,
    pub(crate) self_size: WideWriter<'a>,
    pub(crate) edge_count: &'a mut [u32],
    pub(crate) trace_node: &'a mut [u32],
    pub(crate) at: usize,
    pub(crate) odd: OddValues,
}

/// Values that fit no column: counted, and the first one's record kept for the message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OddValues {
    pub(crate) count: u64,
    pub(crate) first_record: u64,
}

impl OddValues {
    fn note(&mut self, record: usize) {
        if self.count == 0 {
            self.first_record = record as u64;
        }
        self.count += 1;
    }

    /// Adds what the sink of the stretch from record `offset` on found.
    pub(crate) fn join(&mut self, next: OddValues, offset: usize) {
        if self.count == 0 {
            self.first_record = next.first_record + offset as u64;
        }
        self.count += next.count;
    }
}

/// Bits of the packed node byte that hold the type.
pub(crate) const TYPE_BITS: u8 = 0x1F;
/// Position of the detachedness in the packed node byte.
pub(crate) const STATE_SHIFT: u32 = 5;

impl Sink for NodeSink<'_> {
    fn stride(&self) -> usize {
        self.layout.stride
    }

    fn write(&mut self, records: &[u64]) -> bool {
        let l = self.layout;
        if records.len() / l.stride > self.kind.len() - self.at {
            return false;
        }
        for record in records.chunks_exact(l.stride) {
            let at = self.at;
            let mut kind = match self.types.get(record[l.kind] as usize) {
                Some(&kind) => kind,
                None => {
                    self.odd.note(at);
                    0
                }
            };
            if let Some(state) = l.detachedness {
                kind |= (record[state] as u8 & 3) << STATE_SHIFT;
            }
            self.kind[at] = kind;
            self.name[at] = narrow(record[l.name], at, &mut self.odd);
            self.id.set(at, record[l.id]);
            self.self_size.set(at, record[l.self_size]);
            self.edge_count[at] = narrow(record[l.edge_count], at, &mut self.odd);
            if let Some(trace) = l.trace_node
                && record[trace] != 0
            {
                // Pages that hold only zeros are never touched: without tracking the column costs nothing.
                self.trace_node[at] = narrow(record[trace], at, &mut self.odd);
            }
            self.at += 1;
        }
        true
    }
}

#[inline(always)]
fn narrow(value: u64, record: usize, odd: &mut OddValues) -> u32 {
    if value > u64::from(u32::MAX) {
        odd.note(record);
        return u32::MAX;
    }
    value as u32
}

/// Name or index that does not fit an edge's 29 bits: the value is in the overflow list.
pub(crate) const WIDE_NAME: u32 = (1 << 29) - 1;

/// The edge columns, or a stretch of them.
pub(crate) struct EdgeSink<'a> {
    pub(crate) layout: EdgeLayout,
    /// The file's type number to our three bits.
    pub(crate) types: &'a [u8],
    /// Integers of a node record: what `to_node` is a multiple of.
    pub(crate) node_stride: u64,
    /// Nodes of the file, or the most there can be while they are not read yet.
    pub(crate) node_limit: u64,
    /// Type in the low three bits, name or index above.
    pub(crate) packed: &'a mut [u32],
    pub(crate) to: &'a mut [u32],
    /// `(edge, name)` of those beyond [`WIDE_NAME`]; edges counted from the start of the stretch.
    pub(crate) wide_names: Vec<(u32, u64)>,
    pub(crate) at: usize,
    pub(crate) odd: OddValues,
}

impl Sink for EdgeSink<'_> {
    fn stride(&self) -> usize {
        self.layout.stride
    }

    fn write(&mut self, records: &[u64]) -> bool {
        if records.len() / self.layout.stride > self.packed.len() - self.at {
            return false;
        }
        // The division by a constant is a multiplication; by a variable it costs more than all the rest.
        match (self.layout, self.node_stride) {
            (V8_EDGE, 6) => self.write_as::<3, 6>(records, V8_EDGE),
            (V8_EDGE, 7) => self.write_as::<3, 7>(records, V8_EDGE),
            (layout, _) => self.write_as::<0, 0>(records, layout),
        }
        true
    }
}

/// The edge record of every V8 so far.
const V8_EDGE: EdgeLayout = EdgeLayout { stride: 3, kind: 0, name: 1, to: 2 };

impl EdgeSink<'_> {
    /// `EDGE` and `NODE` are the strides if they are known at compile time, else 0.
    #[inline(always)]
    fn write_as<const EDGE: usize, const NODE: u64>(&mut self, records: &[u64], layout: EdgeLayout) {
        let stride = if EDGE == 0 { layout.stride } else { EDGE };
        let node_stride = if NODE == 0 { self.node_stride } else { NODE };
        let count = records.len() / stride;
        let packed = &mut self.packed[self.at..][..count];
        let to = &mut self.to[self.at..][..count];
        for (i, record) in records.chunks_exact(stride).enumerate() {
            let (kind, name, target) = (record[layout.kind], record[layout.name], record[layout.to]);
            let node = target / node_stride;
            let known = self.types.get(kind as usize).copied();
            let aligned = node * node_stride == target && node < self.node_limit;
            let bits = match known {
                Some(bits) if aligned => u32::from(bits),
                _ => {
                    self.odd.note(self.at + i);
                    packed[i] = EdgeType::Invisible as u32;
                    to[i] = 0;
                    continue;
                }
            };
            to[i] = node as u32;
            if name < u64::from(WIDE_NAME) {
                packed[i] = (name as u32) << 3 | bits;
            } else {
                packed[i] = WIDE_NAME << 3 | bits;
                self.wide_names.push(((self.at + i) as u32, name));
            }
        }
        self.at += count;
    }
}

/// Collects locations.
pub(crate) struct LocationSink<'a> {
    pub(crate) layout: LocationLayout,
    pub(crate) node_stride: u64,
    pub(crate) out: &'a mut Vec<Location>,
}

impl Sink for LocationSink<'_> {
    fn stride(&self) -> usize {
        self.layout.stride
    }

    fn write(&mut self, records: &[u64]) -> bool {
        let l = self.layout;
        for record in records.chunks_exact(l.stride) {
            let field = |at: usize| record[at].min(u64::from(u32::MAX)) as u32;
            self.out.push(Location {
                node: (record[l.object] / self.node_stride).min(u64::from(u32::MAX)) as u32,
                script_id: field(l.script),
                line: field(l.line),
                column: field(l.column),
            });
        }
        true
    }
}

/// Collects the samples of an allocation timeline.
pub(crate) struct SampleSink<'a> {
    pub(crate) stride: usize,
    pub(crate) out: &'a mut Vec<Sample>,
}

impl Sink for SampleSink<'_> {
    fn stride(&self) -> usize {
        self.stride
    }

    fn write(&mut self, records: &[u64]) -> bool {
        for record in records.chunks_exact(self.stride) {
            self.out.push(Sample { timestamp_us: record[0], last_assigned_id: record[1] });
        }
        true
    }
}

/// Positions of a trace function's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceFunctionLayout {
    stride: usize,
    id: usize,
    name: usize,
    script_name: usize,
    script_id: usize,
    line: usize,
    column: usize,
}

impl TraceFunctionLayout {
    pub(crate) fn new(fields: &[String]) -> Option<Self> {
        let at = |name: &str| fields.iter().position(|f| f == name);
        Some(TraceFunctionLayout {
            stride: fields.len(),
            id: at("function_id")?,
            name: at("name")?,
            script_name: at("script_name")?,
            script_id: at("script_id")?,
            line: at("line")?,
            column: at("column")?,
        })
    }
}

/// Collects the functions of allocation stacks.
pub(crate) struct TraceFunctionSink<'a> {
    pub(crate) layout: TraceFunctionLayout,
    pub(crate) out: &'a mut Vec<TraceFunction>,
}

impl Sink for TraceFunctionSink<'_> {
    fn stride(&self) -> usize {
        self.layout.stride
    }

    fn write(&mut self, records: &[u64]) -> bool {
        let l = self.layout;
        for record in records.chunks_exact(l.stride) {
            let field = |at: usize| record[at].min(u64::from(u32::MAX)) as u32;
            self.out.push(TraceFunction {
                id: field(l.id),
                name: crate::StringId(field(l.name)),
                script_name: crate::StringId(field(l.script_name)),
                script_id: field(l.script_id),
                line: field(l.line),
                column: field(l.column),
            });
        }
        true
    }
}
