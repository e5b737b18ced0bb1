//! Names for the places of a finished recording.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use twinheap_symbols::{
    EntryNo, Files, JsKind, Kind, Module as SymbolModule, Options, Resolved, Store, Symbolizer,
};
use twinheap_trace::heaptrace::Writer;
use twinheap_trace::{Frame, FrameKind, IpId, ModuleNo};

use super::jit::JitCode;
use super::js::JsFrames;
use super::known_files::{FileNo, KnownFiles};
use super::places::{Owner, Places};

/// How many places have names, by the kind of their code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Places in code of libraries and executables.
    pub native: u64,
    /// Those of them that have a function.
    pub native_named: u64,
    /// Places in code that was generated at run time.
    pub generated: u64,
    /// Those of them that have a function.
    pub generated_named: u64,
}

/// What all functions return to that V8 interprets.
const INTERPRETER: &str = "Builtins_InterpreterEntryTrampoline";

/// Writes the functions of all places; how many have one, and a sentence for each module that has no names. Names that
/// recordings before this one had are taken from `known`.
pub(super) fn write_symbols<W: Write>(
    places: &Places,
    jit: &JitCode,
    js: &JsFrames,
    files: &dyn Files,
    options: Options,
    known: &mut KnownFiles,
    writer: &mut Writer<W>,
) -> (Named, Vec<String>) {
    let store = Store::new();
    let mut symbolizer = Symbolizer::new(&store, files, options);
    let modules: Vec<_> = places
        .modules
        .iter()
        .map(|module| {
            symbolizer.add_module(SymbolModule {
                path: PathBuf::from(String::from_utf8_lossy(&module.path).into_owned()),
                build_id: (!module.build_id.is_empty()).then(|| module.build_id.clone()),
                bias: module.bias,
                segments: Vec::new(),
            })
        })
        .collect();
    known.make_room();
    let known_of: Vec<Option<FileNo>> = places.modules.iter().map(|module| known.number(module)).collect();
    // Files that need not be read for the names that were asked before.
    let mut answered: BTreeSet<FileNo> = BTreeSet::new();
    let mut new: Vec<(FileNo, u64, Resolved)> = Vec::new();
    let mut named = Named::default();
    // Module by module: each has its tables in memory only while they are needed.
    // A thread's stack may be read before the module that another thread has met first.
    let late = |&(address, owner)| match owner {
        Owner::Nobody => (address, places.module_at(address).map_or(owner, Owner::Module)),
        _ => (address, owner),
    };
    let owners: Vec<_> = places.places.iter().map(late).collect();
    let mut order: Vec<usize> = (0..places.places.len()).collect();
    order.sort_by_key(|&at| match owners[at].1 {
        Owner::Module(ModuleNo(number)) => number,
        Owner::Jit(_) | Owner::Js(_) | Owner::Nobody => u32::MAX,
    });
    let mut symbols: Vec<(IpId, Vec<Frame>)> = Vec::with_capacity(order.len());
    for at in order {
        let (address, owner) = owners[at];
        let ip = IpId(at as u32 + 1);
        let frames = match owner {
            Owner::Module(ModuleNo(number)) => {
                let number = number as usize;
                let (file, at) = (known_of[number], address.wrapping_sub(places.modules[number].bias));
                let fresh;
                let resolved = match file.and_then(|file| known.name(file, at)) {
                    Some(before) => {
                        answered.extend(file);
                        before
                    }
                    None => {
                        fresh = symbolizer.resolve(modules[number], address);
                        if let Some(file) = file.filter(|_| new.len() < known.room()) {
                            new.push((file, at, fresh.clone()));
                        }
                        &fresh
                    }
                };
                // The interpreter's entry is no name for a function that it runs.
                if resolved.frames.first().is_some_and(|frame| frame.function == INTERPRETER) {
                    named.generated += 1;
                } else {
                    named.native += 1;
                    named.native_named += u64::from(!resolved.frames.is_empty());
                }
                native(resolved, writer)
            }
            Owner::Js(spot) => {
                named.generated += 1;
                let spot = js.frames().and_then(|frames| frames.spot(spot));
                named.generated_named += u64::from(spot.is_some());
                let frame = spot.map(|spot| Frame {
                    function: writer.string(spot.function.as_bytes()),
                    file: writer.string(spot.script.as_bytes()),
                    line: spot.line,
                    column: spot.column,
                    kind: FrameKind::Js,
                });
                frame.into_iter().collect()
            }
            Owner::Jit(_) | Owner::Nobody => {
                named.generated += 1;
                // Code that had no name when it was met may have got one since: V8 writes its map in pieces.
                let entry = if let Owner::Jit(entry) = owner { Some(entry) } else { jit.lookup(address) };
                let frame = entry.map(|entry| generated(jit, entry, writer));
                named.generated_named += u64::from(frame.is_some());
                frame.into_iter().collect()
            }
        };
        if !frames.is_empty() {
            symbols.push((ip, frames));
        }
    }
    symbols.sort_unstable_by_key(|(ip, _)| *ip);
    for (ip, frames) in &symbols {
        writer.symbols(*ip, frames);
    }
    let mut problems: Vec<String> = Vec::new();
    for problem in symbolizer.problems() {
        let text = problem.to_string();
        if let Some(file) = known_of[problem.module.0 as usize] {
            known.set_problem(file, text.clone());
        }
        problems.push(text);
    }
    for text in answered.into_iter().filter_map(|file| known.problem(file)) {
        if !problems.iter().any(|problem| problem == text) {
            problems.push(text.to_owned());
        }
    }
    problems.extend(js.problem());
    for (file, at, name) in new {
        known.add_name(file, at, name);
    }
    (named, problems)
}

fn native<W: Write>(resolved: &Resolved, writer: &mut Writer<W>) -> Vec<Frame> {
    let kind = match resolved.kind {
        Kind::Native => FrameKind::Native,
        Kind::Builtin => FrameKind::Builtin,
        Kind::Unknown => FrameKind::Unknown,
    };
    let frame = |frame: &twinheap_symbols::Frame| Frame {
        function: writer.string(frame.function.as_bytes()),
        file: writer.string(frame.file.as_deref().unwrap_or_default().as_bytes()),
        line: frame.line,
        column: frame.column,
        kind,
    };
    resolved.frames.iter().map(frame).collect()
}

fn generated<W: Write>(jit: &JitCode, entry: u32, writer: &mut Writer<W>) -> Frame {
    let name = jit.map.entry(EntryNo(entry));
    Frame {
        function: writer.string(name.function.as_bytes()),
        file: writer.string(name.script.as_bytes()),
        line: name.line,
        column: name.column,
        kind: match name.kind {
            JsKind::Js => FrameKind::Js,
            JsKind::Builtin => FrameKind::Builtin,
        },
    }
}
