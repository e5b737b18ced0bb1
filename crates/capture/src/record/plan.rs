//! Works out how calls of a statically linked allocator come to be recorded: which functions of a module get a jump to
//! the recorder, and what their first instructions become elsewhere.
//!
//! It is done only where it is certain that nothing breaks. The code in memory is compared with the file's; a function
//! is left alone if its first bytes hold anything but plain instructions and direct jumps, if anything could jump between
//! them, or if it has jumps whose targets can't be told. And if a function that frees is left alone, so are those that
//! allocate: their blocks would all look leaked.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, OpKind, Register,
};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, SymbolKind, elf};
use rustc_hash::FxHashSet;
use twinheap_trace::heaptrace::{EmbeddedAllocator, RefusedHook};
use twinheap_wire::plan::{CODE, MAX_PATCHES};

use super::embedded::{Function, PLAIN, allocator_inside, function};

/// Bytes of the jump that is written over a function's start.
const JUMP: u64 = 5;
/// Bytes of an entry: it loads the original's address and the call's meaning, and jumps.
const ENTRY: u64 = 18;
/// How far a short jump reaches, with its own length.
const SHORT: u64 = 130;

/// What the recorder asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// See `twinheap_wire::plan::Plan`.
    pub(super) bias: u64,
    pub(super) page: u64,
    pub(super) hook: u64,
    pub(super) is_program: bool,
    /// Addresses of functions that are hooked by their symbols.
    pub(super) known: Vec<u64>,
}

/// What it is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) code: Vec<u8>,
    /// Address, eight bytes that are there, eight that take their place.
    pub(super) patches: Vec<(u64, u64, u64)>,
    /// The allocators that the module has.
    pub(super) allocators: Vec<EmbeddedAllocator>,
    /// The file has no function of an allocator, wherever it is mapped and whoever asks.
    pub(super) is_without: bool,
}

/// A function that allocates or frees.
struct Candidate {
    name: String,
    function: Function,
    /// In the process.
    address: u64,
    size: u64,
}

/// What moves to the page.
struct Moved {
    /// Where the jump is written.
    at: u64,
    instructions: Vec<Instruction>,
    /// Behind the last one.
    end: u64,
}

/// The module's code, as it is in the file, by addresses in the process.
struct Image<'a> {
    segments: Vec<(u64, &'a [u8])>,
}

impl<'a> Image<'a> {
    fn bytes(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        self.segments.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(length as usize)?)
        })
    }

    fn decode(&self, address: u64, length: u64) -> Option<Vec<Instruction>> {
        let bytes = self.bytes(address, length)?;
        let all: Vec<_> = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).into_iter().collect();
        (!all.iter().any(Instruction::is_invalid)).then_some(all)
    }
}

/// A plan for a module whose file has these bytes and is mapped in a process as `path`.
pub(super) fn plan(bytes: &[u8], path: &Path, memory: &File, question: &Question) -> Answer {
    make(bytes, path, memory, question).unwrap_or_default()
}

fn make(bytes: &[u8], path: &Path, memory: &File, question: &Question) -> Option<Answer> {
    let file = ElfFile64::<Endianness>::parse(bytes).ok()?;
    let endian = file.endian();
    let headers = file.elf_program_headers();
    let loads = || headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    let bias = match question.is_program {
        false => question.bias,
        true => {
            let at = file.elf_header().e_phoff(endian);
            let load = loads().find(|load| load.file_range(endian).0 <= at)?;
            question.bias.wrapping_sub(load.p_vaddr(endian).wrapping_add(at - load.p_offset(endian)))
        }
    };
    let image = Image {
        segments: loads()
            .filter(|load| load.p_flags(endian).0 & elf::PF_X.0 != 0)
            .filter_map(|load| {
                Some((load.p_vaddr(endian).wrapping_add(bias), load.data(endian, bytes).ok()?))
            })
            .collect(),
    };
    let (mut candidates, starts) = candidates(&file, bias);
    // Functions with malloc's own names are an allocator's only if there is one. Others hand calls on to the next malloc,
    // and so to us: they would be counted twice.
    if candidates.iter().any(|candidate| candidate.function.family == PLAIN)
        && allocator_inside(bytes).is_none()
    {
        candidates.retain(|candidate| candidate.function.family != PLAIN);
    }
    if candidates.is_empty() {
        return Some(Answer { is_without: true, ..Answer::default() });
    }
    if candidates.iter().any(|candidate| question.known.contains(&candidate.address)) {
        return None;
    }
    let mut moved: Vec<Result<Moved, String>> =
        candidates.iter().map(|candidate| move_start(candidate, &image, memory)).collect();
    refuse_targets(&mut moved, &image, &starts);
    let mut answer = Answer { code: vec![0; 16], ..Answer::default() };
    answer.code[..8].copy_from_slice(&question.hook.to_le_bytes());
    let mut families: Vec<&'static str> =
        candidates.iter().map(|candidate| candidate.function.family).collect();
    families.sort_unstable();
    families.dedup();
    for family in families {
        let functions = || candidates.iter().zip(&moved).filter(|(of, _)| of.function.family == family);
        let frees = |candidate: &Candidate| candidate.function.call.old.is_some();
        let mut found = EmbeddedAllocator {
            module: path.to_string_lossy().into_owned(),
            name: family.to_owned(),
            ..EmbeddedAllocator::default()
        };
        let refused_free = functions().find(|(of, moved)| frees(of) && moved.is_err());
        if !functions().any(|(of, _)| frees(of)) {
            found.reason = Some("it has no function that frees".to_owned());
        } else if let Some((of, _)) = refused_free {
            found.reason = Some(format!("`{}` can't be hooked", of.name));
        }
        for (of, moved) in functions() {
            let refuse = |reason: &str| RefusedHook { function: of.name.clone(), reason: reason.to_owned() };
            match moved {
                Err(reason) => found.refused.push(refuse(reason)),
                Ok(_) if found.reason.is_some() => {}
                Ok(moved) => match answer.add(moved, of, question, &image) {
                    Some(()) => found.hooked.push(of.name.clone()),
                    // A family is hooked as a whole; what doesn't fit is nobody's.
                    None => return None,
                },
            }
        }
        answer.allocators.push(found);
    }
    Some(answer)
}

