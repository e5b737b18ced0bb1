//! Cut, flipped, forged: no panic, and what is before the damage.

use proptest::prelude::*;
use twinheap_trace::{ParseError, Parsed};

use crate::model::{Model, steps};
use crate::segments::{DEFS, EVENTS, header, join, put, put_with, split};
use crate::{check_references, parse, sound};

/// All events, as `Debug` writes them.
fn events(parsed: &Parsed) -> Vec<String> {
    let mut events = Vec::new();
    parsed.trace.events.replay(0..u64::MAX, |_, run| events.extend(run.iter().map(|e| format!("{e:?}"))));
    events
}

fn whole(bytes: &[u8]) -> Result<Parsed, ParseError> {
    parse(bytes, &[usize::MAX])
}

/// What is read must be the start of what was written.
#[track_caller]
fn check_prefix(parsed: &Parsed, expected: &[String], what: &str) {
    let events = events(parsed);
    assert_eq!(events, expected[..events.len().min(expected.len())], "{what}");
    check_references(parsed);
}

#[test]
fn a_file_cut_anywhere_gives_what_is_before_the_cut() {
    let (file, _) = Model::write(&steps(3, 400));
    let expected = events(&sound(&file));
    let end = split(&file).iter().find(|segment| segment.0 == 9).expect("an end").1;
    assert_eq!(whole(&[]), Err(ParseError::Empty));
    let mut most = 0;
    for cut in 1..file.len() {
        let parsed = whole(&file[..cut]).expect("a part");
        check_prefix(&parsed, &expected, &format!("cut at {cut}"));
        let is_complete = parsed.trace.recording.as_ref().is_some_and(|recording| recording.is_complete());
        assert_eq!(parsed.damage.is_empty(), is_complete && is_boundary(&file, cut), "{cut}");
        assert!(cut > end || !is_complete);
        assert!(parsed.damage.iter().all(|damage| damage.line == 0 && damage.offset <= cut as u64));
        assert!(parsed.trace.events.len() >= most, "a later cut leaves no less");
        most = parsed.trace.events.len();
    }
    assert_eq!(most, expected.len() as u64);
}

fn is_boundary(file: &[u8], cut: usize) -> bool {
    split(file).iter().any(|&(_, at, _)| at == cut)
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let (file, _) = Model::write(&steps(4, 300));
    let expected = events(&sound(&file));
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        match whole(&damaged) {
            Ok(parsed) => {
                assert!(!parsed.damage.is_empty(), "byte {at}");
                assert!(at < 16 || parsed.damage[0].offset <= at as u64, "byte {at}: {}", parsed.damage[0]);
                check_prefix(&parsed, &expected, &format!("byte {at}"));
            }
            Err(error) => assert!(at < 16, "byte {at}: {error}"),
        }
    }
}

/// The first complaint about a file, and how many events are left of it.
#[track_caller]
fn check(file: &[u8], what: &str, events: u64) {
    let parsed = whole(file).expect("a part");
    check_references(&parsed);
    let damage = parsed.damage.first().map(ToString::to_string).unwrap_or_default();
    assert!(damage.contains(what), "{damage:?} lacks {what:?}");
    assert_eq!(parsed.trace.events.len(), events, "{damage}");
}

/// Definitions of one info of eight bytes.
const ONE_INFO: [u8; 7] = [5, 0, 1, 1, 8, 1, 0];
/// Three allocations of it, and frees of the second, the third and the first but for how far away they are.
const SIX_EVENTS: [u8; 17] = [0, 0, 0, 0, 6, 3, 1, 1, 0b11_1000, 2, 4, 1, 0, 0, 0, 3, 3];
/// The column of those that are far, if none is.
const NONE_FAR: [u8; 3] = [4, 1, 1];

fn six_events(distances: [u8; 3]) -> Vec<u8> {
    SIX_EVENTS.into_iter().chain(distances).chain(NONE_FAR).collect()
}

#[test]
fn segments_that_no_writer_writes_are_told() {
    let file = |defs: &[u8], events: &[u8]| join([(DEFS, defs.to_vec()), (EVENTS, events.to_vec())]);
    let good = six_events([1, 0, 2]);
    check(&file(&ONE_INFO, &good), "no end", 6);
    check(&file(&[], &good), "has not defined", 0);
    check(&file(&[5, 1, 1, 1, 8, 1, 0], &good), "does not follow", 0);
    check(&file(&[5, 0, 9, 1, 8, 1, 0], &good), "contradicts", 0);
    check(&file(&[5, 0, 1, 1, 8, 1, 2], &good), "does not have", 0);
    check(&file(&[4, 0, 1, 1, 0, 1, 0], &good), "does not have", 0);
    check(&file(&[3, 0, 1, 1, 0, 1, 1], &good), "does not have", 0);
    check(&file(&ONE_INFO, &six_events([1, 1, 2])), "is not alive", 5);
    check(&file(&ONE_INFO, &six_events([1, 3, 2])), "is not alive", 5);
    check(&file(&ONE_INFO, &six_events([1, 64, 2])), "contradicts", 0);
    let changed = |at: usize, to: u8| {
        let mut events = good.clone();
        events[at] = to;
        file(&ONE_INFO, &events)
    };
    check(&changed(0, 1), "does not follow", 0);
    check(&changed(1, 1), "does not follow", 0);
    check(&changed(2, 1), "does not follow", 0);
    check(&changed(4, 5), "contradicts", 0);
    check(&changed(5, 4), "contradicts", 0);
    check(&changed(11, 5), "contradicts", 0);
    check(&changed(12, 1), "has not defined", 0);
}

