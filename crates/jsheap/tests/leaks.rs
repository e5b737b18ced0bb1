//! Ladders drawn by hand: what leaks, what only looks like it, and what is said.

#![expect(clippy::single_range_in_vec_init, reason = "a ladder of one dump is what is meant")]

mod drawing;

use drawing::{ARRAY, CLOSURE, CODE, CONTEXT, Drawing, HIDDEN, INTERNAL, OBJECT, PROPERTY, STRING};
use twinheap_jsheap::Heap;
use twinheap_jsheap::leaks::{AccumulationKind, Confidence, Findings, Ladder, Pattern, Verdict};
use twinheap_snapshot::sequential;

/// Judges dumps of one process, oldest first.
fn judge(dumps: &[Drawing]) -> Findings {
    let heaps: Vec<Heap> = dumps.iter().map(Drawing::heap).collect();
    let (last, earlier) = heaps.split_last().expect("a dump");
    let mut ladder = Ladder::new();
    for heap in earlier {
        ladder.add(heap, &sequential);
    }
    ladder.finish(last, &sequential)
}

/// A server with a store of sessions, each with a cart and a name. `sessions` are numbers, from which the ids come.
fn server(sessions: impl Iterator<Item = usize>) -> Drawing {
    let mut draw = Drawing::new();
    let global = draw.global();
    // What each process has, and keeps.
    for number in 0..50 {
        let builtin = draw.node(CLOSURE, &format!("builtin{number}"), 64);
        draw.edge(global, PROPERTY, &format!("builtin{number}"), builtin);
    }
    let store = draw.node(OBJECT, "SessionStore", 64);
    draw.edge(global, PROPERTY, "store", store);
    let map = draw.node(OBJECT, "Map", 32);
    draw.edge(store, PROPERTY, "items", map);
    let table = draw.node(ARRAY, "", 4096);
    draw.edge(map, INTERNAL, "table", table);
    for number in sessions {
        // Ids of what lives on are the same in each dump.
        draw.next_id = 100_001 + 10 * number as u64;
        let key = draw.node(STRING, &format!("session {number}"), 32);
        let session = draw.node(OBJECT, "Session", 128);
        let cart = draw.node(OBJECT, "Cart", 256);
        draw.edge(table, INTERNAL, &(2 * number + 7).to_string(), key);
        draw.edge(table, INTERNAL, &(2 * number + 8).to_string(), session);
        draw.edge(session, PROPERTY, "cart", cart);
        draw.edge(session, PROPERTY, "id", key);
    }
    draw
}

#[track_caller]
fn check(ladder: &[std::ops::Range<usize>], verdict: Verdict) -> Findings {
    let dumps: Vec<Drawing> = ladder.iter().map(|range| server(range.clone())).collect();
    let findings = judge(&dumps);
    assert_eq!(findings.verdict, verdict, "{ladder:?}: {:#?}", findings.suspects);
    findings
}

#[test]
fn a_map_that_grows_is_the_leak_and_not_what_is_in_it() {
    let findings = check(&[0..100, 0..200, 0..300], Verdict::Leak);
    assert_eq!(findings.confidence, Confidence::High);
    assert_eq!(findings.suspects.len(), 1, "{:#?}", findings.suspects);
    let suspect = &findings.suspects[0];
    assert_eq!(suspect.name, "Session in SessionStore.items");
    assert_eq!(suspect.count, [100, 200, 300]);
    assert_eq!(suspect.shallow_size, [12_800, 25_600, 38_400]);
    assert_eq!(suspect.retained_size, [38_400, 76_800, 115_200]);
    assert_eq!(suspect.growth_per_step, 100.0);
    assert_eq!(suspect.pattern, Some(Pattern::Steady));
    assert_eq!(suspect.accumulation.kind, AccumulationKind::Map);
    assert_eq!(suspect.accumulation.property.as_deref(), Some("items"));
    assert_eq!(findings.comparable_ids, Some(true));
    assert_eq!(findings.warnings, [""; 0]);
    assert!(suspect.evidence.iter().any(|words| words.contains("100 of them are new")), "{suspect:#?}");
}

#[test]
fn a_working_set_is_no_leak() {
    // "Roughly the same size but not exactly is not the leak."
    check(&[0..5000, 0..5006, 0..5014], Verdict::None);
    // Up and down.
    check(&[0..400, 0..380, 0..402], Verdict::None);
    check(&[0..100, 0..900, 0..200, 0..1000, 0..150], Verdict::None);
    // Filled, then full.
    check(&[0..100, 0..500, 0..500], Verdict::None);
    check(&[0..300, 0..200, 0..100], Verdict::None);
}

