//! What grows in native traces: between recordings, and within one.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

use std::fmt::Write as _;

use twinheap_native::{Costs, NativeHeap, Side, Suppressions, blame, growth, moments};
use twinheap_trace::Parser;
use twinheap_trend::{Confidence, Verdict};

/// Functions of the recorded program; `malloc` is called by libc's `strdup` for all of them.
const FUNCTIONS: [&str; 3] = ["remember", "fill_cache", "work"];
/// Bytes of a block, so that a thousand blocks are worth telling.
const BLOCK: u64 = 512;

/// A recording of a program whose functions have so many blocks after each tenth of a second: one row a tick.
fn recording(ticks: &[[u64; 3]]) -> NativeHeap {
    recording_of("/srv/app", FUNCTIONS, ticks)
}

/// The same with other functions in another module.
fn recording_of(module: &str, functions: [&str; 3], ticks: &[[u64; 3]]) -> NativeHeap {
    let mut text = String::from("v 10400 2\nX ./app\nI 1000 4000\n");
    for name in ["/lib/libc.so.6", "strdup", module, "/srv/app.c"].iter().chain(&functions) {
        writeln!(text, "s {name}").unwrap();
    }
    // Place 1 is strdup, the others are the functions' calls of it.
    text.push_str("i 7000 1 2\n");
    for at in 0..FUNCTIONS.len() {
        writeln!(text, "i {:x} 3 {:x} 4 {:x}", 0x400 + at, 5 + at, 10 + at).unwrap();
    }
    for at in 0..FUNCTIONS.len() {
        writeln!(text, "t {:x} 0\nt 1 {:x}\na {BLOCK:x} {:x}", 2 + at, 2 * at + 1, 2 * at + 2).unwrap();
    }
    let mut alive = [0; 3];
    for (tick, wanted) in ticks.iter().enumerate() {
        writeln!(text, "c {:x}", tick * 100).unwrap();
        for (at, &wanted) in wanted.iter().enumerate() {
            for _ in alive[at]..wanted {
                writeln!(text, "+ {at:x}").unwrap();
            }
            for _ in wanted..alive[at] {
                writeln!(text, "- {at:x}").unwrap();
            }
            alive[at] = wanted;
        }
    }
    writeln!(text, "c {:x}", ticks.len() * 100).unwrap();
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).unwrap();
    NativeHeap::new(parser.finish().unwrap().trace)
}

fn costs(heap: &NativeHeap, end: Option<u64>) -> Costs {
    heap.costs(end.map(|end| 0..end).as_ref(), &Suppressions::none())
}

/// Names of sites with their blocks at each step.
type Expected<'a> = &'a [(&'a str, Verdict, &'a [u64])];

