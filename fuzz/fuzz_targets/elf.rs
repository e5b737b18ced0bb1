//! Any bytes as an executable with debug information: no panic, and an answer that is in itself sound.
//!
//! The first eight bytes of the input are an address that is asked for beside fixed ones.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use twinheap_symbols::{Bytes, Kind, Module, Options, Store, Symbolizer};

fuzz_target!(|data: &[u8]| {
    let Some((address, file)) = data.split_first_chunk() else { return };
    let files = |path: &Path| (path == Path::new("/program")).then(|| Box::new(file.to_vec()) as Bytes);
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &files, Options::default());
    let module = symbols.add_module(Module { path: "/program".into(), ..Module::default() });
    let address = u64::from_le_bytes(*address);
    for address in [address, 0x1000, 0x1100, 0x1180, 0x1200, 0, u64::MAX] {
        let resolved = symbols.resolve(module, address);
        assert_eq!(resolved.kind == Kind::Unknown, resolved.frames.is_empty());
        let inlined = resolved.frames.iter().rev().skip(1).all(|frame| frame.inlined);
        assert!(inlined && resolved.frames.last().is_none_or(|frame| !frame.inlined));
        assert_eq!(symbols.resolve(module, address), resolved);
    }
    assert!(symbols.problems().len() <= 1);
});
