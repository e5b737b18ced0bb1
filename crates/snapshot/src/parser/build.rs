//! From filled tables to a [`Snapshot`]: checks that need the whole file.

use crate::damage::{Damage, ParseError, Section};
use crate::header::EdgeType;
use crate::parser::table::ReadTable as _;
use crate::parser::{Parsed, Parser, root_of, too_large};
use crate::records::OddValues;
use crate::snapshot::{Location, Producer, Snapshot};

pub(crate) fn build(parser: Parser<'_>) -> Result<Parsed, ParseError> {
    let Parser { header, nodes, edges, mut strings, offset, mut damage, samples, .. } = parser;
    let Some(header) = header else {
        let what = "the file has none".to_owned();
        return Err(ParseError::BadHeader { offset, what });
    };
    let node_count = nodes.len();
    if node_count == 0 {
        let what = match damage.first() {
            Some(first) => format!("not one node could be read: {first}"),
            None => "it describes no node".to_owned(),
        };
        return Err(ParseError::BadHeader { offset, what });
    }
    let mut note = |section, what: String| damage.push(Damage { section, offset, what });
    note_odd(&mut note, Section::Nodes, nodes.odd, "nodes have a type or number that makes no sense");
    note_odd(
        &mut note,
        Section::Edges,
        edges.odd,
        "edges have a type that is not in the header or lead to no node",
    );

    let edge_count = edges.len();
    let mut edge_to = edges.to;
    let mut edge_packed = edges.packed;
    let mut edge_wide = edges.wide_names;
    edge_to.truncate(edge_count);
    edge_packed.truncate(edge_count);
    if edges.node_limit != node_count as u64 {
        // The edges came before the nodes, so nobody could check where they lead.
        let mut lost = 0u64;
        for (to, packed) in edge_to.iter_mut().zip(&mut edge_packed) {
            if *to as usize >= node_count {
                (*to, *packed) = (0, EdgeType::Invisible as u32);
                lost += 1;
            }
        }
        if lost > 0 {
            note(Section::Edges, format!("{lost} edges lead to no node"));
        }
    }

    let mut first_edge = nodes.edge_count;
    first_edge.truncate(node_count + 1);
    let wanted = to_offsets(&mut first_edge, edge_count).ok_or_else(|| too_large(Section::Edges, offset))?;
    if wanted != edge_count as u64 {
        let what = format!("the nodes announce {wanted} edges, the file has {edge_count}");
        note(Section::Edges, what);
        // Edges that no node announces have no source: nobody could tell whose they are.
        let kept = first_edge[node_count] as usize;
        edge_to.truncate(kept);
        edge_packed.truncate(kept);
        edge_wide.truncate(edge_wide.partition_point(|&(edge, _)| (edge as usize) < kept));
    }

    let (mut kind, mut name, mut id, mut self_size) = (nodes.kind, nodes.name, nodes.id, nodes.self_size);
    kind.truncate(node_count);
    name.truncate(node_count);
    id.truncate(node_count);
    self_size.truncate(node_count);
    let mut trace_node = nodes.trace_node;
    trace_node.truncate(node_count);
    if trace_node.iter().all(|&t| t == 0) {
        trace_node = Vec::new();
    }
    strings.shrink();
    // What a header that lied made the columns reserve or grow.
    for column in [&mut name, &mut edge_to, &mut edge_packed, &mut first_edge, &mut trace_node] {
        column.shrink_to_fit();
    }
    kind.shrink_to_fit();
    let lost = name.iter().filter(|&&name| name as usize >= strings.len()).count();
    if lost > 0 && !strings.is_empty() {
        note(Section::Nodes, format!("{lost} nodes have a name that is not among the strings"));
    }

    let mut snapshot = Snapshot {
        root: root_of(&header, node_count),
        kind,
        name,
        id,
        self_size,
        first_edge,
        trace_node,
        edge_packed,
        edge_to,
        edge_wide,
        locations: sorted_locations(parser.locations, node_count),
        strings,
        samples,
        trace_functions: parser.trace_functions,
        trace_nodes: parser.trace_nodes,
        extra_native_bytes: header.extra_native_bytes,
        producer: Producer {
            v8_layout: header.v8_layout,
            has_detachedness: header.node.detachedness.is_some(),
        },
        extra_node_types: header.extra_node_types,
    };
    snapshot.edge_wide.shrink_to_fit();
    Ok(Parsed { snapshot, damage })
}

fn note_odd(note: &mut impl FnMut(Section, String), section: Section, odd: OddValues, what: &str) {
    if odd.count > 0 {
        note(section, format!("{} {what}, the first is record {}", odd.count, odd.first_record));
    }
}

/// Counts to offsets, in place; the last entry becomes the end. Returns the sum of the counts, which may differ
/// from `edges`; offsets never pass `edges`. `None` if 32 bits don't hold the sum.
fn to_offsets(counts: &mut [u32], edges: usize) -> Option<u64> {
    let mut sum = 0u64;
    let last = counts.len() - 1;
    for count in &mut counts[..last] {
        let here = sum;
        sum += u64::from(*count);
        *count = here.min(edges as u64) as u32;
    }
    counts[last] = sum.min(edges as u64) as u32;
    (edges < u32::MAX as usize).then_some(sum)
}

/// One location a node, ascending; the last of several counts, as in DevTools' map.
///
/// V8 writes them in no order. A bit for each node that has one gives its rank, and the rank its place: two passes
/// without a comparison.
fn sorted_locations(locations: Vec<Location>, node_count: usize) -> Vec<Location> {
    if locations.is_sorted_by(|a, b| a.node < b.node)
        && locations.last().is_none_or(|l| (l.node as usize) < node_count)
    {
        return locations;
    }
    let mut bits = vec![0u64; node_count.div_ceil(64)];
    let is_node = |l: &&Location| (l.node as usize) < node_count;
    for l in locations.iter().filter(is_node) {
        bits[l.node as usize / 64] |= 1 << (l.node % 64);
    }
    // Located nodes before each word of the bits.
    let mut before = Vec::with_capacity(bits.len());
    let mut count = 0u32;
    for word in &bits {
        before.push(count);
        count += word.count_ones();
    }
    let mut sorted = vec![Location { node: 0, script_id: 0, line: 0, column: 0 }; count as usize];
    for l in locations.iter().filter(is_node) {
        let (word, bit) = (l.node as usize / 64, l.node % 64);
        let rank = before[word] + (bits[word] & ((1 << bit) - 1)).count_ones();
        sorted[rank as usize] = *l;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_sorted_and_the_last_one_of_a_node_counts() {
        let at = |node, line| Location { node, script_id: 1, line, column: 0 };
        let list = vec![at(130, 1), at(3, 2), at(64, 3), at(3, 4), at(500, 5), at(63, 6)];
        assert_eq!(sorted_locations(list, 200), [at(3, 4), at(63, 6), at(64, 3), at(130, 1)]);
        assert_eq!(sorted_locations(vec![at(1, 1), at(9, 9)], 5), [at(1, 1)]);
        assert_eq!(sorted_locations(Vec::new(), 5), []);
    }
}
