//! Places that take no snapshot, or not all of it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::lab::{
    MANY, Node, Ran, Tmpfs, is_root, names_in, run, run_command, skip, text, twinheap, wait_for,
};

const METHODS: [&[&str]; 2] = [&[], &["--pause-free"]];

/// It said that the file can't be written and what to do; nothing is left, and the target is as it was.
#[track_caller]
fn check_unwritten(ran: &Ran, folder: &Path, node: &mut Node, words: &[&str]) {
    ran.check_error(2, &[&["can't write"], words].concat());
    assert!(names_in(folder).is_empty(), "{:?}", names_in(folder));
    node.check_untouched();
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_crash() {
    let mut node = Node::start(24, &[], &json!({"objects": 20_000}));
    for method in METHODS {
        for name in ["a.heapsnapshot", "a.heapsnapshot.zst"] {
            let folder = tempfile::tempdir().unwrap();
            // In blocks of 512 or 1024 bytes, depending on the shell.
            let mut command = Command::new("sh");
            command.args([
                "-c",
                "ulimit -f 200 && exec \"$@\"",
                "sh",
                env!("CARGO_BIN_EXE_twinheap"),
                "snapshot",
            ]);
            command
                .args([&node.target(), "-o", text(&folder.path().join(name))])
                .args(method)
                .env("NO_COLOR", "1");
            check_unwritten(&run_command(&mut command), folder.path(), &mut node, &["File too large"]);
        }
    }
}

#[test]
fn a_full_disk_is_foreseen_or_reported() {
    let what = "a full disk";
    if !is_root(what) {
        return;
    }
    let Some(tiny) = Tmpfs::new("size=200k") else { return skip(what, "no file system can be mounted") };
    let mut node = Node::start(24, &[], &json!({"objects": 20_000}));
    for method in METHODS {
        let (pid, path) = (node.target(), tiny.path().join("a.heapsnapshot"));
        let at = [&["snapshot", &pid, "-o", text(&path)], method].concat();
        run(&at).check_error(4, &["are left on the disk", "--force"]);
        assert!(names_in(tiny.path()).is_empty());
        let ran = run(&[&at[..], &["--force"]].concat());
        check_unwritten(
            &ran,
            tiny.path(),
            &mut node,
            &["No space left", "free space or choose another folder"],
        );
    }
}

#[test]
fn a_folder_that_takes_no_files_is_refused() {
    let mut node = Node::small();
    for method in METHODS {
        let ran = run(&[&["snapshot", &node.target(), "-o", "/proc/a.heapsnapshot"], method].concat());
        ran.check_error(2, &["can't write `/proc/a.heapsnapshot`", "choose another folder"]);
    }
    let what = "a disk that is read-only";
    if is_root(what) {
        match Tmpfs::new("ro") {
            Some(disk) => {
                let ran = run(&["snapshot", &node.target(), "-o", text(disk.path())]);
                check_unwritten(&ran, disk.path(), &mut node, &["Read-only"]);
            }
            None => skip(what, "no file system can be mounted"),
        }
    }
    node.check_untouched();
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let mut node = Node::start(24, &[], &json!({"objects": MANY}));
    for method in METHODS {
        let mut dump = twinheap(&["snapshot", &node.target(), "-o", "-", "--quiet"])
            .args(method)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut start = [0; 12];
        dump.stdout.take().unwrap().read_exact(&mut start).unwrap();
        assert_eq!(&start, b"{\"snapshot\":");
        assert_eq!(wait_for(&mut dump, "its end").code(), Some(0));
        let mut said = String::new();
        dump.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{method:?}");
        node.check_untouched();
    }
}
