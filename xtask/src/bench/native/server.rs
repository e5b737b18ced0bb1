//! A Node HTTP server under load: how many requests it answers while it is recorded.
//!
//! Processors of a virtual machine are at times twice as fast as at others, for parts of a second. So the servers of all
//! recorders live at the same time and are loaded in turn, briefly, and a figure is compared with that of the unrecorded
//! server right before or behind.

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
    thread::{self, JoinHandle},
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
/// Load on the last servers behind their turns: their recordings are read, and those of seconds are no server's.
const MORE: Duration = Duration::from_secs(10);
/// Load on one server before the next one's turn, and what of it is measured.
const TURN: Duration = Duration::from_millis(250);
pub(super) const MEASURED: Duration = Duration::from_millis(200);
/// Measured turns in a second.
pub(super) const TURNS_A_SECOND: u64 = 5;
/// The most that is waited for a recorder that lags behind.
const MOST_CALM: Duration = Duration::from_secs(3);
/// Seconds of processor time in [`LOOK`] that are nothing.
const CALM: f64 = 0.002;
/// How often the memory of processes is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// One recorder's servers.
pub(super) struct Row {
    pub(super) recorder: Recorder,
    turns: Vec<Turn>,
    /// For each of them the turn of the server alone that was right before or behind.
    alone: Vec<Turn>,
    /// Peaks of the recorder's own processes together, in bytes.
    recorder_bytes: Vec<u64>,
    /// Peaks of the server, in bytes.
    server_bytes: Vec<u64>,
    /// All requests that the last one answered.
    requests: u64,
    pub(super) file: Option<PathBuf>,
}

/// What was measured in a turn.
#[derive(Clone, Copy)]
struct Turn {
    requests_per_s: f64,
    /// Processor time of the server for a request, in seconds.
    cpu_s: f64,
}

impl Row {
    pub(super) fn requests_per_s(&self) -> f64 {
        median(self.turns.iter().map(|turn| turn.requests_per_s))
    }

    pub(super) fn cpu_s(&self) -> f64 {
        median(self.turns.iter().map(|turn| turn.cpu_s))
    }

    pub(super) fn recorder_bytes(&self) -> f64 {
        median(self.recorder_bytes.iter().map(|&bytes| bytes as f64))
    }

    pub(super) fn server_bytes(&self) -> f64 {
        median(self.server_bytes.iter().map(|&bytes| bytes as f64))
    }

    /// Requests in a second, of those of the server alone.
    pub(super) fn throughput(&self) -> f64 {
        self.beside_alone(|turn| turn.requests_per_s)
    }

    /// Processor time for a request, times that of the server alone.
    pub(super) fn cpu_ratio(&self) -> f64 {
        self.beside_alone(|turn| turn.cpu_s)
    }

    fn beside_alone(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().zip(&self.alone).map(|(turn, alone)| figure(turn) / figure(alone)))
    }

    /// Bytes of the recording for each request.
    pub(super) fn file_bytes_per_request(&self) -> Option<f64> {
        let bytes = fs::metadata(self.file.as_ref()?).ok()?.len();
        Some(bytes as f64 / self.requests as f64)
    }
}

pub(super) fn measure(tools: &Tools, args: &NativeArgs) -> Result<Vec<Row>> {
    let mut rows = Vec::from(RECORDERS.map(|recorder| Row {
        recorder,
        turns: Vec::new(),
        alone: Vec::new(),
        recorder_bytes: Vec::new(),
        server_bytes: Vec::new(),
        requests: 0,
        file: None,
    }));
    for set in 1..=args.sets {
        let more = if set == args.sets { MORE } else { Duration::ZERO };
        one_set(tools, &mut rows, args.seconds * TURNS_A_SECOND, more)?;
        for row in &rows {
            println!(
                "  server {:<24} {:>8.0} requests/s {:>6.1} %, {:>7.1} µs of processor time each {:>5.2} x, recorder {:.0} MB",
                row.recorder.label(),
                row.requests_per_s(),
                100.0 * row.throughput(),
                row.cpu_s() * 1e6,
                row.cpu_ratio(),
                row.recorder_bytes() / 1e6
            );
        }
    }
    Ok(rows)
}

