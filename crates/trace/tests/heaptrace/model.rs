//! A recording as a list of steps, and its slow and obvious twin: what the reader must make of it.

use std::collections::BTreeMap;

use twinheap_trace::heaptrace::{End, EndReason, Losses, Meta, NewModule, Policy, Writer};
use twinheap_trace::{
    Frame, FrameKind, InfoIdx, IpId, Lifetimes, LoadSegment, MapEvent, MapKind, MapOp, MemorySample, Module,
    ModuleNo, Parsed, ReallocChain, StringId, ThreadNo, TraceId,
};

/// Something that a recorder does. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A module, a place in it, a node, and an info.
    Define {
        name: u8,
        address: u64,
        size: u64,
        parent: u16,
    },
    Alloc {
        info: u16,
    },
    FreeLatest,
    Free {
        pick: u16,
    },
    Realloc {
        pick: u16,
        info: u16,
    },
    Tick {
        ns: u64,
    },
    Thread {
        thread: u8,
    },
    ThreadInfo {
        thread: u8,
        tid: u16,
        name: u8,
    },
    Sample {
        rss: Option<u64>,
        heap: Option<u64>,
        v8: Option<u64>,
    },
    Map {
        kind: u8,
        address: u64,
        len: u64,
    },
    Symbols {
        ip: u16,
        frames: u8,
        line: u32,
    },
    Suppression {
        name: u8,
    },
    Culled {
        info: u16,
        allocations: u32,
    },
    Unmap {
        module: u8,
    },
    Flush,
}

struct Block {
    info: u32,
    born: u64,
    /// Sizes of the blocks that reallocations made this one of, the first one first.
    before: Vec<u64>,
}

/// What must come of the steps.
#[derive(Default)]
pub(crate) struct Model {
    meta: Meta,
    end: End,
    strings: Vec<Vec<u8>>,
    modules: Vec<Module>,
    ips: Vec<(u64, Option<u32>)>,
    nodes: Vec<(u32, u32)>,
    infos: Vec<(u64, u32)>,
    /// For each event: whether it frees, the info, whether it frees the latest block, time, thread.
    events: Vec<(bool, u32, bool, u64, u32)>,
    live: BTreeMap<u64, Block>,
    lifetimes: BTreeMap<(u32, u8), u64>,
    /// Info of the last block, and the sizes of all.
    chains: Vec<(u32, Vec<u64>)>,
    threads: BTreeMap<u32, (u32, Vec<u8>)>,
    memory: Vec<MemorySample>,
    maps: Vec<MapEvent>,
    frames: BTreeMap<u32, Vec<Frame>>,
    suppressions: Vec<Vec<u8>>,
    culled: BTreeMap<u32, (u64, u64)>,
    allocations: u64,
    now: u64,
    thread: u32,
}

fn name(name: u8) -> Vec<u8> {
    match name {
        0 => b"/usr/lib/with space \xFF.so".to_vec(),
        _ => format!("name {name}").into_bytes(),
    }
}

fn end_chain(chains: &mut Vec<(u32, Vec<u64>)>, infos: &[(u64, u32)], block: &Block) {
    if !block.before.is_empty() {
        let mut sizes = block.before.clone();
        sizes.push(infos[block.info as usize].0);
        chains.push((block.info, sizes));
    }
}

fn pick<T: Copy>(all: impl ExactSizeIterator<Item = T>, number: u16) -> Option<T> {
    let len = all.len();
    let mut all = all;
    (len > 0).then(|| all.nth(usize::from(number) % len)).flatten()
}

