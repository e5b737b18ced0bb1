//! Our own memory does not grow with the snapshot, and a slow reader does not make it grow either.

use std::io::{Read as _, copy, sink};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::interrupts::wait_until_blocked;
use crate::lab::{Node, kilobytes, text, twinheap, wait_until};

/// Bytes of JSON that a snapshot must at least have for this test to say something.
const LARGE: u64 = 150_000_000;
/// What we may have in memory then.
const MOST_KILOBYTES: u64 = 64 << 10;

/// Waits for the end of a process; the most memory it was seen to have, in kB.
#[track_caller]
fn peak(child: &mut Child) -> u64 {
    let mut peak = 0;
    wait_until("the end of twinheap", || {
        peak = peak.max(kilobytes(child.id(), "VmHWM").unwrap_or_default());
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(peak > 0);
    peak
}

#[track_caller]
fn check(node: &mut Node, method: &[&str], folder: &Path) {
    let pid = node.target();
    let path = folder.join("a.heapsnapshot.zst");
    let mut to_file = twinheap(&["snapshot", &pid, "--quiet", "--json", "-o", text(&path)])
        .args(method)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let kilobytes_of_file = peak(&mut to_file);
    let document: serde_json::Value = serde_json::from_reader(to_file.stdout.unwrap()).unwrap();
    let bytes = document["files"][0]["json_bytes"].as_u64().unwrap();
    assert!(bytes >= LARGE, "{bytes} bytes");
    assert!(kilobytes_of_file < MOST_KILOBYTES, "{method:?}: {kilobytes_of_file} kB");

    let mut to_pipe = twinheap(&["snapshot", &pid, "--quiet", "-o", "-"])
        .args(method)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_blocked(&mut to_pipe);
    // An ordinary dump waits in the target's memory now, all of it; a copy stands still.
    assert_eq!(node.ask("6 * 7"), 42);
    let mut rest = to_pipe.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        // The reader is slow for a while, then it takes what comes.
        let mut piece = [0; 4096];
        for _ in 0..2000 {
            rest.read_exact(&mut piece).unwrap();
        }
        2000 * 4096 + copy(&mut rest, &mut sink()).unwrap()
    });
    let kilobytes_of_pipe = peak(&mut to_pipe);
    assert!(kilobytes_of_pipe < MOST_KILOBYTES, "{method:?}: {kilobytes_of_pipe} kB");
    assert!(reader.join().unwrap() >= LARGE);
    node.check_untouched();
}

#[test]
fn our_memory_does_not_grow_with_the_snapshot() {
    let mut node = Node::start(24, &[], &json!({"objects": 900_000}));
    let folder = tempfile::tempdir().unwrap();
    for method in [&["--pause-free"][..], &[]] {
        check(&mut node, method, folder.path());
    }
}
