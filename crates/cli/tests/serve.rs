//! `twinheap serve` as its clients see it: the real binary, real Node processes, HTTP by hand.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "serve/lab.rs"]
mod lab;
#[path = "serve/load.rs"]
mod load;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use lab::{Node, Serve, TOKEN, authorization, connect, nodes_of, send, twinheap};

/// Objects in a heap that is small, and in one whose snapshot fits into no buffer.
const FEW: u32 = 100;
const MANY: u32 = 300_000;

#[track_caller]
fn check_version(major: u32) {
    let node = Node::start(major, FEW);
    let serve = Serve::start(&node, &[]);
    std::fs::create_dir(serve.folder.path().join("deep")).unwrap();
    for (thread, query) in [("main", ""), ("network", "?thread=network&dirpath=deep")] {
        let answer = serve.post(&format!("/v1/heapdump{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let dump = answer.json();
        let path = Path::new(dump["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("heap-{}-", node.pid())), "{name}");
        assert!(name.ends_with(&format!("-{thread}.heapsnapshot.zst")), "{name}");
        assert_eq!(path.parent().unwrap().ends_with("deep"), thread == "network");
        let about = path.metadata().unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        assert_eq!(dump["bytes"], about.len());
        assert!(dump["json_bytes"].as_u64() > dump["bytes"].as_u64(), "{dump}");
        assert_eq!(
            (&dump["thread"], &dump["method"], &dump["attempts"]),
            (&thread.into(), &"ordinary".into(), &1.into())
        );
        assert!(dump["pause_seconds"].as_f64() > Some(0.0) && dump["took_seconds"].is_number(), "{dump}");
        assert_eq!(dump["warnings"], serde_json::json!([]));
        assert!(nodes_of(path) > 1000);
    }
    // The connection is there now, so a scrape shows the heaps.
    serve.wait_for("twinheap_dumps_total{method=\"ordinary\",result=\"ok\"} 2");
    let metrics = serve.get("/metrics").text();
    for thread in ["main", "network"] {
        for line in
            ["heap_used_bytes{thread=\"@\"}", "heap_space_used_bytes{thread=\"@\",space=\"old_space\"}"]
        {
            let start = format!("twinheap_{} ", line.replace('@', thread));
            assert!(metrics.lines().any(|l| l.starts_with(&start)), "no `{start}` in:\n{metrics}");
        }
    }
    assert!(metrics.contains("\nprocess_resident_memory_bytes "), "{metrics}");
    assert_ne!(node.get("/inspector").text(), "undefined");
    let (status, _, _) = serve.stop("-TERM");
    assert_eq!(status.code(), Some(0));
    assert_eq!(node.get("/inspector").text(), "undefined");
}

#[test]
fn every_version_is_served() {
    [18, 20, 22, 24, 26].into_iter().for_each(check_version);
}

#[test]
fn a_lodestar_script_gets_what_it_knows() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let folder = serve.folder.path().canonicalize().unwrap();
    for (query, prefix) in [
        (String::new(), "main_thread_"),
        (format!("?thread=network&dirpath={}", folder.display()), "network_thread_"),
        ("?thread=main&dirpath=.&unknown=1".to_owned(), "main_thread_"),
    ] {
        let answer = serve.post(&format!("/eth/v1/lodestar/write_heapdump{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let path = answer.json()["data"]["filepath"].as_str().unwrap().to_owned();
        assert_eq!(answer.text(), format!("{{\"data\":{{\"filepath\":\"{path}\"}}}}"));
        let path = Path::new(&path);
        assert_eq!(path.parent(), Some(folder.as_path()));
        let name = path.file_name().unwrap().to_str().unwrap();
        // Such as main_thread_2026-03-10T14:03:29.032Z.heapsnapshot
        assert!(name.starts_with(prefix) && name.ends_with("Z.heapsnapshot"), "{name}");
        assert_eq!(name.len(), prefix.len() + "2026-03-10T14:03:29.032Z.heapsnapshot".len());
        assert!(nodes_of(path) > 1000);
    }
    for (path, code, words) in [
        ("/eth/v1/lodestar/write_heapdump?thread=discv5", 404, "it has main, network"),
        ("/eth/v1/lodestar/write_heapdump?dirpath=/etc", 403, "outside of the folder"),
        ("/eth/v1/lodestar/write_heapdump?dirpath=missing", 400, "does not exist"),
        ("/eth/v1/lodestar/writeheapdump", 404, "Route POST:/eth/v1/lodestar/writeheapdump not found"),
    ] {
        let answer = serve.post(path);
        assert_eq!(answer.status, code, "{}", answer.text());
        assert_eq!(answer.json()["code"], code);
        assert!(answer.json()["message"].as_str().unwrap().contains(words), "{}", answer.text());
    }
    let answer = send(&serve.address, "POST", "/eth/v1/lodestar/write_heapdump", &[]);
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (401, Some(401)));
}

/// What is refused before the process hears of it.
#[track_caller]
fn check_refusal(serve: &Serve, method: &str, path: &str, headers: &[&str], status: u16, words: &str) {
    let answer = send(&serve.address, method, path, headers);
    assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.text());
    let error = answer.json();
    assert!(error["error"].as_str().unwrap().contains(words), "{error}");
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
}

#[test]
fn what_is_wrong_is_refused_before_the_process_hears_of_it() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let dump = "/v1/heapdump";
    let token = authorization();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), serve.folder.path().join("link")).unwrap();
    std::fs::write(serve.folder.path().join("file"), "").unwrap();

    for wrong in ["Bearer wrong", "Basic YTpi", "Bearer ", &format!("Bearer {TOKEN}x"), TOKEN] {
        check_refusal(&serve, "POST", dump, &[&format!("Authorization: {wrong}")], 401, "token");
    }
    check_refusal(&serve, "POST", dump, &[], 401, "token");
    check_refusal(&serve, "POST", &format!("{dump}?token={TOKEN}"), &[], 401, "token");
    // Who has no token learns nothing about parameters, folders and routes.
    check_refusal(&serve, "POST", "/v1/heapdump?nonsense=1&dirpath=/etc", &[], 401, "token");
    check_refusal(&serve, "GET", "/v1/other", &[], 401, "token");
    check_refusal(&serve, "POST", dump, &[&token, "Host: evil.example"], 403, "another host");
    check_refusal(&serve, "GET", "/metrics", &["Host: evil.example:80"], 403, "another host");
    check_refusal(&serve, "POST", dump, &[&token, "Origin: http://localhost"], 403, "web page");
    check_refusal(&serve, "POST", dump, &[&token, "Content-Length: 100000"], 413, "body");
    check_refusal(&serve, "GET", dump, &[&token], 405, "GET");
    check_refusal(&serve, "POST", "/metrics", &[], 405, "POST");
    check_refusal(&serve, "GET", "/", &[], 404, "not found");
    for (query, status, words) in [
        ("pause_free=perhaps", 400, "perhaps"),
        ("pausefree=1", 400, "pausefree"),
        ("stream=1&dirpath=x", 400, "either"),
        ("dirpath=..", 403, "outside"),
        ("dirpath=/", 403, "outside"),
        ("dirpath=%2e%2e%2f..", 403, "outside"),
        ("dirpath=link", 403, "links are not followed"),
        ("dirpath=link/x", 403, "links are not followed"),
        ("dirpath=missing", 400, "does not exist"),
        ("dirpath=file", 400, "no folder"),
        ("dirpath=a%00b", 400, "can't open"),
    ] {
        check_refusal(&serve, "POST", &format!("{dump}?{query}"), &[&token], status, words);
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    // All that, and scrapes without the token, made no connection.
    assert_eq!(serve.get("/healthz").json()["ok"], true);
    assert!(!serve.get("/metrics").text().contains("twinheap_heap_used_bytes"));
    assert_eq!(node.get("/inspector").text(), "undefined");

    check_refusal(&serve, "POST", "/v1/heapdump?thread=nobody", &[&token], 404, "it has main, network");
    let answer = serve.post("/v1/heapdump?thread=nobody&stream=1");
    assert_eq!(
        (answer.status, answer.json()["threads"].to_string().as_str()),
        (404, "[\"main\",\"network\"]")
    );
}

#[test]
fn a_stream_is_a_whole_snapshot() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let check = |headers: &[&str], kind: &str, name: &str| {
        let token = authorization();
        let headers = [&[token.as_str()], headers].concat();
        let answer = send(&serve.address, "POST", "/v1/heapdump?stream=1&thread=network", &headers);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
        assert!(
            answer.is_whole && answer.header("content-disposition").unwrap().contains(name),
            "{}",
            answer.head
        );
        let path = serve.folder.path().join(name);
        std::fs::write(&path, &answer.body).unwrap();
        assert!(nodes_of(&path) > 1000);
    };
    check(&[], "application/zstd", "network.heapsnapshot.zst");
    check(&["Accept: text/html, application/json;q=0.9"], "application/json", "network.heapsnapshot");
}

