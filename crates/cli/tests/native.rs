//! The verbs for native traces, on the real binary.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// `make` keeps 100 and 28 bytes that `main` asks for, `serve` keeps 3000 in an addon, a block of `main` is
/// temporary, and one is freed late.
const TRACE: &str = "v 10400 3\nX ./shop --port 80\nI 1000 100\n\
    s 5 /shop\ns 14 make<int>(int, char)\ns 6 shop.c\ns 4 main\ns 5 serve\n\
    s 27 /srv/node_modules/@img/sharp/addon.node\nS leak:nobody\n\
    i 401000 1 2 3 a 4 3 14\ni 402000 1 4 3 1e\ni 7f00 0\ni 500000 6 5\n\
    t 2 0\nt 1 1\nt 3 1\nt 4 1\na 64 2\na 1c 2\na 8 3\na bb8 4\na 200 2\n\
    + 0\nc 5\nR 10\n+ 1\n+ 2\n- 2\n+ 4\nc f\nR 20\n+ 3\n- 4\nc 1f\nR 18\n";

fn twinheap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    twinheap().args(args).output().unwrap()
}

/// A folder with the trace in it.
fn lab() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "shop.heaptrack", TRACE);
    (folder, file)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

fn snapshot() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node12.heapsnapshot.zst");
    path.into_os_string().into_string().unwrap()
}