impl Model {
    /// Writes the steps, and notes what must come of them.
    pub(crate) fn write(steps: &[Step]) -> (Vec<u8>, Model) {
        let meta = Meta {
            recorder: "twinheap test".to_owned(),
            argv: vec!["./shop".to_owned(), "--port".to_owned(), "80".to_owned()],
            pid: 7,
            page_size: 4096,
            physical_pages: 1 << 22,
            attached: true,
            sample_bytes: Some(512),
            policy: Policy::Drop,
            ..Meta::default()
        };
        let end = End {
            reason: EndReason::Killed,
            signal: Some(9),
            losses: Losses { dropped_allocations: 3, ..Losses::default() },
            ..End::default()
        };
        let mut model = Model { meta, end, ..Model::default() };
        let mut writer = Writer::new(Vec::new(), &model.meta, 1).expect("memory takes everything");
        for step in steps {
            model.step(step, &mut writer);
        }
        writer.live(model.live.keys().map(|&number| (number, address_of(number))));
        writer.lost(model.lost().map(|(number, _, is_indirect)| (number, is_indirect)));
        assert_eq!(writer.allocations(), model.allocations);
        let live_bytes =
            model.live.values().fold(0_u64, |all, b| all.wrapping_add(model.infos[b.info as usize].0));
        assert_eq!(writer.live_bytes(), live_bytes);
        let file = writer.finish(&model.end).expect("memory takes everything");
        for block in model.live.values() {
            end_chain(&mut model.chains, &model.infos, block);
        }
        (file, model)
    }

    fn string(&mut self, text: Vec<u8>, writer: &mut Writer<Vec<u8>>) -> StringId {
        let id = writer.string(&text);
        match self.strings.iter().position(|known| *known == text) {
            Some(at) => assert_eq!(id.index(), at + 1),
            None => {
                self.strings.push(text);
                assert_eq!(id.index(), self.strings.len());
            }
        }
        id
    }

    fn step(&mut self, step: &Step, writer: &mut Writer<Vec<u8>>) {
        let now = self.now;
        match *step {
            Step::Define { name: number, address, size, parent } => {
                let path = self.string(name(number), writer);
                let build_id: Vec<u8> = (0..number % 21).collect();
                let segments: Vec<LoadSegment> = (0..u64::from(number % 4))
                    .map(|at| LoadSegment { address: at << 12, size: at })
                    .collect();
                let module = (number % 3 > 0).then(|| {
                    let path = name(number);
                    let base = address & !0xFFF;
                    let (build_id, segments) = (&build_id[..], &segments[..]);
                    writer.module(&NewModule { path: &path, build_id, base, segments, mapped_ns: now })
                });
                if module.is_some() {
                    let base = address & !0xFFF;
                    self.modules.push(Module {
                        path,
                        build_id,
                        base,
                        segments,
                        mapped_ns: now,
                        unmapped_ns: None,
                    });
                }
                let ip = writer.ip(address, module);
                self.ips.push((address, module.map(|module| module.0)));
                assert_eq!(ip.index(), self.ips.len());
                let parent = u32::from(parent) % (self.nodes.len() as u32 + 1);
                let node = writer.node(ip, TraceId(parent));
                self.nodes.push((ip.0, parent));
                assert_eq!(node.index(), self.nodes.len());
                let info = writer.info(size, node);
                assert_eq!(info.index(), self.infos.len());
                self.infos.push((size, node.0));
            }
            Step::Alloc { info } => self.alloc(info, Vec::new(), writer),
            Step::FreeLatest => {
                if let Some(number) = self.live.keys().last().copied() {
                    self.free(number, false, writer);
                }
            }
            Step::Free { pick: number } => {
                if let Some(number) = self.alive(number) {
                    self.free(number, false, writer);
                }
            }
            Step::Realloc { pick: number, info } => {
                if let Some(number) = self.alive(number) {
                    let before = self.free(number, true, writer);
                    self.alloc(info, before, writer);
                }
            }
            Step::Tick { ns } => {
                self.now = self.now.saturating_add(ns);
                writer.tick(self.now);
            }
            Step::Thread { thread } => {
                self.thread = u32::from(thread);
                writer.thread(ThreadNo(self.thread));
            }
            Step::ThreadInfo { thread, tid, name: number } => {
                writer.thread_info(ThreadNo(u32::from(thread)), u32::from(tid), &name(number));
                self.threads.insert(u32::from(thread), (u32::from(tid), name(number)));
            }
            Step::Sample { rss, heap, v8 } => {
                let sample = MemorySample { ns: now, rss, heap, v8 };
                writer.sample(&sample);
                self.memory.push(sample);
            }
            Step::Map { kind, address, len } => {
                let kinds =
                    [MapKind::Unknown, MapKind::Anonymous, MapKind::File, MapKind::Stack, MapKind::V8];
                let op = kinds.get(usize::from(kind)).map_or(MapOp::Unmap, |&kind| MapOp::Map(kind));
                let event = MapEvent { ns: now, op, address, len, trace: TraceId(self.nodes.len() as u32) };
                writer.map(&event);
                self.maps.push(event);
            }
            Step::Symbols { ip, frames, line } => {
                let Some(ip) = pick(1..self.ips.len() + 1, ip) else { return };
                let frames: Vec<Frame> = (0..frames)
                    .map(|number| Frame {
                        function: self.string(name(number), writer),
                        file: self.string(name(number / 2 + 100), writer),
                        line: line.wrapping_mul(u32::from(number)),
                        column: u32::from(number),
                        kind: [FrameKind::Unknown, FrameKind::Native, FrameKind::Js, FrameKind::Builtin]
                            [usize::from(number % 4)],
                    })
                    .collect();
                writer.symbols(IpId(ip as u32), &frames);
                self.frames.insert(ip as u32, frames);
            }
            Step::Suppression { name: number } => {
                writer.suppression(&name(number));
                self.suppressions.push(name(number));
            }
            Step::Culled { info, allocations } => {
                let Some(info) = pick(0..self.infos.len(), info) else { return };
                let (info, bytes) = (info as u32, u64::from(allocations) * 3);
                writer.culled(InfoIdx(info), u64::from(allocations), bytes);
                let all = self.culled.entry(info).or_default();
                *all = (all.0 + u64::from(allocations), all.1 + bytes);
            }
            Step::Unmap { module } => {
                if let Some(number) = pick(0..self.modules.len(), u16::from(module)) {
                    writer.module_unmapped(ModuleNo(number as u32), now);
                    self.modules[number].unmapped_ns = Some(now);
                }
            }
            Step::Flush => writer.flush().expect("memory takes everything"),
        }
    }