#[test]
fn one_dump_at_a_time_and_a_client_that_leaves_ends_its_own() {
    let node = Node::start(24, MANY);
    let serve = Serve::start(&node, &[]);
    let mut stream = serve.hold("/v1/heapdump?stream=1");
    // It waits for its reader; nobody else waits for it.
    let refused = serve.post("/v1/heapdump");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (409, Some("another dump is running")));
    let refused = serve.post("/eth/v1/lodestar/write_heapdump");
    assert_eq!(refused.status, 409);
    assert!(refused.json()["message"].as_str().unwrap().starts_with("Already writing heapdump"));
    assert_eq!(serve.get("/healthz").json()["dump_running"], true);
    serve.wait_for("twinheap_dump_running 1");
    let mut some = [0; 1000];
    stream.read_exact(&mut some).unwrap();
    drop(stream);

    serve.wait_for("twinheap_dumps_total{method=\"ordinary\",result=\"cancelled\"} 1");
    serve.wait_for("twinheap_dump_running 0");
    // What was left of it is not in the way of the next one.
    let answer = serve.post("/v1/heapdump");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(nodes_of(Path::new(answer.json()["path"].as_str().unwrap())) > u64::from(MANY));
    assert_eq!(serve.files().len(), 1);
}

#[test]
fn a_file_is_finished_although_its_client_has_left() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let release = serve.folder.path().join("release");
    node.block_until(&release);
    let mut stream = connect(&serve.address);
    let request = format!("POST /v1/heapdump HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", authorization());
    stream.write_all(request.as_bytes()).unwrap();
    serve.wait_for("twinheap_dump_running 1");
    drop(stream);
    std::fs::write(&release, "").unwrap();
    serve.wait_for("twinheap_dumps_total{method=\"ordinary\",result=\"ok\"} 1");
    assert_eq!(serve.files().len(), 2);
}