/// Runs with `--json`, and looks at some of its values.
#[track_caller]
fn check_json(args: &[&str], kind: &str, expected: &[(&str, Value)]) {
    let output = run(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema_version"], &document["kind"]), (&json!(1), &json!(kind)));
    for (pointer, value) in expected {
        let got = document.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(got, value, "{pointer} of {document}");
    }
}

/// Runs, and wants these lines one after the other, others between them.
#[track_caller]
fn check_text(args: &[&str], lines: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    // The width of columns is not the point.
    let squeezed: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let mut rest = squeezed.iter();
    for line in lines {
        assert!(rest.any(|got| got.contains(line)), "no `{line}` there in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 200), "{text}");
}

#[track_caller]
fn check_error(args: &[&str], words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
}

#[test]
fn a_summary_takes_the_options_of_heaptrack_print() {
    let (folder, file) = lab();
    let file = file.as_str();
    let all = [("/leaked_bytes", json!(3128)), ("/from", Value::Null), ("/filter", Value::Null)];
    check_json(&["summary", file], "native-trace", &all);
    let later = [
        ("/from", json!(0.005)),
        ("/to", json!(0.015)),
        ("/allocations", json!(3)),
        ("/leaked_bytes", json!(540)),
        ("/peak_rss", json!(0x10 * 4096)),
    ];
    check_json(&["summary", file, "--from", "5ms", "--to", "0.015"], "native-trace", &later);
    let filtered = [
        ("/allocations", json!(5)),
        ("/filter/function", json!("serve")),
        ("/filter/leaked", json!(3000)),
        ("/filter/allocations", json!(1)),
        ("/stacks/leaked/1", Value::Null),
    ];
    check_json(&["summary", file, "--filter-function", "serve"], "native-trace", &filtered);
    check_json(&["summary", file, "--filter-bt-function", "serve"], "native-trace", &filtered);

    let rules = write(folder.path(), "rules", "# known\nleak:^serve$\n");
    let suppressed = [
        ("/leaked_bytes", json!(128)),
        ("/suppressed_bytes", json!(3000)),
        ("/suppressions/0", json!({"pattern": "^serve$", "stacks": 1, "leaked_bytes": 3000})),
    ];
    check_json(&["summary", file, "--suppressions", &rules], "native-trace", &suppressed);
    check_text(
        &["summary", file, "--suppressions", &rules, "--show-suppressions"],
        &["not freed 128 B and 3.0 kB of known leaks", "suppressed stacks pattern", "3.0 kB 1 ^serve$"],
    );
    check_text(&["summary", file, "--show-suppressions"], &["Nothing was suppressed."]);
    let embedded = write(folder.path(), "embedded", &TRACE.replace("S leak:nobody", "S leak:shop.c"));
    check_json(&["summary", &embedded], "native-trace", &[("/leaked_bytes", json!(0))]);
    let without = &["summary", embedded.as_str(), "--no-embedded-suppressions"];
    check_json(without, "native-trace", &[("/leaked_bytes", json!(3128))]);
    let built_in = write(folder.path(), "built-in", &TRACE.replace("5 serve", "c __new_exitfn"));
    check_json(&["summary", &built_in], "native-trace", &[("/suppressed_bytes", json!(3000))]);
    let without = &["summary", built_in.as_str(), "--disable-builtin-suppressions"];
    check_json(without, "native-trace", &[("/suppressed_bytes", json!(0))]);

    check_text(
        &["summary", file, "-s", "2", "-n", "1"],
        &["Not freed:", "serve addon.node ← main", "← main", "1 more call sites"],
    );
    check_text(&["summary", file], &["Most calls:", "make<> shop.c:10 ← main ← main"]);
    check_text(&["summary", file, "-t", "0"], &["make<int>(int, char) shop.c:10 ← main"]);
    check_text(
        &["summary", file, "--no-merge"],
        &["Not freed:", "3.0 kB (96 %) in 1 calls from", "serve addon.node", "main shop.c:30", "Most calls:"],
    );
}

#[test]
fn trees_begin_at_either_end() {
    let (_folder, file) = lab();
    let file = file.as_str();
    let bottom_up = [
        ("/direction", json!("bottom-up")),
        ("/total/peak", json!(3640)),
        ("/nodes/0/function", json!("serve")),
        ("/nodes/0/peak", json!(3000)),
        ("/nodes/1/function", json!("main")),
        ("/nodes/1/parent", json!(0)),
        ("/nodes/2/function", json!("make<int>(int, char)")),
        ("/nodes/2/depth", json!(0)),
        ("/nodes/2/parent", Value::Null),
        ("/nodes/2/line", Value::Null),
    ];
    check_json(&["tree", file], "native-tree", &bottom_up);
    let top_down = [
        ("/nodes/0/function", json!("main")),
        ("/nodes/0/peak", json!(3640)),
        ("/nodes/0/line", json!(30)),
        ("/nodes/1/function", json!("serve")),
        ("/nodes/1/depth", json!(1)),
    ];
    check_json(&["tree", file, "--top-down", "--lines"], "native-tree", &top_down);
    let cut = [("/nodes/0/hidden/nodes", json!(2)), ("/nodes/1", Value::Null), ("/hidden/nodes", json!(0))];
    check_json(&["tree", file, "--top-down", "--depth", "1"], "native-tree", &cut);
    let few = [("/nodes/2", Value::Null), ("/hidden/peak", json!(640))];
    check_json(&["tree", file, "--min-percent", "50"], "native-tree", &few);
    check_text(
        &["tree", file],
        &[
            "bottom-up: below a function stand its callers; 3.6 kB alive at the peak in all",
            "3.0 kB 82 %",
            "← main shop",
            "make<>",
        ],
    );
    check_text(&["tree", file, "--top-down", "--by", "allocations"], &["5 100 %", "→ main"]);
    check_text(&["tree", file, "--by", "temporary", "--limit", "1"], &["1 temporary blocks in all"]);

    let callers = [
        ("/functions/0/function", json!("main")),
        ("/functions/0/inclusive/peak", json!(3640)),
        ("/functions/0/self/peak", json!(0)),
        ("/functions/1/function", json!("serve")),
        (
            "/functions/1/callers/0",
            json!({"function": 0, "bytes": 3000, "allocations": 1, "temporary": 0,
            "peak": 3000, "leaked": 3000}),
        ),
    ];
    check_json(&["tree", file, "--caller-callee"], "native-callers", &callers);
    check_text(
        &["tree", file, "--caller-callee"],
        &[
            "0 B 3.6 kB 100 % 5 main shop",
            "← main",
            "→ serve",
            "3.0 kB 3.0 kB 82 % 1 serve addon.node",
            "← main",
        ],
    );

    let packages = [
        ("/groups/0/name", json!("@img/sharp")),
        ("/groups/0/self/peak", json!(3000)),
        ("/groups/1/name", Value::Null),
        ("/groups/1/self/peak", json!(640)),
    ];
    check_json(&["tree", file, "--per", "package"], "native-groups", &packages);
    let modules = [("/groups/1/name", json!("/shop")), ("/groups/1/inclusive/peak", json!(3640))];
    check_json(&["tree", file, "--per", "module"], "native-groups", &modules);
    check_text(&["tree", file, "--per", "module"], &["3.0 kB 82 %", "640 B 18 %"]);
}

#[test]
fn sizes_have_a_histogram() {
    let (_folder, file) = lab();
    let file = file.as_str();
    let powers = [
        ("/buckets/0/max_size", json!(8)),
        ("/buckets/0/allocations", json!(1)),
        ("/buckets/1/allocations", json!(0)),
        ("/buckets/1/top_site", Value::Null),
        ("/buckets/9/min_size", json!(2049)),
        ("/buckets/9/leaked", json!(3000)),
        ("/buckets/9/top_site/frames/0/function", json!("serve")),
    ];
    check_json(&["histogram", file], "native-histogram", &powers);
    let exact =
        [("/buckets/1/min_size", json!(28)), ("/buckets/1/max_size", json!(28)), ("/buckets/5", Value::Null)];
    check_json(&["histogram", file, "--exact"], "native-histogram", &exact);
    let filtered = [("/buckets/0/min_size", json!(3000)), ("/buckets/1", Value::Null)];
    check_json(&["histogram", file, "--exact", "--filter-function", "serve"], "native-histogram", &filtered);
    check_text(&["histogram", file], &["≤ 8 B 1", "≤ 512 B 1", "≤ 4 KiB 1"]);
    check_text(&["histogram", file, "--exact", "-n", "1", "--by", "peak"], &["3,000 B 1", "4 more sizes"]);
}

#[test]
fn costs_have_a_timeline() {
    let (_folder, file) = lab();
    let file = file.as_str();
    let two = [
        ("/time", json!([0.0, 0.016])),
        ("/live_bytes", json!([3640, 3128])),
        ("/allocations", json!([5, 0])),
        ("/temporary", json!([1, 0])),
        ("/rss", json!([0x20 * 4096, 0x18 * 4096])),
        ("/sites/0/frames/0/function", json!("serve")),
        ("/sites/0/live_bytes", json!([3000, 3000])),
        ("/sites/1", Value::Null),
    ];
    check_json(&["timeline", file, "--buckets", "2", "--by-site", "1"], "native-timeline", &two);
    let filtered = [("/live_bytes", json!([3000, 3000])), ("/allocations", json!([1, 0]))];
    let args = ["timeline", file, "--buckets", "2", "--filter-function", "serve"];
    check_json(&args, "native-timeline", &filtered);
    let later = [("/time/0", json!(0.01)), ("/end", json!(0.032)), ("/from", json!(0.01))];
    check_json(&["timeline", file, "--from", "10ms"], "native-timeline", &later);
    check_text(
        &["timeline", file, "--by-site", "1"],
        &[
            "alive",
            "3.6 kB",
            "0 B",
            "0.00 s",
            "calls, at most",
            "temporary, at most",
            "RSS, at most 131 kB",
            "82 % at the peak: serve",
        ],
    );
    check_text(
        &["timeline", file, "--table", "--buckets", "2"],
        &["seconds alive", "0.000 3.6 kB", "0.016 3.1 kB"],
    );
}

#[test]
fn two_traces_are_compared() {
    let (folder, file) = lab();
    let other = TRACE.replace("c f\n", "+ 3\nc f\n").replace("+ 1\n", "");
    let other = write(folder.path(), "other", &other);
    let expected = [
        ("/totals/allocations", json!({"a": 5, "b": 5, "delta": 0})),
        ("/totals/leaked_bytes", json!({"a": 3128, "b": 6100, "delta": 2972})),
        ("/stacks/0/leaked", json!(3000)),
        ("/stacks/0/frames/0/function", json!("serve")),
        ("/stacks/1/leaked", json!(-28)),
        ("/stacks/1/in_a", json!(true)),
        ("/stacks/1/frames/2/function", json!("main")),
        ("/stacks/2", Value::Null),
        ("/stack_count", json!(2)),
    ];
    check_json(&["diff", &file, &other, "--by", "leaked"], "native-diff", &expected);
    let one = [("/stacks/1", Value::Null), ("/stack_count", json!(2))];
    check_json(&["diff", &file, &other, "--by", "leaked", "-n", "1"], "native-diff", &one);
    check_text(
        &["diff", &file, &other, "--by", "leaked"],
        &[
            "calls 5 5 0",
            "not freed 3.1 kB 6.1 kB +3.0 kB",
            "+3.0 kB +1 serve addon.node ← main",
            "−28 B −1 make<>",
        ],
    );
    let filtered = [("/filter_function", json!("make")), ("/stacks/1", Value::Null), ("/from", json!(0.001))];
    let args = ["diff", &file, &other, "--filter-function", "make", "--from", "1ms"];
    check_json(&args, "native-diff", &filtered);
    check_text(&args, &["from 0.001 s: growth", "only stacks through functions with `make`"]);
    check_text(&["diff", &file, &file], &["No stack costs more or less."]);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let (folder, file) = lab();
    let (file, js) = (file.as_str(), snapshot());
    check_error(
        &["summary", file, "--from", "2", "--to", "1"],
        &["between --from 2 s and --to 1 s", "hint:"],
    );
    check_error(&["tree", file, "--from", "soon"], &["`soon` is no time", "250ms"]);
    check_error(&["tree", file, "--suppressions", "/no/rules"], &["can't read the suppressions `/no/rules`"]);
    check_error(&["tree", file, "--per", "thread"], &["which thread", "hint:"]);
    check_error(&["histogram", file, "--lifetime"], &["how long blocks lived", "hint:"]);
    check_error(&["histogram", file, "--lifetime", "--from", "1"], &["cannot be used with"]);
    check_error(&["tree", file, "--per", "module", "--top-down"], &["cannot be used with"]);
    check_error(&["tree", &js], &["is a JS heap snapshot, and this needs a native trace", "hint:"]);
    check_error(&["timeline", file, "--buckets", "0"], &["no number from 1"]);
    check_error(&["summary", file, "--filter", "detached"], &["`--filter` is an option for heap snapshots"]);
    check_error(&["summary", &js, "--from", "1"], &["`--from` is an option for native traces", "hint:"]);
    check_error(&["diff", file, &js], &["can't compare these", "hint: give two"]);
    check_error(&["diff", &js, &js, "--by", "peak"], &["`--by` is an option for native traces"]);
    check_error(&["diff", file, file, "--by-id", "true"], &["`--by-id` is an option for heap snapshots"]);

    let late = run(&["summary", file, "--from", "1h", "--json"]);
    assert_eq!(late.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&late.stderr).contains("ended before --from"));
    let rules = write(folder.path(), "rules", "nonsense\n");
    let output = run(&["tree", file, "--suppressions", &rules]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("`nonsense` of a suppression file"));
}

#[test]
fn a_part_of_a_trace_is_explained_too() {
    let folder = tempfile::tempdir().unwrap();
    let cut = write(folder.path(), "cut", &TRACE[..TRACE.len() - 2]);
    let empty = write(folder.path(), "empty", "v 10400 3\n");
    let verbs: [&[&str]; 7] = [
        &["summary"],
        &["tree"],
        &["tree", "--caller-callee"],
        &["tree", "--per", "module"],
        &["histogram"],
        &["timeline"],
        &["diff"],
    ];
    for verb in verbs {
        for (file, code) in [(&cut, 3), (&empty, 0)] {
            for json in [&[][..], &["--json"]] {
                let files: &[&str] = if verb[0] == "diff" { &[file, file] } else { &[file] };
                let output = run(&[verb, files, json].concat());
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(code), "{verb:?}: {stderr}");
                assert!(!output.stdout.is_empty(), "{verb:?}");
                assert_eq!(stderr.contains("within a line"), code == 3, "{verb:?}: {stderr}");
            }
        }
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for verb in ["summary", "tree", "histogram", "timeline"] {
        let mut child = twinheap()
            .args([verb, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Nobody reads any more, long before there is something to print.
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(TRACE.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{verb}");
    }
}
