//! A Node HTTP server under load: how many requests it answers while it is recorded.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{NativeArgs, Recorder, Tools, median};
use crate::root;

/// Who takes part, the server alone first.
pub(super) const RECORDERS: [Recorder; 5] = [
    Recorder::Nobody,
    Recorder::Twinheap,
    Recorder::TwinheapNoNames,
    Recorder::TwinheapSampled,
    Recorder::Heaptrack,
];

/// Connections that ask without pause.
const CONNECTIONS: usize = 16;
/// Load before the measurement: code gets compiled.
const WARM_UP: Duration = Duration::from_secs(3);
/// How often the memory of processes is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// One recorder's runs.
pub(super) struct Row {
    pub(super) recorder: Recorder,
    runs: Vec<ServerRun>,
    pub(super) file: Option<PathBuf>,
}

struct ServerRun {
    requests_per_s: f64,
    /// Processor time of the server for a request, in seconds.
    cpu_s: f64,
    /// Peak of the recorder's own processes together, in bytes.
    recorder_bytes: u64,
    /// Peak of the server, in bytes.
    server_bytes: u64,
    requests: u64,
}

impl Row {
    pub(super) fn requests_per_s(&self) -> f64 {
        median(self.runs.iter().map(|run| run.requests_per_s))
    }

    pub(super) fn cpu_s(&self) -> f64 {
        median(self.runs.iter().map(|run| run.cpu_s))
    }

    pub(super) fn recorder_bytes(&self) -> f64 {
        median(self.runs.iter().map(|run| run.recorder_bytes as f64))
    }

    pub(super) fn server_bytes(&self) -> f64 {
        median(self.runs.iter().map(|run| run.server_bytes as f64))
    }

    /// Bytes of the last run's recording for each of its requests.
    pub(super) fn file_bytes_per_request(&self) -> Option<f64> {
        let bytes = fs::metadata(self.file.as_ref()?).ok()?.len();
        Some(bytes as f64 / self.runs.last()?.requests as f64)
    }
}

pub(super) fn measure(tools: &Tools, args: &NativeArgs) -> Result<Vec<Row>> {
    let mut rows = Vec::from(RECORDERS.map(|recorder| Row { recorder, runs: Vec::new(), file: None }));
    for _ in 0..args.runs {
        for row in &mut rows {
            let (run, file) = one(tools, row.recorder, args)
                .with_context(|| format!("the server fails with {}", row.recorder.label()))?;
            println!(
                "  server {:<24} {:>8.0} requests/s {:>7.1} µs of processor time each, recorder {:.0} MB",
                row.recorder.label(),
                run.requests_per_s,
                run.cpu_s * 1e6,
                run.recorder_bytes as f64 / 1e6
            );
            row.runs.push(run);
            row.file = file;
        }
    }
    Ok(rows)
}

fn one(tools: &Tools, recorder: Recorder, args: &NativeArgs) -> Result<(ServerRun, Option<PathBuf>)> {
    let script = root().join("xtask/bench/server.cjs");
    let program = [&tools.node, &script].map(|path| path.display().to_string());
    let (mut command, file) = recorder.command(tools, "server", &program)?;
    let errors = fs::File::create(tools.folder.join("server.log"))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).env_remove("NODE_OPTIONS");
    let child = command.spawn().context("cannot start")?;
    let mut child = Guard(child);
    let output = child.0.stdout.take().context("no pipe")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let ready =
        lines.find_map(|line| serde_json::from_str::<Value>(&line).ok()).context("it did not start")?;
    let number = |name: &str| ready[name].as_u64().context("it did not say where it is");
    let (pid, port) = (number("pid")? as u32, number("port")? as u16);
    // Somebody has to read what the recorder says.
    let reader = thread::spawn(move || lines.for_each(drop));

    let is_over = Arc::new(AtomicBool::new(false));
    let wrapper = child.0.id();
    let watcher = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || watch(wrapper, pid, &is_over)
    });
    let answered = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (answered, is_over) = (Arc::clone(&answered), Arc::clone(&is_over));
            thread::spawn(move || client(port, &answered, &is_over))
        })
        .collect();
    thread::sleep(WARM_UP);
    let (start, before, cpu_before) = (Instant::now(), answered.load(Ordering::Relaxed), cpu_seconds(pid));
    thread::sleep(Duration::from_secs(args.seconds));
    let (seconds, after) = (start.elapsed().as_secs_f64(), answered.load(Ordering::Relaxed));
    let cpu = cpu_seconds(pid) - cpu_before;
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().ok().context("a client failed")??;
    }
    ask(&mut TcpStream::connect(("127.0.0.1", port))?, "/end", &mut Vec::new())?;
    let status = child.0.wait()?;
    // A recorder needs most memory at its end; the watcher ends when it is gone.
    let (server_bytes, recorder_bytes) = watcher.join().ok().context("the watcher failed")?;
    let _ = reader.join();
    if !status.success() {
        bail!("{status}; see {}", tools.folder.join("server.log").display());
    }
    let requests = (after - before) as f64;
    let run = ServerRun {
        requests_per_s: requests / seconds,
        cpu_s: cpu / requests,
        recorder_bytes,
        server_bytes,
        requests: answered.load(Ordering::Relaxed),
    };
    Ok((run, file))
}

/// Ends the process when something goes wrong.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks without pause until it is over.
fn client(port: u16, answered: &AtomicU64, is_over: &AtomicBool) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        ask(&mut stream, "/", &mut buffer)?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// One request and its answer, which tells its length.
fn ask(stream: &mut TcpStream, path: &str, buffer: &mut Vec<u8>) -> Result<()> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    buffer.clear();
    let mut piece = [0; 8192];
    loop {
        let read = stream.read(&mut piece)?;
        buffer.extend_from_slice(&piece[..read]);
        if path == "/end" || is_whole(buffer) {
            return Ok(());
        }
        if read == 0 {
            bail!("the server closed a connection");
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

/// Processor time of a process so far, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks: f64 = [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<f64>().ok()).sum();
    // Linux counts in hundredths of a second on every machine that Rust runs on.
    ticks / 100.0
}

/// The peaks of the server and of all other processes below `wrapper` together, in bytes, when they are gone.
fn watch(wrapper: u32, server: u32, is_over: &AtomicBool) -> (u64, u64) {
    let mut peaks: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        let mut is_any = false;
        for pid in family(wrapper) {
            if let Some(peak) = peak_bytes(pid) {
                is_any = true;
                let known = peaks.entry(pid).or_default();
                *known = peak.max(*known);
            }
        }
        if !is_any && is_over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(LOOK);
    }
    let server_bytes = peaks.remove(&server).unwrap_or(0);
    (server_bytes, peaks.values().sum())
}

/// A process and those that it started, and so on.
fn family(first: u32) -> Vec<u32> {
    let mut all = vec![first];
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        at += 1;
    }
    all
}

/// The most that was resident, in bytes; nothing for a process that is gone or a zombie.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_says_so() {
        let check = |text: &str, whole| assert_eq!(is_whole(text.as_bytes()), whole, "{text:?}");
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true);
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false);
        check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", false);
    }

    #[test]
    fn we_ourselves_are_a_family() {
        let me = std::process::id();
        assert!(family(me).contains(&me));
        assert!(peak_bytes(me) > Some(1 << 20));
        assert_eq!(peak_bytes(u32::MAX), None);
    }
}
