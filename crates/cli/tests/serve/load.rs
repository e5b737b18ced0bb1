//! Many clients at once, good and bad ones, against one server and one process.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::lab::{Node, PATIENCE, Serve, authorization, connect, send, try_send};

/// How long they hammer after the last dump.
const HAMMERING: Duration = Duration::from_secs(3);
/// Dumps that the rate allows meanwhile.
const ALLOWED: usize = 3;
/// Clients of each kind.
const CLIENTS: usize = 2;
/// Connections that each of the silent clients keeps open.
const SILENT: usize = 40;
/// What a server may take, in kB: much less than a snapshot.
const MOST_KILOBYTES: u64 = 64 << 10;

/// Latencies of the process's own server while `work` runs: all of its answers have to be good.
fn latencies(node: &Node, work: impl FnOnce() + Send) -> Vec<Duration> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut latencies = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = send(&node.address, "GET", "/", &[]);
                assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
                latencies.push(began.elapsed());
            }
            latencies
        });
        work();
        is_done.store(true, Ordering::Relaxed);
        client.join().unwrap()
    })
}

#[expect(clippy::print_stderr, reason = "figures for whoever runs it with --nocapture")]
fn tell(what: &str, mut latencies: Vec<Duration>, serve: &Serve) {
    latencies.sort();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let peak = serve.peak_kilobytes();
    eprintln!(
        "{what}: {} requests to the process, median {:?}, p99 {:?}, max {:?}; the server's peak is {peak} kB",
        latencies.len(),
        at(50),
        at(99),
        at(100)
    );
}

#[test]
fn hammering_hurts_neither_the_process_nor_the_server() {
    let node = Node::start(24, 100_000);
    let serve = Serve::start(&node, &[&format!("--max-rate={ALLOWED}/1h")]);
    let token = authorization();
    tell("idle", latencies(&node, || std::thread::sleep(Duration::from_secs(1))), &serve);

    // When each dump ended, and how long it took.
    let dumps = Mutex::new(Vec::new());
    let is_done = AtomicBool::new(false);
    let (address, token) = (serve.address.as_str(), token.as_str());
    let until_done = |work: &dyn Fn()| {
        while !is_done.load(Ordering::Relaxed) {
            work();
        }
    };
    let good = || {
        let answer = send(address, "POST", "/v1/heapdump", &[token]);
        match answer.status {
            200 => {
                let took = Duration::from_secs_f64(answer.json()["took_seconds"].as_f64().unwrap());
                dumps.lock().unwrap().push((Instant::now(), took));
            }
            status => assert!([409, 429].contains(&status), "{}", answer.text()),
        }
    };
    let bad = || {
        for (status, method, path, headers) in [
            (401, "POST", "/v1/heapdump", &["Authorization: Bearer not-the-right-token"][..]),
            (401, "POST", "/eth/v1/lodestar/write_heapdump?thread=main", &[]),
            (403, "POST", "/v1/heapdump?dirpath=../..", &[token]),
            (400, "POST", "/v1/heapdump?dirpath=missing", &[token]),
            (403, "POST", "/v1/heapdump", &[token, "Origin: http://evil.example"]),
            (404, "GET", "/nothing", &[]),
        ] {
            assert_eq!(send(address, method, path, headers).status, status);
        }
    };
    let watching = || {
        assert_eq!(send(address, "GET", "/metrics", &[token]).status, 200);
        assert_eq!(send(address, "GET", "/healthz", &[]).status, 200);
    };
    let broken = || {
        // No HTTP at all, a request without an end, a client that leaves at once.
        let _ = connect(address).write_all(b"\x16\x03\x01\x02\x00\r\n\r\n");
        let _ = connect(address).write_all(b"POST /v1/heapdump HTTP/1.1\r\nHost: ");
        drop(connect(address));
        let _ = try_send(address, "GET", "/healthz", &[&format!("X: {}", "x".repeat(100_000))]);
    };
    let silent = || {
        let held: Vec<TcpStream> = (0..SILENT).map(|_| connect(address)).collect();
        until_done(&|| std::thread::sleep(Duration::from_millis(50)));
        drop(held);
    };
    let under_fire = latencies(&node, || {
        std::thread::scope(|scope| {
            let kinds: [&(dyn Fn() + Sync); 4] = [&good, &bad, &watching, &broken];
            for kind in kinds {
                for _ in 0..CLIENTS {
                    scope.spawn(|| until_done(kind));
                }
            }
            scope.spawn(silent);
            // All dumps there may be, and then some more of everything: there must be no further one.
            let deadline = Instant::now() + PATIENCE;
            while dumps.lock().unwrap().len() < ALLOWED && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(HAMMERING);
            is_done.store(true, Ordering::Relaxed);
        });
    });
    tell("hammered", under_fire, &serve);

    let mut dumps = dumps.into_inner().unwrap();
    assert_eq!(dumps.len(), ALLOWED);
    // No two at a time: each began, by its own clock, when the one before had ended.
    dumps.sort();
    for pair in dumps.windows(2) {
        let (end, took) = pair[1];
        assert!(end.duration_since(pair[0].0) + Duration::from_millis(100) >= took);
    }
    let files = serve.files();
    assert_eq!(files.len(), ALLOWED, "{files:?}");
    assert!(files.iter().all(|f| f.to_str().unwrap().ends_with(".heapsnapshot.zst")), "{files:?}");
    let peak = serve.peak_kilobytes();
    assert!(peak < MOST_KILOBYTES, "{peak} kB");
    let metrics = serve.get("/metrics").text();
    assert!(metrics.contains("twinheap_target_up 1"), "{metrics}");
    assert_eq!(node.get("/").text(), "fine");
    assert_eq!(serve.stop("-TERM").0.code(), Some(0));
}