    /// Live blocks that are lost: number, info, whether another points to it.
    fn lost(&self) -> impl Iterator<Item = (u64, u32, bool)> {
        let is_lost = |(number, _): &(&u64, &Block)| *number % 3 == 0;
        self.live.iter().filter(is_lost).map(|(&number, block)| (number, block.info, number % 2 == 0))
    }

    /// A live block, from the oldest for 0 to the latest.
    fn alive(&self, number: u16) -> Option<u64> {
        let near = (self.allocations * u64::from(number)) >> 16;
        let behind = self.live.range(near..).next();
        behind.or_else(|| self.live.first_key_value()).map(|(&number, _)| number)
    }

    fn alloc(&mut self, info: u16, before: Vec<u64>, writer: &mut Writer<Vec<u8>>) {
        let Some(info) = pick(0..self.infos.len(), info) else { return };
        let info = info as u32;
        let number = writer.alloc(InfoIdx(info));
        assert_eq!(number, self.allocations);
        self.allocations += 1;
        self.live.insert(number, Block { info, born: self.now, before });
        self.events.push((false, info, false, self.now, self.thread));
    }

    /// The sizes of the chain, with the block that is freed.
    fn free(&mut self, number: u64, is_realloc: bool, writer: &mut Writer<Vec<u8>>) -> Vec<u64> {
        let block = self.live.remove(&number).expect("one of the live ones");
        if is_realloc {
            writer.realloc_free(number, InfoIdx(block.info));
        } else {
            writer.free(number, InfoIdx(block.info));
            end_chain(&mut self.chains, &self.infos, &block);
        }
        let bucket = Lifetimes::bucket(self.now - block.born);
        *self.lifetimes.entry((block.info, bucket)).or_default() += 1;
        let is_latest = number + 1 == self.allocations && self.events.last().is_some_and(|event| !event.0);
        self.events.push((true, block.info, is_latest, self.now, self.thread));
        let mut sizes = block.before;
        sizes.push(self.infos[block.info as usize].0);
        sizes
    }

