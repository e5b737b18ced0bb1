//! pprof's `profile.proto`, with the conventions of heap profiles that Go, gperftools and jemalloc's converters use:
//! sample types `alloc_objects`, `alloc_space`, `inuse_objects`, `inuse_space`. For what those have no name for there
//! are more sample types, which every tool shows.

use std::io::Write;

use rustc_hash::FxHashMap;

use super::protobuf::{Broken, Field, Fields, Message, Value, numbers};
use super::{ExportError, Failure, ReadProfile};
use crate::damage::Damage;
use crate::ids::{FrameId, StackId, StringId};
use crate::profile::{CostType, Mapping, Profile, ProfileBuilder, ProfileClock, ProfileFrame};

/// Sample types by cost, with their units.
const TYPES: [(CostType, &str, &str); 11] = [
    (CostType::Allocations, "alloc_objects", "count"),
    (CostType::AllocatedBytes, "alloc_space", "bytes"),
    (CostType::Temporary, "temporary_objects", "count"),
    (CostType::OwnPeakBlocks, "own_peak_objects", "count"),
    (CostType::OwnPeakBytes, "own_peak_space", "bytes"),
    (CostType::Lifetime, "lifetime", "units"),
    (CostType::Weight, "weight", "units"),
    (CostType::PeakBlocks, "peak_objects", "count"),
    (CostType::PeakBytes, "peak_space", "bytes"),
    (CostType::LiveBlocks, "inuse_objects", "count"),
    // The last one is what tools show first.
    (CostType::LiveBytes, "inuse_space", "bytes"),
];

/// Other names for the same.
const ALIASES: [(&str, CostType); 3] = [
    ("objects", CostType::LiveBlocks),
    ("space", CostType::LiveBytes),
    ("allocations", CostType::Allocations),
];

/// The label that has the size of a sample's blocks.
const BLOCK_SIZE: &[u8] = b"bytes";
/// How a comment with the command line begins.
const COMMAND: &[u8] = b"command: ";

/// A stack that is deeper is cut: its root frames are left out.
const MOST_FRAMES: usize = 1 << 14;

struct Location {
    mapping: u64,
    address: u64,
    /// Function, line, column; innermost first.
    lines: Vec<(u64, i64, i64)>,
}

#[derive(Default)]
struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    /// Type and unit.
    types: Vec<(u64, u64)>,
    samples: Vec<(&'a [u8], usize)>,
    mappings: Vec<RawMapping>,
    mapping_of_id: FxHashMap<u64, usize>,
    locations: FxHashMap<u64, Location>,
    /// Name and file.
    functions: FxHashMap<u64, (u64, u64)>,
    comments: Vec<u64>,
    time_ns: i64,
    duration_ns: i64,
    period_type: (u64, u64),
    period: i64,
}

#[derive(Clone, Copy, Default)]
struct RawMapping {
    start: u64,
    end: u64,
    offset: u64,
    file: u64,
    build_id: u64,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Failure::at(broken.offset, broken.what)
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    let tables = Tables::read(bytes)?;
    if tables.types.is_empty() {
        return Err(Failure::NotHeap("it has no sample types".to_owned()));
    }
    let costs: Vec<Option<CostType>> = tables.types.iter().map(|&(name, _)| tables.cost(name)).collect();
    let name = |at: usize| String::from_utf8_lossy(tables.string(tables.types[at].0)).into_owned();
    let names = |wanted: &dyn Fn(usize) -> bool| {
        (0..costs.len()).filter(|&at| wanted(at)).map(name).collect::<Vec<_>>().join(", ")
    };
    if costs.iter().all(Option::is_none) {
        return Err(Failure::NotHeap(format!("it counts {}", names(&|_| true))));
    }
    let first_of = |cost: CostType| costs.iter().position(|&known| known == Some(cost));
    let columns: Vec<(usize, CostType)> =
        CostType::ALL.into_iter().filter_map(|cost| Some((first_of(cost)?, cost))).collect();
    let mut notes = Vec::new();
    let other = names(&|at| !columns.iter().any(|&(column, _)| column == at));
    if !other.is_empty() {
        notes.push(format!("sample types that are no costs of allocations are left out: {other}"));
    }

