//! Dumps that a Lodestar node takes of itself: a server that answers as one does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::lab::{PATIENCE, names_in, run, send_signal, text, twinheap, wait_for};

const SNAPSHOT: &str = r#"{"snapshot":{"meta":{}},"nodes":[1,2],"edges":[],"strings":["a ] in a string"]}"#;

/// Answers a request for `/…?query` with a status and a body.
type Answer = Box<dyn Fn(&str) -> (u16, String) + Send>;

/// A server; its address as a target, and the requests it gets.
fn node(answer: Answer) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests): (Sender<String>, _) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let request = String::from_utf8(head).unwrap().lines().next().unwrap_or_default().to_owned();
            // A test that has what it wants doesn't listen any more, and neither may the client.
            let _ = sender.send(request.clone());
            let (status, body) = answer(&request);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (target, requests)
}

fn reply(path: &Path) -> String {
    format!("{{\"data\":{{\"filepath\":\"{}\"}}}}", path.display())
}

/// A node whose file is half there when it answers, and whole only when somebody has read that half.
fn growing(path: PathBuf) -> (String, Receiver<String>) {
    node(Box::new(move |_| {
        let mut file = fs::File::create(&path).unwrap();
        let (start, rest) = SNAPSHOT.split_at(40);
        file.write_all(start.as_bytes()).unwrap();
        let about = fs::metadata(&path).unwrap();
        std::thread::spawn(move || {
            crate::lab::wait_until("somebody has the file open", || is_open_elsewhere(&about));
            file.write_all(rest.as_bytes()).unwrap();
        });
        (200, reply(&path))
    }))
}

/// Whether a `twinheap` has this file open.
fn is_open_elsewhere(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let is_ours = fs::read_to_string(process.path().join("comm")).is_ok_and(|name| name == "twinheap\n");
        is_ours
            && fs::read_dir(process.path().join("fd")).is_ok_and(|mut files| {
                files.any(|file| {
                    let file = file.and_then(|f| fs::metadata(f.path()));
                    file.is_ok_and(|f| (f.dev(), f.ino()) == (about.dev(), about.ino()))
                })
            })
    })
}