/// The module's allocating functions, each address once, and where all its functions begin and end.
fn candidates(file: &ElfFile64<'_>, bias: u64) -> (Vec<Candidate>, BTreeMap<u64, u64>) {
    let mut candidates = Vec::new();
    let mut starts: BTreeMap<u64, u64> = BTreeMap::new();
    let mut known = FxHashSet::default();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        if symbol.kind() != SymbolKind::Text || symbol.is_undefined() {
            continue;
        }
        let (address, size) = (symbol.address().wrapping_add(bias), symbol.size());
        let end = starts.entry(address).or_default();
        *end = (*end).max(address.saturating_add(size));
        let Some((name, function)) = symbol.name().ok().and_then(|name| Some((name, function(name)?))) else {
            continue;
        };
        // A resolver of an indirect function is no function of this kind.
        let is_plain = matches!(
            symbol.flags(),
            object::SymbolFlags::Elf { st_info, .. } if st_info.st_type() == elf::STT_FUNC
        );
        if is_plain && known.insert(address) {
            candidates.push(Candidate { name: name.to_owned(), function, address, size });
        }
    }
    candidates.sort_by_key(|candidate| candidate.address);
    (candidates, starts)
}

/// The instructions at a function's start that make room for a jump.
fn move_start(candidate: &Candidate, image: &Image<'_>, memory: &File) -> Result<Moved, String> {
    let Candidate { address, size, .. } = *candidate;
    let code = image.bytes(address, size).ok_or("its code is not in the file")?;
    let mut there = vec![0; code.len()];
    let is_same = memory.read_exact_at(&mut there, address).is_ok() && there == code;
    if !is_same {
        return Err("its code in memory is not that of the file".to_owned());
    }
    let all = image.decode(address, size).ok_or("its code can't be read")?;
    let mut at = address;
    let mut instructions = Vec::new();
    for instruction in &all {
        if instructions.is_empty() && instruction.code() == Code::Endbr64 {
            at = instruction.next_ip();
            continue;
        }
        if !is_movable(instruction) {
            return Err(format!("its first bytes hold {:?}", instruction.mnemonic()).to_lowercase());
        }
        instructions.push(*instruction);
        let is_end = instruction.flow_control() == FlowControl::UnconditionalBranch;
        if instruction.next_ip() - at >= JUMP || is_end {
            break;
        }
    }
    let end = instructions.last().map_or(at, Instruction::next_ip);
    if end - at < JUMP {
        return Err("it is too short".to_owned());
    }
    if image.bytes(at, 8).is_none() {
        return Err("it is at the end of its segment".to_owned());
    }
    if all.iter().any(|instruction| {
        instruction.flow_control() == FlowControl::IndirectBranch && !is_by_constant(instruction)
    }) {
        return Err("it has a jump whose target can't be told".to_owned());
    }
    Ok(Moved { at, instructions, end })
}

