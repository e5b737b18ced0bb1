//! Any bytes, cut anywhere: no panic, no memory out of proportion, the same answer as for one piece.

use proptest::prelude::*;
use twinheap_trace::{IpId, ParseError, Parsed, Parser, TraceId};

fn parse(bytes: &[u8], sizes: &[usize]) -> Result<Parsed, ParseError> {
    let mut parser = Parser::new();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, next) = rest.split_at(size.min(rest.len()));
        parser.feed(chunk)?;
        rest = next;
    }
    parser.finish()
}

/// Everything that a record refers to is there.
fn check_sound(parsed: &Parsed) {
    let trace = &parsed.trace;
    for id in (1..trace.ips.len() as u32).map(IpId) {
        assert!(trace.ips.module(id).index() <= trace.strings.len());
        for frame in trace.ips.frames(id) {
            assert!(frame.function.index() <= trace.strings.len());
            assert!(frame.file.index() <= trace.strings.len());
        }
    }
    for id in (1..trace.tree.len() as u32).map(TraceId) {
        assert!(trace.tree.parent(id) < id);
        assert!(trace.tree.ip(id).index() < trace.ips.len());
    }
    trace.events.replay(0..u64::MAX, |_, run| {
        for event in run {
            assert!(event.info().index() < trace.infos.len());
            assert!(trace.infos.trace(event.info()).index() < trace.tree.len());
        }
    });
    assert!(trace.clock.stamps().is_sorted_by_key(|stamp| (stamp.ms, stamp.event)));
}

/// Lines that are nearly right.
fn line() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(b"sitaaa++++----cRXISAmx#?v".to_vec());
    let field = prop_oneof![
        6 => (0..12_u64).prop_map(|number| format!("{number:x}")),
        1 => any::<u64>().prop_map(|number| format!("{number:x}")),
        1 => "[a-z -]{0,6}",
    ];
    (letter, prop::collection::vec(field, 0..6))
        .prop_map(|(letter, fields)| format!("{} {}", letter as char, fields.join(" ")))
}

fn file() -> impl Strategy<Value = String> {
    let head =
        prop::sample::select(vec!["", "v 10400 3\n", "v 10100 2\n", "v 10200\n", "v 10000\n", "x 1 a\n"]);
    let end = prop::sample::select(vec!["", "\n"]);
    (head, prop::collection::vec(line(), 0..60), end)
        .prop_map(|(head, lines, end)| format!("{head}{}{end}", lines.join("\n")))
}

proptest! {
    #[test]
    fn cuts_change_nothing(text in file(), sizes in prop::collection::vec(1..30_usize, 1..4)) {
        let whole = parse(text.as_bytes(), &[usize::MAX]);
        if let Ok(parsed) = &whole {
            check_sound(parsed);
        }
        prop_assert_eq!(parse(text.as_bytes(), &sizes), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1..50_usize) {
        let whole = parse(&bytes, &[usize::MAX]);
        prop_assert_eq!(parse(&bytes, &[size]), whole);
    }
}

#[test]
fn a_line_without_end_is_skipped_and_not_kept() {
    let long = vec![b'7'; 1 << 20];
    let mut parser = Parser::new();
    parser.feed(b"v 10400 3\ns 1 a\ns ").expect("a head");
    for _ in 0..40 {
        parser.feed(&long).expect("a long line");
    }
    parser.feed(b"\ni 1 1\nt 1 0\na 8 1\n+ 0\n").expect("a tail");
    let parsed = parser.finish().expect("a part");
    assert!(parsed.damage[0].what.contains("16 MiB"), "{}", parsed.damage[0]);
    assert_eq!((parsed.damage[0].line, parsed.damage[0].offset), (3, 16));
    assert_eq!((parsed.trace.events.len(), parsed.trace.strings.len()), (1, 2), "its number is taken");
}