#[test]
fn a_blocked_process_does_not_hold_up_its_monitoring() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let token = authorization();
    let scrape = || send(&serve.address, "GET", "/metrics", &[&token]).text();
    // With the token, a scrape connects.
    assert!(scrape().contains("twinheap_heap_used_bytes{thread=\"main\"}"));
    let release = serve.folder.path().join("release");
    node.block_until(&release);
    // Until the cached sizes are too old; then one scrape waits its two seconds, and the others don't.
    let started = std::time::Instant::now();
    loop {
        let text = scrape();
        let age = text.lines().find_map(|l| l.strip_prefix("twinheap_sample_age_seconds ")).unwrap();
        if age.parse::<f64>().unwrap() > 6.0 {
            break;
        }
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(serve.get("/healthz").status, 200);
    std::fs::write(&release, "").unwrap();
}

#[test]
fn dumps_are_rare_if_they_have_to_be() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &["--max-rate=2/1h"]);
    // What did not make the process stand still does not count.
    assert_eq!(serve.post("/v1/heapdump?thread=nobody").status, 404);
    assert_eq!(serve.post("/v1/heapdump").status, 200);
    assert_eq!(serve.post("/v1/heapdump?thread=network").status, 200);
    let refused = serve.post("/v1/heapdump");
    assert_eq!(refused.status, 429, "{}", refused.text());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(serve.files().len(), 2);
}

#[test]
fn a_pause_that_is_too_long_is_refused() {
    let node = Node::start(24, MANY);
    let serve = Serve::start(&node, &["--max-pause=1ms"]);
    let refused = serve.post("/v1/heapdump");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.json()["error"].as_str().unwrap().contains("silent"), "{}", refused.text());
    serve.wait_for("twinheap_dumps_total{method=\"ordinary\",result=\"refused\"} 1");
    assert_eq!(serve.files().len(), 0);
}

#[test]
fn a_process_that_has_ended_is_missed() {
    let mut node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    assert_eq!(serve.post("/v1/heapdump").status, 200);
    node.end();
    let health = serve.get("/healthz");
    assert_eq!((health.status, health.json()["ok"].as_bool()), (503, Some(false)));
    let answer = serve.post("/v1/heapdump");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.json()["error"].as_str().unwrap().contains("has ended"), "{}", answer.text());
    assert!(serve.get("/metrics").text().contains("twinheap_target_up 0"));
    assert_eq!(serve.stop("-INT").0.code(), Some(130));
}

