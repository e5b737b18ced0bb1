//! The contract of the command line, on the real binary: exit codes, messages, where words go, what is left behind.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]
#![expect(clippy::disallowed_methods, reason = "the fixtures are small")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use twinheap_trace::heaptrace::{End, Meta, NewModule, Writer};
use twinheap_trace::{Frame, FrameKind, MemorySample, TraceId};

fn twinheap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS");
    command
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = Vec::new();
    zstd::stream::read::Decoder::new(file).unwrap().read_to_end(&mut text).unwrap();
    text
}

/// A folder with the fixture as a plain file in it.
fn lab() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heap.heapsnapshot");
    std::fs::write(&path, fixture("node24-b.heapsnapshot.zst")).unwrap();
    (folder, path)
}

fn run(args: &[&str]) -> Output {
    twinheap().args(args).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    // The fixture has names with lone surrogates. JSON may hold them, as `JSON.stringify` writes them, but not a
    // Rust string.
    let mut text = String::from_utf8(output.stdout.clone()).unwrap();
    while let Some(at) = text.find("\\ud") {
        text.replace_range(at..at + 6, "\\ufffd");
    }
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs with `--json`, expects exit code 0, `schema_version` 1 and this kind.
#[track_caller]
fn check_json(args: &[&str], kind: &str) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document = json(&output);
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["kind"], kind);
    document
}

/// Runs and expects this exit code, nothing on stdout, and these words on stderr.
#[track_caller]
fn check_error(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("stack backtrace"), "{stderr}");
}

