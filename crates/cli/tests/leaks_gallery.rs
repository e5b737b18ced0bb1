//! The gallery of leaks (`tests/gallery`): small programs that leak, each with a healthy twin, on four versions of
//! Node.js. The right suspect has to come first with the right file and line in at least 90 % of the leaky ones, and
//! no healthy one may be called a leak.
//!
//! `cargo test -p twinheap-cli --test leaks_gallery -- --nocapture` prints the table.
#![expect(clippy::print_stdout, reason = "the table is what a developer reads")]

use std::{
    fmt::Write as _,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[path = "leaks_gallery/real.rs"]
mod real;

/// Snapshots that a program writes: `1.heapsnapshot` and so on.
const RUNGS: usize = 4;

#[test]
fn node_20() {
    check("node20");
}

#[test]
fn node_22() {
    check("node22");
}

#[test]
fn node_24() {
    check("node24");
}

#[test]
fn node_26() {
    check("node26");
}

/// A program of the gallery.
struct Program {
    /// Folder and file: `map-cache/leaky.cjs`.
    name: String,
    path: PathBuf,
    /// What has to be found; `None` for a healthy one.
    fault: Option<Fault>,
}

/// What a leaky program says of itself.
struct Fault {
    /// From `// fault {` to `// } fault`: the function or class to look at.
    lines: RangeInclusive<u64>,
    /// The detector that knows this kind of leak, if there is one.
    detector: Option<String>,
    /// Words of the evidence, where another detector adds to it.
    evidence: Option<String>,
}

/// What `twinheap leaks` says of a program.
struct Answer {
    verdict: String,
    /// Name and place of the first suspect.
    suspect: String,
    place: String,
    detector: String,
    is_right: bool,
    /// What comes up besides.
    knows_detector: bool,
}

#[track_caller]
fn check(node: &str) {
    let programs = programs();
    let leaky = programs.iter().filter(|program| program.fault.is_some()).count();
    assert!(leaky >= 20 && programs.len() - leaky >= leaky, "the gallery is complete");
    let answers: Vec<(&Program, Answer)> =
        programs.iter().map(|program| (program, judge(node, program))).collect();

    let row = |program: &Program, answer: &Answer| {
        let mark = if answer.is_right { "ok" } else { "WRONG" };
        format!(
            "{node}  {:34} {:8} {:20} {:30} {:5} {}",
            program.name, answer.verdict, answer.detector, answer.place, mark, answer.suspect
        )
    };
    let mut table = String::new();
    for (program, answer) in &answers {
        writeln!(table, "{}", row(program, answer)).expect("a string takes everything");
    }
    println!("{table}");
    let rows = |wanted: &dyn Fn(&Program, &Answer) -> bool| -> Vec<String> {
        answers.iter().filter(|(program, answer)| wanted(program, answer)).map(|(p, a)| row(p, a)).collect()
    };
    let alarms = rows(&|program, answer| program.fault.is_none() && !answer.is_right);
    assert!(alarms.is_empty(), "healthy programs are called leaks:\n{}", alarms.join("\n"));
    let missed = rows(&|program, answer| program.fault.is_some() && !answer.is_right);
    assert!(missed.len() * 10 <= leaky, "{} of {leaky} leaks missed:\n{}", missed.len(), missed.join("\n"));
    let unknown = rows(&|program, answer| program.fault.is_some() && !answer.knows_detector);
    let names = unknown.join("\n");
    assert!(
        unknown.len() * 10 <= leaky,
        "{} of {leaky} leaks without their detector:\n{names}",
        unknown.len()
    );
}

/// Runs a program and asks for the verdict.
fn judge(node: &str, program: &Program) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    run(Command::new(node_binary(node)).arg(&program.path).arg(folder.path()));
    answer(program, &leaks(folder.path()))
}

/// What is said of the snapshots in a folder.
fn leaks(folder: &Path) -> Value {
    let files = (1..=RUNGS).map(|rung| folder.join(format!("{rung}.heapsnapshot")));
    let output = run(Command::new(env!("CARGO_BIN_EXE_twinheap")).arg("leaks").args(files).arg("--json"));
    let document: Value = serde_json::from_slice(&output).expect("one JSON document");
    assert_eq!(document["kind"], "js-leaks");
    document
}

fn answer(program: &Program, document: &Value) -> Answer {
    let verdict = text(&document["verdict"]);
    let nothing = Value::Null;
    let first = document["suspects"].get(0).unwrap_or(&nothing);
    let script = text(&first["location"]["script"]);
    let line = first["location"]["line"].as_u64().unwrap_or(0);
    let file = program.path.to_string_lossy();
    let (is_right, knows_detector) = match &program.fault {
        None => (verdict != "leak", true),
        Some(fault) => {
            // A module's script is called by its URL.
            let is_place = script.trim_start_matches("file://") == file && fault.lines.contains(&line);
            let detector = fault.detector.as_deref();
            let says = |suspect: &Value| detector.is_none_or(|name| suspect["detector"] == name);
            let words = fault.evidence.as_deref().unwrap_or_default();
            (verdict == "leak" && is_place, says(first) && first["evidence"].to_string().contains(words))
        }
    };
    let base = script.rsplit('/').next().unwrap_or_default().to_owned();
    Answer {
        verdict,
        suspect: text(&first["name"]),
        place: if base.is_empty() { String::new() } else { format!("{base}:{line}") },
        detector: text(&first["detector"]),
        is_right,
        knows_detector,
    }
}

/// All programs: `leaky` and `healthy` of each folder.
fn programs() -> Vec<Program> {
    let mut programs = Vec::new();
    let folders = fs::read_dir(gallery()).expect("the gallery").map(|entry| entry.expect("an entry").path());
    for folder in folders.filter(|path| path.is_dir()) {
        for stem in ["leaky", "healthy"] {
            let paths = ["cjs", "mjs"].map(|ending| folder.join(format!("{stem}.{ending}")));
            let Some(path) = paths.into_iter().find(|path| path.exists()) else { continue };
            let name = path.strip_prefix(gallery()).expect("it is inside").to_string_lossy().into_owned();
            let fault = (stem == "leaky").then(|| fault(&path));
            programs.push(Program { name, path, fault });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    programs
}

/// Reads `// expect: {…}` and the marks of the fault.
fn fault(path: &Path) -> Fault {
    let source = fs::read_to_string(path).expect("a program");
    let line_of = |mark: &str| {
        let at = source.lines().position(|line| line.trim() == mark);
        at.unwrap_or_else(|| panic!("{}: no line `{mark}`", path.display())) as u64 + 1
    };
    let lines = line_of("// fault {")..=line_of("// } fault");
    let expect = expectation(path);
    let text = |name: &str| expect[name].as_str().map(str::to_owned);
    Fault { lines, detector: text("detector"), evidence: text("evidence") }
}

/// What a program says of itself: `// expect: {…}`.
fn expectation(path: &Path) -> Value {
    let source = fs::read_to_string(path).expect("a program");
    let expect = source.lines().find_map(|line| line.strip_prefix("// expect: ")).expect("what is expected");
    serde_json::from_str(expect).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn gallery() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/gallery");
    path.canonicalize().expect("the gallery")
}

fn node_binary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/node_modules").join(name).join("bin/node")
}

/// Without the caller's environment: a snapshot of Node contains all of it.
#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    command.env_clear().env("PATH", "/usr/bin:/bin");
    let output = command.output().expect("it starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