    /// Compares everything that was read.
    #[track_caller]
    pub(crate) fn check(&self, parsed: &Parsed) {
        let trace = &parsed.trace;
        let recording = trace.recording.as_ref().expect("our own format");
        assert_eq!((&recording.meta, recording.end.as_ref()), (&self.meta, Some(&self.end)));
        assert_eq!((trace.page_size, trace.sample_bytes, trace.is_attached), (Some(4096), Some(512), true));
        assert_eq!(trace.command, b"./shop --port 80");
        self.check_definitions(parsed);

        let mut events = Vec::new();
        trace.events.replay(0..u64::MAX, |first, run| {
            for (at, event) in run.iter().enumerate() {
                let at = first + at as u64;
                let (ns, thread) = (trace.clock.ns_at(at), recording.thread_runs.at(at).0);
                assert_eq!(trace.clock.at(at), ns / 1_000_000);
                events.push((event.is_free(), event.info().0, event.frees_latest(), ns, thread));
            }
        });
        if let Some(at) = events.iter().zip(&self.events).position(|(a, b)| a != b) {
            panic!("event {at} of {}: {:?} and not {:?}", events.len(), events[at], self.events[at]);
        }
        assert_eq!(events.len(), self.events.len());
        assert_eq!(trace.clock.runtime_ms(), self.now / 1_000_000 + 1);

        let mut lifetimes = BTreeMap::new();
        for info in 0..self.infos.len() as u32 {
            for (bucket, blocks) in recording.lifetimes.iter().flat_map(|all| all.of(InfoIdx(info))) {
                lifetimes.insert((info, bucket), blocks);
            }
        }
        assert_eq!(lifetimes, self.lifetimes);
        let mut chains: BTreeMap<u32, ReallocChain> = BTreeMap::new();
        for (info, sizes) in &self.chains {
            let row = chains.entry(*info).or_default();
            row.info = InfoIdx(*info);
            row.chains += 1;
            row.reallocations += sizes.len() as u64 - 1;
            row.longest = row.longest.max(sizes.len() as u32 - 1);
            row.first_bytes = row.first_bytes.saturating_add(sizes[0]);
            for step in sizes.windows(2) {
                row.copied_bytes = row.copied_bytes.saturating_add(step[0].min(step[1]));
            }
        }
        assert_eq!(recording.realloc_chains.rows(), chains.into_values().collect::<Vec<_>>());

        let live = recording.live.as_ref().expect("a list of live blocks");
        let live: Vec<_> = live.iter().map(|b| (b.allocation, b.info.0, b.address)).collect();
        let expected = self.live.iter().map(|(&number, block)| (number, block.info, address_of(number)));
        assert_eq!(live, expected.collect::<Vec<_>>());
        // The file of version 1 that is kept was written before there was such a list.
        if let Some(lost) = recording.lost.as_ref() {
            let lost = lost.iter().map(|b| (b.allocation, b.info.0, b.is_indirect));
            assert_eq!(lost.collect::<Vec<_>>(), self.lost().collect::<Vec<_>>());
        }
        let threads = recording.threads.iter().map(|(no, thread)| (no.0, (thread.tid, thread.name.clone())));
        assert_eq!(threads.collect::<BTreeMap<_, _>>(), self.threads);
        assert_eq!(recording.memory, self.memory);
        let rss: Vec<_> = trace.rss.iter().map(|sample| (sample.ms, sample.pages)).collect();
        let expected = self.memory.iter().filter_map(|s| Some((s.ns / 1_000_000, s.rss? / 4096)));
        assert_eq!(rss, expected.collect::<Vec<_>>());
        assert_eq!(recording.maps, self.maps);
        let culled = recording.culled.iter().map(|c| (c.info.0, (c.allocations, c.bytes)));
        assert_eq!(culled.collect::<Vec<_>>(), self.culled.clone().into_iter().collect::<Vec<_>>());
        let suppressions: Vec<_> = trace.suppressions.iter().map(|s| (s.text.clone(), s.is_sized)).collect();
        let expected = self.suppressions.iter().map(|text| (text.clone(), false));
        assert_eq!(suppressions, expected.collect::<Vec<_>>());
    }