    let kinds: Vec<CostType> = columns.iter().map(|&(_, cost)| cost).collect();
    let mut reader = Reader {
        builder: ProfileBuilder::for_file(&kinds, bytes.len()),
        tables: &tables,
        frames: FxHashMap::default(),
        damage: Vec::new(),
        has_labels: false,
    };
    reader.meta();
    for &(sample, offset) in &tables.samples {
        reader.sample(sample, offset, &columns)?;
    }
    if reader.has_labels {
        notes.push("labels of samples are left out, but for the size of blocks".to_owned());
    }
    Ok(ReadProfile { profile: reader.builder.profile, damage: reader.damage, notes })
}

impl<'a> Tables<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Failure> {
        let mut tables = Tables::default();
        for field in Fields::new(bytes, 0) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(bytes, at)) => tables.types.push(pair(bytes, at)?),
                (2, Value::Bytes(bytes, at)) => tables.samples.push((bytes, at)),
                (3, Value::Bytes(bytes, at)) => {
                    let (id, mapping) = mapping(bytes, at)?;
                    tables.mapping_of_id.insert(id, tables.mappings.len());
                    tables.mappings.push(mapping);
                }
                (4, Value::Bytes(bytes, at)) => {
                    let (id, location) = location(bytes, at)?;
                    tables.locations.insert(id, location);
                }
                (5, Value::Bytes(bytes, at)) => {
                    let [id, name, _, file] = scalars(bytes, at, [1, 2, 3, 4])?;
                    tables.functions.insert(id, (name, file));
                }
                (6, Value::Bytes(bytes, _)) => tables.strings.push(bytes),
                (9, Value::Varint(value)) => tables.time_ns = value.cast_signed(),
                (10, Value::Varint(value)) => tables.duration_ns = value.cast_signed(),
                (11, Value::Bytes(bytes, at)) => tables.period_type = pair(bytes, at)?,
                (12, Value::Varint(value)) => tables.period = value.cast_signed(),
                (13, _) => numbers(&field, &mut tables.comments)?,
                _ => {}
            }
        }
        Ok(tables)
    }

    /// A string of the table; a number beyond its end is the empty one.
    fn string(&self, at: u64) -> &'a [u8] {
        usize::try_from(at).ok().and_then(|at| self.strings.get(at).copied()).unwrap_or_default()
    }

    fn cost(&self, name: u64) -> Option<CostType> {
        let name = self.string(name);
        let types = TYPES.iter().map(|&(cost, name, _)| (name, cost));
        types.chain(ALIASES).find(|(known, _)| known.as_bytes() == name).map(|(_, cost)| cost)
    }
}

/// The numbers of these fields, 0 for one that is missing.
fn scalars<const N: usize>(bytes: &[u8], at: usize, wanted: [u64; N]) -> Result<[u64; N], Broken> {
    let mut found = [0; N];
    for field in Fields::new(bytes, at) {
        let field = field?;
        let place = wanted.iter().position(|&number| number == field.number);
        if let (Some(place), Value::Varint(value)) = (place, field.value) {
            found[place] = value;
        }
    }
    Ok(found)
}

fn pair(bytes: &[u8], at: usize) -> Result<(u64, u64), Broken> {
    scalars(bytes, at, [1, 2]).map(|[name, unit]| (name, unit))
}

fn mapping(bytes: &[u8], at: usize) -> Result<(u64, RawMapping), Broken> {
    let [id, start, end, offset, file, build_id] = scalars(bytes, at, [1, 2, 3, 4, 5, 6])?;
    Ok((id, RawMapping { start, end, offset, file, build_id }))
}

fn location(bytes: &[u8], at: usize) -> Result<(u64, Location), Broken> {
    let [id, mapping, address] = scalars(bytes, at, [1, 2, 3])?;
    let mut lines = Vec::new();
    for field in Fields::new(bytes, at) {
        if let Field { number: 4, value: Value::Bytes(bytes, at), .. } = field? {
            let [function, line, column] = scalars(bytes, at, [1, 2, 3])?;
            lines.push((function, line.cast_signed(), column.cast_signed()));
        }
    }
    Ok((id, Location { mapping, address, lines }))
}

