//! `open` and `demo` at a terminal, which `script` makes: what a person sees, and what Ctrl-C leaves.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::lab::{Client, PATIENCE, Running, fixture};

/// Between two pieces of a file that shall take its time: the bar is drawn with the next piece.
const PIECE_EVERY: Duration = Duration::from_millis(20);

/// Tells how the terminal is left, and ends as the program did. The trap is for the shell alone: its children have
/// the signal's usual meaning.
const SHELL: &str =
    "stty cols 100 rows 30; trap : INT; \"$@\"; code=$?; echo \"[ended with $code]\"; stty -a; exit $code";

/// A program at a terminal of its own.
struct Terminal {
    running: Running,
    /// What comes out, as it comes.
    pieces: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Runs twinheap with these arguments; `to` gets its standard output instead of the terminal.
    fn run(args: &[&str], to: Option<&Path>) -> Terminal {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let program: Vec<String> = [&["sh", "-c", SHELL, "sh", env!("CARGO_BIN_EXE_twinheap")], args]
            .concat()
            .into_iter()
            .map(quoted)
            .collect();
        // Whatever shell `script` takes: it gives way to ours, since Ctrl-C would end it and be its code.
        let mut command = format!("exec {}", program.join(" "));
        if let Some(path) = to {
            let inner = SHELL.replace("\"$@\"", &format!("\"$@\" > {}", quoted(path.to_str().unwrap())));
            command = command.replace(&quoted(SHELL), &quoted(&inner));
        }
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        script.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("COLUMNS");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut running = Running(script.spawn().unwrap());
        let mut stdout = running.0.stdout.take().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { running, pieces, seen: String::new() }
    }

    /// Takes what comes within a time; false at the end.
    fn look(&mut self, time: Duration) -> bool {
        match self.pieces.recv_timeout(time) {
            Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    /// Waits for something to be said, however slow the machine is.
    #[track_caller]
    fn until(&mut self, what: &dyn Fn(&str) -> bool) {
        while !what(&self.seen) {
            assert!(self.look(Duration::from_secs(1)), "it ended: {}", self.seen);
        }
    }

    fn interrupt(&mut self) {
        self.running.0.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    }

    /// The code it ended with, and what was seen before and after its end.
    #[track_caller]
    fn end(mut self) -> (i32, String, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.look(Duration::from_millis(50)) {
            assert!(Instant::now() < deadline, "{}", self.seen);
        }
        let code = self.running.0.wait().unwrap().code().unwrap();
        let (before, after) = self.seen.split_once("[ended with ").unwrap_or_else(|| panic!("{}", self.seen));
        assert!(after.starts_with(&format!("{code}]")), "script ended with {code}, and {after}");
        (code, before.to_owned(), after.to_owned())
    }
}

/// The lines as they stand on the screen in the end, as far as our programs move the cursor: back to the start of a
/// line, up, and what is right of it or a whole line away.
fn screen(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' => row += 1,
            '\r' => column = 0,
            '\x1b' => {
                let mut number = String::new();
                let order = rest.by_ref().skip(1).find(|c| {
                    number.extend((c.is_ascii_digit()).then_some(*c));
                    c.is_ascii_alphabetic()
                });
                match order {
                    Some('A') => row -= number.parse().unwrap_or(1).min(row),
                    Some('K') if number == "2" => lines[row].clear(),
                    Some('K') => lines[row] = lines[row].chars().take(column).collect(),
                    _ => {}
                }
            }
            c => {
                let line = &mut lines[row];
                let mut cells: Vec<char> = line.chars().collect();
                cells.resize(cells.len().max(column + 1), ' ');
                cells[column] = c;
                *line = cells.into_iter().collect();
                column += 1;
            }
        }
        if row >= lines.len() {
            lines.resize(row + 1, String::new());
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The address, which stands alone on a line.
#[track_caller]
fn address(text: &str) -> String {
    let lines = screen(text);
    let found: Vec<&String> = lines.iter().filter(|line| line.contains("http://127.")).collect();
    assert!(matches!(found[..], [line] if line.starts_with("http://") && !line.contains(' ')), "{lines:?}");
    found[0].clone()
}

/// The cursor can be seen, what is typed is echoed, and the shell's prompt begins a line.
#[track_caller]
fn check_sane(before: &str, after: &str) {
    assert!(before.rfind("\x1b[?25l") <= before.rfind("\x1b[?25h"), "no cursor: {before:?}");
    for wanted in ["echo", "icanon", "isig", "opost"] {
        assert!(after.split_whitespace().any(|word| word == wanted), "no {wanted}: {after}");
    }
    let lines = screen(before);
    assert!(lines.last().is_some_and(|line| line.is_empty() || line == "^C"), "{lines:?}");
}

/// `open` at a terminal, while it reads a file: through a pipe, so that this takes as long as it has to.
fn reading(folder: &Path, to: Option<&Path>) -> (Terminal, File) {
    let pipe = folder.join("slow.heapsnapshot");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut terminal = Terminal::run(&["open", pipe.to_str().unwrap(), "--listen", "127.0.0.1:0"], to);
    let text = zstd::decode_all(File::open(fixture("node24-a.heapsnapshot.zst")).unwrap()).unwrap();
    let mut pieces = text.chunks(text.len() / 300);
    let mut writer = File::options().write(true).open(&pipe).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !terminal.seen.contains("reading") {
        assert!(Instant::now() < deadline, "no bar: {}", terminal.seen);
        writer.write_all(pieces.next().unwrap_or_default()).unwrap();
        assert!(terminal.look(PIECE_EVERY), "{}", terminal.seen);
    }
    (terminal, writer)
}

#[test]
fn an_address_stands_alone_while_a_file_is_read_and_ctrl_c_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut terminal, _writer) = reading(folder.path(), None);
    let page = address(&terminal.seen);
    assert_eq!(Client::at(&page).get("api/state").json()["files"][0]["status"], "loading");
    terminal.interrupt();
    let (code, before, after) = terminal.end();
    assert_eq!(code, 130, "{before}");
    assert_eq!(address(&before), page);
    assert!(!screen(&before).iter().any(|line| line.contains("reading")), "{:?}", screen(&before));
    check_sane(&before, &after);
}

#[test]
fn a_bar_is_not_in_what_is_piped_on() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("stdout");
    let (mut terminal, _writer) = reading(folder.path(), Some(&output));
    terminal.interrupt();
    let (code, before, after) = terminal.end();
    assert_eq!(code, 130, "{before}");
    let told = fs::read_to_string(&output).unwrap();
    let line = told.strip_suffix('\n').unwrap();
    assert!(line.starts_with("http://127.0.0.1:") && !line.contains(char::is_whitespace), "{told:?}");
    check_sane(&before, &after);
}

#[test]
fn the_demo_ends_with_an_address_and_ctrl_c_is_no_failure() {
    let mut terminal = Terminal::run(&["demo"], None);
    terminal.until(&|text| text.contains("Ctrl-C ends it"));
    let page = address(&terminal.seen);
    let (page, file) = page.split_once('?').unwrap();
    assert_eq!(file, "file=2");
    Client::at(page).wait();
    terminal.interrupt();
    let (code, before, after) = terminal.end();
    assert_eq!(code, 0, "{before}");
    assert!(before.contains("Leak: Session piles up in SessionStore.items"), "{before}");
    check_sane(&before, &after);
}
