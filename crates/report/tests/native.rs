//! Reports on what only our own recordings know: threads and lifetimes.

use serde_json::{Value, json};
use twinheap_native::{Costs, Measure, NativeHeap, Suppressions, lifetime_buckets, thread_costs};
use twinheap_report::{
    LifetimesView, NativeSource, Style, ThreadName, ThreadsView, lifetimes_json, lifetimes_text,
    threads_json, threads_text,
};
use twinheap_trace::{InfoIdx, Parser};

/// `keep` keeps 100 bytes in one thread and 8 in two; `churn` frees 4000.
const TRACE: &str = "v 10400 3\ns 2 /m\ns 4 keep\ns 5 churn\ni 10 1 2\ni 20 1 3\nt 1 0\nt 2 0\na 64 1\na 8 1\na fa0 2\n\
                     + 0\n+ 1\n+ 1\n+ 2\n- 2\nc 1\n";

fn heap() -> (NativeHeap, Costs) {
    let mut parser = Parser::new();
    parser.feed(TRACE.as_bytes()).expect("a sound file");
    let heap = NativeHeap::new(parser.finish().expect("a sound file").trace);
    let costs = heap.costs(None, &Suppressions::none());
    (heap, costs)
}

fn source<'a>(heap: &'a NativeHeap, costs: &'a Costs) -> NativeSource<'a> {
    NativeSource { heap, costs, file: "shop", warnings: &[], ms: None, function: None, full_names: false }
}

/// Wants these values in the JSON, and these lines in the text, others between them.
#[track_caller]
fn check(document: &Value, values: &[(&str, Value)], text: &str, lines: &[&str]) {
    for (pointer, value) in values {
        assert_eq!(document.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer} of {document}");
    }
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let got: Vec<String> = text.lines().map(squeeze).collect();
    let mut rest = got.iter();
    for line in lines {
        assert!(rest.any(|got| got.contains(line)), "no `{line}` there in:\n{text}");
    }
}

#[test]
fn threads_have_their_names_and_what_is_of_several_is_said_to_be() {
    let (heap, costs) = heap();
    let threads = thread_costs(&heap, &costs, None, [(0, 1), (2, 7)], Measure::Leaked);
    let names = [ThreadName { thread: 7, tid: 4711, name: b"worker".to_vec() }];
    let by = Measure::Leaked;
    let view = ThreadsView { source: source(&heap, &costs), threads: &threads, names: &names, by, most: 9 };
    let document = serde_json::to_value(threads_json(&view)).expect("a document");
    let values = [
        ("/kind", json!("native-threads")),
        ("/threads/0/thread", json!(1)),
        ("/threads/0/tid", Value::Null),
        ("/threads/0/leaked", json!(100)),
        ("/threads/1/name", json!("worker")),
        ("/threads/1/bytes", json!(4008)),
        ("/threads/1/temporary", json!(1)),
        ("/shared", json!({"peak": 16, "leaked": 16})),
    ];
    let lines = ["100 B 86 %", "0 B 0 % 2 4.0 kB 4711 worker", "16 B 14 % █▍ 0 0 B (one thread or another"];
    check(&document, &values, &threads_text(&view, &Style::default()), &lines);
}

#[test]
fn lifetimes_have_bars_and_what_was_never_freed_is_told() {
    let (heap, costs) = heap();
    let buckets =
        lifetime_buckets(&heap, &costs, [(InfoIdx(2), 0, 3), (InfoIdx(2), 19, 1), (InfoIdx(2), 21, 1)]);
    let view = LifetimesView { source: source(&heap, &costs), buckets: &buckets };
    let document = serde_json::to_value(lifetimes_json(&view)).expect("a document");
    let values = [
        ("/kind", json!("native-lifetimes")),
        ("/leaked_bytes", json!(116)),
        ("/buckets/0/blocks", json!(3)),
        ("/buckets/0/top_site/frames/0/function", json!("churn")),
        ("/buckets/3/min_lifetime", json!(0.001048576)),
        ("/buckets/3/bytes", json!(4000)),
        ("/buckets/2/top_site", Value::Null),
    ];
    let lines = ["no tick 3 ████████████████████ 12.0 kB churn m", "< 2.1 ms 1", "116 B never freed"];
    check(&document, &values, &lifetimes_text(&view, &Style::default()), &lines);
}
