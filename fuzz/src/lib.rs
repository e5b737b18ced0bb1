//! What the fuzz targets share.

use twinheap_snapshot::{NodeIdx, Options, ParseError, Parsed, Parser, sequential};

/// Parses `bytes` in pieces whose sizes go round `sizes`. `join` lends a [`twinheap_snapshot::Join`], so that the
/// code for two threads runs, without a second thread.
pub fn parse(bytes: &[u8], sizes: &[usize], join: bool) -> Result<Parsed, ParseError> {
    let join: Option<&twinheap_snapshot::Join<'_>> = if join { Some(&sequential) } else { None };
    let mut parser = Parser::new(Options { join, size_hint: Some(bytes.len() as u64) });
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        parser.feed(piece)?;
        rest = behind;
    }
    parser.finish()
}

/// Panics if a snapshot contradicts itself: whatever the file says, indices are in range.
pub fn check_parsed(parsed: &Parsed, len: u64) {
    let snapshot = &parsed.snapshot;
    let nodes = snapshot.node_count();
    let offsets = snapshot.edge_offsets();
    assert!(nodes > 0 && snapshot.root().index() < nodes);
    assert_eq!(offsets.len(), nodes + 1);
    assert!(offsets[0] == 0 && offsets.is_sorted());
    assert_eq!(offsets[nodes] as usize, snapshot.edge_count());
    for node in snapshot.nodes() {
        let _name = snapshot.type_name(snapshot.node_type(node));
        let _facts = (snapshot.detachedness(node), snapshot.id(node), snapshot.self_size(node));
        let _json = snapshot.raw_name_text(node).to_json();
        let _stack = (snapshot.trace_node(node), snapshot.location(node));
        for edge in snapshot.edges(node) {
            assert!(snapshot.edge_to(edge).index() < nodes);
            assert_eq!(snapshot.edge_from(edge), node);
            assert_eq!(snapshot.edge_name(edge).is_none(), snapshot.edge_type(edge).is_numbered());
        }
    }
    assert!(snapshot.locations().is_sorted_by(|a, b| a.node < b.node));
    assert!(snapshot.locations().iter().all(|l| snapshot.location(NodeIdx(l.node)) == Some(*l)));
    assert!(snapshot.locations().iter().all(|l| (l.node as usize) < nodes));
    for (at, node) in snapshot.trace_nodes.iter().enumerate() {
        assert!(node.parent.is_none_or(|parent| (parent as usize) < at));
    }
    assert!(parsed.damage.iter().all(|damage| damage.offset <= len && !damage.what.is_empty()));
}
