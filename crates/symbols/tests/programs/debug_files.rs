//! The right file is found wherever it may lie, and a wrong one is never believed.

use std::path::{Path, PathBuf};

use crate::support::{self, C, Lab, build_id, call_in, chain, hex, read, resolve};
use twinheap_symbols::{Kind, Module, Options, Problem, Segment, Why};

/// The frames of the call in `probe_outer`, with lines.
const WITH_LINES: [(&str, u32, bool); 3] =
    [("probe_innermost", 3, true), ("probe_middle", 6, true), ("probe_outer", 11, false)];
/// The same without debug information.
const WITHOUT: [(&str, u32, bool); 1] = [("probe_outer", 0, false)];

/// A program, its stripped twin and its debug file, with the link from one to the other.
struct Stripped {
    lab: Lab,
    program: PathBuf,
    debug: PathBuf,
    id: Vec<u8>,
    call: u64,
}

fn stripped(arguments: &[&str]) -> Stripped {
    let lab = Lab::new();
    let whole = lab.build("whole", C, &[&["-O2", "-g"], arguments].concat());
    let call = call_in(&whole, "probe_outer");
    let id = if arguments.is_empty() { build_id(&whole) } else { Vec::new() };
    lab.tool("objcopy", &["--only-keep-debug", "whole", "program.debug"]);
    lab.tool("objcopy", &["--strip-all", "--add-gnu-debuglink=program.debug", "whole", "program"]);
    Stripped { program: lab.path("program"), debug: lab.path("program.debug"), lab, id, call }
}

impl Stripped {
    fn module(&self) -> Module {
        let build_id = (!self.id.is_empty()).then(|| self.id.clone());
        Module { path: self.program.clone(), build_id, ..Module::default() }
    }

    /// Moves the debug file.
    fn move_debug(&self, name: impl AsRef<Path>) -> PathBuf {
        let to = self.lab.path("").join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(&self.debug, &to).unwrap();
        to
    }

    #[track_caller]
    fn check(&self, options: &Options, expected: &[(&str, u32, bool)], problem: Option<&str>) {
        self.check_module(self.module(), options, expected, problem);
    }

    #[track_caller]
    fn check_module(
        &self,
        module: Module,
        options: &Options,
        expected: &[(&str, u32, bool)],
        problem: Option<&str>,
    ) {
        let (resolved, problems) = resolve(module, options.clone(), self.call);
        assert_eq!(chain(&resolved), expected);
        assert_eq!(resolved.kind == Kind::Unknown, expected.is_empty());
        let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
        match problem {
            None => assert_eq!(texts, [""; 0]),
            Some(part) => assert!(texts.len() == 1 && texts[0].contains(part), "{texts:?}"),
        }
    }
}

fn debug_path(path: impl Into<PathBuf>) -> Options {
    Options { debug_paths: vec![path.into()], ..Options::default() }
}

#[test]
fn a_linked_debug_file_is_found_beside_the_program_and_in_the_folder_for_it() {
    let it = stripped(&[]);
    it.check(&Options::default(), &WITH_LINES, None);
    it.move_debug(".debug/program.debug");
    it.check(&Options::default(), &WITH_LINES, None);

    // Without build ids only the checksum tells.
    let it = stripped(&["-Wl,--build-id=none"]);
    it.check(&Options::default(), &WITH_LINES, None);
}

#[test]
fn a_linked_debug_file_is_found_in_folders_laid_out_like_usr_lib_debug() {
    let it = stripped(&["-Wl,--build-id=none"]);
    let folder = it.program.parent().unwrap().strip_prefix("/").unwrap();
    it.move_debug(Path::new("debug").join(folder).join("program.debug"));
    it.check(&Options::default(), &[], None);
    it.check(&debug_path(it.lab.path("debug")), &WITH_LINES, None);

    // The same below a sysroot, whose paths lack the sysroot's own.
    let it = stripped(&["-Wl,--build-id=none"]);
    it.move_debug("root/usr/lib/debug/opt/program.debug");
    it.lab.write("root/opt/program", read(&it.program));
    let module = Module { path: PathBuf::from("/opt/program"), ..Module::default() };
    let options = Options { sysroot: Some(it.lab.path("root")), ..Options::default() };
    it.check_module(module, &options, &WITH_LINES, None);
}

#[test]
fn a_debug_file_is_found_by_build_id() {
    let it = stripped(&[]);
    let name = Path::new("debug/.build-id").join(hex(&it.id[..1])).join(hex(&it.id[1..]) + ".debug");
    it.move_debug(name);
    it.check(&Options::default(), &[], None);
    it.check(&debug_path(it.lab.path("debug")), &WITH_LINES, None);
    // Even if the program itself has gone.
    std::fs::remove_file(&it.program).unwrap();
    it.check(&debug_path(it.lab.path("debug")), &WITH_LINES, None);
    it.check(&Options::default(), &[], Some("program` can't be opened"));
}

#[test]
fn a_debug_file_is_found_under_the_programs_name_and_in_debuginfods_cache() {
    let it = stripped(&[]);
    it.move_debug("elsewhere/program");
    it.check(&Options::default(), &[], None);
    it.check(&debug_path(it.lab.path("elsewhere")), &WITH_LINES, None);

    let it = stripped(&[]);
    it.move_debug(Path::new("cache").join(hex(&it.id)).join("debuginfo"));
    let options = Options { debuginfod_cache: Some(it.lab.path("cache")), ..Options::default() };
    it.check(&options, &WITH_LINES, None);
}