#[test]
fn what_is_replaced_is_no_leak_though_it_is_more_each_time() {
    let findings = check(&[0..400, 400..860, 900..1450], Verdict::Suspect);
    assert!(findings.suspects[0].evidence.iter().any(|w| w.contains("come and go")), "{findings:#?}");
}

#[test]
fn two_dumps_say_less_than_three() {
    let findings = check(&[0..100, 0..200], Verdict::Leak);
    assert_eq!(findings.confidence, Confidence::Medium);
    check(&[0..1000, 0..1100], Verdict::Suspect);
}

#[test]
fn without_comparable_ids_paths_decide() {
    let mut dumps = vec![server(0..100), server(0..200), server(0..300)];
    for (at, dump) in dumps.iter_mut().enumerate() {
        dump.shift_ids(1_000_000 * at as u64);
    }
    let findings = judge(&dumps);
    assert_eq!(findings.verdict, Verdict::Leak);
    assert_eq!(findings.comparable_ids, Some(false));
    assert!(
        findings.warnings.iter().any(|w| w.contains("ids are not comparable")),
        "{:?}",
        findings.warnings
    );
    assert_eq!(findings.suspects[0].count, [100, 200, 300]);
}

#[test]
fn a_leak_keeps_its_signature() {
    let one = check(&[0..100, 0..200, 0..300], Verdict::Leak);
    let other = check(&[0..50, 0..1000], Verdict::Leak);
    assert_eq!(one.suspects[0].signature, other.suspects[0].signature);
}

#[test]
fn one_dump_shows_what_is_large_but_proves_nothing() {
    let findings = check(&[0..5000], Verdict::Suspect);
    assert_eq!(findings.comparable_ids, None);
    let suspect = &findings.suspects[0];
    assert_eq!((suspect.name.as_str(), suspect.pattern), ("Session in SessionStore.items", None));
    assert_eq!(suspect.count, [5000]);
    check(&[0..10], Verdict::None);
}

#[test]
fn a_chain_is_a_leak_of_its_head() {
    let chain = |length: usize| {
        let mut draw = Drawing::new();
        let global = draw.global();
        let queue = draw.node(OBJECT, "Queue", 64);
        draw.edge(global, PROPERTY, "queue", queue);
        let mut last = (queue, "head");
        for _ in 0..length {
            let node = draw.node(OBJECT, "Job", 200);
            draw.edge(last.0, PROPERTY, last.1, node);
            last = (node, "next");
        }
        draw
    };
    let findings = judge(&[chain(1000), chain(2000), chain(3000)]);
    assert_eq!(findings.verdict, Verdict::Leak);
    let suspect = &findings.suspects[0];
    assert_eq!(suspect.accumulation.kind, AccumulationKind::LinkedList, "{suspect:#?}");
    assert!(suspect.name.starts_with("Job in Queue"), "{}", suspect.name);
}

#[test]
fn plain_objects_are_located_by_the_function_that_stores_them() {
    let dump = |entries: usize| {
        let mut draw = Drawing::new();
        let global = draw.global();
        let script = draw.script("/srv/app/cache.js");
        let module = draw.node(OBJECT, "system / Context", 64);
        let cache = draw.node(OBJECT, "Map", 32);
        let table = draw.node(ARRAY, "", 64);
        draw.edge(module, CONTEXT, "cache", cache);
        draw.edge(cache, INTERNAL, "table", table);
        let exports = draw.node(OBJECT, "Object", 32);
        draw.edge(global, PROPERTY, "exports", exports);
        // Both see the variable; one fills it, the other only looks.
        for (name, line, mentions) in [
            ("peek", 3, &["get", "has"][..]),
            ("remember", 9, &["set", "key", "payload"]),
            ("clear", 20, &["clear"]),
        ] {
            let function = draw.function(name, script, line, module, mentions);
            draw.edge(exports, PROPERTY, name, function);
        }
        for number in 0..entries {
            let entry = draw.node(OBJECT, "Object", 64);
            let text = draw.node(STRING, &format!("text {number}"), 200);
            draw.edge(table, INTERNAL, &(number + 7).to_string(), entry);
            draw.edge(entry, PROPERTY, "key", text);
            draw.edge(entry, PROPERTY, "payload", text);
        }
        draw
    };
    let findings = judge(&[dump(100), dump(200), dump(300)]);
    let suspect = &findings.suspects[0];
    let location = suspect.location.as_ref().expect("a location");
    assert_eq!((location.script.as_str(), location.line), ("/srv/app/cache.js", 10));
    assert_eq!(location.function.as_deref(), Some("remember"));
    assert_eq!((suspect.accumulation.name.as_str(), &*suspect.class), ("cache", "{key, payload}"));
}

