//! Every number equals heaptrack's own: totals, costs of each stack, call sites in their order, sizes.
//!
//! heaptrack has to be installed. `TWINHEAP_TRACES` may name a folder with more of its files to compare.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

#[path = "oracle/exports.rs"]
mod exports;
#[path = "oracle/heaptrack.rs"]
mod heaptrack;
#[path = "oracle/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use heaptrack::{Printed, printed_bytes};
use twinheap_native::{Cost, Costs, Measure, MergedStacks, NativeHeap, Suppressions, call_sites, histogram};
use twinheap_trace::{IpId, TraceId};

const MEASURES: [(Measure, &str); 4] = [
    (Measure::Allocations, "allocations"),
    (Measure::Peak, "peak"),
    (Measure::Leaked, "leaked"),
    (Measure::Temporary, "temporary"),
];

/// Compares everything that heaptrack prints about a file.
#[track_caller]
fn check(file: &Path) {
    let heap = heaptrack::read(file);
    let suppressions = Suppressions::built_in().embedded(&heap.trace, true);
    check_costs(&heap, &heap.costs(None, &suppressions), file, &[]);
}

#[track_caller]
fn check_costs(heap: &NativeHeap, costs: &Costs, file: &Path, options: &[&str]) {
    let name = file.display();
    for (measure, cost_type) in MEASURES {
        let printed = Printed::of(file, cost_type, options);
        let mut ours = sorted(costs.stacks.iter().map(|s| flame_line(heap, s.stack, measure.of(&s.cost))));
        let mut theirs = printed.flames.clone();
        if options.contains(&"--filter-bt-function") {
            // What is filtered out costs nothing here, and is not there at all there.
            for lines in [&mut ours, &mut theirs] {
                lines.retain(|line| !line.ends_with(" 0"));
            }
        }
        assert_same(&ours, &theirs, &format!("{name}: stacks by {cost_type}"));

        let sites = call_sites(heap, costs, measure);
        let ours: Vec<String> = sites
            .sites
            .iter()
            .filter(|site| measure.of(&site.cost) != 0)
            .map(|site| format!("{}\n{}", label(measure, &site.cost), place(heap, site.ip)))
            .collect();
        let theirs = &printed.sites[cost_type];
        // Equal costs come in any order there; the costs themselves come in one.
        let first_words = |site: &String| site.split(' ').next().unwrap().to_owned();
        let order: Vec<String> = ours.iter().map(first_words).collect();
        assert_eq!(order, theirs.iter().map(first_words).collect::<Vec<_>>(), "{name}: order by {cost_type}");
        assert_same(&sorted(ours), &sorted(theirs.clone()), &format!("{name}: sites by {cost_type}"));

        // What reads the same is one stack, and nothing is lost.
        let (merged, all) = MergedStacks::new(heap, costs).top(measure, usize::MAX);
        assert_eq!(merged.len(), all);
        let sum: i64 = merged.iter().map(|stack| measure.of(&stack.cost)).sum();
        assert_eq!(sum, costs.stacks.iter().map(|stack| measure.of(&stack.cost)).sum::<i64>());

        if measure == Measure::Allocations {
            // heaptrack's sizes are of all stacks, whatever the filter.
            let all = heap.costs(None, &Suppressions::none());
            let ours: Vec<_> = histogram(heap, &all).iter().map(|s| (s.size, s.allocations)).collect();
            assert_eq!(ours, printed.histogram, "{name}: sizes");
            check_totals(costs, &printed, &name.to_string());
        }
    }
}

