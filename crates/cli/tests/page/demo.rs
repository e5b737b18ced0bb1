//! `twinheap demo` on the real binary: the verdicts, the page in the end, and what stays behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use super::lab::{Client, Running, twinheap};

/// A demo that serves its page.
struct Demo {
    running: Running,
    stdout: BufReader<ChildStdout>,
}

impl Demo {
    fn start(args: &[&str]) -> Demo {
        let mut command = twinheap();
        command.arg("demo").args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let stdout = BufReader::new(running.0.stdout.take().unwrap());
        Demo { running, stdout }
    }

    /// What it says, and the address that this ends with.
    fn until_page(&mut self) -> (String, String) {
        let mut text = String::new();
        loop {
            let before = text.len();
            assert!(self.stdout.read_line(&mut text).unwrap() > 0, "it ended without an address: {text}");
            if text[before..].starts_with("http://") {
                let address = text[before..].trim_end().to_owned();
                return (text, address);
            }
        }
    }

    /// Presses Ctrl-C, which is no failure: all was said.
    fn interrupt(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.running.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.running.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// The page has all files, and opens at the newest snapshot, whose verdict is on all of them.
#[track_caller]
fn check_page(address: &str) {
    let (page, query) = address.split_once('?').unwrap();
    assert_eq!(query, "file=2");
    let page = Client::at(page);
    assert!(page.get("").body.starts_with(b"<!doctype html>"));
    let state = page.wait();
    let files = state["files"].as_array().unwrap();
    assert!(files.iter().all(|file| file["status"] == "ready"), "{state}");
    let kinds: Vec<_> = files.iter().map(|file| file["kind"].as_str().unwrap()).collect();
    let snapshots = ["js-snapshot"; 3];
    let recorded = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));
    let native = recorded.then_some("native-trace");
    assert_eq!(kinds, snapshots.into_iter().chain(native).collect::<Vec<_>>());
    let leaks = page.get("api/files/2/leaks").json();
    assert_eq!((&leaks["verdict"], &leaks["suspects"][0]["class"]), (&"leak".into(), &"Session".into()));
}

#[test]
fn the_demo_names_what_leaks_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("demo");
    let mut demo = Demo::start(&["--keep", kept.to_str().unwrap(), "--page", "always"]);
    let (text, address) = demo.until_page();
    let source = kept.join("server.cjs");
    let line_of = |code: &str| {
        let text = std::fs::read_to_string(&source).unwrap();
        1 + text.lines().position(|line| line.contains(code)).unwrap_or_else(|| panic!("no `{code}`"))
    };
    assert!(text.contains("Leak: Session piles up in SessionStore.items, 1."), "{text}");
    for (suspect, counts, line) in [
        ("Session in SessionStore.items", "1,000 → 2,000 → 3,000", line_of("  open(id, user) {")),
        ("updateQuote() in PriceFeed._events.price", "250 → 500 → 750", line_of("function updateQuote(")),
    ] {
        let (_, rest) = text.split_once(suspect).unwrap_or_else(|| panic!("no `{suspect}` in: {text}"));
        assert!(rest.contains(&format!("number    {counts}\n")), "{rest}");
        assert!(rest.contains(&format!("server.cjs:{line}:")), "no line {line} in: {rest}");
    }
    assert!(text.contains(".sessions → SessionStore") && text.contains(".items → Map"), "{text}");
    let thumbnail = [line_of("function thumbnail("), line_of("return makeThumbnail(")];
    check_native_verdict(&text, thumbnail, &kept);
    check_page(&address);
    demo.interrupt();
}

/// The addon's leak is found at its line of C, and at the JavaScript that calls it; its files are kept.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn check_native_verdict(text: &str, thumbnail: [usize; 2], kept: &Path) {
    let source = std::fs::read_to_string(kept.join("thumbnails.c")).unwrap();
    let line = 1 + source.lines().position(|line| line.contains("malloc(")).unwrap();
    let leak = format!("scale_down  thumbnails.c:{line}");
    // Told is the stack that allocated most, and when V8 optimises is its own affair: until then the line is that of
    // the call, after it that where the function begins, and V8 may put the function into its caller.
    let [function, call] = thumbnail.map(|line| format!("called by thumbnail  server.cjs:{line}"));
    let called_by = [function, call, "called by visit  server.cjs:".to_owned()];
    let told = text.lines().find(|line| line.contains(&leak) && line.contains(" leaks: "));
    let told = told.unwrap_or_else(|| panic!("no `{leak}` in: {text}"));
    assert!(called_by.iter().any(|caller| told.contains(caller)), "{told}");
    assert!(told.ends_with("in 1,000 → 2,000 → 3,000 blocks"), "{told}");
    let recording = kept.join("demo.heaptrace");
    let output = twinheap().arg("summary").arg(&recording).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["thumbnails.node", "server.cjs", "demo-3.heapsnapshot"] {
        assert!(kept.join(file).exists(), "{file}");
    }
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 7);
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
fn check_native_verdict(_: &str, _: [usize; 2], _: &Path) {}

/// Without a compiler the server forgets Buffers, and the line is that of JavaScript.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn the_demo_works_without_a_compiler_and_where_nothing_can_be_written() {
    let node = Command::new("node").args(["-p", "process.execPath"]).output().unwrap();
    let node = String::from_utf8(node.stdout).unwrap();
    // No compiler, and a folder in which nobody can write.
    let mut demo = twinheap();
    demo.args(["demo", "--page", "never", "--node", node.trim()])
        .current_dir("/proc")
        .env("PATH", "/nowhere")
        .env("CC", "false");
    let output = demo.output().unwrap();
    let (text, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{notes}");
    assert!(notes.contains("no C compiler"), "{notes}");
    let source = include_str!("../../assets/demo/server.cjs");
    let line_of = |code: &str| 1 + source.lines().position(|line| line.contains(code)).unwrap();
    // As with the addon: V8 may have put the function into its caller, and that one into its own.
    let lines = ["return (color) =>", "function thumbnail(", "return makeThumbnail("].map(line_of);
    let places = lines.map(|line| format!("server.cjs:{line} "));
    let is_told = |line: &str| line.contains(" leaks: ") && places.iter().any(|place| line.contains(place));
    // `visit` has Buffers of its own that are not forgotten; they are fewer.
    let is_in_visit = text.lines().any(|line| line.starts_with("Leak: visit  server.cjs:"));
    assert!(is_in_visit || text.lines().any(is_told), "none of {places:?} in: {text}");
}
