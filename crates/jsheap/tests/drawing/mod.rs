//! Draws heaps: nodes and edges by name, written as a snapshot and read back.

use std::collections::HashMap;

use twinheap_jsheap::{Heap, Resources};
use twinheap_snapshot::{Options, Parser};

pub const ARRAY: u32 = 1;
pub const STRING: u32 = 2;
pub const OBJECT: u32 = 3;
pub const CODE: u32 = 4;
pub const CLOSURE: u32 = 5;
pub const SYNTHETIC: u32 = 9;

pub const CONTEXT: u32 = 0;
pub const ELEMENT: u32 = 1;
pub const PROPERTY: u32 = 2;
pub const INTERNAL: u32 = 3;
pub const HIDDEN: u32 = 4;
pub const SHORTCUT: u32 = 5;

/// A node: type, name, id, size, edges.
struct Node(u32, usize, u64, u32, Vec<(u32, usize, usize)>);

/// A heap in the making.
#[derive(Default)]
pub struct Drawing {
    nodes: Vec<Node>,
    strings: Vec<String>,
    by_text: HashMap<String, usize>,
    /// Node, script, line, column.
    locations: Vec<(usize, u32, u32, u32)>,
    /// The id of the next node.
    pub next_id: u64,
}

impl Drawing {
    /// A heap with a root.
    pub fn new() -> Drawing {
        let mut drawing = Drawing { next_id: 1, ..Drawing::default() };
        drawing.node(SYNTHETIC, "", 0);
        drawing
    }

    /// Adds the global object.
    pub fn global(&mut self) -> usize {
        let global = self.node(OBJECT, "global", 64);
        self.edge(0, SHORTCUT, "global", global);
        global
    }

    pub fn node(&mut self, kind: u32, name: &str, size: u32) -> usize {
        let name = self.string(name);
        self.nodes.push(Node(kind, name, self.next_id, size, Vec::new()));
        self.next_id += 2;
        self.nodes.len() - 1
    }

    pub fn edge(&mut self, from: usize, kind: u32, name: &str, to: usize) {
        let name = match kind {
            ELEMENT | HIDDEN => name.parse().expect("a number"),
            _ => self.string(name),
        };
        self.nodes[from].4.push((kind, name, to));
    }

    /// A script; functions refer to it by the node.
    pub fn script(&mut self, path: &str) -> usize {
        let script = self.node(CODE, path, 100);
        let name = self.node(STRING, path, 40);
        self.edge(script, INTERNAL, "name", name);
        script
    }

    /// A function at a line (from 0) whose constants are these names.
    pub fn function(
        &mut self,
        name: &str,
        script: usize,
        line: u32,
        context: usize,
        mentions: &[&str],
    ) -> usize {
        let closure = self.node(CLOSURE, name, 64);
        let shared = self.node(CODE, name, 56);
        let data = self.node(CODE, "system / BytecodeArray", 56);
        self.edge(closure, INTERNAL, "shared", shared);
        self.edge(closure, INTERNAL, "context", context);
        self.edge(shared, INTERNAL, "script", script);
        self.edge(shared, INTERNAL, "function_data", data);
        for (at, text) in mentions.iter().enumerate() {
            let text = self.node(STRING, text, 24);
            self.edge(data, HIDDEN, &at.to_string(), text);
        }
        self.locations.push((closure, script as u32, line, 4));
        closure
    }

    /// As if another process, or another session, had handed out the ids.
    pub fn shift_ids(&mut self, by: u64) {
        self.nodes.iter_mut().skip(1).for_each(|node| node.2 += by);
    }

    fn string(&mut self, text: &str) -> usize {
        if let Some(&known) = self.by_text.get(text) {
            return known;
        }
        self.strings.push(text.to_owned());
        self.by_text.insert(text.to_owned(), self.strings.len() - 1);
        self.strings.len() - 1
    }

    /// Writes it as V8 does, and reads it.
    pub fn heap(&self) -> Heap {
        let mut records = Vec::new();
        let mut edges = Vec::new();
        for Node(kind, name, id, size, out) in &self.nodes {
            records.push(format!("{kind},{name},{id},{size},{},0", out.len()));
            edges.extend(out.iter().map(|(kind, name, to)| format!("{kind},{name},{}", to * 6)));
        }
        let strings: Vec<String> = self.strings.iter().map(|text| format!("\"{text}\"")).collect();
        let locations: Vec<String> = self
            .locations
            .iter()
            .map(|(node, script, line, column)| format!("{},{script},{line},{column}", node * 6))
            .collect();
        let text = format!(
            r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","detachedness"],
"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string"]],
"edge_fields":["type","name_or_index","to_node"],
"edge_types":[["context","element","property","internal","hidden","shortcut","weak"]],
"location_fields":["object_index","script_id","line","column"]}},
"node_count":{},"edge_count":{}}},"nodes":[{}],"edges":[{}],"locations":[{}],"strings":[{}]}}"#,
            self.nodes.len(),
            edges.len(),
            records.join(","),
            edges.join(","),
            locations.join(","),
            strings.join(","),
        );
        let mut parser = Parser::new(Options::default());
        parser.feed(text.as_bytes()).expect("a snapshot");
        let parsed = parser.finish().expect("a snapshot");
        assert_eq!(parsed.damage, []);
        Heap::new(parsed.snapshot, Resources::default())
    }
}
