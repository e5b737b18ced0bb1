//! Names for the places of a finished recording.

use std::io::Write;
use std::path::PathBuf;

use twinheap_symbols::{EntryNo, Files, JsKind, Kind, Module as SymbolModule, Options, Store, Symbolizer};
use twinheap_trace::heaptrace::Writer;
use twinheap_trace::{Frame, FrameKind, IpId, ModuleNo};

use super::jit::JitCode;
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

/// Writes the functions of all places; how many have one, and a sentence for each module that has no names.
pub(super) fn write_symbols<W: Write>(
    places: &Places,
    jit: &JitCode,
    files: &dyn Files,
    options: Options,
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
        Owner::Jit(_) | Owner::Nobody => u32::MAX,
    });
    let mut symbols: Vec<(IpId, Vec<Frame>)> = Vec::with_capacity(order.len());
    for at in order {
        let (address, owner) = owners[at];
        let ip = IpId(at as u32 + 1);
        let frames = match owner {
            Owner::Module(ModuleNo(number)) => {
                named.native += 1;
                let frames = native(&mut symbolizer, modules[number as usize], address, writer);
                named.native_named += u64::from(!frames.is_empty());
                frames
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
    (named, symbolizer.problems().iter().map(ToString::to_string).collect())
}

fn native<W: Write>(
    symbolizer: &mut Symbolizer<'_>,
    module: twinheap_symbols::ModuleNo,
    address: u64,
    writer: &mut Writer<W>,
) -> Vec<Frame> {
    let resolved = symbolizer.resolve(module, address);
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
