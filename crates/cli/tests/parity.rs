//! Parity with Chrome DevTools: every class, every node and every comparison that DevTools' own engine computes, on
//! snapshots taken freshly from five Node versions, on older and other layouts, and on random graphs.
//!
//! No difference is allowed except DevTools' known faults. Those are not tolerated but repaired: the oracle runs the
//! same engine a second time without the one fault (see `tests/oracle/devtools.mjs`), and that is what twinheap has to
//! equal. Each fault has a test below which shows that DevTools really has it, and by an independent count that we are
//! right.

#[path = "parity/compare.rs"]
mod compare;
#[path = "parity/oracle.rs"]
mod oracle;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use compare::{Differences, key_of, without_unpaired_surrogates};
use oracle::{Lab, name_of, twinheap};
use serde_json::Value;

const GIB: u64 = 1 << 30;

/// Filters of the Summary view: our name and the engine's.
const FILTERS: [(&str, &str); 7] = [
    ("duplicated-strings", "duplicatedStrings"),
    ("detached", "objectsRetainedByDetachedDomNodes"),
    ("contexts", "objectsRetainedByContexts"),
    ("console", "objectsRetainedByConsole"),
    ("event-handlers", "objectsRetainedByEventHandlers"),
    ("shared-contexts", "sharedNativeContext"),
    ("no-context", "noNativeContext"),
];

#[test]
fn node_18() {
    // Node 18 has no options for writeHeapSnapshot.
    check_zoo("node18", &["default", "pair", "timeline"]);
}

#[test]
fn node_20() {
    check_zoo("node20", &["default", "internals", "numeric", "pair", "timeline"]);
}

#[test]
fn node_22() {
    check_zoo("node22", &["default", "internals", "numeric", "pair", "timeline"]);
}

#[test]
fn node_24() {
    check_zoo("node24", &["default", "internals", "numeric", "pair", "timeline"]);
}

#[test]
fn node_26() {
    check_zoo("node26", &["default", "internals", "numeric", "pair", "timeline"]);
}

#[test]
fn fixtures() {
    let lab = Lab::new("fixtures");
    let names = ["node12", "node14", "node16", "node24-a", "node24-b", "deno-v8-15", "chromium"];
    let files: Vec<_> = names.iter().map(|name| unpack_fixture(&lab, name)).collect();
    let pairs = [(files[3].clone(), files[4].clone())];
    check(lab, &files, &pairs, &[]);
}

#[test]
fn random_graphs() {
    let lab = Lab::new("random");
    let (first, count) = (1, 80);
    lab.make_random(first, count);
    let file = |seed: u32, which: &str| lab.path(&format!("random-{seed}{which}.heapsnapshot"));
    let pairs: Vec<_> = (first..first + count).map(|seed| (file(seed, ""), file(seed, "-next"))).collect();
    let files: Vec<_> = pairs.iter().flat_map(|(base, next)| [base.clone(), next.clone()]).collect();
    // A few dozen objects are too few to guess from whether ids are of one process.
    check(lab, &files, &pairs, &["--by-id", "true"]);
}

/// What people click on: the Summary's filters, duplicate strings, retainers and children.
#[test]
fn questions_about_fixtures() {
    let lab = Lab::new("questions");
    let names = ["node12", "node16", "node24-a", "deno-v8-15", "chromium"];
    let files: Vec<_> = names.iter().map(|name| unpack_fixture(&lab, name)).collect();
    check_questions(lab, &files, 20);
}

#[test]
fn questions_about_random_graphs() {
    let lab = Lab::new("random-questions");
    let (first, count) = (1001, 25);
    lab.make_random(first, count);
    let file = |seed| lab.path(&format!("random-{seed}.heapsnapshot"));
    let files: Vec<_> = (first..first + count).map(file).collect();
    check_questions(lab, &files, 6);
}

