//! The user's Node.js, and the sample server that it runs.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use serde::Deserialize;

use super::{
    DemoError, Interrupted,
    http::{Client, POLL},
    process::Process,
    remove_quietly,
};

/// The oldest major version with everything the server uses.
const OLDEST_NODE: u32 = 18;

/// Generous: a busy machine or an emulated processor is slow, and the user can press Ctrl-C.
const START_PATIENCE: Duration = Duration::from_secs(60);
const VISIT_PATIENCE: Duration = Duration::from_secs(30);

/// The server's stderr, in its folder, for the case that it fails.
const LOG_NAME: &str = "server.log";

/// A Node.js that is there and new enough.
pub(super) struct Node {
    program: PathBuf,
    /// As `node --version` says it, with the `v`.
    pub(super) version: String,
}

impl Node {
    pub(super) fn find(program: &Path) -> Result<Self> {
        let shown = program.display();
        // The server runs in another folder, where `./node` would be another file. Links stay as they are:
        // version managers put one program under many names.
        let program = match program.components().count() {
            1 => program.to_owned(),
            _ => std::path::absolute(program)?,
        };
        let output = match Command::new(&program).arg("--version").stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "there is no such program".to_owned(),
                    _ => error.to_string(),
                };
                return Err(unfit(format!("cannot start `{shown}`: {why}")));
            }
        };
        let answer = String::from_utf8_lossy(&output.stdout);
        match check_version(answer.trim()) {
            Ok(()) => Ok(Self { program, version: answer.trim().to_owned() }),
            Err(why) => Err(unfit(format!("cannot use `{shown}`: {why}"))),
        }
    }
}

fn unfit(message: String) -> Error {
    let hint = format!(
        "the demo needs Node.js {OLDEST_NODE} or newer: install it, or name one with `twinheap demo --node PATH`"
    );
    DemoError { message, hint }.into()
}

/// Says what is wrong with the answer to `node --version`, which is `v20.20.2` or similar.
fn check_version(version: &str) -> Result<(), String> {
    let major = version.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        Some(_) => Err(format!("it is Node.js {version}")),
        None => Err("it doesn't answer as Node.js does".to_owned()),
    }
}

/// The running server. Dropping it ends it.
pub(super) struct Server<'a> {
    process: Process,
    client: Client<'a>,
    folder: PathBuf,
}

impl<'a> Server<'a> {
    /// Starts `source`, a file in `folder`, and waits until it answers. With a file for the recording it is recorded.
    pub(super) fn start(
        node: &Node,
        folder: &Path,
        source: &str,
        recording: Option<&Path>,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let log = File::create(folder.join(LOG_NAME)).context("cannot write the server's log")?;
        let mut command = Command::new(&node.program);
        // Nobody's debugger is in the way of ours on a port of the system's choice.
        command.args(["--inspect-port=0", source]).current_dir(folder);
        // Options such as --inspect or --require belong to the user's own servers.
        command.env_remove("NODE_OPTIONS");
        // The server stops when this pipe closes, however we end.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // Ctrl-C on a terminal goes to the whole process group. It is ours to handle, and the server's end follows.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let (process, stdout) = match recording {
            Some(file) => Process::recorded(command, file)?,
            None => Process::plain(command, &node.program)?,
        };
        let connected =
            wait_until_ready(stdout, stop).and_then(|ready| Client::connect(ready.port, ready.token, stop));
        match connected {
            Ok(client) => Ok(Self { process, client, folder: folder.to_owned() }),
            Err(error) => {
                // Its last words must be in the log before we read it.
                drop(process);
                Err(with_last_words(error, folder).context("the sample server did not start"))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// One visit to the shop.
    pub(super) fn visit(&mut self) -> Result<()> {
        self.post("/work", VISIT_PATIENCE)
    }

    /// Ends the server; its log, which says nothing worth keeping then, goes too. What kept it from being recorded.
    pub(super) fn exit(mut self) -> Result<Option<Error>> {
        self.post("/exit", VISIT_PATIENCE)?;
        let Self { process, folder, .. } = self;
        let outcome = process.wait();
        remove_quietly(&folder.join(LOG_NAME));
        Ok(outcome.err())
    }

    fn post(&mut self, target: &str, patience: Duration) -> Result<()> {
        match self.client.post(target, patience) {
            Ok(_) => Ok(()),
            Err(error) => Err(with_last_words(error, &self.folder)),
        }
    }
}

/// The line that the server prints when it listens.
#[derive(Deserialize)]
struct Ready {
    port: u16,
    token: String,
}

fn wait_until_ready(stdout: ChildStdout, stop: &AtomicBool) -> Result<Ready> {
    // A pipe can't be read with a time limit, so a thread reads it. It ends with the line, or with the server.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let result = BufReader::new(stdout).read_line(&mut line).map(|_| line);
        // The receiver is gone if we gave up.
        let _: Result<(), _> = sender.send(result);
    });
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        match receiver.recv_timeout(POLL) {
            Ok(line) => {
                let line = line.context("cannot read what the server says")?;
                if line.is_empty() {
                    bail!("it ended at once");
                }
                return serde_json::from_str(&line).with_context(|| format!("it said {line:?}"));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(_) => bail!("it did not answer in {} s", START_PATIENCE.as_secs()),
        }
    }
}

