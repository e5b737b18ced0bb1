//! What was written comes back.

use std::io::{self, Write};

use proptest::prelude::*;
use twinheap_trace::heaptrace::{End, Meta, Writer};
use twinheap_trace::{InfoIdx, TraceId};

use crate::model::{Model, Step, steps};
use crate::segments::{EVENTS, INDEX, TAIL, split};
use crate::{check_references, parse, sound};

fn step() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![3 => 0..300_u64, 1 => any::<u64>()];
    prop_oneof![
        4 => (any::<u8>(), number(), number(), any::<u16>())
            .prop_map(|(name, address, size, parent)| Step::Define { name, address, size, parent }),
        10 => any::<u16>().prop_map(|info| Step::Alloc { info }),
        4 => Just(Step::FreeLatest),
        6 => any::<u16>().prop_map(|pick| Step::Free { pick }),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(pick, info)| Step::Realloc { pick, info }),
        3 => prop_oneof![0..10_u64, 0..1_u64 << 40].prop_map(|ns| Step::Tick { ns }),
        2 => (0..4_u8).prop_map(|thread| Step::Thread { thread }),
        1 => (0..4_u8, any::<u16>(), any::<u8>())
            .prop_map(|(thread, tid, name)| Step::ThreadInfo { thread, tid, name }),
        1 => (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>())
            .prop_map(|(rss, heap, v8)| Step::Sample { rss, heap, v8 }),
        1 => (0..7_u8, any::<u64>(), any::<u64>())
            .prop_map(|(kind, address, len)| Step::Map { kind, address, len }),
        1 => (any::<u16>(), 0..9_u8, any::<u32>())
            .prop_map(|(ip, frames, line)| Step::Symbols { ip, frames, line }),
        1 => any::<u8>().prop_map(|name| Step::Suppression { name }),
        1 => (any::<u16>(), any::<u32>())
            .prop_map(|(info, allocations)| Step::Culled { info, allocations }),
        1 => any::<u8>().prop_map(|module| Step::Unmap { module }),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn any_recording_comes_back(
        steps in prop::collection::vec(step(), 0..200),
        sizes in prop::collection::vec(1..300_usize, 1..4),
    ) {
        let (file, model) = Model::write(&steps);
        let parsed = sound(&file);
        model.check(&parsed);
        check_references(&parsed);
        prop_assert_eq!(parse(&file, &sizes).expect("the same file"), parsed);
    }
}

#[test]
fn a_recording_of_many_segments_comes_back() {
    let (file, model) = Model::write(&steps(1, 900_000));
    model.check(&sound(&file));
}

/// The numbers that bytes begin with.
fn numbers(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let end = bytes.iter().position(|&byte| byte < 0x80)?;
        let (number, rest) = bytes.split_at(end + 1);
        bytes = rest;
        Some(number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7F)))
    })
}

#[test]
fn the_index_finds_each_segment_of_events() {
    let (file, _) = Model::write(&steps(6, 50_000));
    let trace = sound(&file).trace;
    let segments = split(&file);
    let [.., (INDEX, index_at, index), (TAIL, _, tail)] = &segments[..] else { panic!("{segments:?}") };
    assert_eq!(tail[..], (*index_at as u64).to_le_bytes());
    let mut rows = Vec::new();
    let mut row = [0; 4];
    for (at, difference) in numbers(index).enumerate() {
        row[at % 4] += (difference >> 1).cast_signed() ^ -(difference & 1).cast_signed();
        if at % 4 == 3 {
            rows.push(row);
        }
    }
    let mut expected = Vec::new();
    let (mut first, mut live, mut at) = (0, 0, 0);
    for (_, offset, raw) in segments.iter().filter(|segment| segment.0 == EVENTS) {
        // A segment begins with the number of its first event, which is where the one before it ended.
        let head: Vec<i64> = numbers(raw).take(6).map(u64::cast_signed).collect();
        assert_eq!(head[0], first);
        trace.events.replay(at..head[0] as u64, |_, run| {
            for event in run {
                let size = trace.infos.size(event.info()) as i64;
                live += if event.is_free() { -size } else { size };
            }
        });
        at = head[0] as u64;
        expected.push([*offset as i64, head[0], head[2], live]);
        first += head[4];
    }
    assert!(rows.len() > 100, "{}", rows.len());
    assert_eq!(rows, expected);
}

#[test]
fn an_empty_recording_is_whole() {
    let (file, model) = Model::write(&[]);
    model.check(&sound(&file));
}

#[test]
fn a_clock_that_runs_back_stands_still() {
    let mut writer = Writer::new(Vec::new(), &Meta::default(), 3).expect("memory");
    let info = writer.info(8, TraceId(0));
    for ns in [5, 9, 7, 12] {
        writer.tick(ns);
        writer.alloc(info);
    }
    let parsed = sound(&writer.finish(&End::default()).expect("memory"));
    let times: Vec<u64> = (0..4).map(|event| parsed.trace.clock.ns_at(event)).collect();
    assert_eq!(times, [5, 9, 9, 12]);
}

#[test]
fn an_idle_process_takes_no_room_for_its_clock() {
    let write = |ticks: u64| {
        let mut writer = Writer::new(Vec::new(), &Meta::default(), 3).expect("memory");
        (0..ticks).for_each(|tick| writer.tick(tick * 1_000_000));
        writer.finish(&End::default()).expect("memory")
    };
    let (one, many) = (write(2), write(1_000_000));
    assert!(many.len() < one.len() + 8, "{} and {}", one.len(), many.len());
    assert_eq!(sound(&many).trace.clock.runtime_ms(), 1_000_000);
}

/// A disk that is full after so many bytes.
struct Full(Vec<u8>, usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.len().min(self.1 - self.0.len()) {
            0 => Err(io::Error::from(io::ErrorKind::StorageFull)),
            len => {
                self.0.extend_from_slice(&bytes[..len]);
                Ok(len)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that reached the disk before it was full; the error must come back from each later call.
fn until_full(room: usize) -> Vec<u8> {
    let mut disk = Full(Vec::new(), room);
    let mut writer = Writer::new(&mut disk, &Meta::default(), 3).expect("room for the start");
    for size in 0.. {
        let info = writer.info(size, TraceId(0));
        let block = writer.alloc(info);
        writer.free(block, InfoIdx(info.0));
        if let Err(error) = writer.flush() {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            break;
        }
    }
    writer.alloc(InfoIdx(0));
    for again in [writer.check(), writer.flush(), writer.finish(&End::default()).map(|_| ())] {
        assert_eq!(again.expect_err("the disk is full").kind(), io::ErrorKind::StorageFull);
    }
    disk.0
}

#[test]
fn a_full_disk_is_told_and_keeps_what_it_has() {
    let mut last = 0;
    for room in [700, 1500, 4000] {
        let file = until_full(room);
        let parsed = parse(&file, &[usize::MAX]).expect("a part");
        assert!(!parsed.damage.is_empty());
        assert!(parsed.trace.events.len() > last, "{room}");
        last = parsed.trace.events.len();
    }
}