#[test]
fn a_debug_file_with_another_checksum_is_refused() {
    let it = stripped(&[]);
    let mut bytes = read(&it.debug);
    bytes.push(0);
    it.lab.write("program.debug", &bytes);
    it.check(
        &Options::default(),
        &[],
        Some("program.debug` isn't the debug file that was asked for: its checksum"),
    );
}

#[test]
fn a_debug_file_of_another_build_is_refused() {
    let it = stripped(&[]);
    let other = it.lab.build("other", support::CPP, &["-g"]);
    let name = Path::new("debug/.build-id").join(hex(&it.id[..1])).join(hex(&it.id[1..]) + ".debug");
    it.lab.write(name.to_str().unwrap(), read(other));
    std::fs::remove_file(&it.debug).unwrap();
    it.check(&debug_path(it.lab.path("debug")), &[], Some("isn't the file that was loaded: its build id is"));
}

#[test]
fn a_program_of_another_build_gives_no_names() {
    let it = stripped(&[]);
    let module = Module { path: it.lab.path("whole"), build_id: Some(vec![1; 20]), ..Module::default() };
    let expected = format!("its build id is {}, that of the recording {}", hex(&it.id), "01".repeat(20));
    it.check_module(module, &Options::default(), &[], Some(&expected));

    // Without ids, what the loader saw tells.
    let segments = vec![Segment { vaddr: 0, memsz: 1 << 40 }];
    let module = Module { path: it.lab.path("whole"), segments, ..Module::default() };
    it.check_module(module, &Options::default(), &[], Some("its segments have other addresses or sizes"));
}

#[test]
fn a_replaced_program_is_known_by_its_build_id() {
    let it = stripped(&[]);
    let mut path = it.lab.path("whole").into_os_string();
    path.push(" (deleted)");
    let path = PathBuf::from(path);
    // The same file lies there again, as after an installation that changed nothing.
    let module = Module { path: path.clone(), build_id: Some(it.id.clone()), ..Module::default() };
    it.check_module(module, &Options::default(), &WITH_LINES, None);
    let module = Module { path, ..Module::default() };
    it.check_module(module, &Options::default(), &[], Some("was removed or replaced while the process ran"));
}

#[test]
fn a_program_stripped_of_its_debug_information_keeps_its_symbols() {
    let it = stripped(&[]);
    it.lab.tool("objcopy", &["--strip-debug", "whole", "plain"]);
    let module = Module { path: it.lab.path("plain"), build_id: Some(it.id.clone()), ..Module::default() };
    it.check_module(module, &Options::default(), &WITHOUT, None);
}

#[test]
fn damaged_debug_information_leaves_the_symbols() {
    let it = stripped(&[]);
    it.lab.tool("objcopy", &["--dump-section", ".debug_info=info", "whole"]);
    let mut info = read(it.lab.path("info"));
    // The first unit's version.
    info[4..6].fill(0xee);
    it.lab.write("info", &info);
    it.lab.tool("objcopy", &["--update-section", ".debug_info=info", "whole", "damaged"]);
    let module = Module { path: it.lab.path("damaged"), ..Module::default() };
    it.check_module(module, &Options::default(), &WITHOUT, Some("has debug information that can't be read"));
}

#[test]
fn a_shared_debug_file_that_is_missing_is_told() {
    let it = stripped(&[]);
    it.lab.write("link", [b"/nowhere/shared.debug\0", &[7; 20][..]].concat());
    it.lab.tool("objcopy", &["--add-section", ".gnu_debugaltlink=link", "whole", "linked"]);
    let module = Module { path: it.lab.path("linked"), ..Module::default() };
    it.check_module(
        module,
        &Options::default(),
        &WITH_LINES,
        Some("`/nowhere/shared.debug` can't be opened"),
    );
}

#[test]
fn what_is_no_elf_file_says_so() {
    let lab = Lab::new();
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
        let path = lab.write("script", bytes);
        let (resolved, problems) = resolve(Module { path, ..Module::default() }, Options::default(), 0x1000);
        assert_eq!(resolved.kind, Kind::Unknown);
        assert!(matches!(problems[0].why, Why::NotElf(_)), "{problems:?}");
    }
}

#[test]
fn what_the_kernel_brings_along_is_no_problem() {
    for path in ["linux-vdso.so.1", "[vdso]", ""] {
        let (resolved, problems) =
            resolve(Module { path: PathBuf::from(path), ..Module::default() }, Options::default(), 0x1000);
        assert_eq!((resolved.kind, problems), (Kind::Unknown, vec![]));
    }
}

#[test]
fn the_full_path_of_a_source_is_told() {
    let lab = Lab::new();
    let program = lab.build("whole", C, &["-O2", "-g"]);
    let call = call_in(&program, "probe_outer");
    let (resolved, _) = resolve(Module { path: program, ..Module::default() }, Options::default(), call);
    let source = lab.path("whole.c");
    assert!(resolved.frames.iter().all(|frame| frame.file.as_deref() == source.to_str()), "{resolved:?}");
}