/// Whether an instruction does the same anywhere: iced's encoder changes distances, and leaves nothing else to change.
fn is_movable(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Next => true,
        FlowControl::ConditionalBranch => instruction.is_jcc_short_or_near(),
        FlowControl::UnconditionalBranch => instruction.is_jmp_short_or_near(),
        _ => false,
    }
}

/// A jump through a word of the module's own data, as to another module's function.
fn is_by_constant(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Memory
        && instruction.memory_base() == Register::RIP
        && instruction.memory_index() == Register::None
}

/// Refuses functions that something could jump into behind their first byte.
fn refuse_targets(moved: &mut [Result<Moved, String>], image: &Image<'_>, starts: &BTreeMap<u64, u64>) {
    let mut inner: Vec<Range<u64>> = moved.iter().flatten().map(|moved| moved.at + 1..moved.end).collect();
    inner.sort_by_key(|range| range.start);
    let find = |target: u64| {
        let at = inner.partition_point(|range| range.end <= target);
        inner.get(at).filter(|range| range.contains(&target)).map(|range| range.start)
    };
    let mut hit: FxHashSet<u64> = FxHashSet::default();
    hit.extend(starts.keys().filter_map(|&start| find(start)));
    // Whatever could be the distance of a long jump or of an address, wherever it stands in the code.
    let (first, last) =
        (inner.first().map_or(0, |range| range.start), inner.last().map_or(0, |range| range.end));
    for (start, bytes) in &image.segments {
        for (at, window) in bytes.windows(6).enumerate() {
            let &[first_opcode, opcode, a, b, c, d] = window else { continue };
            // call, jmp, the long jcc, and whatever takes an address by its distance.
            let is_distance = matches!(opcode, 0xE8 | 0xE9)
                || first_opcode == 0x0F && opcode & 0xF0 == 0x80
                || opcode & 0xC7 == 0x05;
            let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
            let target = (start + at as u64 + 6).wrapping_add_signed(distance);
            if is_distance && target >= first && target < last {
                hit.extend(find(target));
            }
        }
    }
    // Short jumps come from the function itself and from its neighbours.
    for range in &inner {
        let from = range.start.saturating_sub(SHORT);
        let near = starts.range(..range.end + SHORT).rev().take_while(|(_, end)| **end + (1 << 20) > from);
        for (&start, &end) in near.filter(|(_, end)| **end > from) {
            match image.decode(start, end - start) {
                None => _ = hit.insert(range.start),
                Some(all) => {
                    hit.extend(
                        all.iter()
                            .filter(|one| one.near_branch_target() != 0)
                            .filter_map(|one| find(one.near_branch_target())),
                    );
                }
            }
        }
    }
    for entry in moved.iter_mut() {
        if entry.as_ref().is_ok_and(|moved| hit.contains(&(moved.at + 1))) {
            *entry = Err("something could jump between its first instructions".to_owned());
        }
    }
}

impl Answer {
    /// Adds a function's entry, its moved start and its patch; `None` if there is no room.
    fn add(&mut self, moved: &Moved, of: &Candidate, question: &Question, image: &Image<'_>) -> Option<()> {
        let entry = question.page + self.code.len() as u64;
        let original = entry + ENTRY;
        let mut instructions = moved.instructions.clone();
        if instructions.last()?.flow_control() != FlowControl::UnconditionalBranch {
            instructions.push(Instruction::with_branch(Code::Jmp_rel32_64, moved.end).ok()?);
        }
        let block = InstructionBlock::new(&instructions, original);
        let encoded = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).ok()?.code_buffer;
        let distance = |from: u64, to: u64| i32::try_from(to.wrapping_sub(from).cast_signed()).ok();
        let mut code = Vec::with_capacity(64);
        // lea r10, [original]
        code.extend([0x4C, 0x8D, 0x15]);
        code.extend(distance(entry + 7, original)?.to_le_bytes());
        // mov eax, meaning
        code.push(0xB8);
        code.extend(of.function.call.encode().to_le_bytes());
        // jmp [hook], which is the code's first word
        code.extend([0xFF, 0x25]);
        code.extend(distance(entry + ENTRY, question.page)?.to_le_bytes());
        code.extend(encoded);
        code.resize(code.len().next_multiple_of(16), 0xCC);
        if self.code.len() + code.len() > CODE || self.patches.len() == MAX_PATCHES {
            return None;
        }
        let before: [u8; 8] = image.bytes(moved.at, 8)?.try_into().ok()?;
        let mut after = before;
        after[0] = 0xE9;
        after[1..5].copy_from_slice(&distance(moved.at + JUMP, entry)?.to_le_bytes());
        self.code.extend(code);
        self.patches.push((moved.at, u64::from_le_bytes(before), u64::from_le_bytes(after)));
        Some(())
    }
}
