//! A Node process that takes commands as lines of JSON and answers with such lines.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

/// How often a process that is to end is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Lines of a log that tell enough.
const TAIL: usize = 40;

/// The process; it is killed with this.
pub(super) struct Actor {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    asked: u64,
    log: PathBuf,
}

impl Actor {
    /// Starts it, and waits for its first line, which is returned too. What it writes to standard error goes to
    /// `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<(Actor, Value)> {
        let errors = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).env_remove("NODE_OPTIONS");
        let mut child = command.spawn().with_context(|| format!("cannot start the {name}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the {name} has no pipes");
        };
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line)
                    && sender.send(value).is_err()
                {
                    break;
                }
            }
        });
        let mut actor = Actor { name, child, input, answers, asked: 0, log: log.to_owned() };
        let first = actor.answer(Duration::from_secs(120))?;
        Ok((actor, first))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command and waits for the answer.
    pub(super) fn ask(&mut self, command: &str, patience: Duration) -> Result<Value> {
        self.asked += 1;
        let line = json!({"id": self.asked, "command": command});
        writeln!(self.input, "{line}").with_context(|| format!("the {} does not listen", self.name))?;
        let answer = self.answer(patience).with_context(|| format!("asked to `{command}`"))?;
        match answer["error"].as_str() {
            Some(error) => Err(anyhow!("the {} can't `{command}`: {error}", self.name)),
            None => Ok(answer),
        }
    }

    fn answer(&mut self, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(value) if value["id"].as_u64() == Some(self.asked) => return Ok(value),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("the {} does not answer", self.name),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.wait(Duration::from_secs(5))?;
                    bail!("the {} ended: {status}", self.name);
                }
            }
        }
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("the {} does not end", self.name);
            }
            thread::sleep(POLL);
        }
    }

    /// All that it wrote to standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of that, without what every inspector and every finished recording says.
    pub(super) fn log_tail(&self) -> String {
        let text = self.log();
        let usual =
            ["Debugger ", "For help, see", "recorded ", "without names: ", "look at it with: ", "named "];
        let lines: Vec<&str> =
            text.lines().filter(|line| !usual.iter().any(|start| line.starts_with(start))).collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
