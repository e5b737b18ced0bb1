//! However the program or twinheap ends, what was recorded before is kept, and the program is unharmed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::lab::{Lab, Summary, costs, run, signal, skip, wait_until};

const BEFORE: u64 = 20_000;

#[test]
fn everything_up_to_the_end_is_in_the_file() {
    let lab = Lab::new();
    let program = lab.build("ends.c", &[]);
    // The exit code is the program's, or what a shell makes of its signal.
    for (way, code, says) in [
        ("_exit", 9, "ended with exit status: 9"),
        ("thread-exit", 11, "ended with exit status: 11"),
        ("abort", 134, "ended with signal: 6 (SIGABRT)"),
        ("kill", 137, "ended with signal: 9 (SIGKILL)"),
    ] {
        let (ran, summary) = lab.record_ending(code, &[], &[program.to_str().unwrap(), way]);
        assert!(ran.stderr.contains(says), "{way}: {}", ran.stderr);
        assert_eq!(summary.by("before_the_end"), costs(BEFORE, 10 * BEFORE), "{way}");
        assert_eq!(summary.number("allocations"), BEFORE, "{way}");
        assert_eq!(lab.recordings(), ["a.heaptrace"]);
    }
}

/// `twinheap record` on `ends.c`, which has said that it waits for a line.
struct Waiting {
    lab: Lab,
    twinheap: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // One that has ended already is an error, and no matter. The program ends with its standard input.
        let _ = self.twinheap.kill();
        let _ = self.twinheap.wait();
    }
}

impl Waiting {
    fn start(options: &[&str]) -> Waiting {
        Waiting::start_by(&[], options)
    }

    /// The words come before the program's name.
    fn start_by(words: &[&str], options: &[&str]) -> Waiting {
        let lab = Lab::new();
        let program = lab.build("ends.c", &[]);
        let file = lab.path("a.heaptrace");
        let command = [words, &[program.to_str().unwrap()]].concat();
        let mut twinheap = lab
            .recorder(options, &file, &command)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(lab.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (twinheap.stdin.take().unwrap(), twinheap.stdout.take().unwrap());
        let mut waiting = Waiting { lab, twinheap, stdin, stdout: BufReader::new(stdout) };
        waiting.check_says("ready\n");
        waiting
    }

    /// The program says this next; nothing at its end.
    #[track_caller]
    fn check_says(&mut self, expected: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line, expected, "{}", self.stderr());
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.lab.path("stderr")).unwrap()
    }

    /// The program goes on and ends as it would by itself.
    #[track_caller]
    fn check_goes_on(&mut self) {
        writeln!(self.stdin).unwrap();
        self.check_says("done\n");
        // The last one that has the pipe is gone.
        self.check_says("");
    }

    fn file(&self) -> PathBuf {
        self.lab.path("a.heaptrace")
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        self.twinheap.wait().unwrap()
    }
}

#[test]
fn killing_twinheap_leaves_a_readable_part_and_the_program_alone() {
    let mut waiting = Waiting::start(&[]);
    let part = waiting.lab.path("a.heaptrace.part");
    // It writes every two seconds what it has, whatever comes.
    wait_until("all is in the file", || {
        Summary::try_partial(&part, 3).is_ok_and(|summary| summary.number("allocations") == BEFORE)
    });
    let pid = waiting.twinheap.id();
    signal(pid, "-KILL");
    waiting.wait();
    waiting.check_goes_on();
    let summary = Summary::partial(&part, 3);
    assert_eq!(summary.number("allocations"), BEFORE);
    assert_eq!(summary.number("leaked_bytes"), 10 * BEFORE);
    assert_ne!(summary.0["warnings"], serde_json::json!([]));
    // The shared memory that it could not give back is given back by whoever comes next.
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    lab.record(&[], &[&program]);
    assert_eq!(folders_of(pid), Vec::<PathBuf>::new());
}

