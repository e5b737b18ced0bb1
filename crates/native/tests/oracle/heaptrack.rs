//! heaptrack's programs: recording, interpreting, printing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use twinheap_native::NativeHeap;
use twinheap_trace::Parser;

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!(
            "can't start {}: {e}; these tests compare with heaptrack and valgrind: `sudo apt-get install heaptrack valgrind`",
            command.get_program().display()
        )
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    output
}

/// Reads a file, plain or compressed, without damage.
#[track_caller]
pub(crate) fn read(file: &Path) -> NativeHeap {
    let mut bytes = Vec::new();
    let mut reader = fs::File::open(file).unwrap();
    if file.extension().is_some_and(|end| end == "zst") {
        zstd::stream::read::Decoder::new(reader).unwrap().read_to_end(&mut bytes).unwrap();
    } else {
        reader.read_to_end(&mut bytes).unwrap();
    }
    let mut parser = Parser::new();
    bytes.chunks(100_000).for_each(|chunk| parser.feed(chunk).unwrap());
    let parsed = parser.finish().unwrap();
    assert_eq!(parsed.damage, [], "{}", file.display());
    NativeHeap::new(parsed.trace)
}

/// What `heaptrack_print` says about a file.
pub(crate) struct Printed {
    /// One line a stack, `root;…;leaf; NUMBER`, sorted.
    pub(crate) flames: Vec<String>,
    /// By cost type: label, place and the functions inlined into it, most first.
    pub(crate) sites: BTreeMap<&'static str, Vec<String>>,
    /// Size and calls.
    pub(crate) histogram: Vec<(u64, u64)>,
    totals: BTreeMap<String, String>,
}

const SECTIONS: [(&str, &str); 4] = [
    ("MOST CALLS TO ALLOCATION FUNCTIONS", "allocations"),
    ("PEAK MEMORY CONSUMERS", "peak"),
    ("MEMORY LEAKS", "leaked"),
    ("MOST TEMPORARY ALLOCATIONS", "temporary"),
];

impl Printed {
    pub(crate) fn of(file: &Path, cost_type: &str, options: &[&str]) -> Printed {
        let folder = tempfile::tempdir().unwrap();
        let (flames, sizes) = (folder.path().join("flames"), folder.path().join("sizes"));
        let mut command = Command::new("heaptrack_print");
        command.args(["-t", "0", "-l", "1", "-n", "1000000", "-s", "0"]).args(options);
        command.args(["--flamegraph-cost-type", cost_type, "-F"]).arg(&flames).arg("-H").arg(&sizes);
        let output = run(command.arg("-f").arg(file));
        let text = String::from_utf8_lossy(&output.stdout);

        let text_of = |path: &Path| String::from_utf8_lossy(&slurp(path)).into_owned();
        let mut flames: Vec<String> = text_of(&flames).lines().map(str::to_owned).collect();
        flames.sort();
        let pair = |line: &str| {
            let (size, calls) = line.split_once('\t').unwrap();
            (size.parse().unwrap(), calls.parse().unwrap())
        };
        let histogram = text_of(&sizes).lines().map(pair).collect();
        let totals = text.lines().filter_map(|line| line.split_once(": "));
        let totals = totals.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Printed { flames, sites: sites(&text), histogram, totals }
    }

    /// The first word of a total; empty if it is not there.
    pub(crate) fn total(&self, name: &str) -> &str {
        self.totals.get(name).and_then(|value| value.split(' ').next()).unwrap_or("")
    }
}

fn slurp(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn sites(text: &str) -> BTreeMap<&'static str, Vec<String>> {
    let mut all: BTreeMap<&'static str, Vec<String>> = SECTIONS.map(|(_, name)| (name, Vec::new())).into();
    let mut section = None;
    for line in text.lines() {
        if let Some((_, name)) = SECTIONS.iter().find(|(head, _)| *head == line) {
            section = all.get_mut(name);
            continue;
        }
        if line.starts_with("total runtime") {
            break;
        }
        let Some(sites) = &mut section else { continue };
        if line.ends_with(" from") {
            sites.push(format!("{line}\n"));
        } else if !line.is_empty()
            && !line.starts_with("  and ")
            && let Some(site) = sites.last_mut()
        {
            site.push_str(&format!("{line}\n"));
        }
    }
    all
}

/// A size as heaptrack prints it.
pub(crate) fn printed_bytes(bytes: i64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while unit < 4 && value.abs() > 1000.0 {
        value /= 1000.0;
        unit += 1;
    }
    let letter = ["B", "K", "M", "G", "T"][unit];
    if unit == 0 { format!("{bytes}{letter}") } else { format!("{value:.2}{letter}") }
}

/// Compiles a C program with debug information.
pub(crate) fn compile(folder: &Path, source: &str, optimise: &str) -> PathBuf {
    let (file, program) = (folder.join("program.c"), folder.join("program"));
    fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    run(cc.args(["-g", "-pthread", "-fno-builtin", optimise]).arg(file).arg("-o").arg(&program));
    program
}

/// The file that heaptrack makes of `output`, with the compression that it chose.
fn recorded(output: &Path, ends: &[&str]) -> PathBuf {
    let candidates = ends.iter().map(|end| PathBuf::from(format!("{}{end}", output.display())));
    candidates.into_iter().find(|file| file.exists()).unwrap()
}

pub(crate) fn record(program: &Path, output: &Path) -> PathBuf {
    run(Command::new("heaptrack").arg("-o").arg(output).arg(program));
    recorded(output, &[".zst", ".gz"])
}

/// Records raw and interprets afterwards: both files, and the interpreter's own count of temporary allocations.
pub(crate) fn record_raw(program: &Path, output: &Path) -> (PathBuf, PathBuf, u64) {
    let said = run(Command::new("heaptrack").arg("-r").arg("-o").arg(output).arg(program));
    let raw = recorded(output, &[".raw.zst", ".raw.gz"]);
    // It says how to interpret the file, and with that where the interpreter is.
    let said = String::from_utf8_lossy(&said.stdout);
    let interpreter = said.split_whitespace().find(|word| word.ends_with("heaptrack_interpret")).unwrap();
    let (plain, interpreted) = (output.with_extension("plain"), output.with_extension("interpreted"));
    let mut text = Vec::new();
    zstd::stream::read::Decoder::new(fs::File::open(&raw).unwrap()).unwrap().read_to_end(&mut text).unwrap();
    fs::write(&plain, text).unwrap();
    let command = Command::new(interpreter)
        .stdin(fs::File::open(&plain).unwrap())
        .stdout(fs::File::create(&interpreted).unwrap())
        .output()
        .unwrap();
    let stats = String::from_utf8_lossy(&command.stderr).into_owned();
    let line = stats.lines().find(|line| line.contains("temporary")).unwrap_or_else(|| panic!("{stats}"));
    let exact = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    (plain, interpreted, exact)
}
