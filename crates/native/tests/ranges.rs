//! An index answers for any stretch of time as a plain recount does.

use std::fmt::Write as _;
use std::ops::Range;

use twinheap_native::{NativeHeap, RangeIndex, Suppressions};
use twinheap_trace::Parser;

/// Events that grow, shrink and grow again, with a tick after each hundred; more than an index has in a piece.
fn heap(events: u32, seed: u64, sample: Option<u64>) -> NativeHeap {
    let mut text = String::from("v 10400 3\nI 1000 100\ns 1 a\ns 1 b\ns c __new_exitfn\n");
    text.push_str("i 10 0 1\ni 20 0 2\ni 30 0 3\nt 1 0\nt 2 1\nt 3 0\n");
    let infos = 40_u64;
    for info in 0..infos {
        let _ = writeln!(text, "a {:x} {:x}", 8 + info * 24, 1 + info % 3);
    }
    let mut random = seed;
    let mut next = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % limit
    };
    let mut live: Vec<u64> = Vec::new();
    for event in 0..events {
        if event % 100 == 0 {
            let _ = writeln!(text, "c {:x}", event / 100);
        }
        let is_growing = event % 90_000 < 50_000;
        let is_free = !live.is_empty() && next(100) < if is_growing { 40 } else { 60 };
        if is_free {
            // Often the latest, so that some are temporary.
            let at = if next(2) == 0 { live.len() - 1 } else { next(live.len() as u64) as usize };
            let _ = writeln!(text, "- {:x}", live.swap_remove(at));
        } else {
            let info = next(infos);
            live.push(info);
            let _ = writeln!(text, "+ {info:x}");
        }
    }
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).expect("a sound file");
    let mut trace = parser.finish().expect("a sound file").trace;
    trace.sample_bytes = sample;
    NativeHeap::new(trace)
}

#[track_caller]
fn check(heap: &NativeHeap, index: &RangeIndex, ms: Option<&Range<u64>>) {
    for rules in [Suppressions::none(), Suppressions::built_in()] {
        let (got, expected) = (index.costs(heap, ms, &rules), heap.costs(ms, &rules));
        assert_eq!(got.total, expected.total, "{ms:?}");
        assert!(got == expected, "{ms:?}: the same total, and other parts");
    }
}

#[test]
fn an_index_counts_as_a_replay_does() {
    for (events, seed, sample, memory) in [
        (600_000, 1, None, 1 << 30),
        (1_300_000, 2, None, 2000),
        (700_000, 3, Some(256), 1 << 30),
        (50, 4, None, 1),
    ] {
        let heap = heap(events, seed, sample);
        let index = RangeIndex::new(&heap, memory);
        assert!(index.memory() <= memory.max(2 * 24 * 40), "{}", index.memory());
        let end = u64::from(events / 100);
        check(&heap, &index, None);
        for ms in [0..end, 0..1, 5..6, 0..u64::MAX, end..u64::MAX, end / 2..end / 2, 7..end - end.min(1)] {
            check(&heap, &index, Some(&ms));
        }
        let mut random = seed;
        for _ in 0..40 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (a, b) = ((random >> 20) % (end + 2), (random >> 40) % (end + 2));
            check(&heap, &index, Some(&(a.min(b)..a.max(b))));
        }
    }
}