#[track_caller]
fn check(sides: &[Side<'_>], verdict: Verdict, confidence: Confidence, expected: Expected<'_>) {
    let found = growth(sides);
    let sites: Vec<_> = found
        .sites
        .iter()
        .map(|site| {
            let heap = sides[site.step].heap;
            let function = blame(heap, site.stack).site.unwrap().frame.function;
            let bytes: Vec<u64> = site.blocks.iter().map(|blocks| blocks * BLOCK).collect();
            assert_eq!(site.bytes, bytes);
            (std::str::from_utf8(function).unwrap(), site.verdict, site.blocks.as_slice())
        })
        .collect();
    assert_eq!(sites, expected);
    assert_eq!((found.verdict, found.confidence), (verdict, confidence));
}

#[track_caller]
fn check_ladder(recordings: &[[u64; 3]], verdict: Verdict, confidence: Confidence, expected: Expected<'_>) {
    let heaps: Vec<NativeHeap> = recordings.iter().map(|&end| recording(&[end])).collect();
    let costs: Vec<Costs> = heaps.iter().map(|heap| costs(heap, None)).collect();
    let sides: Vec<_> = heaps.iter().zip(&costs).map(|(heap, costs)| Side { heap, costs }).collect();
    check(&sides, verdict, confidence, expected);
}

#[test]
fn a_site_that_grows_with_each_recording_leaks() {
    check_ladder(
        &[[100, 500, 20], [200, 500, 0], [300, 501, 30]],
        Verdict::Leak,
        Confidence::High,
        &[("remember", Verdict::Leak, &[100, 200, 300])],
    );
    // Two recordings can't show more than that it grew.
    check_ladder(
        &[[100, 500, 0], [200, 500, 0]],
        Verdict::Leak,
        Confidence::Medium,
        &[("remember", Verdict::Leak, &[100, 200])],
    );
}

#[test]
fn what_the_heap_profiler_notes_is_no_growth() {
    let functions =
        ["v8::internal::HeapObjectsMap::FindOrAddEntry", "v8::internal::Zone::New", "node::Environment::New"];
    let steps = [[100, 100, 9], [200, 200, 9], [300, 300, 9]];
    let heaps = steps.map(|end| recording_of("/usr/bin/node", functions, &[end]));
    let costs: Vec<Costs> = heaps.iter().map(|heap| costs(heap, None)).collect();
    let sides: Vec<_> = heaps.iter().zip(&costs).map(|(heap, costs)| Side { heap, costs }).collect();
    let zone = ("v8::internal::Zone::New", Verdict::Leak, &[100, 200, 300][..]);
    check(&sides, Verdict::Leak, Confidence::High, &[zone]);
}

#[test]
fn what_wavers_or_came_to_rest_does_not_leak() {
    check_ladder(&[[100, 500, 20], [100, 480, 0], [100, 502, 30]], Verdict::None, Confidence::High, &[]);
    check_ladder(&[[0, 500, 0], [0, 900, 0], [0, 900, 0]], Verdict::None, Confidence::High, &[]);
    check_ladder(&[[0, 0, 500], [0, 0, 90], [0, 0, 480], [0, 0, 70]], Verdict::None, Confidence::High, &[]);
    check_ladder(&[[0, 0, 0], [0, 0, 0]], Verdict::None, Confidence::Medium, &[]);
}

#[test]
fn a_hundredth_of_what_is_alive_is_not_worth_a_word() {
    check_ladder(&[[1, 9000, 0], [2, 9000, 0], [3, 9000, 0]], Verdict::None, Confidence::High, &[]);
}

#[test]
fn within_one_recording_the_floor_counts() {
    // The work is freed now and then, as by a garbage collector; what is remembered never.
    let ticks: Vec<[u64; 3]> = (0..60).map(|tick| [10 * tick, 50, 40 * (tick % 5)]).collect();
    let heap = recording(&ticks);
    let ends = moments(&heap, None, 6);
    // The clock's tick comes before what happens then: at 1.1 s the row of 1.0 s is there. Before the first tick
    // nothing is alive, and that is no moment.
    assert_eq!(ends, [1100, 2100, 3100, 4100, 5100]);
    let costs: Vec<Costs> = ends.iter().map(|&end| costs(&heap, Some(end))).collect();
    let sides: Vec<_> = costs.iter().map(|costs| Side { heap: &heap, costs }).collect();
    check(
        &sides,
        Verdict::Leak,
        Confidence::High,
        &[("remember", Verdict::Leak, &[100, 200, 300, 400, 500])],
    );
}

#[test]
fn the_end_of_a_program_is_no_moment() {
    // All is freed at exit, over a second.
    let mut ticks: Vec<[u64; 3]> = (0..60).map(|tick| [10 * tick, 50, 0]).collect();
    ticks.extend((0..10).map(|tick| [540 - 60 * tick, 50, 0]));
    let heap = recording(&ticks);
    let ends = moments(&heap, None, 6);
    assert_eq!(ends.last(), Some(&5100));
    assert_eq!(ends.len(), 5);
}

#[test]
fn a_short_recording_has_fewer_moments() {
    assert!(moments(&recording(&[]), None, 6).len() <= 1);
    assert_eq!(moments(&recording(&[[1, 2, 3], [4, 5, 6]]), None, 6).len(), 2);
    let heap = recording(&[[1, 1, 1]; 60]);
    let ends = moments(&heap, Some(&(2000..4000)), 4);
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(|end| (2000..4000).contains(end)), "{ends:?}");
}
