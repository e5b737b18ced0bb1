//! Leaks of published packages (`tests/gallery/real`): each runs at the version with the leak and at one without it.
//! `cargo xtask setup` installs both.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde_json::Value;

use super::{expectation, gallery, leaks, node_binary, run, text};

#[test]
fn leaks_of_published_packages_are_found_and_gone_where_they_are_fixed_on_node_20() {
    check("node20");
}

#[test]
fn leaks_of_published_packages_are_found_and_gone_where_they_are_fixed_on_node_26() {
    check("node26");
}

#[track_caller]
fn check(node: &str) {
    let mut programs: Vec<_> = fs::read_dir(gallery().join("real"))
        .expect("the gallery")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "cjs"))
        .collect();
    programs.sort();
    assert!(programs.len() >= 3, "the packages are there");
    let mut table = String::new();
    let mut wrong = Vec::new();
    for program in &programs {
        for version in ["faulty", "fixed"] {
            let Answer { row, is_right } = judge(node, program, version);
            writeln!(table, "{row}").expect("a string takes everything");
            if !is_right {
                wrong.push(row);
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}

struct Answer {
    row: String,
    is_right: bool,
}

fn judge(node: &str, program: &Path, version: &str) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new(node_binary(node)).arg(program).arg(folder.path()).arg(version));
    let document = leaks(folder.path());
    let expected = expectation(program);
    let nothing = Value::Null;
    let first = document["suspects"].get(0).unwrap_or(&nothing);
    let (verdict, script) = (text(&document["verdict"]), text(&first["location"]["script"]));
    let line = first["location"]["line"].as_u64().unwrap_or(0);
    let package = text(&expected["package"]);
    let is_right = if version == "fixed" {
        verdict != "leak"
    } else {
        let file = format!("/{version}/node_modules/{package}/{}", text(&expected["file"]));
        let is_line =
            (expected["lines"][0].as_u64() <= Some(line)) && (Some(line) <= expected["lines"][1].as_u64());
        let is_detector = expected["detector"].is_null() || first["detector"] == expected["detector"];
        verdict == "leak" && first["package"] == package && script.ends_with(&file) && is_line && is_detector
    };
    let place = script.split_once("node_modules/").map_or(script.as_str(), |(_, rest)| rest);
    let row = format!(
        "{node}  {:12} {version:6} {verdict:8} {:15} {:40} {:5} {}",
        program.file_stem().unwrap_or_default().to_string_lossy(),
        text(&first["detector"]),
        if place.is_empty() { String::new() } else { format!("{place}:{line}") },
        if is_right { "ok" } else { "WRONG" },
        text(&first["name"]),
    );
    Answer { row, is_right }
}
