//! The crates may depend on each other only as ARCHITECTURE.md says.
//!
//! A layering that is only written down is gone after a year: one convenient `use` at a time. So the document's
//! list is the rule, and an edge that is not on it fails here, as does a line for an edge that no longer exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// From a crate to the crates it depends on, both without the `twinheap-` of their package names.
type Edges = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = std::fs::read_to_string(top.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(&top)
        .output()
        .expect("cargo metadata");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));

    let wrong =
        differences(&allowed(&document).expect("the list in ARCHITECTURE.md"), &actual(&metadata.stdout));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Reads the block fenced as `crate-graph`: lines of `crate -> crate, crate`, with nothing after the arrow for
/// a crate that stands alone.
fn allowed(document: &str) -> Result<Edges, String> {
    let (_, rest) = document.split_once("```crate-graph\n").ok_or("no ```crate-graph block")?;
    let (block, _) = rest.split_once("\n```").ok_or("the ```crate-graph block has no end")?;
    let mut edges = Edges::new();
    for line in block.lines() {
        let (from, to) = line.split_once("->").ok_or_else(|| format!("no arrow in `{line}`"))?;
        let to = to.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
        if edges.insert(from.trim().to_owned(), to).is_some() {
            return Err(format!("two lines for `{}`", from.trim()));
        }
    }
    Ok(edges)
}

/// Reads the output of `cargo metadata`. Dependencies for tests and build scripts count too: a test that needs a
/// later stage belongs to that stage.
fn actual(metadata: &[u8]) -> Edges {
    let metadata: Value = serde_json::from_slice(metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().map(name_of).collect();
    let edges_of = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        dependencies.iter().map(name_of).filter(|name| ours.contains(name)).map(short).collect()
    };
    packages.iter().map(|package| (short(name_of(package)), edges_of(package))).collect()
}

fn name_of(value: &Value) -> &str {
    value["name"].as_str().expect("name")
}

fn short(package: &str) -> String {
    package.strip_prefix("twinheap-").unwrap_or(package).to_owned()
}

/// Says in full sentences what differs; empty when the list and the workspace agree.
fn differences(allowed: &Edges, actual: &Edges) -> Vec<String> {
    let nothing = BTreeSet::new();
    let mut wrong = Vec::new();
    let crates: BTreeSet<&String> = allowed.keys().chain(actual.keys()).collect();
    for name in crates {
        if !allowed.contains_key(name) {
            wrong.push(format!("crate `{name}` is not in ARCHITECTURE.md; add a paragraph and its line"));
        }
        if !actual.contains_key(name) {
            wrong.push(format!("ARCHITECTURE.md lists crate `{name}`, which does not exist"));
        }
        let may = allowed.get(name).unwrap_or(&nothing);
        let does = actual.get(name).unwrap_or(&nothing);
        for to in does.difference(may) {
            wrong.push(format!("`{name}` depends on `{to}`; ARCHITECTURE.md does not allow that"));
        }
        for to in may.difference(does) {
            wrong.push(format!("ARCHITECTURE.md lists `{name} -> {to}`, which does not exist; take it off"));
        }
    }
    wrong
}

/// What the test would say about a document's block and a made-up workspace, given as (package, dependencies).
fn verdict(block: &str, workspace: &[(&str, &[&str])]) -> Vec<String> {
    let packages: Vec<Value> = workspace
        .iter()
        .map(|(name, dependencies)| {
            let dependencies: Vec<Value> =
                dependencies.iter().map(|name| serde_json::json!({ "name": name })).collect();
            serde_json::json!({ "name": name, "dependencies": dependencies })
        })
        .collect();
    let metadata = serde_json::json!({ "packages": packages }).to_string();
    let document = format!("# Text\n```crate-graph\n{block}\n```\nMore text\n");
    differences(&allowed(&document).expect("a block"), &actual(metadata.as_bytes()))
}

#[test]
fn agreement_is_silent_and_other_peoples_crates_are_not_looked_at() {
    let workspace: &[(&str, &[&str])] = &[
        ("twinheap-graph", &["serde"]),
        ("twinheap-jsheap", &["twinheap-graph", "thiserror"]),
        ("xtask", &[]),
    ];
    assert_eq!(verdict("graph ->\njsheap -> graph\nxtask ->", workspace), [""; 0]);
}

#[test]
fn a_forbidden_edge_fails() {
    let workspace: &[(&str, &[&str])] = &[("twinheap-graph", &["twinheap-jsheap"]), ("twinheap-jsheap", &[])];
    assert_eq!(
        verdict("graph ->\njsheap ->", workspace),
        ["`graph` depends on `jsheap`; ARCHITECTURE.md does not allow that"]
    );
}

#[test]
fn a_listed_edge_that_is_gone_fails() {
    let workspace: &[(&str, &[&str])] = &[("twinheap-graph", &[]), ("twinheap-jsheap", &[])];
    assert_eq!(
        verdict("graph ->\njsheap -> graph", workspace),
        ["ARCHITECTURE.md lists `jsheap -> graph`, which does not exist; take it off"]
    );
}

#[test]
fn a_crate_on_one_side_only_fails() {
    let workspace: &[(&str, &[&str])] = &[("twinheap-graph", &[]), ("twinheap-trace", &[])];
    assert_eq!(
        verdict("graph ->\nnative ->", workspace),
        [
            "ARCHITECTURE.md lists crate `native`, which does not exist",
            "crate `trace` is not in ARCHITECTURE.md; add a paragraph and its line",
        ]
    );
}

#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    assert!(allowed("no block").is_err());
    assert!(allowed("```crate-graph\na ->\n").is_err());
    assert!(allowed("```crate-graph\na, b\n```").is_err());
    assert!(allowed("```crate-graph\na ->\na -> b\n```").is_err());
}
