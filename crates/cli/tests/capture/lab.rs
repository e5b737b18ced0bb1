//! Node processes to take snapshots of, and `twinheap` as its users start it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often something is looked at that tells nobody when it changes.
const POLL: Duration = Duration::from_millis(5);
/// What writes pause-free snapshots, as `ps` shows it.
pub(crate) const COPY: &str = "twinheap-dump";

pub(crate) const VERSIONS: [u32; 5] = [18, 20, 22, 24, 26];
/// Objects whose snapshot takes a second or two: time enough to come in between.
pub(crate) const MANY: u32 = 300_000;

/// A Node process that lives as long as this does.
pub(crate) struct Node {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
    stderr: tempfile::NamedTempFile,
}

/// The executable of a major version.
pub(crate) fn executable(major: u32) -> PathBuf {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/node_modules");
    modules.join(format!("node{major}/bin/node")).canonicalize().expect("run `cargo xtask setup`")
}

pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/capture/target.cjs")
}

impl Node {
    /// With a few objects in its main thread only.
    pub(crate) fn small() -> Node {
        Node::start(24, &[], &json!({}))
    }

    /// With all kinds of workers, or with more objects.
    pub(crate) fn start(major: u32, options: &[&str], holds: &Value) -> Node {
        Node::run(Command::new(executable(major)).args(options), holds)
    }

    /// As [`Node::start`], for a command that becomes Node.
    pub(crate) fn run(command: &mut Command, holds: &Value) -> Node {
        let mut node = Node::run_at_once(command, holds);
        assert_eq!(node.answer(), "ready", "{}", node.stderr());
        node
    }

    fn run_at_once(command: &mut Command, holds: &Value) -> Node {
        let stderr = tempfile::NamedTempFile::new().unwrap();
        let mut child = command
            .arg("--inspect-port=0")
            .arg(script())
            .arg(holds.to_string())
            // The terminal's signals are for the test and not for it.
            .process_group(0)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .expect("node starts: run `cargo xtask setup`");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // A test that has what it wants doesn't listen any more.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Node { child, stdin, answers, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn target(&self) -> String {
        self.pid().to_string()
    }

    /// Has the main thread evaluate something.
    #[track_caller]
    pub(crate) fn ask(&mut self, javascript: &str) -> Value {
        self.tell(javascript);
        self.answer()
    }

    /// As [`Node::ask`], without waiting for the answer.
    #[track_caller]
    pub(crate) fn tell(&mut self, javascript: &str) {
        writeln!(self.stdin, "{javascript}").unwrap();
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Value {
        let line = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|e| {
            let status = self.child.try_wait();
            panic!("the target does not answer: {e}, {status:?}; {}", self.stderr())
        });
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
    }

    /// Where its inspector listens.
    #[track_caller]
    pub(crate) fn inspector(&mut self) -> Option<String> {
        self.ask("require('inspector').url()").as_str().map(str::to_owned)
    }

    /// Opens its inspector as the application would, and returns its ws:// address.
    pub(crate) fn open_inspector(&mut self) -> String {
        self.ask("require('inspector').open(0)");
        self.inspector().unwrap()
    }

    /// It answers, its inspector is closed, and nothing of ours is left in it.
    #[track_caller]
    pub(crate) fn check_untouched(&mut self) {
        wait_until("the inspector is closed", || self.inspector().is_none());
        wait_until("no child is left", || self.children().is_empty());
        assert_eq!(self.ask("6 * 7"), 42);
    }

    /// Names of its child processes, zombies too.
    pub(crate) fn children(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let (Some((_, name)), Some((_, rest))) = (stat.split_once('('), stat.rsplit_once(") ")) else {
                continue;
            };
            if rest.split(' ').nth(1) == Some(&self.target()) {
                names.push(name[..name.rfind(')').unwrap()].to_owned());
            }
        }
        names
    }

    /// What it has open: how often each kind. Numbers of sockets and pipes differ from run to run.
    pub(crate) fn descriptors(&self) -> BTreeMap<String, u32> {
        let mut kinds = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten() {
            if let Ok(target) = fs::read_link(entry.path()) {
                let kind = target.to_string_lossy().split(":[").next().unwrap().to_owned();
                *kinds.entry(kind).or_default() += 1;
            }
        }
        kinds
    }

    /// Names of the system's threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
        let mut names: Vec<String> =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect();
        names.sort();
        names
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(&mut self.child, "the target's end")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that has ended it already gets an error here, and that is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Looks again and again.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

