//! Names from a debuginfod server.

#![expect(clippy::disallowed_methods, reason = "the debug file of a tiny program is small")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::lab::{Lab, Summary, run};

/// Runs a tool of binutils.
#[track_caller]
fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server that has one debug file; what it is asked for.
fn serve(id: &str, file: Vec<u8>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let has = format!("GET /buildid/{id}/debuginfo HTTP/1.1");
    let (tell, asked) = mpsc::channel();
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while !lines.next().unwrap().unwrap().is_empty() {}
            let (status, body) =
                if request == has { ("200 OK", &file[..]) } else { ("404 Not Found", &[][..]) };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            stream.write_all(body).unwrap();
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

#[test]
fn a_debug_file_is_fetched_if_the_user_has_a_server() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &["-Wl,--build-id"]);
    let (program, debug) = (program.to_str().unwrap(), lab.path("kept.debug"));
    tool("objcopy", &["--only-keep-debug", program, debug.to_str().unwrap()]);
    tool("strip", &[program]);
    let notes = tool("readelf", &["-n", program]);
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap();
    let (url, asked) = serve(id, std::fs::read(&debug).unwrap());
    std::fs::remove_file(&debug).unwrap();

    let file = lab.path("a.heaptrace");
    let recorder = |urls: &str| {
        let mut recorder = lab.recorder(&[], &file, &[program]);
        recorder.env("DEBUGINFOD_URLS", urls).env("DEBUGINFOD_CACHE_PATH", lab.path("cache"));
        recorder
    };
    let lines = || {
        let summary = Summary::of(&file);
        let stacks = summary.0["stacks"]["allocations"].as_array().unwrap().clone();
        let frames = stacks.into_iter().flat_map(|stack| stack["frames"].as_array().unwrap().clone());
        let is_ours = |frame: &serde_json::Value| {
            frame["file"].as_str().is_some_and(|file| file.ends_with("around_main.c"))
        };
        frames.filter(is_ours).count()
    };
    // Nobody is asked who was not set.
    assert_eq!(run(&mut recorder("")).code, Some(0));
    assert_eq!(lines(), 0);
    assert_eq!(asked.try_iter().count(), 0);

    let ran = run(&mut recorder(&url));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("fetched 1 debug files"), "{ran:?}");
    assert!(lines() > 0, "{ran:?}");
    let requests: Vec<String> = asked.try_iter().collect();
    assert_eq!(requests.iter().filter(|request| request.contains(id)).count(), 1, "{requests:?}");

    // What was fetched, and what was not there, is known from now on.
    let ran = run(&mut recorder(&url));
    assert_eq!((ran.code, asked.try_iter().count()), (Some(0), 0), "{ran:?}");
    assert!(lines() > 0);
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let lab = Lab::new();
    let program = lab.build("around_main.c", &["-Wl,--build-id"]);
    tool("strip", &[program.to_str().unwrap()]);
    let file = lab.path("a.heaptrace");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut recorder = lab.recorder(&[], &file, &[&program]);
    recorder.env("DEBUGINFOD_URLS", format!("http://{closed}")).env("XDG_CACHE_HOME", lab.path("cache"));
    let ran = run(&mut recorder);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr.matches("it was not asked again").count(), 1, "{ran:?}");
}
