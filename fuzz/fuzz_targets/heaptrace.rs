//! Segments of our own trace format with sound checksums and any content, cut anywhere: the parser gives the same
//! answer as for one piece, and no answer contradicts itself.
//!
//! The last byte of the input chooses the cuts. A segment of the input is a byte for its kind, two for its length,
//! and its raw bytes; a length beyond the end means the rest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_trace::heaptrace::Parser;
use twinheap_trace::{InfoIdx, IpId, ParseError, Parsed, TraceId};

fn parse(bytes: &[u8], sizes: &[usize]) -> Result<Parsed, ParseError> {
    let mut parser = Parser::new().with_lifetimes();
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        parser.feed(piece)?;
        rest = behind;
    }
    parser.finish()
}

/// Frames the segments of the input.
fn file(mut rest: &[u8]) -> Vec<u8> {
    let mut file = b"\x89HTRACE\n\x01\0\xFF\xFE\0\0\0\0".to_vec();
    while let [kind, low, high, behind @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (raw, next) = behind.split_at(len);
        let start = file.len();
        file.extend([*kind, 1, 0, 0]);
        file.extend((len as u32).to_le_bytes());
        file.extend((len as u32).to_le_bytes());
        let mut sum = crc32fast::Hasher::new();
        sum.update(&file[start..]);
        sum.update(raw);
        file.extend(sum.finalize().to_le_bytes());
        file.extend(raw);
        rest = next;
    }
    file
}

fn check(parsed: &Parsed) {
    let trace = &parsed.trace;
    let recording = trace.recording.as_ref().expect("our own format");
    for id in (1..trace.ips.len() as u32).map(IpId) {
        assert!(trace.ips.module(id).index() <= trace.strings.len());
        assert!(trace.ips.frames(id).iter().all(|f| f.function.max(f.file).index() <= trace.strings.len()));
    }
    for id in (1..trace.tree.len() as u32).map(TraceId) {
        assert!(trace.tree.parent(id) < id && trace.tree.ip(id).index() < trace.ips.len());
    }
    let mut frees = 0;
    trace.events.replay(0..u64::MAX, |_, run| {
        for event in run {
            assert!(event.info().index() < trace.infos.len());
            frees += u64::from(event.is_free());
        }
    });
    let infos = (0..trace.infos.len() as u32).map(InfoIdx);
    let lived: u64 = infos.flat_map(|info| recording.lifetimes.of(info)).map(|(_, blocks)| blocks).sum();
    assert_eq!(lived, frees);
    let changes = recording.thread_runs.iter();
    assert!(changes.map(|(event, _)| event).is_sorted());
    assert!(trace.clock.stamps().is_sorted_by_key(|stamp| (stamp.ms, stamp.event)));
    assert!(parsed.damage.iter().all(|damage| !damage.what.is_empty()));
}

fuzz_target!(|data: &[u8]| {
    let Some((&cuts, segments)) = data.split_last() else { return };
    let file = file(segments);
    let whole = parse(&file, &[file.len()]);
    if let Ok(parsed) = &whole {
        check(parsed);
    }
    let sizes = [1 + usize::from(cuts & 15), 1 + usize::from(cuts >> 4) * 7];
    assert_eq!(parse(&file, &sizes), whole);
});