#[track_caller]
fn check_totals(costs: &Costs, printed: &Printed, name: &str) {
    let total = &costs.total;
    assert_eq!(printed.total("calls to allocation functions"), total.cost.allocations.to_string(), "{name}");
    assert_eq!(printed.total("temporary memory allocations"), total.cost.temporary.to_string(), "{name}");
    assert_eq!(printed.total("peak heap memory consumption"), printed_bytes(total.cost.peak), "{name}");
    assert_eq!(printed.total("total memory leaked"), printed_bytes(total.cost.leaked), "{name}");
    let rss = printed_bytes(total.peak_rss.unwrap_or(0).cast_signed());
    assert_eq!(printed.total("peak RSS (including heaptrack overhead)"), rss, "{name}");
    let suppressed = if total.suppressed == 0 { String::new() } else { printed_bytes(total.suppressed) };
    assert_eq!(printed.total("suppressed leaks"), suppressed, "{name}");
    let seconds: f64 = printed.total("total runtime").trim_end_matches("s.").parse().unwrap();
    assert!((seconds - total.runtime_ms as f64 / 1e3).abs() < 0.006, "{name}: {seconds}");
}

/// A stack as `heaptrack_print -F` writes it: from the root on, and what is inlined in the wrong order.
fn flame_line(heap: &NativeHeap, stack: TraceId, number: i64) -> String {
    if stack.is_zero() {
        return format!("?? {number}");
    }
    let ips: Vec<IpId> = heap.places(stack).collect();
    let mut line = String::new();
    for &ip in ips.iter().rev() {
        for (at, frame) in heap.frames(ip).enumerate() {
            let file = text(frame.file);
            let file = format!(" ({})", file.rsplit('/').next().unwrap());
            let has_file = at > 0 || !heap.trace.ips.frame(ip).file.is_zero();
            let is_named = at > 0 || !heap.trace.ips.frame(ip).function.is_zero();
            let function = if is_named { text(frame.function) } else { format!("0x{:x}", frame.address) };
            line.push_str(&format!("{function}{};", if has_file { &file } else { "" }));
        }
    }
    format!("{line} {number}")
}

/// A place as heaptrack prints it, without its address.
fn place(heap: &NativeHeap, ip: IpId) -> String {
    let mut out = String::new();
    for (at, frame) in heap.frames(ip).enumerate() {
        let first = heap.trace.ips.frame(ip);
        let is_named = at > 0 || !first.function.is_zero();
        out.push_str(&if is_named { text(frame.function) } else { format!("0x{:x}", frame.address) });
        if at > 0 || !first.file.is_zero() {
            out.push_str(&format!("\n  at {}:{}", text(frame.file), frame.line));
        }
        if at == 0 {
            let is_known = !heap.trace.ips.module(ip).is_zero();
            out.push_str(&format!("\n  in {}", if is_known { text(frame.module) } else { "??".into() }));
        }
        out.push('\n');
    }
    out
}

