//! Targets that would be harmed by the signal, or can't answer it.

use serde_json::json;

use crate::lab::{Node, VERSIONS, names_in, run, text};

/// Refused with these words, and nothing has come of it.
#[track_caller]
fn check_refused(node: &Node, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for method in [&[][..], &["--pause-free"]] {
        let output = ["snapshot", &node.target(), "-o", text(folder.path())];
        let ran = run(&[&output, method].concat());
        ran.check_error(2, words);
        assert!(names_in(folder.path()).is_empty());
    }
}

#[test]
fn a_handler_of_the_application_does_not_run() {
    for version in VERSIONS {
        let mut node = Node::start(version, &[], &json!({}));
        node.ask("globalThis.ran = 0; process.on('SIGUSR1', () => ran++); 0");
        check_refused(&node, &["has a SIGUSR1 handler of its own", "--inspect"]);
        assert_eq!(node.ask("ran"), 0, "Node {version}");
        node.check_untouched();
    }
}

#[test]
fn a_process_that_the_signal_would_kill_lives_on() {
    for version in [22, 24, 26] {
        for options in [&["--disable-sigusr1"][..], &["--permission", "--allow-fs-read=*"]] {
            let mut node = Node::start(version, options, &json!({}));
            check_refused(&node, &["doesn't handle SIGUSR1", options[0]]);
            node.check_untouched();
        }
    }
}

#[test]
fn a_stopped_process_is_left_alone() {
    let mut node = Node::small();
    node.signal("-STOP");
    check_refused(&node, &["is stopped", "kill -CONT"]);
    node.signal("-CONT");
    node.check_untouched();
}
