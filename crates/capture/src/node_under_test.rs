//! Node processes for tests, of all versions in `tests/oracle`; each is killed with its guard.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The major versions that `tests/oracle` installs.
pub(crate) const VERSIONS: [u32; 5] = [18, 20, 22, 24, 26];

/// A Node process that lives as long as this does.
pub(crate) struct NodeUnderTest {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it printed before it was ready.
    early: VecDeque<String>,
}

/// The executable of a major version.
pub(crate) fn executable(major: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../tests/oracle/node_modules/node{major}/bin/node"))
}

impl NodeUnderTest {
    /// Runs `script`, and waits until it has run to its end once and the event loop turns.
    pub(crate) fn start(major: u32, options: &[&str], script: &str) -> NodeUnderTest {
        NodeUnderTest::run(Command::new(executable(major)).args(options), script)
    }

    /// As [`NodeUnderTest::start`], for a command that becomes Node.
    pub(crate) fn run(command: &mut Command, script: &str) -> NodeUnderTest {
        let script =
            format!("setInterval(() => {{}}, 1000); {script}\nsetImmediate(() => console.log('ready'))");
        // The terminal's signals are for the test and not for it.
        command.arg("-e").arg(script).process_group(0).env_remove("NODE_OPTIONS");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts: run `cargo xtask setup`");
        let output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let mut node = NodeUnderTest { child, output, early: VecDeque::new() };
        loop {
            match node.read_line() {
                line if line == "ready" => return node,
                line => node.early.push_back(line),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the script prints `line`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, line: &str) {
        while self.next_line() != line {}
    }

    /// The next line that the script prints.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> String {
        self.early.pop_front().unwrap_or_else(|| self.read_line())
    }

    #[track_caller]
    fn read_line(&mut self) -> String {
        let mut text = String::new();
        let length = self.output.read_line(&mut text).expect("its output can be read");
        assert!(length > 0, "the process ended");
        text.trim_end().to_owned()
    }

    /// Ends the process and leaves a zombie until the guard goes.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
    }

    /// Ends the process for good.
    pub(crate) fn end(&mut self) {
        self.kill();
        self.child.wait().expect("it is ours");
    }
}

impl Drop for NodeUnderTest {
    fn drop(&mut self) {
        // A test that has ended it already gets an error here, and that is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
