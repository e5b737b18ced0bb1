//! Functions, lines and inlined functions are those of `addr2line`, names those of `nm -C`.

use std::path::Path;
use std::process::Command;

use crate::support::{self, C, CPP, Lab, Listed, RUST, functions, open, output};
use twinheap_symbols::{Frame, Module, Options, Resolved, Store, Symbolizer, demangle};

/// Compares each address of the functions that `wanted` picks, and tells how many are in inlined functions.
#[track_caller]
fn check(program: &Path, wanted: impl Fn(&Listed) -> bool) -> usize {
    let functions: Vec<Listed> = functions(program, &["-C"]).into_iter().filter(wanted).collect();
    assert!(functions.len() > 2, "{functions:?}");
    let mut addresses: Vec<u64> = functions.iter().flat_map(|f| f.address..f.address + f.size).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let input: String = addresses.iter().map(|address| format!("{address:x}\n")).collect();
    let printed = output(Command::new("addr2line").args(["-f", "-i", "-C", "-a", "-e"]).arg(program), &input);
    let theirs = printed.split("0x").skip(1);

    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &open, Options::default());
    // A bias must not matter.
    let bias = 0x5555_0000_0000;
    let module = symbols.add_module(Module { path: program.to_owned(), bias, ..Module::default() });
    let (mut inlined, mut compared) = (0, 0);
    for (&address, theirs) in addresses.iter().zip(theirs) {
        let ours = symbols.resolve(module, address + bias);
        inlined += usize::from(ours.frames.len() > 1);
        compared += 1;
        assert_eq!(lines_of(&ours), lines_printed(theirs, &ours), "{address:x}");
    }
    assert_eq!(symbols.problems(), []);
    assert_eq!(compared, addresses.len());
    inlined
}

/// Function and `FILE:LINE`, the folder left out.
fn lines_of(resolved: &Resolved) -> Vec<(String, String)> {
    let place = |file: &Option<String>, line| match file {
        Some(file) => format!("{}:{line}", file.rsplit('/').next().unwrap_or(file)),
        None => format!("??:{line}"),
    };
    let line = |frame: &Frame| (known_to_differ(&frame.function), place(&frame.file, frame.line));
    resolved.frames.iter().map(line).collect()
}

/// The same of `addr2line`'s output for one address: the address, then two lines a function.
///
/// Of lambdas it has only `operator()`, since DWARF gives them no name to link by; our name may say more.
fn lines_printed(text: &str, ours: &Resolved) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let place = |line: &str| {
        let line = line.split(" (discriminator").next().unwrap_or(line);
        let (file, line) = line.rsplit_once(':').expect("FILE:LINE");
        format!("{}:{}", file.rsplit('/').next().unwrap_or(file), if line == "?" { "0" } else { line })
    };
    let mut frames: Vec<_> = lines.chunks(2).map(|pair| (known_to_differ(pair[0]), place(pair[1]))).collect();
    if let (Some((real, _)), Some(ours)) = (frames.last_mut(), ours.frames.last())
        && real == "operator()"
        && ours.function.contains("::{lambda(")
        && ours.function.contains("::operator()(")
    {
        *real = known_to_differ(&ours.function);
    }
    frames
}

#[test]
fn c_resolves_as_with_addr2line() {
    let lab = Lab::new();
    for (name, arguments) in [
        ("dwarf5", &["-O2", "-g"][..]),
        ("dwarf4", &["-O2", "-gdwarf-4"]),
        ("zlib", &["-O2", "-g", "-gz=zlib"]),
        ("no-pie", &["-O2", "-g", "-no-pie", "-fno-pie"]),
        ("sections", &["-O2", "-g", "-ffunction-sections", "-Wl,--gc-sections"]),
    ] {
        let program = lab.build(name, C, arguments);
        assert!(check(&program, |f| f.name.contains("probe") || f.name == "main") > 0, "{name}");
    }
}

