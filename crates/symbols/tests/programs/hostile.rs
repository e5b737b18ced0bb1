//! Damaged files, garbage and odd names: no panic, and nothing without end.

use std::path::Path;
use std::sync::LazyLock;

use crate::support::{self, C, Lab, read};
use proptest::prelude::*;
use twinheap_symbols::{Bytes, JitMap, JsName, Module, Options, Resolved, Store, Symbolizer, demangle};

/// Small programs, plain and with compressed sections, with the addresses of a function.
static PROGRAMS: LazyLock<Vec<(Vec<u8>, u64)>> = LazyLock::new(|| {
    let lab = Lab::new();
    let arguments = ["-O2", "-g", "-nostartfiles", "-Wl,-e,main"];
    let plain = lab.build("plain", C, &arguments);
    let address = support::function(&plain, "probe_outer").address;
    let zlib = lab.build("zlib", C, &[&arguments[..], &["-gz=zlib"]].concat());
    lab.tool("objcopy", &["--compress-debug-sections=zstd", "plain", "zstd"]);
    let old = lab.build("old", C, &[&arguments[..], &["-gdwarf-4"]].concat());
    [plain, zlib, lab.path("zstd"), old].iter().map(|path| (read(path), address)).collect()
});

fn resolve_some(bytes: &[u8], address: u64) -> Vec<Resolved> {
    let files = |path: &Path| (path == Path::new("/program")).then(|| Box::new(bytes.to_vec()) as Bytes);
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &files, Options::default());
    let module = symbols.add_module(Module { path: "/program".into(), ..Module::default() });
    let addresses = (address..address + 24).chain([0, 1, u64::MAX - 1, u64::MAX]);
    addresses.map(|address| symbols.resolve(module, address)).collect()
}

#[test]
fn the_programs_are_read_before_they_are_damaged() {
    for (bytes, address) in &*PROGRAMS {
        assert!(resolve_some(bytes, *address).iter().any(|resolved| resolved.frames.len() == 3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_file_makes_nobody_panic(
        program in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (mut bytes, address) = PROGRAMS[program].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _resolved = resolve_some(&bytes, address);
    }

    /// Most of a program's bytes are none of ours, so the parts that are read get changes of their own.
    #[test]
    fn a_damaged_section_makes_nobody_panic(
        program in 0..4_usize,
        section in prop::sample::select(vec![".debug_info", ".debug_line", ".debug_abbrev", ".symtab", ".debug_rnglists",
            ".debug_str", ".debug_ranges", ".debug_aranges", ".debug_line_str"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        use object::{Object as _, ObjectSection as _};
        let (mut bytes, address) = PROGRAMS[program].clone();
        let range = object::read::elf::ElfFile64::<object::Endianness>::parse(&*bytes).unwrap().section_by_name(section).and_then(|s| s.file_range());
        if let Some((start, size)) = range.filter(|range| range.1 > 0) {
            for (at, byte) in changes {
                bytes[start as usize + at.index(size as usize)] = byte;
            }
        }
        let _resolved = resolve_some(&bytes, address);
    }

    #[test]
    fn any_text_is_a_name(text in "[_A-Za-z0-9.@$ :/~^*+'-]{0,80}", start in "(_ZN|_R|_Z|JS:~|RegExp:|)") {
        let name = start + &text;
        let _demangled = demangle(name.as_bytes());
        let parsed = JsName::parse(&name);
        prop_assert!(!parsed.function.is_empty());
    }

    #[test]
    fn any_bytes_are_a_map(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..40_usize) {
        check_map(&bytes, size);
    }

    #[test]
    fn a_map_of_odd_lines_gives_the_last_code_of_an_address(
        lines in prop::collection::vec((0..80_u64, 0..20_u64), 0..30),
        size in 1..40_usize,
    ) {
        // Each has a name of its own: what has the same name is the same function.
        let line = |(at, (start, size)): (usize, &(u64, u64))| format!("{start:x} {size:x} JS:~f{at} /x.js:{start}:1\n");
        let text: String = lines.iter().enumerate().map(line).collect();
        check_map(text.as_bytes(), size);
        let mut map = JitMap::new();
        map.feed(text.as_bytes());
        for address in 0..110 {
            // The slow rule: the last line that covers it, if no later one overlaps that one.
            let sound: Vec<_> = lines.iter().filter(|(_, size)| *size > 0).collect();
            let last = sound.iter().rposition(|(start, size)| (*start..start + size).contains(&address));
            let stays = |at: &usize| {
                let (start, size) = sound[*at];
                sound[at + 1..].iter().all(|(other, length)| other + length <= *start || start + size <= *other)
            };
            let found = map.lookup(address).map(|entry| entry.0 as usize);
            prop_assert_eq!(found, last.filter(stays));
        }
    }
}

/// Cuts change nothing.
fn check_map(bytes: &[u8], size: usize) {
    let mut whole = JitMap::new();
    whole.feed(bytes);
    let mut cut = JitMap::new();
    bytes.chunks(size).for_each(|chunk| cut.feed(chunk));
    assert_eq!((whole.len(), whole.bad_lines()), (cut.len(), cut.bad_lines()));
    for address in 0..200 {
        assert_eq!(whole.lookup(address), cut.lookup(address));
        if let Some(entry) = whole.lookup(address) {
            assert_eq!(whole.entry(entry), cut.entry(entry));
        }
    }
}