fn label(measure: Measure, cost: &Cost) -> String {
    let (calls, peak) = (cost.allocations, printed_bytes(cost.peak));
    match measure {
        Measure::Allocations => {
            format!("{calls} calls to allocation functions with {peak} peak consumption from")
        }
        Measure::Peak => format!("{peak} peak memory consumed over {calls} calls from"),
        Measure::Leaked => format!("{} leaked over {calls} calls from", printed_bytes(cost.leaked)),
        Measure::Temporary => {
            let share = cost.temporary as f32 * 100.0 / calls as f32;
            format!(
                "{} temporary allocations of {calls} allocations in total ({share:.2}%) from",
                cost.temporary
            )
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

/// Says the first difference: the lists may have a hundred thousand lines.
#[track_caller]
fn assert_same(ours: &[String], theirs: &[String], what: &str) {
    let differs = ours.iter().zip(theirs).find(|(a, b)| a != b);
    assert_eq!(differs, None, "{what}: ours, then heaptrack's");
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

#[test]
fn the_start_of_node_costs_what_heaptrack_says() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node22-start.heaptrack.zst"));
}

#[test]
fn more_files_cost_what_heaptrack_says() {
    let Some(folder) = std::env::var_os("TWINHEAP_TRACES") else { return };
    for entry in fs::read_dir(folder).unwrap() {
        check(&entry.unwrap().path());
    }
}

/// Writes a file by hand and compares.
#[track_caller]
fn check_text(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("by-hand.heaptrack");
    fs::write(&file, text).unwrap();
    check(&file);
}

#[test]
fn odd_files_cost_what_heaptrack_says() {
    let head = "v 10400 3\nX ./shop\nI 1000 100\ns 5 /shop\ns 4 make\ns 6 shop.c\ns 4 main\n\
                s 1b operator new(unsigned long)\ns c __new_exitfn\n\
                i 401000 1 2 3 a\ni 402000 1 4 3 14\ni 7f00 0\ni 403000 1 5\ni 404000 1 6\n\
                i 405000 1 2 3 a 4 3 1e\ni 7f10 1\ni 7f20 1\n\
                t 2 0\nt 1 1\nt 3 2\nt 4 2\nt 4 4\nt 5 1\nt 4 0\nt 6 1\nt 7 1\nt 8 1\n";
    let check = |tail: &str| check_text(&format!("{head}{tail}"));
    // Blocks alike: the free of another counts as temporary, and so does the free of info 0 after a free.
    check("a 40 2\na 20 3\n+ 1\n+ 1\n- 1\n+ 0\n- 1\n- 0\nc 5\n- 0\nR 10\nc 1f\n");
    // `operator new` is left out, also twice, and where nothing else is there.
    check("a 10 4\na 11 5\na 12 2\na 13 7\n+ 0\n+ 1\n+ 2\n+ 3\n- 2\nc 1\n");
    // Built-in suppressions, and embedded ones with and without a length.
    check("a 10 6\na 11 3\n+ 0\n+ 1\nc 1\n");
    check("S leak:shop.c\nS 9 leak:7f00\na 10 6\na 11 3\na 12 2\n+ 0\n+ 1\n+ 2\nc 1\n");
    // Equal places at other addresses, inlined functions, no stack at all.
    check("a 10 2\na 11 8\na 12 9\na 13 a\na 14 0\n+ 0\n+ 1\n+ 2\n+ 3\n+ 4\nc 1\n");
    // The peak is the first time that the most is reached; more is freed than was allocated.
    check("a 64 2\na 32 3\n+ 0\nc 1\n- 0\n+ 1\n+ 1\nc 2\n- 1\n+ 1\n- 1\n- 1\n- 1\nc 3\n");
    check("c 7\n");
    check("a ffffffff0 2\n+ 0\n+ 0\n");
}

#[test]
fn random_files_cost_what_heaptrack_says() {
    for seed in 0..5 {
        for version in 0..=3 {
            check_text(&random::file(seed, version));
        }
    }
}

#[test]
fn a_suppression_file_takes_off_what_heaptrack_takes_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("by-hand.heaptrack");
    fs::write(&file, random::file(99, 3)).unwrap();
    let rules = "# comment\n\nleak:^function 1*x\nleak:module 2$\nleak:file 7\nnonsense\n";
    let rules_file = folder.path().join("rules");
    fs::write(&rules_file, rules).unwrap();
    let heap = heaptrack::read(&file);
    let suppressions = Suppressions::none().file(rules.as_bytes());
    assert_eq!(suppressions.invalid, [b"nonsense"]);
    let costs = heap.costs(None, &suppressions);
    assert!(costs.total.suppressed > 0);
    // heaptrack 1.4 loses its own suppressions when it gets a file, and puts one that matches everything in place.
    let options = ["--disable-builtin-suppressions", "--suppressions", rules_file.to_str().unwrap()];
    check_costs(&heap, &costs, &file, &options);
}

#[test]
fn a_filter_by_function_leaves_what_heaptrack_leaves() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, part) in
        [(0, "function 1"), (1, "main"), (2, "operator new"), (3, "function 9 x"), (4, "nothing")]
    {
        let file = folder.path().join("by-hand.heaptrack");
        fs::write(&file, random::file(seed, 3)).unwrap();
        let heap = heaptrack::read(&file);
        let mut costs = heap.costs(None, &Suppressions::built_in());
        heap.keep_function(&mut costs, part.as_bytes());
        check_costs(&heap, &costs, &file, &["--filter-bt-function", part]);
    }
}