struct Reader<'t, 'a> {
    builder: ProfileBuilder,
    tables: &'t Tables<'a>,
    /// Frames of the locations that were met.
    frames: FxHashMap<u64, Vec<ProfileFrame>>,
    damage: Vec<Damage>,
    has_labels: bool,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, offset: usize, what: &str) {
        if let Some(known) = self.damage.iter_mut().find(|damage| damage.what == what) {
            known.count += 1;
            return;
        }
        // A binary file has no lines: all of it is the first.
        self.damage.push(Damage { line: 1, offset: offset as u64, count: 1, what: what.to_owned() });
    }

    fn meta(&mut self) {
        let tables = self.tables;
        for &raw in &tables.mappings {
            // One without a range only lends its name to locations.
            if raw.start == 0 && raw.end == 0 && raw.build_id == 0 {
                continue;
            }
            let (file, build_id) = (
                self.builder.string(tables.string(raw.file)),
                self.builder.string(tables.string(raw.build_id)),
            );
            let mapping = Mapping { start: raw.start, end: raw.end, offset: raw.offset, file, build_id };
            self.builder.profile.meta.mappings.push(mapping);
        }
        let meta = &mut self.builder.profile.meta;
        let comments = tables.comments.iter().map(|&at| tables.string(at));
        if let Some(command) = comments.filter_map(|comment| comment.strip_prefix(COMMAND)).next() {
            meta.command = command.to_vec();
        }
        meta.time_ns = Some(tables.time_ns).filter(|&time| time != 0);
        let is_space = tables.string(tables.period_type.1) == b"bytes";
        meta.sampling_period = u64::try_from(tables.period).ok().filter(|&period| is_space && period > 0);
        if tables.duration_ns > 0 {
            let end = tables.duration_ns as f64;
            meta.clock = Some(ProfileClock { unit: b"ns".to_vec(), end, ..ProfileClock::default() });
        }
    }

    fn sample(&mut self, bytes: &[u8], at: usize, columns: &[(usize, CostType)]) -> Result<(), Failure> {
        let (mut locations, mut values, mut block_size) = (Vec::new(), Vec::new(), 0);
        for field in Fields::new(bytes, at) {
            let field = field?;
            match (field.number, field.value) {
                (1, _) => numbers(&field, &mut locations)?,
                (2, _) => numbers(&field, &mut values)?,
                (3, Value::Bytes(label, at)) => {
                    let [key, text, number] = scalars(label, at, [1, 2, 3])?;
                    if self.tables.string(key) == BLOCK_SIZE && text == 0 {
                        block_size = number;
                    } else {
                        self.has_labels = true;
                    }
                }
                _ => {}
            }
        }
        if values.len() != self.tables.types.len() {
            self.wrong(at, "a sample has another number of values than there are sample types");
        }
        let mut frames: Vec<ProfileFrame> = Vec::new();
        for id in locations {
            if frames.len() >= MOST_FRAMES {
                self.wrong(at, "a stack has more than 16384 frames and was cut");
                break;
            }
            if !self.frames.contains_key(&id) {
                let Some(known) = self.location(id) else {
                    self.wrong(at, "a sample refers to a location that the file does not have");
                    continue;
                };
                self.frames.insert(id, known);
            }
            let room = MOST_FRAMES - frames.len();
            frames.extend(self.frames[&id].iter().take(room));
        }
        let mut stack = StackId(0);
        for frame in frames.into_iter().rev() {
            let frame = self.builder.frame(frame);
            stack = self.builder.child(stack, frame)?;
        }
        let value = |column: usize| values.get(column).map_or(0, |&value| value.cast_signed());
        let values: Vec<i64> = columns.iter().map(|&(column, _)| value(column)).collect();
        self.builder.sample(stack, block_size, &values);
        Ok(())
    }

    /// The frames of a location, innermost first.
    fn location(&mut self, id: u64) -> Option<Vec<ProfileFrame>> {
        let tables = self.tables;
        let location = tables.locations.get(&id)?;
        let mapping = tables.mapping_of_id.get(&location.mapping).map(|&at| tables.mappings[at]);
        let module = mapping.map_or(StringId(0), |raw| self.builder.string(tables.string(raw.file)));
        let number = |value: i64| u32::try_from(value).unwrap_or(0);
        let plain = [(0, 0, 0)];
        let lines = if location.lines.is_empty() { &plain[..] } else { &location.lines };
        let last = lines.len() - 1;
        let frames = lines.iter().take(MOST_FRAMES).enumerate().map(|(at, &(function, line, column))| {
            let (name, file) = tables.functions.get(&function).copied().unwrap_or((0, 0));
            let function = self.builder.string(tables.string(name));
            ProfileFrame {
                function,
                module,
                file: self.builder.string(tables.string(file)),
                line: number(line),
                column: number(column),
                address: location.address,
                is_inlined: at < last,
                kind: self.builder.kind(function, module),
            }
        });
        Some(frames.collect())
    }
}

