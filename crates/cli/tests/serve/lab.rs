//! A Node process, a `twinheap serve` for it, and a client that speaks HTTP by hand.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TOKEN: &str = "a-token-for-the-tests";
/// Longer than anything takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A server with a worker. `/block` occupies the main thread until the file of that name exists; `/inspector` says
/// where the inspector listens.
const APP: &str = r#"
const http = require('http'), { execFileSync } = require('child_process');
const { Worker } = require('worker_threads');
globalThis.kept = Array.from({ length: +process.argv[1] }, (_, i) => ({ i, text: 'secret-number-' + i }));
const worker = new Worker('setInterval(() => {}, 1000); require(`worker_threads`).parentPort.postMessage(1)',
  { eval: true, name: 'network' });
worker.once('message', () => {
  const server = http.createServer((request, response) => {
    if (request.url === '/inspector') return response.end(String(require('inspector').url()));
    if (!request.url.startsWith('/block')) return response.end('fine');
    response.end('blocked', () => setImmediate(() => {
      // In native code: JavaScript can be interrupted by an inspector, however busy it is.
      execFileSync('sh', ['-c', 'until [ -e "$0" ] || [ ! -d "$(dirname "$0")" ]; do sleep 0.02; done', request.url.slice('/block'.length)]);
    }));
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
});"#;

/// A Node process that lives as long as this does.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: String,
}

impl Node {
    /// With so many objects in its heap.
    pub(crate) fn start(major: u32, objects: u32) -> Node {
        let node = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../tests/oracle/node_modules/node{major}/bin/node"));
        let mut child = Command::new(node)
            .args(["--inspect-port=0", "-e", APP, &objects.to_string()])
            // The terminal's signals are for the test and not for it.
            .process_group(0)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts: run `cargo xtask setup`");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Node { child, address: format!("127.0.0.1:{}", port.trim()) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        send(&self.address, "GET", path, &[])
    }

    /// Occupies the main thread until the file exists.
    pub(crate) fn block_until(&self, file: &Path) {
        assert_eq!(self.get(&format!("/block{}", file.display())).text(), "blocked");
    }

    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that has ended it already gets an error here, and that is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `twinheap serve` that lives as long as this does.
pub(crate) struct Serve {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) address: String,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn twinheap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").env_remove("TWINHEAP_TOKEN").args(args);
    command
}

impl Serve {
    /// With [`TOKEN`], and without a rest between dumps unless the options say so.
    pub(crate) fn start(node: &Node, options: &[&str]) -> Serve {
        let rest =
            if options.iter().any(|o| o.starts_with("--m")) { &[][..] } else { &["--min-interval=0s"] };
        Serve::run(twinheap(&["serve"]).args(options).args(rest).env("TWINHEAP_TOKEN", TOKEN), node)
    }

    pub(crate) fn run(command: &mut Command, node: &Node) -> Serve {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command
            .args(["--listen=127.0.0.1:0", "--pid", &node.pid().to_string(), "--dir"])
            .arg(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        Serve { child, stderr, address, folder }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        send(&self.address, "GET", path, &[])
    }

    /// With the token.
    pub(crate) fn post(&self, path: &str) -> Response {
        send(&self.address, "POST", path, &[&authorization()])
    }

    /// Asks for a stream and reads no more than the head of the answer.
    pub(crate) fn hold(&self, path: &str) -> TcpStream {
        let mut stream = connect(&self.address);
        stream.write_all(&request(&self.address, "POST", path, &[&authorization()])).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream
    }

    /// Waits until the metrics have this line.
    #[track_caller]
    pub(crate) fn wait_for(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.get("/metrics").text();
            if metrics.lines().any(|l| l == line) {
                return;
            }
            assert!(Instant::now() < deadline, "no `{line}` in:\n{metrics}");
        }
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The most memory it ever had, in kB.
    pub(crate) fn peak_kilobytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        field.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends a signal and waits for the end; returns what it still had to say.
    pub(crate) fn stop(mut self, signal: &str) -> (ExitStatus, String, Vec<PathBuf>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said, self.files())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// False if the connection broke off before the body's end.
    pub(crate) is_whole: bool,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

pub(crate) fn authorization() -> String {
    format!("Authorization: Bearer {TOKEN}")
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn request(address: &str, method: &str, path: &str, headers: &[&str]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|h| h.starts_with("Host:")) {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    (text + "\r\n").into_bytes()
}

/// One request on a connection of its own.
pub(crate) fn send(address: &str, method: &str, path: &str, headers: &[&str]) -> Response {
    try_send(address, method, path, headers).unwrap()
}

/// As [`send`], for a server that may hang up.
pub(crate) fn try_send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[&str],
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&request(address, method, path, headers))?;
    let head = read_head(&mut stream);
    let mut rest = Vec::new();
    // A connection that is reset ends like one that is closed: the body's own end decides.
    let _ = stream.read_to_end(&mut rest);
    let _ = stream.shutdown(Shutdown::Both);
    let status = head.get(9..12).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {head}")))?;
    let mut response = Response { status, head, body: rest, is_whole: true };
    if response.header("transfer-encoding") == Some("chunked") {
        (response.body, response.is_whole) = unchunked(&response.body);
    }
    Ok(response)
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The body, and whether it came to its end.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// Has `twinheap summary` read a snapshot, and returns the number of its nodes.
#[track_caller]
pub(crate) fn nodes_of(path: &Path) -> u64 {
    let output = twinheap(&["summary", "--json"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    summary["nodes"].as_u64().unwrap()
}