#[track_caller]
pub(crate) fn wait_for(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    wait_until(what, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

pub(crate) fn twinheap<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").args(args);
    command
}

/// What a run of `twinheap` left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stderr))
    }

    /// It failed with this code, said why in one line and what to do in another, and printed nothing else.
    #[track_caller]
    pub(crate) fn check_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 && self.stderr.contains("\nhint: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in: {}", self.stderr);
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run_command(command: &mut Command) -> Ran {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: began.elapsed(),
    }
}

#[track_caller]
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    run_command(&mut twinheap(args))
}

/// Takes snapshots into `output`; the document.
#[track_caller]
pub(crate) fn snapshot(node: &Node, output: &Path, args: &[&str]) -> Value {
    let (pid, output) = (node.target(), text(output));
    run(&[&["snapshot", &pid, "-o", output, "--json"], args].concat()).json()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Names of what is in a folder, in order.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a snapshot says.
pub(crate) struct Summary {
    pub(crate) nodes: u64,
    pub(crate) total_size: u64,
    /// Name to count and shallow size.
    classes: BTreeMap<String, (u64, u64)>,
}

impl Summary {
    /// Reads it with `twinheap summary`, which refuses what is no whole snapshot.
    #[track_caller]
    pub(crate) fn of(path: &Path) -> Summary {
        Summary::from(&run(&["summary", "--json", text(path)]).json())
    }

    #[track_caller]
    pub(crate) fn from(document: &Value) -> Summary {
        let mut classes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for class in document["classes"].as_array().unwrap() {
            // The inspector adds the address of a global object, which is empty here, to the names of what belongs
            // to it.
            let name = class["name"].as_str().unwrap().trim_end_matches(" / ");
            let of = classes.entry(name.to_owned()).or_default();
            of.0 += class["count"].as_u64().unwrap();
            of.1 += class["shallow_size"].as_u64().unwrap();
        }
        let number = |name: &str| document[name].as_u64().unwrap();
        assert_eq!(document["warnings"], json!([]));
        Summary { nodes: number("nodes"), total_size: number("total_size"), classes }
    }

    pub(crate) fn count(&self, class: &str) -> u64 {
        self.classes.get(class).map_or(0, |c| c.0)
    }

    /// Which isolates' markers it has.
    pub(crate) fn markers(&self) -> Vec<&str> {
        self.classes.keys().filter_map(|name| name.strip_prefix("In_")).collect()
    }

    /// Two snapshots of the same idle heap. What V8 itself keeps comes and goes: compiled code, maps, caches.
    #[track_caller]
    pub(crate) fn check_like(&self, other: &Summary) {
        let near = |a: u64, b: u64, share: u64, few: u64| a.abs_diff(b) <= a.max(b) / share + few;
        assert!(near(self.nodes, other.nodes, 50, 0), "{} and {} nodes", self.nodes, other.nodes);
        let (size, other_size) = (self.total_size, other.total_size);
        assert!(near(size, other_size, 50, 0), "{size} and {other_size} bytes");
        for (name, &(count, size)) in &self.classes {
            // In parentheses is what belongs to V8.
            if name.starts_with('(') {
                continue;
            }
            let (other_count, other_size) = other.classes.get(name).copied().unwrap_or_default();
            assert!(near(count, other_count, 20, 24), "{name}: {count} and {other_count}");
            assert!(near(size, other_size, 20, 4096), "{name}: {size} and {other_size} bytes");
        }
    }
}

/// A field of `/proc/PID/status` in kB.
pub(crate) fn kilobytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

/// Whether we are root; says on stderr what is not tested otherwise.
pub(crate) fn is_root(for_what: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        skip(for_what, "it needs root");
    }
    is_root
}

#[expect(clippy::print_stderr, reason = "a test that was left out should say so")]
pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}

/// Runs a tool of the system; false if it is missing or refuses.
pub(crate) fn tool(command: &str, args: &[&str]) -> bool {
    let mut command = Command::new(command);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file system in memory, for as long as this lives.
pub(crate) struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` without the right to mount.
    pub(crate) fn new(options: &str) -> Option<Tmpfs> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = tool("mount", &["-t", "tmpfs", "-o", options, "tmpfs", text(folder.path())]);
        mounted.then_some(Tmpfs(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        tool("umount", &["-l", text(self.path())]);
    }
}