    #[track_caller]
    fn check_definitions(&self, parsed: &Parsed) {
        let trace = &parsed.trace;
        let recording = trace.recording.as_ref().expect("our own format");
        let strings: Vec<&[u8]> = trace.strings.iter().map(|(_, text)| text).collect();
        assert_eq!(strings, self.strings.iter().map(|text| &text[..]).collect::<Vec<_>>());
        assert_eq!(recording.modules, self.modules);
        assert_eq!(trace.ips.len(), self.ips.len() + 1);
        for (ip, &(address, module)) in (1..).map(IpId).zip(&self.ips) {
            assert_eq!(
                (trace.ips.address(ip), recording.ip_modules[ip.index()]),
                (address, module.unwrap_or(u32::MAX))
            );
            let path = module.map_or(StringId(0), |module| self.modules[module as usize].path);
            assert_eq!(trace.ips.module(ip), path);
            assert_eq!(trace.ips.frames(ip), self.frames.get(&ip.0).map_or(&[][..], |frames| frames));
        }
        assert_eq!(trace.tree.len(), self.nodes.len() + 1);
        for (node, &expected) in (1..).map(TraceId).zip(&self.nodes) {
            assert_eq!((trace.tree.ip(node).0, trace.tree.parent(node).0), expected);
        }
        assert_eq!(trace.infos.len(), self.infos.len());
        for (info, &expected) in (0..).map(InfoIdx).zip(&self.infos) {
            assert_eq!((trace.infos.size(info), trace.infos.trace(info).0), expected);
        }
    }
}

fn address_of(number: u64) -> u64 {
    0x7F00_0000_0000_u64.wrapping_sub(number * 48)
}

/// Numbers that are always the same ones.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Steps of a program: it learns new stacks all the time, and most blocks die young.
pub(crate) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random(seed);
    (0..count)
        .map(|at| match random.below(1000) {
            _ if at < 4 => Step::Define {
                name: at as u8,
                address: 0x40_0000 + random.below(1 << 20),
                size: 1 << at,
                parent: random.below(9) as u16,
            },
            0..450 => Step::Alloc { info: random.below(1 << 16) as u16 },
            450..600 => Step::FreeLatest,
            600..800 => Step::Free { pick: random.below(1 << 16) as u16 },
            800..850 => Step::Realloc { pick: random.below(1 << 16) as u16, info: random.below(4) as u16 },
            850..900 => Step::Define {
                name: random.below(40) as u8,
                address: random.below(1 << 31) << 16,
                size: random.below(5000),
                parent: random.below(1 << 16) as u16,
            },
            900..930 => Step::Tick { ns: random.below(1 << 22) },
            930..950 => Step::Thread { thread: random.below(3) as u8 },
            950..960 => Step::Sample {
                rss: Some(random.below(1 << 31)),
                heap: (random.below(2) > 0).then_some(1 << 20),
                v8: (random.below(3) > 0).then(|| random.below(1 << 30)),
            },
            960..970 => Step::Map {
                kind: random.below(6) as u8,
                address: random.below(1 << 30) << 12,
                len: random.below(99) << 12,
            },
            970..980 => Step::Symbols {
                ip: random.below(1 << 16) as u16,
                frames: random.below(4) as u8,
                line: random.below(1 << 20) as u32,
            },
            980..984 => Step::ThreadInfo {
                thread: random.below(3) as u8,
                tid: random.below(1 << 16) as u16,
                name: random.below(9) as u8,
            },
            984..986 => Step::Suppression { name: random.below(9) as u8 },
            986..990 => {
                Step::Culled { info: random.below(99) as u16, allocations: random.below(1000) as u32 }
            }
            990..993 => Step::Unmap { module: random.below(99) as u8 },
            _ => Step::Flush,
        })
        .collect()
}