#[test]
fn values_are_replaced_on_the_way() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &["--redact"]);
    let headers = [authorization(), "Accept: application/json".to_owned()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let answer = send(&serve.address, "POST", "/v1/heapdump?stream=1", &headers);
    assert!(answer.status == 200 && answer.is_whole);
    assert!(!answer.text().contains("secret-number-"));
}

#[test]
fn a_server_that_is_stopped_in_the_middle_leaves_nothing() {
    let node = Node::start(24, MANY);
    let serve = Serve::start(&node, &[]);
    let mut held = serve.hold("/v1/heapdump?stream=1");
    let (status, _, files) = serve.stop("-TERM");
    assert_eq!((status.code(), files.len()), (Some(0), 0));
    // The client can tell that it has half a snapshot: the body doesn't end with an empty chunk.
    let mut rest = Vec::new();
    let _ = held.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(node.get("/inspector").text(), "undefined");

    let serve = Serve::start(&node, &[]);
    assert_eq!(serve.post("/v1/heapdump?thread=nobody").status, 404);
    let release = serve.folder.path().join("release");
    node.block_until(&release);
    let mut waiting = connect(&serve.address);
    let request = format!("POST /v1/heapdump HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", authorization());
    waiting.write_all(request.as_bytes()).unwrap();
    serve.wait_for("twinheap_dump_running 1");
    let (status, said, files) = serve.stop("-INT");
    assert_eq!((status.code(), files.len()), (Some(130), 0), "{said}");
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("stopping"), "{answer}");
}

#[test]
fn a_client_that_never_finishes_its_request_is_let_go() {
    let node = Node::start(24, FEW);
    let serve = Serve::start(&node, &[]);
    let mut slow = connect(&serve.address);
    slow.write_all(b"POST /v1/heapdump HTTP/1.1\r\nHost: lo").unwrap();
    // Its end comes by itself, and well before the client's patience ends.
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    let huge = format!("X: {}", "x".repeat(100_000));
    let answer = lab::try_send(&serve.address, "GET", "/healthz", &[&huge]);
    assert!(answer.is_err() || answer.is_ok_and(|a| a.status == 431));
}

#[track_caller]
fn check_start(args: &[&str], token: Option<&str>, words: &[&str]) {
    let mut command = twinheap(&["serve"]);
    if let Some(token) = token {
        command.env("TWINHEAP_TOKEN", token);
    }
    let output = command.args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
}

#[test]
fn a_server_that_should_not_be_does_not_start() {
    let node = Node::start(24, FEW);
    let pid = &format!("--pid={}", node.pid());
    let exposed = ["--listen=0.0.0.0:0", pid];
    check_start(&exposed, Some(TOKEN), &["other machines", "--expose-beyond-loopback"]);
    check_start(&["--listen=[::]:0", pid], Some(TOKEN), &["other machines"]);
    check_start(&["--listen=0.0.0.0:0", pid, "--expose-beyond-loopback"], None, &["a token that you chose"]);
    check_start(&[pid, "--listen=127.0.0.1:0"], Some("short"), &["TWINHEAP_TOKEN holds no token", "16"]);
    check_start(&[pid, "--listen=127.0.0.1:0", "--quiet"], None, &["random token"]);
    check_start(&[pid, "--listen=127.0.0.1:0", "--dir=/missing"], Some(TOKEN), &["`/missing`"]);
    check_start(&[pid, "--listen=nowhere"], Some(TOKEN), &["127.0.0.1:9597"]);
    check_start(&[pid, "--max-rate=often"], Some(TOKEN), &["6/1h"]);
    check_start(&["--pid=1", "--listen=127.0.0.1:0"], Some(TOKEN), &["hint:"]);
    check_start(&["--target=http://127.0.0.1:9596"], Some(TOKEN), &["--pid PID"]);
    assert_eq!(node.get("/inspector").text(), "undefined");
}

#[test]
fn a_random_token_is_written_for_its_owner_only() {
    let node = Node::start(24, FEW);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "left from the last time").unwrap();
    let serve = Serve::run(twinheap(&["serve", "--write-token"]).arg(&path), &node);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&path).unwrap();
    assert_eq!(token.trim().len(), 64);
    let header = format!("Authorization: Bearer {}", token.trim());
    assert_eq!(send(&serve.address, "POST", "/v1/heapdump?thread=nobody", &[&header]).status, 404);
    let (_, said, _) = serve.stop("-TERM");
    assert!(!said.contains(token.trim()));
}
