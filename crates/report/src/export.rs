//! `export --nodes`: one row a node.

use std::io::{self, Write};

use twinheap_jsheap::Heap;
use twinheap_snapshot::Wtf8;

/// Writes the table of the contract: a heading, then one row a node in file order, columns separated by tabs, names
/// as JSON strings. Sizes are bytes; `self_size` is the file's, `shallow_size` counts owned internals.
///
/// # Errors
/// Those of `out`.
pub fn write_nodes_tsv(heap: &Heap, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "id\tname\tself_size\tshallow_size\tretained_size\tdistance\tdominator_id\ttype\tclass")?;
    for node in heap.snapshot.nodes() {
        write!(out, "{}\t", heap.snapshot.id(node))?;
        Wtf8::new(&heap.node_name(node)).write_json(out)?;
        write!(
            out,
            "\t{}\t{}\t{}\t{}\t{}\t{}\t",
            heap.snapshot.self_size(node),
            heap.shallow_size(node),
            heap.retained_size(node),
            heap.distance(node),
            heap.snapshot.id(heap.dominator(node)),
            heap.snapshot.type_name(heap.snapshot.node_type(node)),
        )?;
        heap.class_name(node).write_json(out)?;
        writeln!(out)?;
    }
    Ok(())
}
