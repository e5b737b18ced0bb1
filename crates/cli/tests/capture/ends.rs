//! Targets that end: our session must not hold them, and nothing half-written may stay.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::lab::{COPY, MANY, Node, Ran, kilobytes, names_in, run, text, twinheap, wait_for, wait_until};

/// A process that exits waits for its debuggers, so this is what we are held to.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A `twinheap snapshot` at work.
pub(crate) struct Dumping {
    pub(crate) child: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Dumping {
    pub(crate) fn start(node: &Node, args: &[&str]) -> Dumping {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a.heapsnapshot");
        let child = twinheap(&["snapshot", &node.target(), "-o", text(&output)])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Dumping { child, folder }
    }

    pub(crate) fn part(&self) -> PathBuf {
        self.folder.path().join("a.heapsnapshot.part")
    }

    /// Waits until the first bytes of the snapshot are in the file.
    #[track_caller]
    pub(crate) fn wait_for_bytes(&mut self) {
        wait_until_written(&self.part(), &mut self.child);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Ran, Vec<String>) {
        let began = Instant::now();
        wait_for(&mut self.child, "the end of twinheap");
        let took = began.elapsed();
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran = Ran { code: output.status.code(), stdout: output.stdout, stderr, took };
        (ran, names_in(self.folder.path()))
    }
}

#[track_caller]
fn wait_until_written(part: &Path, child: &mut Child) {
    wait_until("bytes in the file", || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended already");
        part.metadata().is_ok_and(|about| about.len() > 0)
    });
}

/// A process with much in the chosen thread, and how its dump begins.
fn large(thread: &str) -> Node {
    let objects = if thread == "main" {
        json!({"objects": MANY})
    } else {
        json!({"workers": true, "workerObjects": MANY})
    };
    Node::start(24, &[], &objects)
}

#[track_caller]
fn check_failed(dumping: Dumping) {
    let (ran, files) = dumping.end();
    ran.check_error(2, &[]);
    assert!(files.is_empty(), "{files:?}");
    assert!(ran.took < AT_ONCE, "{:?}", ran.took);
}

#[test]
fn a_target_that_is_killed_leaves_no_file() {
    for method in [&[][..], &["--pause-free"]] {
        let mut node = large("main");
        let mut dumping = Dumping::start(&node, method);
        dumping.wait_for_bytes();
        node.signal("-KILL");
        node.wait();
        check_failed(dumping);
    }
}

#[test]
fn a_target_exits_at_once_during_a_dump() {
    // The main thread can't exit while it writes a snapshot itself, so here a worker does.
    for (thread, method) in [("network", &["--thread=network"][..]), ("main", &["--pause-free"])] {
        let mut node = large(thread);
        let mut dumping = Dumping::start(&node, method);
        dumping.wait_for_bytes();
        let began = Instant::now();
        node.tell("process.exit(7)");
        let code = node.wait().code();
        assert_eq!(code, Some(7), "{thread}: {}", node.stderr());
        assert!(began.elapsed() < AT_ONCE, "{thread} took {:?}", began.elapsed());
        check_failed(dumping);
    }
}

#[test]
fn a_target_exits_at_once_while_a_series_waits() {
    for method in [&[][..], &["--pause-free"]] {
        let mut node = Node::small();
        let dumping = Dumping::start(&node, &[&["--every=1h", "--count=2"], method].concat());
        let first = dumping.folder.path().join("a-1.heapsnapshot");
        wait_until("the first of the series", || first.exists());
        let began = Instant::now();
        node.tell("process.exit(7)");
        assert_eq!(node.wait().code(), Some(7));
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        let (ran, files) = dumping.end();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("hint: "), "{}", ran.stderr);
        // What was whole before is not lost, and whoever waits for it hears of it.
        assert_eq!(files, ["a-1.heapsnapshot"]);
    }
}

#[test]
fn a_worker_that_ends_does_not_take_the_others_along() {
    for method in [&[][..], &["--pause-free"]] {
        // The main thread is the smaller one and comes first. Before it has come to its end the worker ends.
        let holds = json!({"workers": true, "objects": MANY / 10, "workerObjects": MANY});
        let mut node = Node::start(24, &[], &holds);
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("a.heapsnapshot.part");
        let exit = format!(
            "setInterval(() => {{ if (require('fs').existsSync('{}')) process.exit(); }}, 1)",
            text(&part)
        );
        node.ask(&format!("network.postMessage({}); 0", json!(exit)));
        let (pid, path) = (node.target(), folder.path().join("a.heapsnapshot"));
        let threads = ["--thread=network", "--thread=main"];
        let ran = run(&[&["snapshot", &pid, "-o", text(&path)], &threads[..], method].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("warning: network: the thread has ended"), "{}", ran.stderr);
        assert_eq!(names_in(folder.path()), ["a.heapsnapshot"]);
        node.check_untouched();
    }
}

#[test]
fn a_copy_that_is_killed_is_replaced_or_reported() {
    let mut node = large("main");
    let mut dumping = Dumping::start(&node, &["--pause-free"]);
    dumping.wait_for_bytes();
    let copy = copy_of(&node).unwrap();
    crate::lab::send_signal(copy, "-KILL");
    let (ran, files) = dumping.end();
    assert_eq!((ran.code, files), (Some(0), vec!["a.heapsnapshot".to_owned()]), "{}", ran.stderr);
    assert!(ran.stderr.contains("(2 copies)"), "{}", ran.stderr);
    node.check_untouched();
}

/// The pid of the copy at work.
pub(crate) fn copy_of(node: &Node) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|&pid| {
        kilobytes(pid, "PPid") == Some(u64::from(node.pid()))
            && std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == COPY)
    })
}
