//! The crate `v8-heap-parser`: file to class table with retained sizes.
//!
//! `bench-v8-heap-parser FILE` prints one JSON document with all classes, largest retained size first.

use std::{env, error::Error, fs::File, io::BufReader};

use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: bench-v8-heap-parser FILE")?;
    let graph = v8_heap_parser::decode_reader(BufReader::with_capacity(1 << 20, File::open(path)?))?;
    let groups = graph.get_class_groups(false);
    let classes: Vec<_> = groups
        .iter()
        .map(|group| {
            json!({
                "name": graph.get_node(group.index).map(|node| node.class_name()),
                "count": group.nodes.len(),
                "shallow_size": group.self_size,
                "retained_size": group.retained_size,
            })
        })
        .collect();
    println!("{}", json!({ "classes": classes }));
    Ok(())
}
