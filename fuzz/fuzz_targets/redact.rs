//! Any bytes, cut anywhere, through redaction: no panic, the same result as for one piece, and what comes of a sound
//! snapshot is a sound snapshot with the same nodes and edges.
//!
//! The last byte of the input chooses the cuts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_fuzz::{check_parsed, parse};
use twinheap_snapshot::{RedactError, RedactStats, Redactor};

fn redact(bytes: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, RedactStats), RedactError> {
    let mut redactor = Redactor::new(b"salt");
    let (mut out, mut rest) = (Vec::new(), bytes);
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        redactor.feed(piece, &mut out)?;
        rest = behind;
    }
    let stats = redactor.finish(&mut out)?;
    Ok((out, stats))
}

fuzz_target!(|data: &[u8]| {
    let Some((&cuts, bytes)) = data.split_last() else { return };
    let whole = redact(bytes, &[bytes.len().max(1)]);
    let sizes = [1 + usize::from(cuts & 15), 1 + usize::from(cuts >> 4) * 7];
    assert_eq!(redact(bytes, &sizes), whole);
    let Ok((out, _)) = whole else { return };
    // What redaction does not look at may still be damaged: then it is as damaged as before.
    let Ok(before) = parse(bytes, &[bytes.len()], false) else { return };
    let after = parse(&out, &[out.len()], false).expect("a snapshot is left of a snapshot");
    check_parsed(&after, out.len() as u64);
    if before.damage.is_empty() {
        assert_eq!(after.damage, []);
    }
    assert_eq!(after.snapshot.node_count(), before.snapshot.node_count());
    assert_eq!(after.snapshot.edge_count(), before.snapshot.edge_count());
});
