//! A running page, and a client that speaks HTTP by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn twinheap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS");
    command
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What the command line says; lone surrogates, which a Rust string can't hold, become replacement characters.
#[track_caller]
pub(crate) fn cli(args: &[&str]) -> Value {
    let output = twinheap().args(args).arg("--json").stdin(Stdio::null()).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    while let Some(at) = text.find("\\ud") {
        text.replace_range(at..at + 6, "\\ufffd");
    }
    serde_json::from_str(&text).unwrap()
}

/// The page behind an address.
pub(crate) struct Client {
    /// `127.0.0.1:port`
    pub(crate) host: String,
    pub(crate) token: String,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    /// The address as it was printed, without what stands behind `?`.
    #[track_caller]
    pub(crate) fn at(address: &str) -> Client {
        let page = address.strip_prefix("http://").unwrap().trim_end_matches('/');
        let (host, token) = page.split_once('/').unwrap();
        assert_eq!(token.len(), 64, "{address}");
        Client { host: host.to_owned(), token: token.to_owned() }
    }

    /// Asks with these lines in the head.
    pub(crate) fn ask(&self, method: &str, path: &str, head: &str) -> Response {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_lowercase(), body: answer[end + 4..].to_vec() }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask("GET", &format!("/{}/{path}", self.token), &format!("Host: {}\r\n", self.host))
    }

    /// Waits until all files are read or refused.
    #[track_caller]
    pub(crate) fn wait(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.get("api/state").json();
            let files = state["files"].as_array().unwrap();
            if files.iter().all(|file| file["status"] == "ready" || file["status"] == "failed") {
                return state;
            }
            assert!(Instant::now() < deadline, "{state}");
        }
    }

    /// All rows of a list, page by page.
    pub(crate) fn rows(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        loop {
            let page = self.get(&format!("{path}&offset={}&limit={limit}", rows.len())).json();
            assert_eq!(page["offset"], rows.len(), "{page}");
            let more = page["rows"].as_array().unwrap();
            assert!(more.len() <= limit);
            rows.extend(more.iter().cloned());
            if rows.len() as u64 >= page["total"].as_u64().unwrap() {
                return rows;
            }
            assert!(!more.is_empty());
        }
    }
}

/// A program that a test must not leave running when it fails.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _: Result<(), _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

/// A running `twinheap open`.
pub(crate) struct Page {
    _running: Running,
    client: Client,
}

impl Page {
    pub(crate) fn open(files: &[&Path]) -> Page {
        Page::with(files, &[])
    }

    pub(crate) fn with(files: &[&Path], options: &[&str]) -> Page {
        let mut command = twinheap();
        command.arg("open").args(files).args(["--json", "--listen", "127.0.0.1:0"]).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["schema_version"], 1);
        Page { _running: running, client: Client::at(document["address"].as_str().unwrap()) }
    }
}

impl Deref for Page {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
