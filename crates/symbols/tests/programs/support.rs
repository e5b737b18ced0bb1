//! Small programs, built when a test needs them, and what the tools of binutils say about them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use twinheap_symbols::{Bytes, Module, Options, Problem, Resolved, Store, Symbolizer};

/// C: a chain of inlined functions, and one that was not.
pub(crate) const C: &str = "\
#include <stdlib.h>
static inline __attribute__((always_inline)) void *probe_innermost(size_t size) {
  return malloc(size);
}
static inline __attribute__((always_inline)) void *probe_middle(size_t size) {
  char *bytes = probe_innermost(size + 1);
  bytes[0] = 1;
  return bytes;
}
__attribute__((noinline)) void *probe_outer(size_t size) {
  char *bytes = probe_middle(size);
  bytes[1] = 2;
  return bytes;
}
__attribute__((noinline)) void probe_plain(void *bytes) {
  free(bytes);
  exit(3);
}
int main(int argc, char **argv) {
  probe_plain(probe_outer(argc + (argv != 0)));
}
";

/// C++: templates, members, lambdas, namespaces, containers.
pub(crate) const CPP: &str = "\
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace probe {
namespace {
struct Hidden { int value; };
__attribute__((noinline)) Hidden *hidden(int value) { return new Hidden{value}; }
}
template <typename T> struct Box {
  std::vector<T> items;
  __attribute__((noinline)) Box(T first) { items.push_back(first); }
  __attribute__((noinline)) ~Box() { items.clear(); }
  __attribute__((noinline)) T &at(unsigned long index) const { return const_cast<T &>(items[index]); }
  __attribute__((noinline)) operator bool() const { return !items.empty(); }
  __attribute__((noinline)) Box &operator+=(const Box &other) {
    items.insert(items.end(), other.items.begin(), other.items.end());
    return *this;
  }
};
template <typename T, int N> __attribute__((noinline)) T *many(T value) {
  T *all = new T[N];
  for (int i = 0; i < N; i++) all[i] = value;
  return all;
}
__attribute__((noinline)) std::string text(const std::string &a, std::map<std::string, int> &counts) {
  counts[a]++;
  auto twice = [&](const char *end) __attribute__((noinline)) { return a + a + end; };
  return twice(\"!\");
}
__attribute__((noinline)) static int fixed(int a) { return a * 3; }
}
extern \"C\" __attribute__((noinline)) int probe_c(int a) { return a + 1; }
int main(int argc, char **argv) {
  std::map<std::string, int> counts;
  probe::Box<std::string> box(argv[0]);
  probe::Box<std::unique_ptr<int> *> other(nullptr);
  box += box;
  auto *all = probe::many<std::pair<int, char>, 7>({argc, 'x'});
  std::string text = probe::text(box.at(0), counts);
  return (bool)box + (bool)other + all[0].first + text.size() + probe::hidden(argc)->value + probe_c(argc) + probe::fixed(argc);
}
";