/// New servers, each loaded for so many turns, and `more` behind them that is not measured.
fn one_set(tools: &Tools, rows: &mut [Row], rounds: u64, more: Duration) -> Result<()> {
    let servers: Result<Vec<Server>> = rows.iter().map(|row| Server::start(tools, row.recorder)).collect();
    let mut servers = servers?;
    for server in &mut servers {
        server.load(WARM_UP, Duration::ZERO)?;
    }
    let mut turn = |at: usize| -> Result<Turn> {
        let server: &mut Server = &mut servers[at];
        let turn = server.load(TURN, MEASURED);
        let turn = turn.with_context(|| format!("the server fails with {}", server.recorder.label()))?;
        calm(server);
        Ok(turn)
    };
    let recorded = rows.len() - 1;
    for round in 0..rounds as usize {
        for at in 0..recorded {
            // Each is first once, forwards and backwards, before the server alone and behind it: who comes after whom must
            // not matter.
            let at = (round + at) % recorded;
            let at = 1 + if round % 2 == 0 { at } else { recorded - 1 - at };
            let (its, alone) = if (round / 2 + at).is_multiple_of(2) {
                (turn(at)?, turn(0)?)
            } else {
                let alone = turn(0)?;
                (turn(at)?, alone)
            };
            for (row, turn) in [(at, its), (0, alone)] {
                rows[row].turns.push(turn);
                rows[row].alone.push(alone);
            }
        }
    }
    for (mut server, row) in servers.into_iter().zip(rows) {
        if !more.is_zero() {
            server.load(more, Duration::ZERO)?;
        }
        server.end(tools, row)?;
    }
    Ok(())
}

/// Waits until a recorder has worked off what came in: that must not be charged to the next one's turn.
fn calm(server: &Server) {
    let start = Instant::now();
    let mut before = f64::NAN;
    while start.elapsed() < MOST_CALM {
        let now: f64 = family(server.child.0.id()).into_iter().map(cpu_seconds).sum();
        if now - before < CALM {
            break;
        }
        before = now;
        thread::sleep(LOOK);
    }
}

/// A server that runs, under its recorder.
struct Server {
    recorder: Recorder,
    child: Guard,
    pid: u32,
    port: u16,
    file: Option<PathBuf>,
    requests: u64,
    is_over: Arc<AtomicBool>,
    watcher: JoinHandle<(u64, u64)>,
    reader: JoinHandle<()>,
}

impl Server {
    fn start(tools: &Tools, recorder: Recorder) -> Result<Server> {
        let script = root().join("xtask/bench/server.cjs");
        let program = [&tools.node, &script].map(|path| path.display().to_string());
        let (mut command, file) = recorder.command(tools, "server", &program)?;
        let errors = fs::File::create(log(tools))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).env_remove("NODE_OPTIONS");
        let mut child = Guard(command.spawn().context("cannot start")?);
        let output = child.0.stdout.take().context("no pipe")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| serde_json::from_str::<Value>(&line).ok());
        let ready = ready.with_context(|| format!("{} did not start", recorder.label()))?;
        let number = |name: &str| ready[name].as_u64().context("it did not say where it is");
        let (pid, port) = (number("pid")? as u32, number("port")? as u16);
        // Somebody has to read what the recorder says.
        let reader = thread::spawn(move || lines.for_each(drop));
        let is_over = Arc::new(AtomicBool::new(false));
        let watcher = thread::spawn({
            let (is_over, wrapper) = (Arc::clone(&is_over), child.0.id());
            move || watch(wrapper, pid, &is_over)
        });
        Ok(Server { recorder, child, pid, port, file, requests: 0, is_over, watcher, reader })
    }

    /// Asks without pause for so long, and measures the last `measured` of it.
    fn load(&mut self, how_long: Duration, measured: Duration) -> Result<Turn> {
        let is_over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let port = self.port;
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (answered, is_over) = (Arc::clone(&answered), Arc::clone(&is_over));
                thread::spawn(move || client(port, &answered, &is_over))
            })
            .collect();
        thread::sleep(how_long - measured);
        let count = || answered.load(Ordering::Relaxed);
        let (start, before, cpu_before) = (Instant::now(), count(), cpu_seconds(self.pid));
        thread::sleep(measured);
        let (seconds, requests) = (start.elapsed().as_secs_f64(), (count() - before) as f64);
        let cpu = cpu_seconds(self.pid) - cpu_before;
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().ok().context("a client failed")??;
        }
        self.requests += count();
        Ok(Turn { requests_per_s: requests / seconds, cpu_s: cpu / requests })
    }

    /// Ends it, and waits until its recording is written.
    fn end(mut self, tools: &Tools, row: &mut Row) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        ask(&mut TcpStream::connect(("127.0.0.1", self.port))?, "/end", &mut Vec::new())?;
        let status = self.child.0.wait()?;
        // A recorder needs most memory at its end; the watcher ends when it is gone.
        let (server_bytes, recorder_bytes) = self.watcher.join().ok().context("the watcher failed")?;
        self.reader.join().ok().context("the reader failed")?;
        if !status.success() {
            bail!("{}: {status}; see {}", self.recorder.label(), log(tools).display());
        }
        row.recorder_bytes.push(recorder_bytes);
        row.server_bytes.push(server_bytes);
        (row.requests, row.file) = (self.requests, self.file);
        Ok(())
    }
}

/// Where the servers' error output goes.
fn log(tools: &Tools) -> PathBuf {
    tools.folder.join("server.log")
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

/// Processor time of a process's threads so far, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return f64::NAN };
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e9
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
