//! Any bytes, cut anywhere: the parser gives the same answer as for one piece, and no answer contradicts itself.
//!
//! The last bytes of the input choose the cuts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_fuzz::{check_parsed, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&cuts, bytes)) = data.split_last() else { return };
    let whole = parse(bytes, &[bytes.len().max(1)], false);
    if let Ok(parsed) = &whole {
        check_parsed(parsed, bytes.len() as u64);
    }
    let sizes = [1 + usize::from(cuts & 15), 1 + usize::from(cuts >> 4) * 7];
    assert_eq!(parse(bytes, &sizes, true), whole);
});
