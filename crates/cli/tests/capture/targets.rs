//! What may be a target, which thread of it, and where the snapshot goes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::lab::{Node, Summary, names_in, run, text, twinheap};

/// Nothing may take longer to find out that there is no inspector.
const BOUND: Duration = Duration::from_secs(40);

#[test]
fn threads_are_chosen_by_name() {
    let mut node = Node::start(24, &[], &json!({"workers": true}));
    let pid = node.target();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (options, output, expected) in [
        (&["--thread=network"][..], "a.heapsnapshot", &[("a.heapsnapshot", "network")][..]),
        (&["--thread=discv5"], "b.heapsnapshot.zst", &[("b.heapsnapshot.zst", "discv5")]),
        (
            &["--thread=network", "--thread=main"],
            "c.heapsnapshot",
            &[("c-network.heapsnapshot", "network"), ("c.heapsnapshot", "main")],
        ),
    ] {
        let ran = run(&[&["snapshot", &pid, "-o", text(&at(output))], options].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        for (name, thread) in expected {
            assert_eq!(Summary::of(&at(name)).markers(), [*thread]);
            std::fs::remove_file(at(name)).unwrap();
        }
        assert!(names_in(folder.path()).is_empty());
    }
    let ran = run(&["snapshot", &pid, "-o", text(&at("x")), "--thread=discv6"]);
    ran.check_error(2, &["no thread `discv6`", "it has main, network, "]);
    for (output, words) in
        [("missing/a.heapsnapshot", "there is no such folder"), ("missing/", "there is no such folder")]
    {
        let ran = run(&["snapshot", &pid, "-o", text(&at(output))]);
        ran.check_error(2, &[words]);
    }
    assert!(names_in(folder.path()).is_empty());

    // Without a thread's name, standard output gets the main one.
    for (options, thread) in [(&[][..], "main"), (&["--thread=network"], "network")] {
        let mut dump =
            twinheap(&["snapshot", &pid, "-o", "-"]).args(options).stdout(Stdio::piped()).spawn().unwrap();
        let summary =
            twinheap(&["summary", "-", "--json"]).stdin(dump.stdout.take().unwrap()).output().unwrap();
        assert!(dump.wait().unwrap().success());
        let document = serde_json::from_slice(&summary.stdout).unwrap();
        assert_eq!(Summary::from(&document).markers(), [thread]);
    }
    run(&["snapshot", &pid, "-o", "-", "--thread=main", "--thread=network"])
        .check_error(2, &["takes one snapshot"]);
    node.check_untouched();
}

#[test]
fn an_open_inspector_is_used_and_stays_open() {
    let mut node = Node::small();
    let url = node.open_inspector();
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.heapsnapshot");
    for target in [url.clone(), address.clone(), format!("ws://{address}/"), node.target()] {
        let ran = run(&["snapshot", &target, "-o", text(&path)]);
        assert_eq!(ran.code, Some(0), "{target}: {}", ran.stderr);
        assert_eq!(Summary::of(&path).markers(), ["main"]);
        assert_eq!(node.inspector().as_deref(), Some(url.as_str()), "{target}");
        std::fs::remove_file(&path).unwrap();
    }
    // Files that we choose the name of are named after the address.
    let mut command = twinheap(&["snapshot", &address]);
    assert!(command.current_dir(folder.path()).stderr(Stdio::null()).status().unwrap().success());
    let start = format!("heap-{}-", address.replace(':', "_"));
    assert!(names_in(folder.path())[0].starts_with(&start), "{:?}", names_in(folder.path()));
}

#[track_caller]
fn check_wrong(target: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["snapshot", target, "-o", text(folder.path()), "--timeout=2s"]);
    ran.check_error(2, words);
    assert!(ran.took < BOUND, "{target} took {:?}", ran.took);
    assert!(names_in(folder.path()).is_empty());
}

/// A server that gives this answer to everybody, or only listens; its address.
fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if let Some(answer) = answer {
                // The whole request, or the answer is lost in a reset.
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                // The client may have seen enough.
                let _ = stream.write_all(answer.as_bytes());
            } else {
                open.push(stream);
            }
        }
    });
    address
}

#[test]
fn a_wrong_target_is_refused_soon() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let html = server(Some("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"));
    let missing = server(Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    let empty = server(Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"));
    let noise = server(Some("SSH-2.0-OpenSSH_9.6\r\n"));
    let hanging = server(None);
    let mut sleep = Command::new("sleep").arg("600").spawn().unwrap();
    let cases = [
        ("4194305".to_owned(), "there is no process 4194305"),
        (sleep.id().to_string(), "is not Node.js"),
        (closed.clone(), "can't connect"),
        (format!("ws://{closed}/id"), "can't connect"),
        (html.clone(), "is no inspector of Node.js"),
        (format!("ws://{html}/id"), "sends what it shouldn't"),
        (missing, "is no inspector of Node.js: it answers 404"),
        (empty, "it lists no target of type node"),
        (noise, "doesn't answer in HTTP"),
        (hanging.clone(), "did not answer within"),
        (format!("ws://{hanging}/id"), "did not answer within"),
    ];
    // All at once: some of them have to wait for a while.
    std::thread::scope(|scope| {
        for (target, words) in &cases {
            scope.spawn(|| check_wrong(target, &[words]));
        }
    });
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    for text in ["node", "http//x", "0", "https://x:1"] {
        assert_eq!(run(&["snapshot", text]).code, Some(2), "{text}");
    }
}

#[test]
fn a_thread_is_no_process() {
    let node = Node::small();
    let tasks = std::fs::read_dir(Path::new("/proc").join(node.target()).join("task")).unwrap().flatten();
    let mut tasks = tasks.map(|t| t.file_name().into_string().unwrap());
    let thread = tasks.find(|t| *t != node.target()).unwrap();
    check_wrong(&thread, &["is a thread of process"]);
}