/// Rust: generics, closures, methods of traits.
pub(crate) const RUST: &str = "\
use std::collections::BTreeMap;
trait Shape { fn area(&self) -> u64; }
struct Square(u64);
impl Shape for Square { #[inline(never)] fn area(&self) -> u64 { self.0 * self.0 } }
#[inline(always)]
fn probe_innermost(size: usize) -> Vec<u8> { Vec::with_capacity(size) }
#[inline(never)]
fn probe_outer(size: usize) -> Vec<u8> {
    let mut bytes = probe_innermost(size);
    bytes.push(1);
    bytes
}
#[inline(never)]
fn probe_generic<T: Clone>(item: &T) -> Box<T> { Box::new(item.clone()) }
#[inline(never)]
fn probe_dynamic(shape: &dyn Shape) -> u64 { shape.area() }
#[inline(never)]
fn probe_closure(number: u64) -> Box<dyn Fn(u64) -> Vec<u64>> { Box::new(move |more| vec![number; more as usize]) }
fn main() {
    let count = std::env::args().count();
    let mut map = BTreeMap::new();
    map.insert(count, probe_outer(count));
    let boxed = probe_generic(&map);
    println!(\"{} {} {}\", boxed.len(), probe_dynamic(&Square(count as u64)), probe_closure(3)(4).len());
}
";

/// A folder for the files of one test.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        Lab { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Compiles `source` into `name`; the source lies beside it and has its name.
    #[track_caller]
    pub(crate) fn build(&self, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let program = self.path(name);
        let (tool, end) = match source {
            CPP => ("g++", "cpp"),
            RUST => ("rustc", "rs"),
            _ if source.starts_with(".text") => ("gcc", "s"),
            _ => ("gcc", "c"),
        };
        let source = self.write(&format!("{name}.{end}"), source);
        self.run(Command::new(tool).args(arguments).arg("-o").arg(&program).arg(source));
        program
    }

    #[track_caller]
    pub(crate) fn tool(&self, tool: &str, arguments: &[&str]) {
        self.run(Command::new(tool).args(arguments));
    }

    #[track_caller]
    fn run(&self, command: &mut Command) {
        output(command.current_dir(self.folder.path()), "");
    }
}

/// What a tool prints.
#[track_caller]
pub(crate) fn output(command: &mut Command, input: &str) -> String {
    let command =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let mut child = command.spawn().unwrap_or_else(|error| {
        let name = command.get_program().display();
        panic!("can't start {name}: {error}; these tests need `apt-get install gcc g++ binutils`")
    });
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    let _closed_early = writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Reads a file as a whole.
pub(crate) fn open(path: &Path) -> Option<Bytes> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.read_to_end(&mut bytes).ok()?;
    Some(Box::new(bytes))
}

#[track_caller]
pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    (*open(path).unwrap_or_else(|| panic!("no {}", path.display()))).as_ref().to_vec()
}

/// A function as `nm` lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
}

/// All functions that have a size.
#[track_caller]
pub(crate) fn functions(program: &Path, options: &[&str]) -> Vec<Listed> {
    let text = output(Command::new("nm").args(["-S", "--defined-only"]).args(options).arg(program), "");
    let parse = |line: &str| {
        let mut fields = line.splitn(4, ' ');
        let address = u64::from_str_radix(fields.next()?, 16).ok()?;
        let size = u64::from_str_radix(fields.next()?, 16).ok()?;
        let kind = fields.next()?;
        let name = fields.next()?.to_owned();
        matches!(kind, "t" | "T" | "w" | "W" | "i").then_some(Listed { address, size, name })
    };
    text.lines().filter_map(parse).collect()
}

#[track_caller]
pub(crate) fn function(program: &Path, name: &str) -> Listed {
    let all = functions(program, &[]);
    all.into_iter().find(|function| function.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// The address of the first call in a function, as a stack would have it: that of the next instruction, less one.
#[track_caller]
pub(crate) fn call_in(program: &Path, function: &str) -> u64 {
    let text = output(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(program), "");
    let mut lines = text.lines().skip_while(|line| !line.ends_with(&format!("<{function}>:"))).skip(1);
    let is_call = |line: &&str| {
        let instruction = line.split('\t').nth(1).unwrap_or("");
        instruction.starts_with("call") || instruction.starts_with("bl\t") || instruction.starts_with("bl ")
    };
    lines.find(is_call).unwrap_or_else(|| panic!("no call in {function}"));
    let next = lines.next().unwrap();
    u64::from_str_radix(next.split(':').next().unwrap().trim(), 16).unwrap() - 1
}

/// The build id, as `readelf` prints it.
#[track_caller]
pub(crate) fn build_id(program: &Path) -> Vec<u8> {
    let text = output(Command::new("readelf").arg("-n").arg(program), "");
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).expect("a build id");
    (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Resolves one address.
pub(crate) fn resolve(module: Module, options: Options, address: u64) -> (Resolved, Vec<Problem>) {
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &open, options);
    let module = symbols.add_module(module);
    let resolved = symbols.resolve(module, address);
    (resolved, symbols.problems().to_vec())
}

/// The functions of `resolved`, innermost first, with line and whether they are inlined.
pub(crate) fn chain(resolved: &Resolved) -> Vec<(&str, u32, bool)> {
    resolved.frames.iter().map(|frame| (frame.function.as_str(), frame.line, frame.inlined)).collect()
}