/// Strings by number, and what has a number in the written file.
#[derive(Default)]
struct Writer {
    strings: Vec<Vec<u8>>,
    string_ids: FxHashMap<Vec<u8>, u64>,
    /// Name and file.
    functions: FxHashMap<(u64, u64), u64>,
    locations: FxHashMap<Vec<FrameId>, u64>,
    /// Mappings by file, with their ranges.
    mappings: FxHashMap<StringId, Vec<(u64, u64, u64)>>,
    mapping_count: u64,
    /// Whether the frames have names.
    has_names: bool,
    /// Messages of the tables, in their fields.
    out: Message,
}

impl Writer {
    fn string(&mut self, text: &[u8]) -> u64 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = self.strings.len() as u64;
        self.strings.push(text.to_vec());
        self.string_ids.insert(text.to_vec(), id);
        id
    }

    fn value_type(&mut self, field: u64, name: &str, unit: &str) {
        let mut message = Message::default();
        message.number(1, self.string(name.as_bytes()));
        message.number(2, self.string(unit.as_bytes()));
        self.out.message(field, &message);
    }

    fn mapping(&mut self, profile: &Profile, mapping: &Mapping) -> u64 {
        self.mapping_count += 1;
        let id = self.mapping_count;
        let mut message = Message::default();
        message.number(1, id);
        message.number(2, mapping.start);
        message.number(3, mapping.end);
        message.number(4, mapping.offset);
        message.number(5, self.string(profile.strings.get(mapping.file)));
        message.number(6, self.string(profile.strings.get(mapping.build_id)));
        // Functions, files, lines and inlined frames are there: tools need not look for them.
        if self.has_names {
            (7..=10).for_each(|field| message.number(field, 1));
        }
        self.out.message(3, &message);
        self.mappings.entry(mapping.file).or_default().push((mapping.start, mapping.end, id));
        id
    }

    /// The mapping of an address in a module: the one around it, or any of the module.
    fn mapping_of(&mut self, profile: &Profile, frame: ProfileFrame) -> u64 {
        if frame.module.is_zero() {
            return 0;
        }
        if let Some(known) = self.mappings.get(&frame.module) {
            let around = known.iter().find(|&&(start, end, _)| (start..end).contains(&frame.address));
            if let Some(&(.., id)) = around.or(known.first()) {
                return id;
            }
        }
        self.mapping(profile, &Mapping { file: frame.module, ..Mapping::default() })
    }

    fn function(&mut self, profile: &Profile, frame: ProfileFrame) -> u64 {
        let text = |id| profile.strings.get(id);
        let (name, file) = (self.string(text(frame.function)), self.string(text(frame.file)));
        let next = self.functions.len() as u64 + 1;
        let id = *self.functions.entry((name, file)).or_insert(next);
        if id == next {
            let mut message = Message::default();
            message.number(1, id);
            message.number(2, name);
            message.number(3, name);
            message.number(4, file);
            self.out.message(5, &message);
        }
        id
    }

    /// A place: what was inlined, innermost first, and what it was inlined into.
    fn location(&mut self, profile: &Profile, frames: &[FrameId]) -> u64 {
        if let Some(&id) = self.locations.get(frames) {
            return id;
        }
        let id = self.locations.len() as u64 + 1;
        self.locations.insert(frames.to_vec(), id);
        let mut message = Message::default();
        message.number(1, id);
        for (at, &frame) in frames.iter().enumerate() {
            let frame = profile.frames.get(frame);
            if at == 0 {
                message.number(2, self.mapping_of(profile, frame));
                message.number(3, frame.address);
            }
            if frame.function.is_zero() && frame.file.is_zero() {
                continue;
            }
            let mut line = Message::default();
            line.number(1, self.function(profile, frame));
            line.number(2, u64::from(frame.line));
            line.number(3, u64::from(frame.column));
            message.message(4, &line);
        }
        self.out.message(4, &message);
        id
    }
}

