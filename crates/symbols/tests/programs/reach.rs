//! Which symbols count, and how far they reach.

use crate::support::{self, Lab, open};
use twinheap_symbols::{Kind, Module, ModuleNo, Options, Resolved, Segment, Store, Symbolizer};

/// Assembler for x86-64 and aarch64 alike: code is never run.
const ASSEMBLER: &str = "\
.text
.balign 16
.globl sized
.type sized, %function
sized: .skip 8
.size sized, 8
.skip 8
.globl unsized_one
unsized_one: .skip 16
.type next, %function
next: .skip 8
label: .skip 8
.size next, 16
.globl Builtins_ArrayMap
.type Builtins_ArrayMap, %function
Builtins_ArrayMap: .skip 16
.size Builtins_ArrayMap, 16
.type chooser, %gnu_indirect_function
chooser: .skip 16
.size chooser, 16
.weak __alias
.type __alias, %function
__alias:
.globl alias
.type alias, %function
alias: .skip 16
.size alias, 16
.size __alias, 16
.globl last
last: .skip 16
.data
.globl data
.type data, %object
data: .skip 16
.size data, 16
";

fn first(resolved: &Resolved) -> &str {
    resolved.frames.first().map_or("", |frame| &frame.function)
}

#[test]
fn symbols_cover_what_they_should() {
    let lab = Lab::new();
    let program = lab.build("asm", ASSEMBLER, &["-nostdlib", "-shared", "-Wl,-soname,asm.so"]);
    let start = support::function(&program, "sized").address;
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &open, Options::default());
    let module = symbols.add_module(Module { path: program, ..Module::default() });
    let mut at = |offset: u64| symbols.resolve(module, start.wrapping_add(offset));
    for (offset, name) in [
        (0, "sized"),
        (7, "sized"),
        (8, ""),
        (15, ""),
        (16, "unsized_one"),
        (31, "unsized_one"),
        (32, "next"),
        (47, "next"),
        (48, "Builtins_ArrayMap"),
        (64, "chooser"),
        (80, "alias"),
        (96, "last"),
        (111, "last"),
        (112, ""),
        (u64::MAX, ""),
    ] {
        assert_eq!(first(&at(offset)), name, "{offset}");
    }
    assert_eq!([at(0).kind, at(8).kind, at(48).kind], [Kind::Native, Kind::Unknown, Kind::Builtin]);
    assert_eq!(symbols.problems(), []);
}

#[test]
fn exported_symbols_are_enough_for_a_stripped_library() {
    let lab = Lab::new();
    let program = lab.build("asm", ASSEMBLER, &["-nostdlib", "-shared"]);
    let start = support::function(&program, "sized").address;
    lab.tool("strip", &["asm"]);
    let (resolved, problems) =
        support::resolve(Module { path: program, ..Module::default() }, Options::default(), start);
    assert_eq!((first(&resolved), problems), ("sized", vec![]));
}

#[test]
fn a_file_is_read_once_and_a_module_only_where_it_is_loaded() {
    let lab = Lab::new();
    let path = lab.build("asm", ASSEMBLER, &["-nostdlib", "-shared"]);
    let start = support::function(&path, "sized").address;
    let opened = std::cell::Cell::new(0);
    let files = |wanted: &std::path::Path| {
        opened.set(opened.get() + usize::from(wanted == path));
        open(wanted)
    };
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &files, Options::default());
    let segments: Vec<Segment> = segments(&path);
    let mut add = |bias| {
        symbols.add_module(Module {
            path: path.clone(),
            bias,
            segments: segments.clone(),
            ..Module::default()
        })
    };
    let (one, other) = (add(0x10_0000), add(0x20_0000));
    assert_eq!(opened.get(), 0);
    let mut at = |module, address| first(&symbols.resolve(module, address)).to_owned();
    assert_eq!(at(one, 0x10_0000 + start), "sized");
    assert_eq!(at(other, 0x20_0000 + start), "sized");
    // In the other's place, and outside of both.
    assert_eq!(at(one, 0x20_0000 + start), "");
    assert_eq!(at(one, start), "");
    assert_eq!(at(ModuleNo(7), start), "");
    assert_eq!(opened.get(), 1);
    assert_eq!(symbols.problems(), []);
}

/// The segments that `readelf` lists.
fn segments(path: &std::path::Path) -> Vec<Segment> {
    let text = support::output(std::process::Command::new("readelf").args(["-l", "-W"]).arg(path), "");
    let number = |field: &str| u64::from_str_radix(field.trim_start_matches("0x"), 16).unwrap();
    let loads = text.lines().filter_map(|line| line.trim().strip_prefix("LOAD"));
    let segment = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Segment { vaddr: number(fields[1]), memsz: number(fields[4]) }
    };
    loads.map(segment).collect()
}
