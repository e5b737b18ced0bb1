//! Ctrl-C and its like: nothing stays behind, in the folder or in the target.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ends::{Dumping, copy_of};
use crate::lab::{MANY, Node, Summary, names_in, run, send_signal, text, twinheap, wait_for, wait_until};

const METHODS: [&[&str]; 2] = [&[], &["--pause-free"]];

#[test]
fn an_interrupted_dump_leaves_nothing() {
    let mut node = Node::start(24, &[], &json!({"objects": MANY}));
    for method in METHODS {
        for signal in ["-INT", "-TERM"] {
            let mut dumping = Dumping::start(&node, method);
            dumping.wait_for_bytes();
            send_signal(dumping.child.id(), signal);
            let (ran, files) = dumping.end();
            assert_eq!(ran.code, Some(130), "{method:?} {signal}: {ran:?}");
            assert!(ran.stdout.is_empty() && files.is_empty(), "{files:?} {ran:?}");
            node.check_untouched();
        }
    }
}

#[test]
fn after_kill_9_the_target_is_healthy_and_the_next_dump_works() {
    for method in METHODS {
        let mut node = Node::start(24, &[], &json!({"objects": MANY}));
        let mut dumping = Dumping::start(&node, method);
        dumping.wait_for_bytes();
        assert_eq!(copy_of(&node).is_some(), !method.is_empty());
        dumping.child.kill().unwrap();
        dumping.child.wait().unwrap();
        wait_until("the copy is gone", || node.children().is_empty());
        assert_eq!(node.ask("6 * 7"), 42);
        // Nobody was left to close the inspector or to remove the half-written file. The next run is not in its way.
        assert!(node.inspector().is_some());
        let path = dumping.folder.path().join("a.heapsnapshot");
        let ran = run(&[&["snapshot", &node.target(), "-o", text(&path)], method].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(names_in(dumping.folder.path()), ["a.heapsnapshot"]);
        assert_eq!(Summary::of(&path).markers(), ["main"]);
    }
}

#[test]
fn ctrl_c_is_heard_while_nobody_takes_the_output() {
    let mut node = Node::start(24, &[], &json!({"objects": MANY}));
    for method in METHODS {
        let mut dump = twinheap(&["snapshot", &node.target(), "-o", "-"])
            .args(method)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until_blocked(&mut dump);
        send_signal(dump.id(), "-INT");
        let began = Instant::now();
        assert_eq!(wait_for(&mut dump, "the end of twinheap").code(), Some(130), "{method:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{method:?} took {:?}", began.elapsed());
        node.check_untouched();
    }
}

#[test]
fn ctrl_c_is_heard_while_the_event_loop_is_busy() {
    // Then nothing of it can be closed: it closes by itself as soon as the loop is free.
    let mut node = Node::small();
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    node.tell(&format!("while (!require('fs').existsSync('{}')); 1", text(&go)));
    let mut dump = twinheap(&["snapshot", &node.target(), "-o", text(folder.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the inspector is asked", || node.stderr().contains("Debugger attached"));
    send_signal(dump.id(), "-INT");
    assert_eq!(wait_for(&mut dump, "the end of twinheap").code(), Some(130));
    assert!(names_in(folder.path()).is_empty());
    std::fs::write(&go, "").unwrap();
    assert_eq!(node.answer(), 1);
    node.check_untouched();
}

#[test]
fn a_waiting_series_ends_with_what_it_has() {
    let mut node = Node::small();
    let dumping = Dumping::start(&node, &["--every=1h", "--count=2"]);
    let first = dumping.folder.path().join("a-1.heapsnapshot");
    wait_until("the first of the series", || first.exists());
    send_signal(dumping.child.id(), "-INT");
    let (ran, files) = dumping.end();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(files, ["a-1.heapsnapshot"]);
    node.check_untouched();
}

/// Takes a byte of what a process writes, and waits until it has filled the pipe.
pub(crate) fn wait_until_blocked(dump: &mut Child) {
    const WHILE: Duration = Duration::from_millis(500);
    let mut byte = [0];
    dump.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"{");
    let written = || {
        let io = std::fs::read_to_string(format!("/proc/{}/io", dump.id())).unwrap();
        let bytes = io.lines().find_map(|l| l.strip_prefix("wchar: ")).unwrap().parse::<u64>().unwrap();
        // Its threads wake each other with a few bytes all the time.
        bytes >> 14
    };
    let (mut last, mut since) = (written(), Instant::now());
    wait_until("it writes no more", || {
        let now = written();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > WHILE
    });
}