#[test]
fn zstd_sections_are_read() {
    let lab = Lab::new();
    let plain = lab.build("plain", C, &["-O2", "-g"]);
    let packed = lab.path("packed");
    lab.tool("objcopy", &["--compress-debug-sections=zstd", "plain", "packed"]);
    let sections = output(Command::new("readelf").args(["-t", "-W"]).arg(&packed), "");
    assert!(sections.contains("ZSTD"), "{sections}");
    let address = support::call_in(&plain, "probe_outer");
    let resolve = |path| support::resolve(Module { path, ..Module::default() }, Options::default(), address);
    assert_eq!(resolve(packed), resolve(plain));
}

#[test]
fn cpp_resolves_as_with_addr2line() {
    let lab = Lab::new();
    check(&lab.build("o0", CPP, &["-O0", "-g"]), |f| f.name.contains("probe") || f.name == "main");
    let optimised = lab.build("o2", CPP, &["-O2", "-g"]);
    assert!(check(&optimised, |f| f.name.contains("probe") || f.name == "main") > 0);
}

#[test]
fn rust_resolves_as_with_addr2line() {
    let lab = Lab::new();
    let arguments =
        ["-g", "-O", "-C", "symbol-mangling-version=v0", "--edition=2024", "--crate-name", "small"];
    let program = lab.build("small", RUST, &arguments);
    assert!(check(&program, |f| f.name.starts_with("small::probe")) > 0);
}

#[test]
fn without_debug_information_symbols_name_the_functions() {
    let lab = Lab::new();
    let program = lab.build("bare", CPP, &["-O1"]);
    let store = Store::new();
    let mut symbols = Symbolizer::new(&store, &open, Options::default());
    let module = symbols.add_module(Module { path: program.clone(), ..Module::default() });
    let listed = functions(&program, &[]);
    assert!(listed.len() > 20, "{}", listed.len());
    for function in &listed {
        for address in [function.address, function.address + function.size - 1] {
            let resolved = symbols.resolve(module, address);
            let found = &resolved.frames[0].function;
            // Constructors come twice, under the same address and the same name.
            let mut names = listed.iter().filter(|f| f.address <= address && address < f.address + f.size);
            let is_one = names.any(|f| demangle(f.name.as_bytes()) == *found);
            assert!(is_one, "{address:x}: {found}, not {function:?}");
        }
    }
}

#[test]
fn names_are_those_of_nm() {
    let lab = Lab::new();
    let program = lab.build("names", CPP, &["-O0", "-g"]);
    // Both in the order of the table.
    let mangled = functions(&program, &["-p"]);
    let readable = functions(&program, &["-p", "-C"]);
    assert_eq!(mangled.len(), readable.len());
    assert!(mangled.len() > 100, "{}", mangled.len());
    let (mut same, mut unknown) = (0, 0);
    for (mangled, readable) in mangled.iter().zip(&readable) {
        let ours = demangle(mangled.name.as_bytes());
        if ours == mangled.name && readable.name != mangled.name {
            unknown += 1;
            continue;
        }
        same += usize::from(ours == readable.name);
        assert_eq!(known_to_differ(&ours), known_to_differ(&readable.name));
    }
    let all = mangled.len();
    assert!(same * 10 > all * 9 && unknown * 100 < all, "{same} and {unknown} of {all}");
}

/// A name without what `cpp_demangle` gets wrong: the parameters of a function that takes a pack of references
/// (`emplace(Args&&...)`), and the functions around a local one, which lack or have a result type. And without the mark of a part that the compiler split off, which only symbols have.
fn known_to_differ(name: &str) -> String {
    let name = name.split(" [clone ").next().unwrap_or(name);
    let name = name.rsplit(")::").next().unwrap_or(name);
    let is_template = name.contains('<') && name.ends_with(')');
    if !is_template {
        return name.to_owned();
    }
    let mut depth = 0;
    let start = name.char_indices().rev().find(|&(_, letter)| {
        depth += i32::from(letter == ')') - i32::from(letter == '(');
        letter == '(' && depth == 0
    });
    start.map_or(name, |(at, _)| &name[..at]).to_owned()
}
