//! A program that was compiled from TypeScript (`tests/gallery/typescript`): findings name the `.ts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{file_name, leaks};

fn gallery() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/gallery").canonicalize().unwrap()
}

/// Runs the program in a folder of its own, as it would be on a server, and returns its dumps.
fn climb(folder: &Path) -> Vec<PathBuf> {
    let compiled = gallery().join("typescript/dist");
    let dist = folder.join("srv/dist");
    fs::create_dir_all(&dist).unwrap();
    for file in ["server.js", "server.js.map"] {
        fs::copy(compiled.join(file), dist.join(file)).unwrap();
    }
    let ran = Command::new("node")
        .arg(gallery().join("typescript/main.cjs"))
        .arg(folder)
        .arg(dist.join("server.js"))
        .output()
        .expect("Node.js is installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    (1..=4).map(|rung| folder.join(format!("{rung}.heapsnapshot"))).collect()
}

fn suspect(dumps: &[PathBuf], options: &[&str]) -> Value {
    let options = [options, &["--json"]].concat();
    let output = leaks(dumps, &options);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verdict"], "leak");
    document["suspects"][0].clone()
}

#[track_caller]
fn check_is_typescript(suspect: &Value, path: &Path) {
    let location = &suspect["location"];
    let source = fs::read_to_string(gallery().join("typescript/src/server.ts")).unwrap();
    let line = |mark: &str| source.lines().position(|line| line == mark).unwrap() as u64 + 1;
    let fault = line("// fault {")..=line("// } fault");
    assert_eq!(location["script"].as_str().unwrap(), path.to_str().unwrap(), "{location}");
    assert!(fault.contains(&location["line"].as_u64().unwrap()), "{location}");
    assert_eq!(file_name(&location["compiled"]), "server.js");
    assert_ne!(location["compiled"]["line"], location["line"]);
}

#[test]
fn a_finding_names_the_typescript_that_the_script_was_made_of() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let dumps = climb(folder.path());
    let srv = folder.path().canonicalize().unwrap().join("srv");
    let beside = suspect(&dumps, &[]);
    check_is_typescript(&beside, &srv.join("src/server.ts"));

    // The dump comes from another machine: the map is in a checkout here.
    fs::remove_dir_all(&srv).unwrap();
    let without = suspect(&dumps, &[]);
    assert_eq!(file_name(&without["location"]), "server.js");
    assert!(without["location"].get("compiled").is_none(), "{without}");
    let checkout = gallery().join("typescript");
    let root = ["--source-root", checkout.to_str().unwrap()];
    let here = suspect(&dumps, &root);
    check_is_typescript(&here, &checkout.join("src/server.ts"));
    // A leak is the same whether the maps are there or not.
    assert_eq!(here["signature"], without["signature"]);
    assert_eq!(here["signature"], beside["signature"]);

    // What other verbs say of a place goes the same way.
    let object = Command::new(env!("CARGO_BIN_EXE_twinheap"))
        .args(["objects", "--class", "SessionStore", "--json"])
        .args(root)
        .arg(dumps.last().unwrap())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&object.stdout).unwrap();
    let place = &document["objects"][0]["location"];
    assert_eq!(file_name(place), "server.ts", "{document}");
    let text = leaks(&dumps, &root);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("src/server.ts:") && text.contains("it ran as"), "{text}");
}