#[test]
fn questions_about_a_timeline() {
    let lab = Lab::new("timeline-questions");
    lab.take_zoo("node24", "timeline");
    let file = lab.path("zoo.heaptimeline");
    lab.query(std::slice::from_ref(&file));
    let devtools = lab.json("zoo.queries.json");
    let ours = &summary(&file)["timeline"];

    let rows = |list: &Value, fields: &[&str]| -> Vec<String> {
        let list = list.as_array().expect("a list");
        let row =
            |row: &Value| fields.iter().map(|field| row[field].to_string()).collect::<Vec<_>>().join(" ");
        list.iter().map(row).collect()
    };
    let got = rows(&ours["intervals"], &["last_assigned_id", "live_size"]);
    assert_eq!(got, rows(&devtools["samples"], &["last_id", "size"]));
    assert!(got.len() > 3, "the zoo lives for several samples");

    // Functions of equal size stand in an order of their own.
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let place = ["function", "script", "line", "column"];
    let got = rows(
        &ours["allocation_sites"],
        &[&place[..], &["allocated_count", "allocated_size", "live_count", "live_size"]].concat(),
    );
    let want = rows(
        &devtools["allocation_sites"],
        &[&place[..], &["count", "size", "live_count", "live_size"]].concat(),
    );
    assert!(want.len() > 10, "the zoo allocates in several functions");
    assert_eq!(sorted(got), sorted(want));
    lab.clean_up();
}

/// DevTools keeps sizes in 32 bits: a buffer of 5 GiB shows as one of 1 GiB.
#[test]
fn fault_sizes_wrap_at_32_bits() {
    let lab = Lab::new("huge");
    lab.take_zoo("node24", "huge");
    let file = lab.path("zoo-huge.heapsnapshot");
    lab.analyse(std::slice::from_ref(&file));
    let devtools = lab.json("zoo-huge.summary.json");
    let buffers = |table: &str| -> Vec<u64> {
        let rows = read_nodes(&lab.path(table));
        rows.iter().map(|node| node.shallow_size).filter(|size| *size >= GIB).collect()
    };
    assert_eq!(buffers("zoo-huge.nodes.tsv"), [GIB], "DevTools shows 5 GiB as 1 GiB");

    let ours = export(&lab, &file);
    let right: Vec<_> = read_nodes(&ours).into_iter().filter(|node| node.shallow_size >= GIB).collect();
    assert_eq!(right.len(), 1);
    assert_eq!((right[0].self_size, right[0].shallow_size), (5 * GIB, 5 * GIB));
    let total = summary(&file)["total_size"].as_u64();
    assert_eq!(total, devtools["total_size"].as_u64().map(|wrong| wrong + 4 * GIB));

    // All the rest equals the engine's answer with wide numbers.
    let mut differences = Differences::default();
    differences.summary("zoo-huge", &summary(&file), &devtools["faults"]["wrapped"]);
    differences.nodes("zoo-huge", &ours, &lab.path("zoo-huge.wide.nodes.tsv"));
    differences.assert_none();
    lab.clean_up();
}