#[test]
fn every_verb_answers_in_json() {
    let (_folder, path) = lab();
    let file = path.to_str().unwrap();
    let summary = check_json(&["summary", file], "js-snapshot");
    let classes = summary["classes"].as_array().unwrap();
    assert!(classes.len() > 20);
    let retained: Vec<u64> = classes.iter().map(|c| c["retained_size"].as_u64().unwrap()).collect();
    assert!(retained.is_sorted_by(|a, b| a >= b));
    let shallow: u64 = classes.iter().map(|c| c["shallow_size"].as_u64().unwrap()).sum();
    assert_eq!(
        shallow,
        summary["total_size"].as_u64().unwrap() - summary["extra_native_bytes"].as_u64().unwrap()
    );

    let objects = check_json(&["objects", file, "--class", "Map"], "js-objects");
    let first = &objects["objects"][0];
    assert_eq!(first["class"], "Map");
    let id = first["id"].to_string();
    let object = check_json(&["object", file, &format!("@{id}")], "js-object");
    assert_eq!(object["object"]["retained_size"], first["retained_size"]);
    let retainers = check_json(&["retainers", file, &id, "--depth", "3"], "js-retainers");
    assert_eq!(retainers["retainer_count"], object["retainer_count"]);

    let path = check_json(&["path", file, &id], "js-path");
    let nodes = path["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["id"], 1);
    assert!(nodes[0].get("edge").is_none());
    assert!(nodes[1..].iter().all(|n| n["edge"]["type"] != "weak"));
    assert_eq!(nodes.last().unwrap()["id"], first["id"]);
    // The root itself stands in front of the nodes that distances count.
    assert_eq!(nodes.len() as i64 - 1, first["distance"].as_i64().unwrap());

    let merged = check_json(&["path", file, "--merge", "Map"], "js-merged-paths");
    assert_eq!(
        merged["steps"][0]["instances"].as_u64().unwrap() + merged["unreachable"].as_u64().unwrap(),
        merged["instances"].as_u64().unwrap()
    );
    let dominators = check_json(&["dominators", file], "js-dominators");
    let below: u64 =
        dominators["classes"].as_array().unwrap().iter().map(|c| c["retained_size"].as_u64().unwrap()).sum();
    assert_eq!(
        below + dominators["node"]["shallow_size"].as_u64().unwrap(),
        dominators["node"]["retained_size"].as_u64().unwrap()
    );
    let strings = check_json(&["strings", file], "js-strings");
    assert!(!strings["duplicates"].as_array().unwrap().is_empty());
    let diff = check_json(&["diff", file, file], "js-diff");
    assert_eq!(
        (diff["comparable_ids"].as_bool(), diff["classes"].as_array().unwrap().len()),
        (Some(true), 0)
    );
}

#[test]
fn every_verb_answers_in_words() {
    let (_folder, path) = lab();
    let file = path.to_str().unwrap();
    let verbs: [&[&str]; 9] = [
        &["summary", file],
        &["objects", file, "--search", "map"],
        &["object", file, "1"],
        &["retainers", file, "3"],
        &["path", file, "3"],
        &["path", file, "--merge", "Map"],
        &["dominators", file, "--group"],
        &["strings", file],
        &["diff", file, file],
    ];
    for args in verbs {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.is_empty() && !text.contains('\x1b'), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn few_or_no_rows_are_said_to_be_few_or_none() {
    let (_folder, path) = lab();
    let file = path.to_str().unwrap();
    let text = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let dominators = text(&["dominators", file, "--limit", "0"]);
    assert!(
        !dominators.contains("dominates nothing") && dominators.contains(" more (--limit N)"),
        "{dominators}"
    );
    assert_eq!(text(&["objects", file, "--search", "no such name"]), "No object fits.\n");
    assert!(text(&["object", file, "3"]).contains("edges and by the root\n"));

    let objects = check_json(&["objects", file, "--class", "Map"], "js-objects");
    let id = objects["objects"][0]["id"].to_string();
    assert!(!text(&["object", file, &id]).contains("by the root"));
    let retainers = check_json(&["retainers", file, &id, "--limit", "0", "--depth", "2"], "js-retainers");
    assert_eq!(retainers["retainers"][0]["retainers"].as_array().unwrap().len(), 1, "{retainers}");
}

#[test]
fn the_same_answer_from_every_kind_of_input_and_any_number_of_threads() {
    let (folder, path) = lab();
    let text = std::fs::read(&path).unwrap_or_default();
    let want = check_json(&["summary", path.to_str().unwrap()], "js-snapshot")["classes"].clone();
    let one =
        check_json(&["summary", path.to_str().unwrap(), "--threads", "1"], "js-snapshot")["classes"].clone();
    assert_eq!(one, want);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text).unwrap();
    // Two frames, as `zstd` and parallel writers make them.
    let (front, back) = text.split_at(text.len() / 3);
    let zstd = [zstd::encode_all(front, 1).unwrap(), zstd::encode_all(back, 1).unwrap()].concat();
    for (name, bytes) in [("a.gz", gzip.finish().unwrap()), ("a.zst", zstd), ("plain", text)] {
        let file = folder.path().join(name);
        std::fs::write(&file, &bytes).unwrap();
        let got = check_json(&["summary", file.to_str().unwrap()], "js-snapshot");
        assert_eq!(got["classes"], want, "{name}");
        let mut child = twinheap()
            .args(["summary", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(json(&output)["classes"], want, "{name} on stdin");
    }
}

#[test]
fn damaged_files_give_a_part_and_exit_code_3() {
    let (folder, path) = lab();
    let text = std::fs::read(&path).unwrap_or_default();
    let cut = folder.path().join("cut.heapsnapshot");
    std::fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let output = run(&["summary", cut.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let document = json(&output);
    assert!(document["nodes"].as_u64().unwrap() > 1000);
    let warning = document["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("ends too early") && warning.contains("section") && warning.contains("byte"),
        "{warning}"
    );

    let zst = folder.path().join("cut.heapsnapshot.zst");
    let whole = zstd::encode_all(&text[..], 1).unwrap();
    std::fs::write(&zst, &whole[..whole.len() / 2]).unwrap();
    let output = run(&["summary", zst.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(json(&output)["warnings"][0].as_str().unwrap().contains("compressed data"));
}

#[test]
fn damage_of_a_filters_file_is_told_too() {
    let (folder, path) = lab();
    let cut = folder.path().join("cut.heapsnapshot");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let output = run(&[
        "summary",
        path.to_str().unwrap(),
        "--newer-than",
        cut.to_str().unwrap(),
        "--json",
        "--limit",
        "1",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(json(&output)["warnings"][0].as_str().unwrap().contains("cut.heapsnapshot"));
}

#[test]
fn errors_say_what_why_and_what_to_do() {
    let (folder, path) = lab();
    let file = path.to_str().unwrap();
    let other = folder.path().join("other.txt");
    std::fs::write(&other, "hello").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let folder_name = folder.path().to_str().unwrap();
    check_error(
        &["summary", "/no/such/file"],
        2,
        &["error: can't open `/no/such/file`: No such file", "hint: "],
    );
    check_error(&["summary", folder_name], 2, &["is a directory", "hint: "]);
    check_error(&["summary", empty.to_str().unwrap()], 2, &["0 bytes", "hint: "]);
    check_error(&["summary", other.to_str().unwrap()], 2, &["not a V8 heap snapshot", "at byte 0", "hint: "]);
    check_error(&["object", file, "999999999"], 2, &["no object @999999999", "hint: "]);
    check_error(&["path", file, "--merge", "Nope"], 2, &["class `Nope`", "hint: "]);
    check_error(&["objects", file, "--native-context", "1"], 2, &["no native context", "hint: "]);
    check_error(
        &["export", file, "--nodes", "/no/such/folder/x"],
        2,
        &["no folder `/no/such/folder`", "hint: "],
    );
    check_error(&["export", file, "--nodes", folder_name], 2, &["it is a directory", "hint: "]);
    check_error(&["summary", "-"], 2, &["0 bytes", "hint: nothing came through the pipe"]);
    check_error(&["diff", "-", "-"], 2, &["only once", "hint: "]);
    check_error(&["summary", "/no/\x1b[31m\nfile"], 2, &["`/no/\\u{1b}[31m\\nfile`"]);
    check_error(&["object", file, "abc"], 2, &["no object id"]);
    check_error(&["frobnicate"], 2, &["frobnicate"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (_folder, path) = lab();
    let mut child = twinheap()
        .args(["export", path.to_str().unwrap(), "--nodes", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"id");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn an_export_is_whole_or_absent() {
    let (folder, path) = lab();
    let table = folder.path().join("nodes.tsv");
    let output = run(&["export", path.to_str().unwrap(), "--nodes", table.to_str().unwrap(), "--quiet"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let text = std::fs::read_to_string(&table).unwrap();
    assert!(text.starts_with(
        "id\tname\tself_size\tshallow_size\tretained_size\tdistance\tdominator_id\ttype\tclass\n"
    ));
    let summary = check_json(&["summary", path.to_str().unwrap()], "js-snapshot");
    assert_eq!(text.lines().count() as u64 - 1, summary["nodes"].as_u64().unwrap());
    assert!(!folder.path().join("nodes.tsv.part").exists());

    // A disk that is full from the start. Through a link, so that a mistake here can't replace the device.
    let link = folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &link).unwrap();
    check_error(
        &["export", path.to_str().unwrap(), "--nodes", link.to_str().unwrap()],
        2,
        &["can't write", "No space left"],
    );
    assert!(!folder.path().join("full.part").exists());
}

#[test]
fn filters_narrow_the_summary() {
    let (folder, path) = lab();
    let file = path.to_str().unwrap();
    let older = folder.path().join("older.heapsnapshot");
    std::fs::write(&older, fixture("node24-a.heapsnapshot.zst")).unwrap();
    let all = check_json(&["summary", file], "js-snapshot");
    let count = |document: &Value| -> u64 {
        document["classes"].as_array().unwrap().iter().map(|c| c["count"].as_u64().unwrap()).sum()
    };
    let newer = check_json(&["summary", file, "--newer-than", older.to_str().unwrap()], "js-snapshot");
    let before = check_json(&["summary", file, "--older-than", older.to_str().unwrap()], "js-snapshot");
    assert!(count(&newer) > 0 && count(&before) > 0);
    assert_eq!(count(&newer) + count(&before), count(&all));
    let kinds = [
        "duplicated-strings",
        "detached",
        "contexts",
        "console",
        "event-handlers",
        "shared-contexts",
        "no-context",
    ];
    for kind in kinds {
        let some = check_json(&["summary", file, "--filter", kind], "js-snapshot");
        assert!(count(&some) < count(&all), "{kind}");
        assert!(some["filter"].is_string());
    }
}

#[test]
fn an_interrupt_ends_with_130() {
    let mut child =
        twinheap().args(["summary", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It waits for more of this, so it is running when the signal comes. Larger than a pipe: when the write is
    // through, the reader has begun, long after it took the signals over.
    let text = vec![b' '; 1 << 20];
    // Kept open: `wait` would close it, and the end of the input would race with the signal.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&text).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
}

/// A recording of heaptrack's: `make` keeps 100 and 28 bytes, one block of its caller is temporary.
const NATIVE_TRACE: &str = "v 10400 3\nX ./shop --port 80\nI 1000 100\ns 5 /shop\ns 4 make\ns 6 shop.c\ns 4 main\n\
    i 401000 1 2 3 a 4 3 14\ni 402000 1 4 3 1e\ni 7f00 0\nt 2 0\nt 1 1\nt 3 1\na 64 2\na 1c 2\na 8 3\n\
    + 0\nc 5\n+ 1\n+ 2\n- 2\nR 10\nc 1f\n";

#[test]
fn a_native_trace_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, NATIVE_TRACE).unwrap();
    let packed = folder.path().join("heaptrack.shop.1.zst");
    std::fs::write(&packed, zstd::encode_all(NATIVE_TRACE.as_bytes(), 3).unwrap()).unwrap();
    for file in [&plain, &packed] {
        let file = file.to_str().unwrap();
        let document = check_json(&["summary", file], "native-trace");
        for (name, value) in [
            ("command", Value::from("./shop --port 80")),
            ("runtime", 0.032.into()),
            ("allocations", 3.into()),
            ("temporary", 1.into()),
            ("temporary_exact", Value::Null),
            ("peak_bytes", 136.into()),
            ("peak_time", 0.005.into()),
            ("leaked_bytes", 128.into()),
            ("suppressed_bytes", 0.into()),
            ("peak_rss", 65536.into()),
        ] {
            assert_eq!(document[name], value, "{name}");
        }
        let stack = &document["stacks"]["leaked"][0];
        assert_eq!((&stack["leaked"], &stack["allocations"]), (&128.into(), &2.into()));
        let frame = |at: usize| {
            let frame = &stack["frames"][at];
            let words = ["function", "module", "file", "kind"]
                .map(|key| frame[key].as_str().unwrap_or("").to_owned());
            (words.join(" "), frame["line"].as_u64().unwrap(), frame["inlined"].as_bool().unwrap())
        };
        assert_eq!(frame(0), ("make /shop shop.c native".to_owned(), 10, true));
        assert_eq!(frame(1), ("main /shop shop.c native".to_owned(), 20, false));
        assert_eq!(frame(2), ("main /shop shop.c native".to_owned(), 30, false));
        assert_eq!(document["stacks"]["temporary"][0]["frames"][0]["kind"], "unknown");
        let text = String::from_utf8(run(&["summary", file]).stdout).unwrap();
        for words in ["heaptrack 1.4.0", "./shop --port 80", "136 B", "make  shop.c:10 ← main ← main"] {
            assert!(text.contains(words), "no `{words}` in: {text}");
        }
    }
    let name = plain.to_str().unwrap();
    check_error(&["objects", name], 2, &["recording of native allocations", "hint: `twinheap summary`"]);

    std::fs::write(&plain, &NATIVE_TRACE[..NATIVE_TRACE.len() - 3]).unwrap();
    let output = run(&["summary", "--json", name]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json(&output)["allocations"], 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("within a line"));
    std::fs::write(&plain, "v 10900 4\n").unwrap();
    check_error(&["summary", name], 2, &["version 4", "line 1, byte 0", "hint:"]);
}

#[test]
fn a_flame_graph_is_drawn() {
    let (folder, snapshot) = lab();
    let trace = folder.path().join("heaptrack.shop.1");
    std::fs::write(&trace, NATIVE_TRACE).unwrap();
    let trace = trace.to_str().unwrap();
    let name = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let draw = |args: &[&str]| {
        let output = run(&[&["flamegraph", trace], args].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    };

    let (svg, html) = (name("f.svg"), name("f.HTML"));
    let (stdout, stderr) = draw(&["-o", &svg]);
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("4 frames written to ") && stderr.ends_with("; open it in a browser\n"),
        "{stderr}"
    );
    let picture = std::fs::read_to_string(&svg).unwrap();
    for words in
        ["<title>heaptrack.shop.1</title>", "./shop --port 80", "136 B alive at the peak", ">make</text>"]
    {
        assert!(picture.contains(words), "no `{words}` in: {picture}");
    }
    draw(&["-o", &html, "--by", "leaked", "--bottom-up", "--title", "The shop"]);
    let page = std::fs::read_to_string(&html).unwrap();
    for words in ["<!DOCTYPE html>", "<title>The shop</title>", "\"by\":\"leaked\",\"bottom_up\":true"] {
        assert!(page.contains(words), "no `{words}` in: {page}");
    }
    assert!(!folder.path().join("f.svg.part").exists());

    // To a pipe, and a stretch of time with nothing in it.
    let (stdout, stderr) = draw(&["-o", "-", "--format", "svg", "--quiet"]);
    assert_eq!((stdout, stderr), (picture, String::new()));
    let (stdout, stderr) = draw(&["-o", "-", "--format", "svg", "--from", "20ms", "--to", "0.03"]);
    assert!(
        stdout.contains("There are no allocations to draw.") && stdout.contains("here from 0.02 s to 0.03 s")
    );
    assert!(stderr.contains("no allocations"), "{stderr}");

    let snapshot = snapshot.to_str().unwrap();
    check_error(
        &["flamegraph", snapshot, "-o", &svg],
        2,
        &["is a JS heap snapshot", "native trace", "hint: "],
    );
    check_error(&["flamegraph", trace], 2, &["--output"]);
    check_error(&["flamegraph", trace, "-o", "-"], 2, &["standard output", "hint: add --format"]);
    check_error(
        &["flamegraph", trace, "-o", &name("f.png")],
        2,
        &["f.png", "hint: end the name in .html or .svg"],
    );
    check_error(&["flamegraph", trace, "-o", &svg, "--min-percent", "200"], 2, &["from 0 to 100"]);
    check_error(&["flamegraph", trace, "-o", "/no/such/folder/f.svg"], 2, &["no folder", "hint: "]);

    // What is damaged is drawn as far as it goes.
    std::fs::write(trace, &NATIVE_TRACE[..NATIVE_TRACE.len() - 3]).unwrap();
    let output = run(&["flamegraph", trace, "-o", &svg]);
    assert_eq!(output.status.code(), Some(3));
    assert!(std::fs::read_to_string(&svg).unwrap().contains("damaged file: "));
}

/// The same as [`NATIVE_TRACE`] in our own format: how `make` and a JS function are called, and what is freed.
fn own_trace() -> Vec<u8> {
    let meta = Meta {
        recorder: "twinheap 9.9.9".to_owned(),
        argv: ["./shop", "--port", "80"].map(str::to_owned).to_vec(),
        page_size: 4096,
        ..Meta::default()
    };
    let mut writer = Writer::new(Vec::new(), &meta, 3).unwrap();
    let path = b"/shop";
    let shop = writer.module(&NewModule { path, build_id: b"", base: 0, segments: &[], mapped_ns: 0 });
    let (main, make) = (writer.ip(0x40_2000, Some(shop)), writer.ip(0x40_1000, Some(shop)));
    let tick = writer.ip(0x7F00, None);
    let root = writer.node(main, TraceId(0));
    let (make_node, tick_node) = (writer.node(make, root), writer.node(tick, root));
    let sizes = [(100, make_node), (28, make_node), (8, tick_node)];
    let [large, small, temporary] = sizes.map(|(size, node)| writer.info(size, node));
    writer.alloc(large);
    writer.tick(5_000_000);
    writer.alloc(small);
    let block = writer.alloc(temporary);
    writer.free(block, temporary);
    writer.sample(&MemorySample { ns: 5_000_000, rss: Some(65_536), heap: None, v8: None });
    writer.tick(31_000_000);
    for (ip, name, kind) in
        [(main, "main", FrameKind::Native), (make, "make", FrameKind::Native), (tick, "tick", FrameKind::Js)]
    {
        let (function, file) = (writer.string(name.as_bytes()), writer.string(b"shop.c"));
        writer.symbols(ip, &[Frame { function, file, line: 10, column: 7, kind }]);
    }
    writer.finish(&End::default()).unwrap()
}

#[test]
fn our_own_recording_is_summed_up_like_heaptracks() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("shop.heaptrace"), folder.path().join("heaptrack.shop"));
    std::fs::write(&own, own_trace()).unwrap();
    std::fs::write(&other, NATIVE_TRACE).unwrap();
    let (name, other) = (own.to_str().unwrap(), other.to_str().unwrap());
    let document = check_json(&["summary", name], "native-trace");
    let expected = check_json(&["summary", other], "native-trace");
    for key in expected.as_object().unwrap().keys() {
        if !["file", "stacks", "temporary_exact"].contains(&key.as_str()) {
            assert_eq!(document[key], expected[key], "{key}");
        }
    }
    assert_eq!(document["temporary_exact"], 1, "by address, which heaptrack's file has not");
    let frame = &document["stacks"]["temporary"][0]["frames"][0];
    let words = ["function", "file", "kind"].map(|key| frame[key].as_str().unwrap());
    assert_eq!((words, &frame["column"]), (["tick", "shop.c", "js"], &7.into()));
    let text = String::from_utf8(run(&["summary", name]).stdout).unwrap();
    assert!(text.contains("twinheap 9.9.9") && text.contains("make"), "{text}");

    let whole = own_trace();
    std::fs::write(&own, &whole[..whole.len() - 60]).unwrap();
    let output = run(&["summary", "--json", name]);
    assert_eq!((output.status.code(), &json(&output)["allocations"]), (Some(3), &3.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut short"));
    let mut newer = whole;
    newer[8] = 2;
    std::fs::write(&own, newer).unwrap();
    check_error(&["summary", name], 2, &["version 2", "byte 8", "hint:"]);
}
