//! What the raw form leaves to its reader: finding modules, and the allocation that a free belongs to.

use rustc_hash::FxHashMap;

use crate::events::Event;
use crate::ids::{IpId, StringId, TraceId};
use crate::trace::{Infos, Ips};

/// The modules that are mapped at the moment, and the places in them that were met.
#[derive(Default)]
pub(crate) struct Modules {
    /// Mapped ranges of addresses, in order of their start once `is_sorted`.
    segments: Vec<Segment>,
    is_sorted: bool,
    /// Places by address. The same address may later belong to another module.
    known: FxHashMap<u64, IpId>,
}

struct Segment {
    start: u64,
    end: u64,
    module: StringId,
}

impl Modules {
    /// Forgets all modules: a new list follows.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.known.clear();
    }

    pub(crate) fn map(&mut self, module: StringId, start: u64, size: u64) {
        self.segments.push(Segment { start, end: start.saturating_add(size), module });
        self.is_sorted = false;
        self.known.clear();
    }

    /// The place of an address; a new one if it was not met since the modules changed.
    pub(crate) fn place(&mut self, address: u64, ips: &mut Ips) -> IpId {
        if let Some(&ip) = self.known.get(&address) {
            return ip;
        }
        if !self.is_sorted {
            self.segments.sort_by_key(|segment| segment.start);
            self.is_sorted = true;
        }
        let after = self.segments.partition_point(|segment| segment.start <= address);
        let segment = self.segments[..after].last().filter(|segment| address < segment.end);
        let ip = ips.push(address, segment.map_or(StringId(0), |segment| segment.module));
        self.known.insert(address, ip);
        ip
    }
}

/// The blocks that are alive, by address.
#[derive(Default)]
pub(crate) struct Blocks {
    live: FxHashMap<u64, u32>,
    infos: FxHashMap<(u64, TraceId), u32>,
    /// The block of the latest allocation, if no free came since.
    latest: Option<u64>,
}

impl Blocks {
    /// An allocation; `None` if there are more pairs of size and stack than can be numbered.
    pub(crate) fn allocate(
        &mut self,
        size: u64,
        trace: TraceId,
        pointer: u64,
        infos: &mut Infos,
    ) -> Option<Event> {
        let next = infos.len() as u32;
        let info = *self.infos.entry((size, trace)).or_insert(next);
        if info == next {
            if next > Event::MAX_INFO {
                self.infos.remove(&(size, trace));
                return None;
            }
            infos.push(size, trace);
        }
        self.live.insert(pointer, info);
        self.latest = Some(pointer);
        Some(Event::allocation(info))
    }

    /// A free; `None` for a block that is not known, as after attaching to a running process. Whether such a free
    /// comes between an allocation and its own counts in the raw form only.
    pub(crate) fn free(&mut self, pointer: u64, is_raw: bool) -> Option<Event> {
        let known = self.live.remove(&pointer);
        let frees_latest = self.latest == Some(pointer);
        if known.is_some() || is_raw {
            self.latest = None;
        }
        Some(Event::free(known?, frees_latest))
    }
}
