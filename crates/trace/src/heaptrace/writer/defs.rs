//! Definitions since the last segment: numbers as differences, each kind in its own columns.

use rustc_hash::FxHashMap;

use crate::heaptrace::layout::{MAX_STRING, group};
use crate::heaptrace::numbers::{put, put_bytes, put_signed};
use crate::ids::{InfoIdx, IpId, ModuleNo, StringId, TraceId};
use crate::recording::LoadSegment;

/// Two columns of one kind of definitions.
#[derive(Default)]
struct Group {
    /// Definitions of this kind in earlier segments.
    before: u32,
    count: u32,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Group {
    /// The number that the next definition gets, counted from 0.
    fn next(&self) -> u32 {
        self.before.saturating_add(self.count)
    }

    fn put_to(&mut self, kind: u8, out: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        out.push(kind);
        put(out, u64::from(self.before));
        put(out, u64::from(self.count));
        put_bytes(out, &self.first);
        put_bytes(out, &self.second);
        self.before = self.next();
        self.count = 0;
        self.first.clear();
        self.second.clear();
    }
}

/// A library or an executable that is mapped.
#[derive(Clone, Copy, Debug)]
pub struct NewModule<'a> {
    /// Its path.
    pub path: &'a [u8],
    /// The build id of its ELF notes; empty without one.
    pub build_id: &'a [u8],
    /// What is added to an address of the file to get one of the process.
    pub base: u64,
    /// Its loaded segments.
    pub segments: &'a [LoadSegment],
    /// When it was mapped: nanoseconds since the recording began.
    pub mapped_ns: u64,
}

/// Definitions on their way out.
#[derive(Default)]
pub(super) struct Defs {
    strings: Group,
    modules: Group,
    ips: Group,
    nodes: Group,
    infos: Group,
    unmapped: Group,
    known_strings: FxHashMap<Box<[u8]>, StringId>,
    last_address: u64,
    last_ip: u32,
    last_trace: u32,
}

impl Defs {
    /// Bytes that wait to be written.
    pub(super) fn len(&self) -> usize {
        let groups = [&self.strings, &self.modules, &self.ips, &self.nodes, &self.infos, &self.unmapped];
        groups.iter().map(|group| group.first.len() + group.second.len()).sum()
    }

    pub(super) fn string(&mut self, text: &[u8]) -> StringId {
        let text = &text[..text.len().min(MAX_STRING)];
        if text.is_empty() {
            return StringId(0);
        }
        if let Some(&id) = self.known_strings.get(text) {
            return id;
        }
        put(&mut self.strings.first, text.len() as u64);
        self.strings.second.extend_from_slice(text);
        self.strings.count += 1;
        // Strings count from 1: 0 is none.
        let id = StringId(self.strings.next());
        self.known_strings.insert(text.into(), id);
        id
    }

    pub(super) fn module(&mut self, module: &NewModule<'_>) -> ModuleNo {
        let path = self.string(module.path);
        let number = ModuleNo(self.modules.next());
        let out = &mut self.modules.first;
        put(out, u64::from(path.0));
        put(out, module.base);
        put(out, module.mapped_ns);
        put(out, module.segments.len() as u64);
        for segment in module.segments {
            put(out, segment.address);
            put(out, segment.size);
        }
        put_bytes(&mut self.modules.second, module.build_id);
        self.modules.count += 1;
        number
    }

    pub(super) fn unmapped(&mut self, module: ModuleNo, ns: u64) {
        put(&mut self.unmapped.first, u64::from(module.0));
        put(&mut self.unmapped.second, ns);
        self.unmapped.count += 1;
    }

    pub(super) fn ip(&mut self, address: u64, module: Option<ModuleNo>) -> IpId {
        put_signed(&mut self.ips.first, address.wrapping_sub(self.last_address).cast_signed());
        put(&mut self.ips.second, module.map_or(0, |module| u64::from(module.0) + 1));
        self.last_address = address;
        self.ips.count += 1;
        IpId(self.ips.next())
    }

    pub(super) fn node(&mut self, ip: IpId, parent: TraceId) -> TraceId {
        self.nodes.count += 1;
        let id = self.nodes.next();
        put_signed(&mut self.nodes.first, i64::from(ip.0) - i64::from(self.last_ip));
        put(&mut self.nodes.second, u64::from(id.saturating_sub(parent.0)));
        self.last_ip = ip.0;
        TraceId(id)
    }

    pub(super) fn info(&mut self, size: u64, trace: TraceId) -> InfoIdx {
        let info = InfoIdx(self.infos.next());
        put(&mut self.infos.first, size);
        put_signed(&mut self.infos.second, i64::from(trace.0) - i64::from(self.last_trace));
        self.last_trace = trace.0;
        self.infos.count += 1;
        info
    }

    /// Appends what waits, in an order in which each kind refers to those before it, and forgets it.
    pub(super) fn put_to(&mut self, out: &mut Vec<u8>) {
        self.strings.put_to(group::STRINGS, out);
        self.modules.put_to(group::MODULES, out);
        self.unmapped.put_to(group::UNMAPPED, out);
        self.ips.put_to(group::IPS, out);
        self.nodes.put_to(group::NODES, out);
        self.infos.put_to(group::INFOS, out);
        // A segment is a unit of its own: its differences begin at 0.
        (self.last_address, self.last_ip, self.last_trace) = (0, 0, 0);
    }
}
