//! The agent in difficult places, and what happens where it can't be loaded.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::lab::{
    Node, Summary, Tmpfs, executable, is_root, names_in, run, script, skip, snapshot, text, tool,
};

/// A pause-free dump succeeds, and leaves nothing in these folders.
#[track_caller]
fn check_taken(node: &mut Node, folders: &[&Path]) {
    let before: Vec<_> = folders.iter().map(|f| names_in(f)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let document = snapshot(node, &path, &["--pause-free", "--thread=main"]);
    assert_eq!(document["files"][0]["method"], "pause-free");
    assert_eq!(Summary::of(&path).markers(), ["main"]);
    let after: Vec<_> = folders.iter().map(|f| names_in(f)).collect();
    assert_eq!(after, before);
    node.check_untouched();
}

/// Pause-free can't be had: an error, or an ordinary dump with a warning if that was asked for.
#[track_caller]
fn check_fallback(version: u32, options: &[&str], words: &str) {
    let mut node = Node::start(version, options, &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let ran = run(&["snapshot", &node.target(), "-o", text(&path), "--pause-free"]);
    ran.check_error(2, &["no pause-free snapshot of main", words, "--fallback"]);
    assert!(names_in(folder.path()).is_empty());
    let document = snapshot(&node, &path, &["--pause-free", "--fallback"]);
    assert_eq!(document["files"][0]["method"], "ordinary", "{document}");
    let warning = document["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("main: no pause-free snapshot: ") && warning.contains(words), "{warning}");
    assert_eq!(Summary::of(&path).markers(), ["main"]);
    node.check_untouched();
}

#[test]
fn without_addons_there_is_the_ordinary_way() {
    check_fallback(20, &["--no-addons"], "can't load the agent");
    check_fallback(26, &["--no-addons"], "can't load the agent");
}

#[test]
fn with_the_permission_model_there_is_the_ordinary_way() {
    // Without the second one there is no inspector, and 22 doesn't know it.
    let options = ["--permission", "--allow-inspector", "--allow-fs-read=*", "--allow-worker"];
    for version in [24, 26] {
        check_fallback(version, &options, "can't load the agent");
    }
}

#[test]
fn folders_for_temporary_files_may_be_unusable() {
    let missing = tempfile::tempdir().unwrap();
    let gone = missing.path().join("gone");
    let mut command = Command::new(executable(24));
    let mut node = Node::run(command.env("TMPDIR", &gone), &json!({}));
    check_taken(&mut node, &[missing.path()]);
    let what = "a folder for temporary files in which nothing can be executed";
    if !is_root(what) {
        return;
    }
    let Some(noexec) = Tmpfs::new("noexec,mode=1777") else {
        return skip(what, "no file system can be mounted");
    };
    let mut command = Command::new(executable(24));
    let mut node = Node::run(command.env("TMPDIR", noexec.path()), &json!({}));
    check_taken(&mut node, &[noexec.path()]);
}

#[test]
fn a_target_may_be_another_user() {
    let what = "a target of another user";
    if !is_root(what) {
        return;
    }
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let (node, script) = (executable(24), script());
    let reads = |file: &Path| tool("setpriv", &[&user[..], &["test", "-r", text(file)]].concat());
    if !reads(&node) || !reads(&script) {
        return skip(what, "it can't read this folder, or there is no setpriv");
    }
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(own.path(), Some(65534), Some(65534)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(user).arg(&node).env("TMPDIR", own.path()).current_dir("/");
    let mut node = Node::run(&mut command, &json!({"workers": true}));
    check_taken(&mut node, &[own.path()]);
    // The file is ours and not the target's.
    let folder = tempfile::tempdir().unwrap();
    snapshot(&node, folder.path(), &["--pause-free", "--thread=network"]);
    let file = folder.path().join(&names_in(folder.path())[0]);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(file).unwrap()), 0);
    node.check_untouched();
}

#[test]
fn no_copy_is_made_of_what_is_out_of_reach() {
    let mut node = Node::small();
    let url = node.open_inspector();
    // By its address it is the same process.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    let document = run(&["snapshot", &url, "--pause-free", "--json", "-o", text(&path)]).json();
    assert_eq!(document["files"][0]["method"], "pause-free");
    assert_eq!(Summary::of(&path).markers(), ["main"]);
}
