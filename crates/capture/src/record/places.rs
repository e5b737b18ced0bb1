//! From return addresses to the places, nodes and infos of a trace, each numbered once.

use std::io::Write;

use rustc_hash::FxHashMap;
use twinheap_trace::heaptrace::{NewModule, Writer};
use twinheap_trace::{InfoIdx, IpId, LoadSegment, ModuleNo, TraceId};

use super::jit::JitCode;
use twinheap_symbols::v8::SpotNo;

/// A module as the recorder told of it.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) bias: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) build_id: Vec<u8>,
    pub(super) path: Vec<u8>,
}

/// What a place is in, by which the same address at another time is another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Module(ModuleNo),
    /// Generated code, by the number of its name in V8's map.
    Jit(u32),
    /// A place in JavaScript that a frame led to.
    Js(SpotNo),
    Nobody,
}

/// Everything that has a number in the trace.
#[derive(Default)]
pub(super) struct Places {
    pub(super) modules: Vec<Module>,
    /// Mapped code: start, end, module; the latest wins.
    ranges: Vec<(u64, u64, ModuleNo)>,
    /// Places of modules' code, as long as the modules stay the same.
    known: FxHashMap<u64, IpId>,
    /// Places by address and owner; those of generated code have address 0 here.
    numbers: FxHashMap<(u64, Owner), IpId>,
    /// Every place's address and owner, by its number less one.
    pub(super) places: Vec<(u64, Owner)>,
    nodes: FxHashMap<(TraceId, IpId), TraceId>,
    infos: FxHashMap<(u32, u64), InfoIdx>,
    /// The latest infos by a hash of node and size: most programs ask for few kinds of blocks most of the time.
    recent: Vec<Recent>,
    /// Size of each info.
    pub(super) sizes: Vec<u64>,
}

#[derive(Clone, Copy, Default)]
struct Recent {
    size: u64,
    trace: TraceId,
    info: u32,
}

const RECENT_BITS: u32 = 12;

impl Places {
    /// A module that is mapped now. What lay at its addresses before is gone.
    pub(super) fn module<W: Write>(&mut self, module: &Module, ns: u64, writer: &mut Writer<W>) {
        let same = self.modules.iter().position(|known| {
            known.path == module.path && known.bias == module.bias && known.build_id == module.build_id
        });
        let number = match same {
            Some(at) => ModuleNo(at as u32),
            None => {
                let segment = LoadSegment {
                    address: module.start.wrapping_sub(module.bias),
                    size: module.end - module.start,
                };
                self.modules.push(module.clone());
                writer.module(&NewModule {
                    path: &module.path,
                    build_id: &module.build_id,
                    base: module.bias,
                    segments: &[segment],
                    mapped_ns: ns,
                })
            }
        };
        self.ranges.retain(|&(start, end, _)| end <= module.start || start >= module.end);
        self.ranges.push((module.start, module.end, number));
        self.known.clear();
    }

    /// The node of a stack by its return addresses, the innermost first, and its places in JavaScript by their positions.
    pub(super) fn stack<W: Write>(
        &mut self,
        frames: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator,
        mut spots: &[(u32, SpotNo)],
        jit: &JitCode,
        writer: &mut Writer<W>,
    ) -> TraceId {
        let mut node = TraceId(0);
        for (position, pc) in frames.enumerate().rev().filter(|&(_, pc)| pc != 0) {
            let ip = match spots.split_last() {
                Some((&(at, spot), rest)) if at as usize == position => {
                    spots = rest;
                    self.number(pc - 1, Owner::Js(spot), writer)
                }
                _ => self.place(pc - 1, jit, writer),
            };
            node = *self.nodes.entry((node, ip)).or_insert_with(|| writer.node(ip, node));
        }
        node
    }

    /// The module that is mapped at an address now.
    pub(super) fn module_at(&self, address: u64) -> Option<ModuleNo> {
        let range = self.ranges.iter().rev().find(|(start, end, _)| (*start..*end).contains(&address));
        range.map(|&(_, _, module)| module)
    }

    fn place<W: Write>(&mut self, address: u64, jit: &JitCode, writer: &mut Writer<W>) -> IpId {
        if let Some(&ip) = self.known.get(&address) {
            return ip;
        }
        let module = self.module_at(address);
        let owner = match module {
            Some(module) => Owner::Module(module),
            None => jit.lookup(address).map_or(Owner::Nobody, Owner::Jit),
        };
        let ip = self.number(address, owner, writer);
        if module.is_some() {
            self.known.insert(address, ip);
        }
        ip
    }

    fn number<W: Write>(&mut self, address: u64, owner: Owner, writer: &mut Writer<W>) -> IpId {
        // A function is one place, wherever the threads that come and go have their own copies of its code: else each of
        // them would add all its stacks to the tree.
        let key = if matches!(owner, Owner::Jit(_) | Owner::Js(_)) { 0 } else { address };
        *self.numbers.entry((key, owner)).or_insert_with(|| {
            self.places.push((address, owner));
            let module = if let Owner::Module(module) = owner { Some(module) } else { None };
            writer.ip(address, module)
        })
    }

    /// The pair of a size and a stack.
    #[inline]
    pub(super) fn info<W: Write>(&mut self, trace: TraceId, size: u64, writer: &mut Writer<W>) -> InfoIdx {
        if let Some(info) = self.recent_info(trace, size) {
            return info;
        }
        let info = *self.infos.entry((trace.0, size)).or_insert_with(|| {
            self.sizes.push(size);
            writer.info(size, trace)
        });
        // Nothing is remembered of the root, which stands for stacks that were lost: it marks empty places.
        if trace != TraceId(0) {
            self.recent.resize(1 << RECENT_BITS, Recent::default());
            self.recent[recent_slot(trace, size)] = Recent { size, trace, info: info.0 };
        }
        info
    }

    /// The pair of a size and a stack, if it was asked for lately.
    #[inline]
    pub(super) fn recent_info(&self, trace: TraceId, size: u64) -> Option<InfoIdx> {
        let recent = self.recent.get(recent_slot(trace, size))?;
        let is_it = recent.trace == trace && recent.size == size && trace != TraceId(0);
        is_it.then_some(InfoIdx(recent.info))
    }
}

/// Where a pair may be found among the recent ones.
#[inline]
fn recent_slot(trace: TraceId, size: u64) -> usize {
    let hash = (u64::from(trace.0) << 32 ^ size).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash >> (64 - RECENT_BITS)) as usize
}
