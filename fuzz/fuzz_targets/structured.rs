//! Small snapshots that are nearly right, through parser and analysis: nothing panics, whatever a file claims.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use twinheap_fuzz::{check_parsed, parse};
use twinheap_jsheap::{Heap, Resources, class_rows, instances, statistics};
use twinheap_snapshot::sequential;

const NODE_FIELDS: [&str; 7] =
    ["type", "name", "id", "self_size", "edge_count", "trace_node_id", "detachedness"];
const NODE_TYPES: [&str; 17] = [
    "hidden",
    "array",
    "string",
    "object",
    "code",
    "closure",
    "regexp",
    "number",
    "native",
    "synthetic",
    "concatenated string",
    "sliced string",
    "symbol",
    "bigint",
    "object shape",
    "wasm object",
    "tomorrow",
];
const EDGE_FIELDS: [&str; 3] = ["type", "name_or_index", "to_node"];
const EDGE_TYPES: [&str; 8] =
    ["context", "element", "property", "internal", "hidden", "shortcut", "weak", "tomorrow"];
const LOCATION_FIELDS: [&str; 5] = ["object_index", "script_id", "script_object_index", "line", "column"];
const TRACE_FIELDS: [&str; 5] = ["id", "function_info_index", "count", "size", "children"];
const FUNCTION_FIELDS: [&str; 6] = ["function_id", "name", "script_name", "script_id", "line", "column"];
/// Names with a meaning for the analysis, and some without.
const STRINGS: [&str; 26] = [
    "",
    "Object",
    "Array",
    "__proto__",
    "elements",
    "first",
    "second",
    "truncated",
    "code",
    "map",
    "(Document DOM trees)",
    "system / ExternalStringData",
    "system / JSArrayBufferData",
    "(map descriptors)",
    "system / NativeContext",
    "sloppy_function_map",
    "system / Context",
    "Detached <div id=1>",
    "<p class=2>",
    "2 / part of key (a @3) -> value (b @5) pair in WeakMap (table @1)",
    "7 / part of key (a @3) -> value (b @5) pair in WeakMap (table @1)",
    "x",
    "y,{z}",
    "4",
    "\\ud800",
    "V8EventListener",
];

/// A file described by choices.
#[derive(Debug)]
struct File {
    text: String,
}

impl<'a> Arbitrary<'a> for File {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let node_fields = fields(u, &NODE_FIELDS, 5)?;
        let edge_fields = fields(u, &EDGE_FIELDS, 3)?;
        let location_fields = fields(u, &LOCATION_FIELDS, 5)?;
        let nodes = u.int_in_range(0..=24)?;
        let mut edge_counts = Vec::new();
        for _ in 0..nodes {
            edge_counts.push(u.int_in_range(0..=4)?);
        }
        let edges: u64 = edge_counts.iter().sum();
        let stride = node_fields.len() as u64;

        let mut node_numbers = Vec::new();
        for (at, &count) in edge_counts.iter().enumerate() {
            for &field in &node_fields {
                node_numbers.push(match field {
                    "type" => number(u, NODE_TYPES.len() as u64)?,
                    "name" => number(u, STRINGS.len() as u64)?,
                    "id" => 2 * at as u64 + 1,
                    "self_size" if rarely(u, 16)? => u.int_in_range(0..=1 << 40)?,
                    "self_size" => u.int_in_range(0..=64)?,
                    "edge_count" if rarely(u, 64)? => number(u, 6)?,
                    "edge_count" => count,
                    "detachedness" => number(u, 4)?,
                    _ => number(u, 3)?,
                });
            }
        }
        let mut edge_numbers = Vec::new();
        for _ in 0..edges {
            for &field in &edge_fields {
                edge_numbers.push(match field {
                    "type" => number(u, EDGE_TYPES.len() as u64)?,
                    "name_or_index" => number(u, STRINGS.len() as u64)?,
                    "to_node" if rarely(u, 64)? => number(u, 100)?,
                    "to_node" => u.int_in_range(0..=nodes - 1)? * stride,
                    _ => number(u, 3)?,
                });
            }
        }
        let mut locations = Vec::new();
        for _ in 0..u.int_in_range(0..=4)? {
            for _ in &location_fields {
                locations.push(number(u, nodes * stride + 1)?);
            }
        }
        let mut short = |most: usize| -> Result<Vec<u64>> {
            (0..u.int_in_range(0..=most)?).map(|_| number(u, 9)).collect()
        };
        let (samples, functions) = (short(6)?, short(14)?);

