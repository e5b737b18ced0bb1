//! Our own format: what was written comes back, and what is damaged gives what is before it.

mod damage;
mod golden;
mod model;
mod roundtrip;
mod segments;

use twinheap_trace::heaptrace::Parser;
use twinheap_trace::{IpId, ParseError, Parsed, TraceId};

/// Feeds a file in pieces whose sizes go round `sizes`.
fn parse(bytes: &[u8], sizes: &[usize]) -> Result<Parsed, ParseError> {
    let mut parser = Parser::new().with_lifetimes();
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

/// Reads a file that is not damaged.
#[track_caller]
fn sound(bytes: &[u8]) -> Parsed {
    let parsed = parse(bytes, &[usize::MAX]).expect("a file that can be read");
    assert_eq!((&parsed.damage[..], &parsed.notes[..]), (&[][..], &[][..]));
    parsed
}

/// Panics if something refers to what is not there.
fn check_references(parsed: &Parsed) {
    let trace = &parsed.trace;
    let recording = trace.recording.as_ref().expect("our own format");
    for id in (1..trace.ips.len() as u32).map(IpId) {
        assert!(trace.ips.module(id).index() <= trace.strings.len());
        for frame in trace.ips.frames(id) {
            assert!(frame.function.index().max(frame.file.index()) <= trace.strings.len());
        }
    }
    assert_eq!(recording.ip_modules.len(), trace.ips.len());
    let is_module = |&module: &u32| module == u32::MAX || (module as usize) < recording.modules.len();
    assert!(recording.ip_modules.iter().all(is_module));
    for id in (1..trace.tree.len() as u32).map(TraceId) {
        assert!(trace.tree.parent(id) < id && trace.tree.ip(id).index() < trace.ips.len());
    }
    trace.events.replay(0..u64::MAX, |_, run| {
        for event in run {
            assert!(trace.infos.trace(event.info()).index() < trace.tree.len());
        }
    });
    let live = recording.live.iter().flatten().map(|block| block.info);
    let infos = live.chain(recording.culled.iter().map(|culled| culled.info));
    assert!(
        infos
            .chain(recording.realloc_chains.rows().iter().map(|row| row.info))
            .all(|info| info.index() < trace.infos.len())
    );
    assert!(recording.maps.iter().all(|map| map.trace.index() < trace.tree.len()));
    assert!(trace.clock.stamps().is_sorted_by_key(|stamp| (stamp.ms, stamp.event)));
    assert!(trace.clock.stamps().iter().all(|stamp| stamp.event <= trace.events.len()));
    assert!(recording.memory.is_sorted_by_key(|sample| sample.ns));
}
