//! The types of the page are what the server answers: each interface in `ui/src/lib/api.ts` has the fields of the
//! struct or object of the same answer, and no other.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

use std::collections::BTreeSet;
use std::path::Path;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The text between a head and the end of the block that it opens.
#[track_caller]
fn block<'a>(text: &'a str, head: &str) -> &'a str {
    let (_, rest) = text.split_once(head).unwrap_or_else(|| panic!("there is no `{head}`"));
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    &rest[..end.unwrap()]
}

/// Names of fields: what stands before a colon at the start of a line, in Rust, TypeScript or `json!`.
fn fields(block: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let mut found = BTreeSet::new();
    for line in block.lines() {
        let text = line.trim();
        if depth == 0
            && !text.starts_with("//")
            && !text.starts_with('#')
            && let Some((name, _)) = text.split_once(':')
        {
            let name = name
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ")
                .trim_start_matches("r#")
                .trim_matches('"');
            found.insert(name.trim_end_matches('?').to_owned());
        }
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
    }
    // What is flattened or inherited is an interface of its own.
    found.remove("page");
    found
}

#[track_caller]
fn check(interface: &str, file: &str, head: &str) {
    let types = source("../../ui/src/lib/api.ts");
    let page = fields(block(&types, &format!("export interface {interface} {{")));
    let server = fields(block(&source(file), head));
    assert!(!server.is_empty(), "{head}");
    assert_eq!(page, server, "{interface} and {head}");
}

#[test]
fn the_pages_types_are_what_the_server_answers() {
    check("FileState", "src/files.rs", "struct FileJson {");
    check("Progress", "src/files.rs", "struct ProgressJson {");
    check("NodeRow", "src/rows.rs", "struct NodeJson {");
    check("ClassRow", "src/rows.rs", "struct ClassJson {");
    check("Location", "src/rows.rs", "struct LocationJson {");
    check("Compiled", "src/rows.rs", "struct CompiledJson {");
    check("Page<T>", "src/api/listing.rs", "struct PageJson<T> {");
    check("Tile", "../report/src/tiles.rs", "struct Tile {");
    check("MergedStep", "src/api/path.rs", "struct StepJson {");
    check("DiffRow", "src/api/diff.rs", "struct RowJson {");
    check("Diff extends Page<DiffRow>", "src/api/diff.rs", "struct DiffJson {");
    check("Classes extends Page<ClassRow>", "src/api/heap.rs", "struct ClassesJson<T> {");
    check("Strings extends Page<StringGroup>", "src/api/heap.rs", "struct StringsJson {");
    check("StringGroup", "src/api/heap.rs", "            json!({");
    check("Leaks", "src/api/leaks.rs", "struct LeaksJson {");
    check("Suspect", "src/api/leaks.rs", "struct SuspectJson {");
    check("SuspectPlace", "src/api/leaks.rs", "struct PlaceJson {");
    check("Info", "src/api/heap.rs", "        Ok(json!({");
    check("Statistics", "src/api/heap.rs", "\"statistics\": {");
}

#[test]
fn fields_are_found_where_they_stand() {
    let text = "interface X { a: string;\n  b?: { c: number };\n  // d: no\n}";
    let found =
        fields("\n  a: string;\n  b?: { c: number };\n  // d: no\n  #[x(y: 1)]\n  r#type: T,\n  \"q\": 1,\n");
    assert_eq!(found, ["a", "b", "q", "type"].map(String::from).into());
    assert_eq!(block(text, "interface X {").trim().lines().count(), 3);
}
