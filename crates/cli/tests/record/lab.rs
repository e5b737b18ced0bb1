//! Programs to record, and what their recordings say.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often something is looked at that tells nobody when it changes.
const POLL: Duration = Duration::from_millis(5);

/// A folder for the programs and recordings of one test.
pub(crate) struct Lab(tempfile::TempDir);

/// A source of `record/programs`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/programs").join(name)
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a program; options come before the ones that all have.
    #[track_caller]
    pub(crate) fn build(&self, name: &str, options: &[&str]) -> PathBuf {
        let out = self.path(name.split('.').next().unwrap());
        self.build_as(name, &out, options);
        out
    }

    #[track_caller]
    pub(crate) fn build_as(&self, name: &str, out: &Path, options: &[&str]) {
        let (compiler, always): (_, &[&str]) = match Path::new(name).extension().and_then(OsStr::to_str) {
            // Calls must not turn into jumps, and no allocation may be optimised away.
            Some("c") => {
                ("gcc", &["-g", "-O1", "-fno-builtin", "-fno-optimize-sibling-calls", "-pthread", "-w"])
            }
            Some("cpp") => {
                ("g++", &["-g", "-O1", "-fno-builtin", "-fno-optimize-sibling-calls", "-pthread", "-w"])
            }
            _ => ("rustc", &["-g", "-Copt-level=1", "--edition=2024"]),
        };
        let mut command = Command::new(compiler);
        command.args(always).arg(source(name)).arg("-o").arg(out).args(options);
        let output = command.output().unwrap_or_else(|e| panic!("{compiler}: {e}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Records a command into `a.heaptrace`; it must work.
    #[track_caller]
    pub(crate) fn record<S: AsRef<OsStr>>(&self, options: &[&str], command: &[S]) -> (Ran, Summary) {
        self.record_ending(0, options, command)
    }

    /// The same of a command that ends with this exit code.
    #[track_caller]
    pub(crate) fn record_ending<S: AsRef<OsStr>>(
        &self,
        code: i32,
        options: &[&str],
        command: &[S],
    ) -> (Ran, Summary) {
        let file = self.path("a.heaptrace");
        let ran = run(&mut self.recorder(options, &file, command));
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(!ran.stderr.contains("warning: "), "{}", ran.stderr);
        (ran, Summary::of(&file))
    }

    /// The command that records another.
    pub(crate) fn recorder<S: AsRef<OsStr>>(&self, options: &[&str], file: &Path, command: &[S]) -> Command {
        let mut recorder = twinheap(&["record"]);
        recorder.args(options).arg("-o").arg(file).arg("--").args(command).current_dir(self.0.path());
        recorder.env_remove("LD_PRELOAD").env_remove("NODE_OPTIONS").env_remove("DEBUGINFOD_URLS");
        recorder
    }

    /// Recordings in the folder, by their names.
    pub(crate) fn recordings(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap().flatten();
        let names = entries.map(|e| e.file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.contains(".heaptrace")).collect();
        names.sort();
        names
    }
}

pub(crate) fn twinheap<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinheap"));
    command.env("NO_COLOR", "1").env_remove("COLUMNS").args(args);
    command
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    /// It failed with this code, said why in one line and what to do in another.
    #[track_caller]
    pub(crate) fn check_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 && self.stderr.contains("\nhint: "), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in: {}", self.stderr);
        }
    }
}

/// What `twinheap summary --json` says of a recording.
pub(crate) struct Summary(pub(crate) Value);

/// Costs of stacks with something in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) allocations: u64,
    pub(crate) leaked: u64,
}

/// Short for [`Costs`].
pub(crate) fn costs(allocations: u64, leaked: u64) -> Costs {
    Costs { allocations, leaked }
}

impl Summary {
    #[track_caller]
    pub(crate) fn of(file: &Path) -> Summary {
        let summary = Summary::partial(file, 0);
        let warnings = summary.0["warnings"].as_array().unwrap();
        // A recording may lack what it was told to leave out; nothing may be wrong with it.
        let is_damage = |warning: &Value| warning.as_str().unwrap().contains("damaged");
        assert!(!warnings.iter().any(is_damage), "{}: {warnings:?}", file.display());
        summary
    }