#[test]
fn a_wide_step_stands_in_a_column_of_its_own() {
    // The writer needs four billion allocations for this one.
    let with = |wide: u8| {
        let mut events = SIX_EVENTS.to_vec();
        // The second block; then steps of 2 to the third, and of the wide one to the first.
        events.extend([1, 64, 64, 4, 9, 4, 4, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 8, 1, wide]);
        join([(DEFS, ONE_INFO.to_vec()), (EVENTS, events)])
    };
    check(&with(3), "no end", 6);
    check(&with(5), "is not alive", 5);
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let mut file = header();
    put_with(&mut file, EVENTS, 0, u32::MAX, b"");
    check(&file, "impossible lengths", 0);
    let mut file = header();
    put_with(&mut file, EVENTS, 0, 60 << 20, b"no frame");
    check(&file, "can't be decompressed", 0);
    let mut file = header();
    put(&mut file, DEFS, &ONE_INFO);
    put(&mut file, EVENTS, &six_events([1, 0, 2]));
    let at = file.len();
    put(&mut file, 4, b"");
    file[at + 8..at + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    check(&file, "impossible lengths", 6);
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let (file, model) = Model::write(&steps(5, 300));
    let mut segments: Vec<(u8, Vec<u8>)> = Vec::new();
    for (kind, _, mut raw) in split(&file) {
        match kind {
            // A column, a group: number and bytes.
            EVENTS => raw.extend([99, 2, 7, 7]),
            DEFS => raw.extend([99, 0, 1, 1, 5, 0]),
            _ => {}
        }
        segments.push((200, b"news".to_vec()));
        segments.push((kind, raw));
    }
    let parsed = whole(&join(segments)).expect("a file");
    assert_eq!(parsed.damage, []);
    assert_eq!(parsed.notes.len(), 1, "{:?}", parsed.notes);
    assert!(parsed.notes[0].contains("kind 200"), "{:?}", parsed.notes);
    model.check(&parsed);
}

#[test]
fn files_of_other_kinds_and_versions_are_refused() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = header();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        whole(&file)
    };
    assert_eq!(with(1, b"X"), Err(ParseError::NotAHeaptrace));
    assert_eq!(whole(b"\x89H?"), Err(ParseError::NotAHeaptrace));
    assert_eq!(with(8, &[2, 0]), Err(ParseError::HeaptraceTooNew { version: 2 }));
    for (at, bytes, said) in
        [(8, [0, 0], "never"), (10, [0xFE, 0xFF], "swapped"), (10, [1, 1], "mark"), (14, [1, 1], "length")]
    {
        let error = with(at, &bytes).expect_err("a damaged header").to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Bytes of a segment that are changed: which segment, where, to what.
type Change = (usize, usize, u8);

proptest! {
    #[test]
    fn forged_segments_make_no_panic_and_refer_to_what_is_there(
        seed in 0..50_u64,
        changes in prop::collection::vec(any::<Change>(), 1..6),
        sizes in prop::collection::vec(1..300_usize, 1..4),
    ) {
        let (file, _) = Model::write(&steps(seed, 120));
        let mut segments: Vec<(u8, Vec<u8>)> = split(&file).into_iter().map(|(kind, _, raw)| (kind, raw)).collect();
        let count = segments.len();
        for (segment, at, to) in changes {
            let raw = &mut segments[segment % count].1;
            let at = at % (raw.len() + 1);
            match raw.get_mut(at) {
                Some(byte) => *byte = to,
                None => raw.push(to),
            }
        }
        let forged = join(segments);
        let parsed = whole(&forged).expect("the header is sound");
        check_references(&parsed);
        prop_assert_eq!(parse(&forged, &sizes).expect("the same"), parsed);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1..50_usize) {
        let mut file = header();
        file.extend(&bytes);
        prop_assert_eq!(parse(&file, &[size]), whole(&file));
        prop_assert_eq!(parse(&bytes, &[size]), whole(&bytes));
    }
}