#[test]
fn a_growing_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("network_thread_2026-03-10T14:03:29.032Z.heapsnapshot");
    let (target, requests) = growing(theirs.clone());
    // Without an output it stays where it is.
    let place = text(folder.path());
    let document = run(&["snapshot", &target, "--thread=network", "--json", "--dirpath", place]).json();
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        request,
        format!("POST /eth/v1/lodestar/write_heapdump?thread=network&dirpath={place} HTTP/1.1")
    );
    let file = &document["files"][0];
    assert_eq!((&file["method"], &file["thread"]), (&"lodestar".into(), &"network".into()));
    assert_eq!((&file["file"], &file["bytes"]), (&text(&theirs).into(), &SNAPSHOT.len().into()));
    assert_eq!(document["warnings"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(&theirs).unwrap(), SNAPSHOT);

    // With one it moves there.
    let ours = folder.path().join("ours.heapsnapshot.zst");
    let ran = run(&["snapshot", &target, "--thread=network", "-o", text(&ours)]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{}\n", ours.display()), "{}", ran.stderr);
    assert_eq!(names_in(folder.path()), ["ours.heapsnapshot.zst"]);
    let copy = zstd::stream::decode_all(fs::File::open(&ours).unwrap()).unwrap();
    assert_eq!(copy, SNAPSHOT.as_bytes());
    // Into a folder, under our name.
    let into = tempfile::tempdir().unwrap();
    let ran = run(&["snapshot", &target, "-o", text(into.path())]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let names = names_in(into.path());
    assert!(names.len() == 1 && names[0].ends_with("Z-main.heapsnapshot.zst"), "{names:?}");
    assert!(!theirs.exists());
}

#[test]
fn a_file_of_another_machine_is_named_and_left() {
    for path in ["./main_thread_x.heapsnapshot", "/no/such/folder/main_thread_x.heapsnapshot"] {
        let (target, _requests) = node(Box::new(move |_| (200, reply(Path::new(path)))));
        let folder = tempfile::tempdir().unwrap();
        for output in [&[][..], &["-o", text(folder.path())]] {
            let ran = run(&[&["snapshot", &target], output].concat());
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("{path}\n"));
            assert!(ran.stderr.contains("is on the node's machine"), "{}", ran.stderr);
            assert!(names_in(folder.path()).is_empty());
        }
    }
}

#[track_caller]
fn check_refused(status: u16, body: &'static str, words: &[&str]) {
    let (target, _requests) = node(Box::new(move |_| (status, body.to_owned())));
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["snapshot", &target, "--thread=discv5", "-o", text(folder.path())]);
    ran.check_error(2, words);
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn what_a_node_refuses_is_explained() {
    let missing = r#"{"code":404,"message":"Route POST:/eth/v1/lodestar/write_heapdump not found"}"#;
    check_refused(404, missing, &["no route", "--rest.namespace '*'"]);
    check_refused(
        500,
        r#"{"code":500,"message":"Already writing heapdump"}"#,
        &["another heap dump", "wait"],
    );
    let missing = r#"{"code":500,"message":"ENOENT: no such file or directory, open '/x/y'"}"#;
    check_refused(500, missing, &["ENOENT", "--dirpath"]);
    check_refused(200, r#"{"data":{"filepath":"no discv5"}}"#, &["runs no thread `discv5`", "pid"]);
    check_refused(401, r#"{"code":401,"message":"missing token"}"#, &["(401): missing token"]);
    check_refused(200, "<html>", &["not as Lodestar does"]);
    check_refused(200, r#"{"data":7}"#, &["not as Lodestar does"]);
    check_refused(502, "", &["not as Lodestar does"]);
}

#[test]
fn what_a_rest_address_can_not_do_is_refused_before_it_is_asked() {
    let (target, requests) = node(Box::new(|_| (500, String::new())));
    for options in [
        &["--redact"][..],
        &["--pause-free"],
        &["--expose-internals"],
        &["--numeric-values"],
        &["--max-pause=1s"],
        &["--every=1s", "--count=2"],
        &["-o", "-"],
        &["--thread=bls"],
    ] {
        let ran = run(&[&["snapshot", &target], options].concat());
        assert_eq!(ran.code, Some(2), "{options:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("pid"), "{}", ran.stderr);
    }
    assert!(requests.try_recv().is_err(), "nobody was asked");
    // And the other way round.
    let ran = run(&["snapshot", "127.0.0.1:1", "--dirpath=/tmp"]);
    ran.check_error(2, &["--dirpath is for Lodestar"]);
}

#[test]
fn ctrl_c_is_heard_while_a_node_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("main_thread_x.heapsnapshot");
    fs::write(&unfinished, &SNAPSHOT[..40]).unwrap();
    let about = fs::metadata(&unfinished).unwrap();
    let path = unfinished.clone();
    let (slow, slow_requests) = node(Box::new(|_| {
        loop {
            std::thread::park();
        }
    }));
    let (cut, cut_requests) = node(Box::new(move |_| (200, reply(&path))));
    for (target, requests) in [(slow, slow_requests), (cut, cut_requests)] {
        let ours = folder.path().join("ours.heapsnapshot");
        let mut dump =
            twinheap(&["snapshot", &target, "-o", text(&ours)]).stderr(Stdio::piped()).spawn().unwrap();
        requests.recv_timeout(PATIENCE).unwrap();
        if requests.try_recv().is_err() && target.len() > 7 {
            // The second one's file is waited for.
            let is_read = || is_open_elsewhere(&about);
            let deadline = Instant::now() + Duration::from_millis(500);
            while !is_read() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
        send_signal(dump.id(), "-INT");
        let began = Instant::now();
        assert_eq!(wait_for(&mut dump, "the end of twinheap").code(), Some(130));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(names_in(folder.path()), ["main_thread_x.heapsnapshot"]);
    }
}