/// Writes all costs of a profile, uncompressed. Tools expect the file gzipped, as `.pb.gz`, and take it plain too.
///
/// # Errors
/// If there are no costs, and those of `out`.
pub fn write_pprof(profile: &Profile, out: &mut dyn Write) -> Result<(), ExportError> {
    if profile.samples.costs().next().is_none() {
        return Err(ExportError::Missing { format: "pprof", needed: "costs of stacks" });
    }
    let has_names = profile.frames.iter().any(|(_, frame)| !frame.function.is_zero());
    let mut writer = Writer { has_names, ..Writer::default() };
    writer.string(b"");
    let types: Vec<_> = TYPES.iter().filter(|(cost, ..)| profile.samples.column(*cost).is_some()).collect();
    let columns: Vec<&[i64]> = types.iter().filter_map(|&&(cost, ..)| profile.samples.column(cost)).collect();
    types.iter().for_each(|(_, name, unit)| writer.value_type(1, name, unit));
    let meta = &profile.meta;
    let executable = executable(profile);
    let is_executable = |mapping: &&Mapping| Some(mapping.file) == executable;
    let (first, rest): (Vec<_>, Vec<_>) = meta.mappings.iter().partition(is_executable);
    if let Some(file) = executable.filter(|_| first.is_empty()) {
        writer.mapping(profile, &Mapping { file, ..Mapping::default() });
    }
    for mapping in first.into_iter().chain(rest) {
        writer.mapping(profile, mapping);
    }
    let mut locations_of: FxHashMap<StackId, Vec<u64>> = FxHashMap::default();
    for (sample, &stack) in profile.samples.stacks().iter().enumerate() {
        let locations = locations_of.entry(stack).or_insert_with(|| locations(profile, stack, &mut writer));
        let mut message = Message::default();
        message.packed(1, locations.iter().copied());
        message.packed(2, columns.iter().map(|column| column[sample].cast_unsigned()));
        if let Some(size) = profile.samples.block_size(sample) {
            let mut label = Message::default();
            label.number(1, writer.string(BLOCK_SIZE));
            label.number(3, size);
            label.number(4, writer.string(BLOCK_SIZE));
            message.message(3, &label);
        }
        writer.out.message(2, &message);
        // What is done goes out: a recording may have many stacks.
        out.write_all(&writer.out.0)?;
        writer.out.0.clear();
    }
    writer.out.signed(9, meta.time_ns.unwrap_or(0));
    let seconds = meta.clock.as_ref().and_then(|clock| clock.seconds(clock.end));
    writer.out.signed(10, seconds.map_or(0, |seconds| (seconds * 1e9).round() as i64));
    if let Some(period) = meta.sampling_period {
        writer.value_type(11, "space", "bytes");
        writer.out.number(12, period);
    }
    if !meta.command.is_empty() {
        let comment = writer.string(&[COMMAND, &meta.command].concat());
        writer.out.packed(13, [comment].into_iter());
    }
    if let Some((_, name, _)) = types.last() {
        let name = writer.string(name.as_bytes());
        writer.out.number(14, name);
    }
    for text in &writer.strings {
        writer.out.bytes(6, text);
    }
    out.write_all(&writer.out.0)?;
    Ok(())
}

/// The main executable's name: tools take the first mapping for it. The first word of the command names it.
fn executable(profile: &Profile) -> Option<StringId> {
    let base = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
    let command = profile.meta.command.split(|&byte| byte == b' ').next().filter(|word| !word.is_empty())?;
    let wanted = base(command);
    let mut modules = profile.frames.iter().map(|(_, frame)| frame.module).filter(|id| !id.is_zero());
    modules.find(|&id| base(profile.strings.get(id)) == wanted)
}

/// The places of a stack, leaf first.
fn locations(profile: &Profile, stack: StackId, writer: &mut Writer) -> Vec<u64> {
    let mut all = Vec::new();
    let mut place = Vec::new();
    for frame in profile.stacks.frames(stack) {
        place.push(frame);
        if !profile.frames.get(frame).is_inlined {
            all.push(writer.location(profile, &place));
            place.clear();
        }
    }
    // A stack that was cut may end within a place.
    if !place.is_empty() {
        all.push(writer.location(profile, &place));
    }
    all
}