/// Classes with the same public key but different keys inside replace one another in DevTools' tables.
#[test]
fn fault_classes_vanish_behind_a_namesake() {
    let lab = Lab::new("collision");
    let file = unpack_fixture(&lab, "node24-a");
    lab.analyse(std::slice::from_ref(&file));
    let devtools = lab.json("node24-a.summary.json");
    let ours = summary(&file);
    let count = |summary: &Value, key: &str| {
        let classes = summary["classes"].as_array().expect("classes");
        classes.iter().find(|row| key_of(row) == key).and_then(|row| row["count"].as_u64())
    };

    // Five objects made with Object.create(Function.prototype) stand where thousands of closures should be.
    let nodes = read_nodes(&lab.path("node24-a.nodes.tsv"));
    let functions =
        nodes.iter().filter(|n| n.class == "\"Function\"" && n.shallow_size > 0 && n.kind == "closure");
    let closures = functions.count() as u64;
    assert!(closures > 5000, "the fixture has {closures} closures");
    let shown = count(&devtools, ",Function").expect("a row");
    assert!(shown < 20, "DevTools shows {shown} functions");
    assert!(count(&ours, ",Function").expect("a row") >= closures);

    // Every byte belongs to one class: the sum over the classes is the sum over the nodes.
    let sum = |summary: &Value| -> u64 {
        summary["classes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["shallow_size"].as_u64())
            .sum()
    };
    let all: u64 = nodes.iter().map(|node| node.shallow_size).sum();
    assert_eq!(sum(&ours), all);
    assert!(sum(&devtools) < all, "DevTools' table has lost classes");
    lab.clean_up();
}

/// A class that only the base has, by the new snapshot's inferred interfaces, shows under its old name.
#[test]
fn fault_comparison_names_a_class_after_the_wrong_snapshot() {
    let lab = Lab::new("base-only");
    let [base, new] = ["node24-a", "node24-b"].map(|name| unpack_fixture(&lab, name));
    lab.compare(&[(base.clone(), new.clone())]);
    let devtools = lab.json("node24-a..node24-b.diff.json");
    let ours = comparison(&base, &new, &[]);
    let name = |diff: &Value| {
        let rows = diff["classes"].as_array().expect("classes");
        let row = rows.iter().find(|row| key_of(row) == ",{ga, gb}").expect("the class of the ghosts");
        row["name"].clone()
    };
    assert_eq!(name(&devtools), "{ga, gb, gc}");
    assert_eq!(name(&ours), "{ga, gb}");
    lab.clean_up();
}

/// Takes snapshots of the zoo and compares them.
#[track_caller]
fn check_zoo(node: &str, modes: &[&str]) {
    let lab = Lab::new(node);
    let mut files = Vec::new();
    let mut pairs = Vec::new();
    for mode in modes {
        lab.take_zoo(node, mode);
        match *mode {
            "default" => files.push(lab.path("zoo.heapsnapshot")),
            "timeline" => {
                // Called otherwise than the default snapshot, since answers go by name.
                let timeline = lab.path("timeline.heaptimeline");
                std::fs::rename(lab.path("zoo.heaptimeline"), &timeline).expect("the timeline is there");
                files.push(timeline);
            }
            "pair" => {
                let [a, b] = ["zoo-a", "zoo-b"].map(|name| lab.path(&format!("{name}.heapsnapshot")));
                files.extend([a.clone(), b.clone()]);
                pairs.push((a, b));
            }
            mode => files.push(lab.path(&format!("zoo-{mode}.heapsnapshot"))),
        }
    }
    check(lab, &files, &pairs, &[]);
}

/// Compares everything DevTools says about these files and pairs with what twinheap says.
#[track_caller]
fn check(lab: Lab, files: &[PathBuf], pairs: &[(PathBuf, PathBuf)], diff_options: &[&str]) {
    let mut differences = Differences::default();
    lab.analyse(files);
    for file in files {
        let name = name_of(file);
        let devtools = lab.json(&format!("{name}.summary.json"));
        assert!(
            devtools["faults"]["wrapped"].is_null(),
            "{name}: only fault_sizes_wrap… has sizes beyond 32 bits"
        );
        differences.summary(&name, &summary(file), &devtools);
        differences.nodes(&name, &export(&lab, file), &lab.path(&format!("{name}.nodes.tsv")));
    }
    if !pairs.is_empty() {
        lab.compare(pairs);
    }
    for (base, new) in pairs {
        let name = format!("{}..{}", name_of(base), name_of(new));
        differences.comparison(
            &name,
            &comparison(base, new, diff_options),
            &lab.json(&format!("{name}.diff.json")),
        );
    }
    differences.assert_none();
    lab.clean_up();
}

/// Compares the answers to questions about these files, and the neighbours of some nodes of each.
#[track_caller]
fn check_questions(lab: Lab, files: &[PathBuf], nodes: usize) {
    let mut differences = Differences::default();
    lab.query(files);
    for file in files {
        let name = name_of(file);
        let devtools = lab.json(&format!("{name}.queries.json"));
        let ask = |arguments: &[&str]| {
            let arguments = arguments.iter().map(std::ffi::OsStr::new);
            json_of(&twinheap(arguments.chain([file.as_os_str(), "--json".as_ref()])))
        };
        for (ours, theirs) in FILTERS {
            let kind = format!("{name} filter {ours}");
            differences.filtered(&kind, &ask(&["summary", "--filter", ours]), &devtools["filters"][theirs]);
        }
        let strings = ask(&["strings", "--limit", "1000000"]);
        differences.duplicates(&name, &strings["duplicates"], &devtools["duplicate_strings"]);
        let asked = devtools["nodes"].as_array().expect("nodes");
        for node in asked.iter().step_by(asked.len().div_ceil(nodes)) {
            let id = node["id"].to_string();
            let lists = [("retainers", "retainers"), ("object", "edges")].map(|(verb, field)| {
                let arguments = [verb, "--json", "--limit", "100000"].map(std::ffi::OsStr::new);
                let target = [file.as_os_str(), id.as_ref()];
                json_of(&twinheap(arguments.into_iter().chain(target)))[field].clone()
            });
            for (ours, theirs) in lists.iter().zip([&node["retainers"], &node["children"]]) {
                // The oracle lists no more than this many; then the choice depends on the order.
                if theirs["total"].as_u64() <= Some(60) {
                    differences.neighbours(&format!("{name} neighbours of @{id}"), ours, &theirs["rows"]);
                }
            }
        }
    }
    differences.assert_none();
    lab.clean_up();
}

#[track_caller]
fn summary(file: &Path) -> Value {
    json_of(&twinheap(["summary".as_ref(), "--json".as_ref(), file.as_os_str()]))
}

#[track_caller]
fn comparison(base: &Path, new: &Path, options: &[&str]) -> Value {
    let options = ["diff", "--json"].iter().chain(options).map(std::ffi::OsStr::new);
    json_of(&twinheap(options.chain([base.as_os_str(), new.as_os_str()])))
}

#[track_caller]
fn json_of(output: &[u8]) -> Value {
    // The output has unpaired surrogates as escapes, which JSON allows and serde_json does not; the oracle writes
    // replacement characters.
    serde_json::from_str(&without_unpaired_surrogates(output)).expect("--json prints JSON")
}

#[track_caller]
fn export(lab: &Lab, file: &Path) -> PathBuf {
    let table = lab.path(&format!("{}.twinheap.tsv", name_of(file)));
    twinheap(["export".as_ref(), file.as_os_str(), "--nodes".as_ref(), table.as_os_str()]);
    table
}

/// A fixture as a plain file, which is all that DevTools reads.
#[track_caller]
fn unpack_fixture(lab: &Lab, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let packed = File::open(folder.join(format!("{name}.heapsnapshot.zst"))).expect("a fixture of this name");
    let plain = lab.path(&format!("{name}.heapsnapshot"));
    zstd::stream::copy_decode(packed, File::create(&plain).expect("a new file")).expect("a whole fixture");
    plain
}

/// Some columns of a node table.
struct Node {
    self_size: u64,
    shallow_size: u64,
    kind: String,
    class: String,
}

#[track_caller]
fn read_nodes(table: &Path) -> Vec<Node> {
    let reader = BufReader::new(File::open(table).expect("a node table"));
    let parse = |line: String| {
        let columns: Vec<_> = line.split('\t').collect();
        let size = |column: usize| columns[column].parse().expect("a size");
        Node {
            self_size: size(2),
            shallow_size: size(3),
            kind: columns[7].to_owned(),
            class: columns[8].to_owned(),
        }
    };
    reader.lines().skip(1).map(|line| parse(line.expect("UTF-8"))).collect()
}