#[test]
fn closures_are_located_by_themselves() {
    let dump = |listeners: usize| {
        let mut draw = Drawing::new();
        let global = draw.global();
        let script = draw.script("/srv/app/node_modules/@scope/feed/lib/feed.js");
        let feed = draw.node(OBJECT, "PriceFeed", 64);
        draw.edge(global, PROPERTY, "feed", feed);
        let events = draw.node(OBJECT, "Object", 32);
        draw.edge(feed, PROPERTY, "_events", events);
        let list = draw.node(OBJECT, "Array", 32);
        let elements = draw.node(ARRAY, "(object elements)", 64);
        draw.edge(events, PROPERTY, "price", list);
        draw.edge(list, INTERNAL, "elements", elements);
        for number in 0..listeners {
            let context = draw.node(OBJECT, "system / Context", 400);
            let function = draw.function("onPrice", script, 41, context, &[]);
            draw.edge(elements, INTERNAL, &number.to_string(), function);
        }
        draw
    };
    let findings = judge(&[dump(100), dump(200), dump(300)]);
    assert_eq!(findings.verdict, Verdict::Leak);
    let suspect = &findings.suspects[0];
    let location = suspect.location.as_ref().expect("a location");
    assert_eq!((location.line, location.function.as_deref()), (42, Some("onPrice")));
    assert_eq!(suspect.package.as_deref(), Some("@scope/feed"));
    assert_eq!(suspect.accumulation.kind, AccumulationKind::Listeners);
    assert_eq!(suspect.accumulation.name, "PriceFeed._events.price");
    assert_eq!(suspect.class, "onPrice()");
}

#[test]
fn a_queue_that_doubles_is_a_leak_although_its_jobs_come_and_go() {
    let findings = check(&[0..200, 300..700, 900..1500], Verdict::Leak);
    assert_eq!(findings.confidence, Confidence::Medium);
}

#[test]
fn what_was_never_there_before_did_not_grow() {
    check(&[0..0, 0..0, 0..500], Verdict::None);
}

#[test]
fn a_text_that_is_appended_to_swells() {
    let dump = |bytes: u32| {
        let mut draw = Drawing::new();
        let global = draw.global();
        let log = draw.node(OBJECT, "Transcript", 64);
        draw.edge(global, PROPERTY, "log", log);
        let text = draw.node(STRING, "once upon a time", bytes);
        draw.edge(log, PROPERTY, "text", text);
        draw
    };
    let findings = judge(&[dump(1_000_000), dump(2_000_000), dump(3_000_000)]);
    assert_eq!(findings.verdict, Verdict::Leak, "{findings:#?}");
    let suspect = &findings.suspects[0];
    assert_eq!(suspect.name, "(string) in Transcript.text");
    assert_eq!((suspect.count.as_slice(), suspect.retained_per_step), (&[1, 1, 1][..], 1_000_000.0));
    let findings = judge(&[dump(1_000_000), dump(1_000_000), dump(1_001_000)]);
    assert_eq!(findings.verdict, Verdict::None);
}

#[test]
fn code_that_warms_up_is_no_leak() {
    let dump = |functions: usize| {
        let mut draw = Drawing::new();
        let global = draw.global();
        let script = draw.script("/srv/app/server.js");
        let context = draw.node(OBJECT, "system / Context", 64);
        let main = draw.function("main", script, 1, context, &[]);
        draw.edge(global, PROPERTY, "main", main);
        for number in 0..functions {
            let code = draw.node(CODE, "(code for x)", 5000);
            draw.edge(main, INTERNAL, &format!("feedback {number}"), code);
            let text = draw.node(STRING, &format!("constant {number}"), 100);
            draw.edge(code, HIDDEN, "1", text);
        }
        draw
    };
    assert_eq!(judge(&[dump(100), dump(200), dump(300)]).verdict, Verdict::None);
}

#[test]
fn a_dump_of_another_version_is_noticed() {
    let mut other = server(0..300);
    other.has_extra_native_bytes = true;
    let findings = judge(&[server(0..100), server(0..200), other]);
    assert!(
        findings.warnings.iter().any(|w| w.contains("different versions of V8")),
        "{:?}",
        findings.warnings
    );
}
