//! Any bytes as V8's map of generated code, cut anywhere: the same map as of one piece. And any bytes as a symbol's
//! name.
//!
//! The last byte of the input chooses the cuts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinheap_symbols::{EntryNo, JitMap, demangle, package_of};

fuzz_target!(|data: &[u8]| {
    let Some((&cuts, bytes)) = data.split_last() else { return };
    let mut whole = JitMap::new();
    whole.feed(bytes);
    let mut cut = JitMap::new();
    bytes.chunks(1 + usize::from(cuts)).for_each(|chunk| cut.feed(chunk));
    assert_eq!((whole.len(), whole.bad_lines()), (cut.len(), cut.bad_lines()));
    for entry in (0..whole.len() as u32).map(EntryNo) {
        let name = whole.entry(entry);
        assert_eq!(name, cut.entry(entry));
        assert!(!name.function.is_empty());
        let _package = package_of(name.script);
    }
    for address in 0..0x400 {
        assert_eq!(whole.lookup(address), cut.lookup(address));
    }
    let _name = demangle(bytes);
});