/// Folders with shared memory of a `twinheap`.
fn folders_of(pid: u32) -> Vec<PathBuf> {
    let bases = [PathBuf::from("/dev/shm"), std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let entries = bases.iter().filter_map(|base| fs::read_dir(base).ok()).flatten().flatten();
    let start = format!("twinheap-{pid}.");
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(&start)).map(|e| e.path()).collect()
}

/// The first program became another by `exec`; whoever records beside it must not take its memory for abandoned.
#[test]
fn recordings_side_by_side_leave_each_other_alone() {
    let mut waiting = Waiting::start_by(&["sh", "-c", "exec \"$0\""], &[]);
    let pid = waiting.twinheap.id();
    let lab = Lab::new();
    let program = lab.build("around_main.c", &[]);
    lab.record(&[], &[&program]);
    assert_eq!(folders_of(pid).len(), 1, "{:?}", folders_of(pid));
    waiting.check_goes_on();
    assert_eq!(waiting.wait().code(), Some(7), "{}", waiting.stderr());
    let summary = Summary::of(&waiting.file());
    assert_eq!(summary.by("before_the_end"), costs(BEFORE, 10 * BEFORE));
    // Threads that had to wait have not stopped recording.
    assert_eq!(summary.by("after_the_line"), costs(2_000_000, 0));
    assert_eq!(folders_of(pid), Vec::<PathBuf>::new());
}