const LOOPS: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *keep[500];
static void *make(size_t size) { return malloc(size); }
static void churn(int n) { for (int i = 0; i < n; i++) { void *p = malloc(64); memset(p, i, 64); free(p); } }
static void grow(void) {
  char *p = NULL;
  for (int i = 1; i < 200; i++) p = realloc(p, i * 100);
  for (int i = 200; i > 20; i--) p = realloc(p, i * 10);
}
int main(void) {
  for (int i = 0; i < 500; i++) keep[i] = make(16 + i % 40);
  churn(3000);
  usleep(30000);
  for (int i = 0; i < 250; i++) free(keep[i * 2]);
  grow();
  free(calloc(100, 1000));
  usleep(30000);
  return 0;
}
"#;

const THREADS: &str = r#"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
static void *leaf(size_t n) { return malloc(n); }
static void *deep(size_t n, int depth) { return depth ? deep(n, depth - 1) : leaf(n); }
static void *work(void *arg) {
  long seed = (long)arg;
  void *live[64] = {0};
  for (int i = 0; i < 5000; i++) {
    seed = seed * 1103515245 + 12345;
    int at = (seed >> 8) & 63;
    free(live[at]);
    live[at] = deep(8 + ((seed >> 16) & 15) * 8, (seed >> 24) & 7);
  }
  return strdup("left behind");
}
int main(void) {
  pthread_t threads[3];
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return 0;
}
"#;

/// Compiles and records a program, and compares the interpreted and the raw file with heaptrack.
#[track_caller]
fn check_program(source: &str, optimise: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = heaptrack::compile(folder.path(), source, optimise);
    check(&heaptrack::record(&program, &folder.path().join("interpreted")));

    let (raw, interpreted, exact) = heaptrack::record_raw(&program, &folder.path().join("raw"));
    check(&interpreted);
    let (raw, heap) = (heaptrack::read(&raw), heaptrack::read(&interpreted));
    assert!(raw.trace.is_raw && raw.has_exact_temporary() && !heap.has_exact_temporary());
    let costs = |heap: &NativeHeap| heap.costs(None, &Suppressions::none());
    let (from_raw, from_interpreted) = (costs(&raw), costs(&heap));
    assert_eq!(from_raw.total.cost.temporary_exact, exact, "what heaptrack_interpret counts");
    let without_exact = |costs: &Costs| {
        let mut total = costs.total.clone();
        total.cost.temporary_exact = 0;
        total
    };
    assert_eq!(without_exact(&from_raw), without_exact(&from_interpreted));
    // Stack by stack, with the module of each address.
    let addresses = |heap: &NativeHeap, costs: &Costs| {
        let line = |s: &twinheap_native::StackCost| {
            let mut node = s.stack;
            let mut line = format!("{} {} {}", s.cost.allocations, s.cost.peak, s.cost.leaked);
            while !node.is_zero() {
                let ip = heap.trace.tree.ip(node);
                let module = text(heap.trace.strings.get(heap.trace.ips.module(ip)));
                line.push_str(&format!(" {:x} {module}", heap.trace.ips.address(ip)));
                node = heap.trace.tree.parent(node);
            }
            line
        };
        sorted(costs.stacks.iter().map(line))
    };
    assert_same(&addresses(&raw, &from_raw), &addresses(&heap, &from_interpreted), "raw stacks");
}

#[test]
fn recorded_loops_cost_what_heaptrack_says() {
    check_program(LOOPS, "-O0");
}

#[test]
fn recorded_threads_with_inlined_functions_cost_what_heaptrack_says() {
    check_program(THREADS, "-O2");
}

/// Files of the fixtures folder can be read whole.
#[test]
fn fixtures_are_sound() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for entry in fs::read_dir(folder).unwrap() {
        let heap = heaptrack::read(&entry.unwrap().path());
        assert!(heap.trace.events.len() > 1000);
    }
}