    /// Only what was allocated under functions with this text in their names: all of Node's stacks are many.
    #[track_caller]
    pub(crate) fn filtered(file: &Path, function: &str) -> Summary {
        let ran =
            run(twinheap(&["summary", "--json", "--limit=100000", "--filter-function", function]).arg(file));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        Summary(serde_json::from_str(&ran.stdout).unwrap())
    }

    /// Of a file that is summarised with this exit code.
    #[track_caller]
    pub(crate) fn partial(file: &Path, code: i32) -> Summary {
        Summary::try_partial(file, code).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// As above; what it said otherwise.
    pub(crate) fn try_partial(file: &Path, code: i32) -> Result<Summary, String> {
        let ran = run(twinheap(&["summary", "--json", "--limit=100000"]).arg(file));
        if ran.code != Some(code) {
            return Err(format!("{ran:?}"));
        }
        serde_json::from_str(&ran.stdout).map(Summary).map_err(|error| error.to_string())
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_else(|| panic!("no {field} in {}", self.0))
    }

    fn stacks(&self) -> &[Value] {
        self.0["stacks"]["allocations"].as_array().unwrap()
    }

    fn total<'a>(&self, stacks: impl Iterator<Item = &'a Value>) -> Costs {
        stacks.fold(Costs::default(), |sum, stack| Costs {
            allocations: sum.allocations + stack["allocations"].as_u64().unwrap(),
            leaked: sum.leaked + stack["leaked"].as_u64().unwrap(),
        })
    }

    /// What was allocated by a function itself, if it calls malloc or a hook by another name.
    pub(crate) fn by(&self, function: &str) -> Costs {
        self.total(self.stacks().iter().filter(|stack| is_named(&stack["frames"][0], function)))
    }

    /// What was allocated under a function.
    pub(crate) fn under(&self, function: &str) -> Costs {
        let frames = |stack: &Value| stack["frames"].as_array().unwrap().clone();
        let stacks = self.stacks().iter();
        self.total(stacks.filter(|stack| frames(stack).iter().any(|frame| is_named(frame, function))))
    }

    /// Frames of all stacks whose innermost one is of this function.
    pub(crate) fn frames(&self, function: &str) -> Vec<Vec<Value>> {
        let stacks = self.stacks().iter().map(|stack| stack["frames"].as_array().unwrap().clone());
        stacks.filter(|frames| frames.first().is_some_and(|frame| is_named(frame, function))).collect()
    }

    /// Functions of the only stack of a call site, the innermost first, up to `main`.
    #[track_caller]
    pub(crate) fn functions(&self, function: &str) -> Vec<String> {
        let stacks = self.frames(function);
        assert_eq!(stacks.len(), 1, "{stacks:#?}");
        let names = stacks[0].iter().map(|frame| name(frame).to_owned());
        let mut names: Vec<_> = names.collect();
        let main =
            names.iter().position(|name| name == "main").unwrap_or_else(|| panic!("no main: {names:?}"));
        names.truncate(main + 1);
        names
    }

    /// The call site has this file and line, that of the text in the source.
    #[track_caller]
    pub(crate) fn check_line(&self, function: &str, program: &str, text: &str) {
        let code = fs::read_to_string(source(program)).unwrap();
        let line = code.lines().position(|line| line.contains(text)).unwrap() as u64 + 1;
        let stacks = self.frames(function);
        assert!(!stacks.is_empty(), "{function} is in no stack: {}", self.0);
        for frames in stacks {
            assert!(frames[0]["file"].as_str().unwrap().ends_with(program), "{}", frames[0]);
            assert_eq!(frames[0]["line"], line, "{}", frames[0]);
        }
    }
}

fn name(frame: &Value) -> &str {
    frame["function"].as_str().unwrap_or_default()
}

/// Whether a frame is of a function, whatever its namespaces, arguments and type parameters.
fn is_named(frame: &Value, function: &str) -> bool {
    let name = name(frame);
    let bare = name.split(['(', '<']).next().unwrap_or_default();
    name == function || bare == function || bare.ends_with(&format!("::{function}"))
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

pub(crate) fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[expect(clippy::print_stderr, reason = "a test that was left out should say so")]
pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}