        let header = format!(
            r#"{{"meta":{{"node_fields":{},"node_types":{},"edge_fields":{},"edge_types":{},
            "trace_function_info_fields":{FUNCTION_FIELDS:?},"trace_node_fields":{TRACE_FIELDS:?},
            "sample_fields":["timestamp_us","last_assigned_id"],"location_fields":{location_fields:?}}},
            "node_count":{},"edge_count":{},"trace_function_count":{},"extra_native_bytes":{},"root_index":{}}}"#,
            list(&node_fields),
            types(&node_fields, &NODE_TYPES),
            list(&edge_fields),
            types(&edge_fields, &EDGE_TYPES),
            count(u, nodes)?,
            count(u, edges)?,
            number(u, 3)?,
            number(u, 100)?,
            if rarely(u, 8)? { number(u, nodes * stride + 1)? } else { 0 },
        );
        let strings: Vec<String> = STRINGS.iter().map(|s| format!("\"{s}\"")).collect();
        let kept = if rarely(u, 16)? { u.int_in_range(0..=STRINGS.len())? } else { STRINGS.len() };
        let mut sections = vec![
            ("snapshot", header),
            ("nodes", numbers(&node_numbers)),
            ("edges", numbers(&edge_numbers)),
            ("trace_function_infos", numbers(&functions)),
            ("trace_tree", tree(u)?),
            ("samples", numbers(&samples)),
            ("locations", numbers(&locations)),
            ("strings", format!("[{}]", strings[..kept].join(","))),
        ];
        // Leave out, repeat, move.
        for _ in 0..u.int_in_range(0..=4)? {
            let at = u.choose_index(sections.len())?;
            match u.int_in_range(0..=2)? {
                0 if sections.len() > 1 => drop(sections.remove(at)),
                1 => sections.push(sections[at].clone()),
                _ => {
                    let to = u.choose_index(sections.len())?;
                    sections.swap(at, to);
                }
            }
        }
        let parts: Vec<String> = sections.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let mut bytes = format!("{{{}}}", parts.join(",\n")).into_bytes();
        // Then damage single bytes.
        for _ in 0..u.int_in_range(0..=4)? {
            let at = u.choose_index(bytes.len())?;
            let byte = *u.choose(b"0129,,[]{}\"\\:- \nu.e")?;
            match u.int_in_range(0..=3)? {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        Ok(File { text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

/// The fields in some order, perhaps with a new one or without the last.
fn fields<'a>(u: &mut Unstructured<'_>, all: &[&'a str], least: usize) -> Result<Vec<&'a str>> {
    let mut fields = all[..u.int_in_range(least..=all.len())?].to_vec();
    if rarely(u, 4)? {
        for at in 1..fields.len() {
            let with = u.choose_index(at + 1)?;
            fields.swap(at, with);
        }
    }
    if rarely(u, 8)? {
        let at = u.choose_index(fields.len() + 1)?;
        fields.insert(at, "tomorrow");
    }
    Ok(fields)
}

/// True once in `times`; false when the choices run out.
fn rarely(u: &mut Unstructured<'_>, times: u32) -> Result<bool> {
    Ok(u.int_in_range(1..=times)? == times)
}

/// Mostly below `limit`; sometimes at a bound of the columns.
fn number(u: &mut Unstructured<'_>, limit: u64) -> Result<u64> {
    if rarely(u, 128)? {
        let odd =
            [(1 << 29) - 1, 1 << 29, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 32, u64::MAX >> 24];
        return Ok(*u.choose(&odd)?);
    }
    u.int_in_range(0..=limit.max(1) - 1)
}

/// A count for the header: mostly true.
fn count(u: &mut Unstructured<'_>, truth: u64) -> Result<u64> {
    if rarely(u, 4)? { Ok(*u.choose(&[0, 1, 1000, 4_000_000_000, u64::MAX])?) } else { Ok(truth) }
}

fn list(fields: &[&str]) -> String {
    format!("{fields:?}")
}

/// The list of types at the place of the field `type`.
fn types(fields: &[&str], names: &[&str]) -> String {
    let lists: Vec<String> = fields
        .iter()
        .map(|&field| if field == "type" { format!("{names:?}") } else { "\"number\"".to_owned() })
        .collect();
    format!("[{}]", lists.join(","))
}

fn numbers(numbers: &[u64]) -> String {
    let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("[{}]", words.join(","))
}

/// A tree of allocation stacks, with its brackets in balance.
fn tree(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = "[".to_owned();
    let mut depth = 0;
    for at in 0..u.int_in_range(0..=6)? {
        if text.ends_with(']') {
            text.push(',');
        }
        text.push_str(&format!("{at},{},1,8,[", number(u, 3)?));
        depth += 1;
        while depth > 0 && u.arbitrary()? {
            text.push(']');
            depth -= 1;
        }
    }
    text.push_str(&"]".repeat(depth + 1));
    Ok(text)
}

fuzz_target!(|file: File| {
    let bytes = file.text.as_bytes();
    let whole = parse(bytes, &[bytes.len()], false);
    assert_eq!(parse(bytes, &[17, 64, 5], true), whole);
    let Ok(parsed) = whole else { return };
    check_parsed(&parsed, bytes.len() as u64);
    let heap = Heap::new(parsed.snapshot, Resources::default());
    let rows = class_rows(&heap, None, &sequential);
    for row in &rows {
        assert_eq!(instances(&heap, row.class, None).len() as u64, row.count);
        assert!(row.retained_size >= row.shallow_size);
    }
    let statistics = statistics(&heap);
    // Sums stop at the end of 64 bits, in any order.
    let all = rows.iter().map(|row| row.shallow_size).fold(heap.extra_native_bytes(), u64::saturating_add);
    assert_eq!(all, statistics.total);
});