/// Adds the telling line of the server's log to an error. An interruption needs no explanation.
fn with_last_words(error: Error, folder: &Path) -> Error {
    let log = fs::read_to_string(folder.join(LOG_NAME)).unwrap_or_default();
    // Node prints the source line, then the error, then the stack.
    let telling = log.lines().find(|line| line.to_ascii_lowercase().contains("error"));
    match telling.or(log.lines().last()) {
        Some(line) if !error.is::<Interrupted>() => anyhow!("{error:#} (Node.js said: {})", line.trim()),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::Guard;
    use super::*;

    #[test]
    fn old_versions_and_other_programs_are_refused() {
        assert_eq!(check_version("v18.0.0"), Ok(()));
        assert_eq!(check_version("v26.0.0-nightly20260101"), Ok(()));
        assert_eq!(check_version("v16.20.2"), Err("it is Node.js v16.20.2".into()));
        for answer in ["", "v", "20.20.2", "cat (GNU coreutils) 9.1"] {
            assert_eq!(check_version(answer), Err("it doesn't answer as Node.js does".into()));
        }
    }

    /// The server without the driver around it.
    fn bare_server() -> (Guard, Ready) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/server.cjs");
        let mut command = Command::new("node");
        let piped = command.arg(source).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Guard(piped.spawn().unwrap());
        let ready = wait_until_ready(child.0.stdout.take().unwrap(), &GO_ON).unwrap();
        (child, ready)
    }

    static GO_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn the_server_does_nothing_for_a_stranger() {
        let (_child, ready) = bare_server();
        for token in [String::new(), "x".repeat(ready.token.len()), format!("{}0", ready.token)] {
            let mut stranger = Client::connect(ready.port, token, &GO_ON).unwrap();
            let error = stranger.post("/exit", VISIT_PATIENCE).unwrap_err().to_string();
            assert!(error.starts_with("the server answered 403 to /exit: "), "{error}");
        }
        let mut friend = Client::connect(ready.port, ready.token, &GO_ON).unwrap();
        assert_eq!(friend.post("/work", VISIT_PATIENCE).unwrap(), br#"{"visit":0}"#);
        let error = friend.post("/snapshot", VISIT_PATIENCE).unwrap_err().to_string();
        assert_eq!(error, r#"the server answered 404 to /snapshot: {"error":"nothing at /snapshot"}"#);
    }

    #[test]
    fn the_server_ends_when_its_stdin_closes() {
        let (mut child, _) = bare_server();
        drop(child.0.stdin.take());
        assert!(child.0.wait().unwrap().success());
    }
}