#[test]
fn a_program_that_is_told_to_end_with_twinheap_ends() {
    let mut waiting = Waiting::start(&[]);
    // As `docker stop` does, and a supervisor: the program hears of it through twinheap.
    signal(waiting.twinheap.id(), "-TERM");
    waiting.check_says("");
    assert_eq!(waiting.wait().code(), Some(143), "{}", waiting.stderr());
    assert!(waiting.stderr().contains("ended with signal: 15 (SIGTERM)"), "{}", waiting.stderr());
    let summary = Summary::of(&waiting.file());
    assert_eq!(summary.by("before_the_end"), costs(BEFORE, 10 * BEFORE));
    assert_eq!(waiting.lab.recordings(), ["a.heaptrace"]);
    assert_eq!(folders_of(waiting.twinheap.id()), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupt_from_the_terminal_goes_to_both() {
    let mut waiting = Waiting::start(&[]);
    // The group is twinheap's own and the program is in it.
    let group = format!("-{}", waiting.twinheap.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    waiting.check_says("");
    assert_eq!(waiting.wait().code(), Some(130), "{}", waiting.stderr());
    assert!(waiting.stderr().contains("ended with signal: 2 (SIGINT)"), "{}", waiting.stderr());
    assert_eq!(Summary::of(&waiting.file()).by("before_the_end"), costs(BEFORE, 10 * BEFORE));
}

/// Starts a child and says when it is over.
const CHILD: [&str; 3] = ["bash", "-c", "echo ready; read; env true; echo done"];

/// A shell that starts a child while its twinheap, whose number is given too, stands still.
fn stopped_before_a_child(options: &[&str]) -> (Waiting, u32) {
    let mut waiting = Waiting::start_by(&CHILD, options);
    let pid = waiting.twinheap.id();
    signal(pid, "-STOP");
    writeln!(waiting.stdin).unwrap();
    (waiting, pid)
}

/// A server's children are started whenever twinheap happens to be busy: none of them is left out for that.
#[test]
fn a_child_waits_until_twinheap_has_time() {
    let (mut waiting, pid) = stopped_before_a_child(&["--follow"]);
    // Long enough for whoever would lose patience.
    thread::sleep(Duration::from_millis(1500));
    signal(pid, "-CONT");
    waiting.check_says("done\n");
    assert_eq!(waiting.wait().code(), Some(0));
    assert!(!waiting.stderr().contains("warning: "), "{}", waiting.stderr());
    // The shell, the copy of it, what that became and what that became.
    assert_eq!(waiting.lab.recordings().len(), 4, "{}", waiting.stderr());
}

#[test]
fn a_child_does_not_wait_for_a_twinheap_that_is_gone() {
    let (mut waiting, pid) = stopped_before_a_child(&["--follow"]);
    // Until it waits.
    thread::sleep(Duration::from_millis(300));
    signal(pid, "-KILL");
    waiting.check_says("done\n");
}

#[test]
fn a_child_that_does_not_wait_is_told_of() {
    let (mut waiting, pid) = stopped_before_a_child(&["--follow", "--drop"]);
    waiting.check_says("done\n");
    signal(pid, "-CONT");
    assert_eq!(waiting.wait().code(), Some(0));
    // The copy of the shell found a place, what it became didn't.
    assert!(waiting.stderr().contains("1 process is missing: "), "{}", waiting.stderr());
    assert_eq!(waiting.lab.recordings().len(), 2, "{}", waiting.stderr());
}

#[test]
fn a_process_without_room_is_told_of() {
    let lab = Lab::new();
    let script = "ulimit -v 200000; env true; exit 5";
    let ran = run(&mut lab.recorder(&["--follow"], &lab.path("a.heaptrace"), &["bash", "-c", script]));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    // The shell's copy has not even room to say so; what it becomes has.
    assert!(ran.stderr.contains("1 process is missing: "), "{}", ran.stderr);
    assert_eq!(lab.recordings(), ["a.heaptrace"]);
    Summary::of(&lab.path("a.heaptrace"));
}

/// A process whose first thread has ended looks like one that is gone.
#[test]
fn a_child_lives_as_long_as_any_of_its_threads() {
    let lab = Lab::new();
    let program = lab.build("ends.c", &[]);
    let command = ["sh", "-c", "\"$0\" leader; true", program.to_str().unwrap()];
    lab.record(&["--follow"], &command);
    let sum = |name: &String| Summary::of(&lab.path(name)).by("without_the_leader").allocations;
    assert_eq!(lab.recordings().iter().map(sum).sum::<u64>(), BEFORE);
}

#[test]
fn a_duration_ends_the_recording_and_not_the_program() {
    let mut waiting = Waiting::start(&["--duration=1ms"]);
    assert_eq!(waiting.wait().code(), Some(0), "{}", waiting.stderr());
    assert_eq!(waiting.lab.recordings(), ["a.heaptrace"]);
    Summary::of(&waiting.file());
    waiting.check_goes_on();
}

#[test]
fn a_full_disk_is_told_of_and_harms_nobody() {
    let Some(disk) = Tiny::new() else { return };
    let lab = Lab::new();
    let program = lab.build("many.c", &[]);
    let command = [program.to_str().unwrap(), "400000", "4000", "mixed"];
    // Whoever waits for the pipes waits for the program too.
    let ran = run(&mut lab.recorder(&[], &disk.file(), &command));
    assert_eq!(ran.stdout, "done\n");
    ran.check_error(2, &["can't write", "No space left", "a.heaptrace", "FILE.part"]);
    Summary::partial(&disk.file().with_extension("heaptrace.part"), 3);
    assert!(!disk.file().exists());
}

#[test]
fn a_limit_on_file_sizes_is_told_of() {
    let lab = Lab::new();
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -f 100000; exec \"$0\" record -o \"$1\" -- true"]);
    let ran = run(shell.arg(env!("CARGO_BIN_EXE_twinheap")).arg(lab.path("a.heaptrace")));
    ran.check_error(2, &["shared memory", "102400000", "ulimit -f unlimited"]);
}

/// A file system in memory with room for a few pages.
struct Tiny(tempfile::TempDir);

impl Tiny {
    /// `None` without the right to mount.
    fn new() -> Option<Tiny> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            skip("a full disk", "no file system can be mounted");
        }
        is_mounted.then_some(Tiny(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("a.heaptrace")
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
