//! Snapshots as text, section by section, for tests that break them.

use twinheap_snapshot::{Join, Options, ParseError, Parsed, Parser};

/// Keys and values of a snapshot's top level.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) sections: Vec<(&'static str, String)>,
}

impl File {
    /// Four nodes, five edges and a bit of everything, as V8 writes it.
    pub(crate) fn small() -> File {
        let header = r#"{"meta":{"node_fields":["type","name","id","self_size","edge_count","trace_node_id","detachedness"],
"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic"],"string","number","number","number","number","number"],
"edge_fields":["type","name_or_index","to_node"],
"edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],
"trace_function_info_fields":["function_id","name","script_name","script_id","line","column"],
"trace_node_fields":["id","function_info_index","count","size","children"],
"sample_fields":["timestamp_us","last_assigned_id"],
"location_fields":["object_index","script_id","line","column"]},
"node_count":4,"edge_count":5,"trace_function_count":2,"extra_native_bytes":7}"#;
        let sections = [
            ("snapshot", header),
            (
                "nodes",
                "[9,0,1,0,2,0,0\n,3,1,3,5368709120,2,2,0\n,8,2,6,123456,1,0,2\n,2,3,4294967297,24,0,3,0\n]",
            ),
            ("edges", "[5,1,7\n,1,1,14\n,2,2,14\n,1,4294967294,21\n,6,3,21\n]"),
            ("trace_function_infos", "[0,0,0,0,0,0\n,11,1,2,5,17,3]"),
            ("trace_tree", "[1,0,0,0,[2,1,3,40,[3,1,1,8,[]],4,0,6,7,[]]]"),
            ("samples", "[100,3,50100,4294967297]"),
            ("locations", "[7,5,16,2\n,21,5,1,0]"),
            ("strings", r#"["<dummy>","Foo","a\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00","lone \uD800!",""]"#),
        ];
        File { sections: sections.map(|(key, value)| (key, value.to_owned())).to_vec() }
    }

    /// The same file with another value of `key`.
    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> File {
        let section = self.sections.iter_mut().find(|s| s.0 == key).expect("a section to replace");
        section.1 = value.into();
        self
    }

    /// The JSON.
    pub(crate) fn text(&self) -> String {
        let parts: Vec<String> =
            self.sections.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}\n", parts.join(",\n"))
    }
}

/// Parses `bytes` in pieces whose sizes go round `sizes`.
pub(crate) fn parse(bytes: &[u8], sizes: &[usize], join: Option<&Join<'_>>) -> Result<Parsed, ParseError> {
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

/// Indices are in range and lists in order, whatever the file says.
#[track_caller]
pub(crate) fn assert_consistent(parsed: &Parsed, len: u64) {
    let snapshot = &parsed.snapshot;
    let nodes = snapshot.node_count();
    let offsets = snapshot.edge_offsets();
    assert!(nodes > 0 && snapshot.root().index() < nodes);
    assert_eq!(offsets.len(), nodes + 1, "an offset for each node and the end");
    assert!(offsets[0] == 0 && offsets.is_sorted(), "offsets ascend from 0");
    assert_eq!(offsets[nodes] as usize, snapshot.edge_count(), "the last offset is the end");
    assert!(snapshot.edge_targets().iter().all(|&to| (to as usize) < nodes), "targets are nodes");
    for (edge, node) in snapshot.nodes().flat_map(|node| snapshot.edges(node).map(move |edge| (edge, node))) {
        assert_eq!(snapshot.edge_from(edge), node);
        assert_eq!(snapshot.edge_name(edge).is_none(), snapshot.edge_type(edge).is_numbered());
    }
    assert!(snapshot.locations().is_sorted_by(|a, b| a.node < b.node), "one location a node, ascending");
    assert!(snapshot.locations().last().is_none_or(|l| (l.node as usize) < nodes));
    let parents = snapshot.trace_nodes.iter().map(|node| node.parent);
    assert!(parents.enumerate().all(|(at, parent)| parent.is_none_or(|p| (p as usize) < at)));
    for damage in &parsed.damage {
        assert!(damage.offset <= len, "{damage} lies behind the end, {len}");
    }
}
