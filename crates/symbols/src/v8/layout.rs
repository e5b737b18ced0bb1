//! Where V8 keeps what, by the constants and symbols of an executable.

use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, elf};
use rustc_hash::FxHashMap;

use super::frames::{SCRIPT_WORDS, SHARED_WORDS};
use crate::elf::{Elf, RawSymbols};

/// Prefix of the constants that Node exports for debuggers; V8's `tools/gen-postmortem-metadata.py` makes them.
const PREFIX: &[u8] = b"v8dbg_";

/// Where the parts of V8's objects lie in one build of it, and where the code is that frames are told by.
///
/// Offsets are bytes from an object's start; addresses are the file's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The build, as the linker marked it.
    pub build_id: Vec<u8>,
    /// V8's version.
    pub version: (u32, u32),
    /// The interpreter's entry: frames that return to it are those of interpreted functions.
    pub interpreter: (u64, u64),
    /// Functions that collect garbage: while one of them runs, no object may be looked at.
    pub collectors: Vec<(u64, u64)>,
    /// Those of them that move and free old objects.
    pub major_collectors: Vec<(u64, u64)>,
    /// Offset of a function's `SharedFunctionInfo`.
    pub function_shared: u32,
    pub(super) types: Types,
    pub(super) shared: Shared,
    pub(super) script: Script,
    pub(super) string: Strings,
    pub(super) bytecodes: Bytecodes,
    pub(super) code: Code,
    pub(super) scope_info: ScopeInfo,
}

/// Instance types, which maps have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Types {
    pub(super) map: u16,
    pub(super) shared: u16,
    pub(super) script: u16,
    pub(super) bytecodes: u16,
    pub(super) code: u16,
    pub(super) interpreter_data: u16,
    pub(super) scope_info: u16,
    /// Arrays of bytes, in the heap and in trusted space.
    pub(super) bytes: Vec<u16>,
    /// `undefined` and its like.
    pub(super) oddball: u16,
    /// Types below are strings.
    pub(super) first_non_string: u16,
}

/// Parts of a `SharedFunctionInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// The bytecode, or the baseline code, or what the interpreter needs else.
    pub(super) data: usize,
    pub(super) name_or_scope_info: usize,
    pub(super) script: usize,
    /// The position of the function among the script's.
    pub(super) literal_id: usize,
    /// Bytes to read.
    pub(super) size: usize,
}

/// Parts of a `Script`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) source: usize,
    pub(super) name: usize,
    pub(super) line_offset: usize,
    pub(super) column_offset: usize,
    pub(super) line_ends: usize,
    pub(super) id: usize,
    pub(super) eval_from: usize,
    pub(super) eval_position: usize,
    pub(super) source_url: usize,
    pub(super) size: usize,
}

/// Parts of strings, and the bits of their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strings {
    pub(super) length: usize,
    pub(super) chars: usize,
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) actual: usize,
    pub(super) parent: usize,
    pub(super) offset: usize,
    /// The characters of a string that lies outside of the heap.
    pub(super) data: usize,
    pub(super) representation: u16,
    pub(super) sequential: u16,
    pub(super) cons: u16,
    pub(super) external: u16,
    pub(super) sliced: u16,
    pub(super) thin: u16,
    pub(super) one_byte: u16,
    /// Set in types of strings whose characters have to be asked for.
    pub(super) uncached: u16,
}

/// Parts of a `BytecodeArray`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytecodes {
    pub(super) length: usize,
    pub(super) source_positions: usize,
    pub(super) data: usize,
    /// Bytes of each instruction with operands of one, two and four bytes: V8's `kBytecodeSizes`.
    pub(super) sizes: [Vec<u8>; 3],
}

/// Parts of a `Code` object of the baseline compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bytecodes: usize,
    pub(super) offset_table: usize,
    /// Where the start of the instructions stands, or where they begin themselves.
    pub(super) start: Start,
    pub(super) size: usize,
}

/// Where instructions begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Within the object.
    Inside(usize),
    /// Where this field points to.
    Field(usize),
}

/// Parts of a `ScopeInfo`, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScopeInfo {
    /// Number of variables in the context.
    pub(super) locals: usize,
    /// The first of what depends on it.
    pub(super) first: usize,
    /// Whether start and end of the function stand before that.
    pub(super) has_position: bool,
}

impl Layout {
    /// That of an executable or library; `None` if there is no V8 in it, or one that this version can't read.
    pub fn of(bytes: &[u8]) -> Option<Layout> {
        let elf = Elf::parse(bytes).ok()?;
        let constants = Constants::of(&elf)?;
        let symbols = Named::of(&elf);
        Layout::from(&elf, &constants, &symbols)
    }

    fn from(elf: &Elf<'_>, known: &Constants, symbols: &Named) -> Option<Layout> {
        let word = |at| -> Option<u32> { Some(u32::from_le_bytes(data(elf, at, 4)?.try_into().ok()?)) };
        let version = (word(symbols.major?)?, word(symbols.minor?)?);
        // Pointers and small integers of other builds have half the size.
        let is_usual = known.get("TaggedSize")? == 8
            && known.get("SmiShiftSize")? == 31
            && known.get("HeapObjectTag")? == 1
            && known.get("off_fp_function")? == -16
            && known.get("off_fp_bytecode_array")? == -32
            && known.get("off_fp_bytecode_offset")? == -40
            && known.get("class_Map__instance_type__uint16_t")? == 12;
        let flags = known.offset(&["class_SharedFunctionInfo__flags__int"])?;
        if !flags.is_multiple_of(8) || !is_usual || !(10..=14).contains(&version.0) {
            return None;
        }
        let is_trusted = known.get("class_BytecodeArray__wrapper__Tagged_BytecodeWrapper_").is_some();
        let line_ends = known.offset(&["class_Script__line_ends__Object"])?;
        let has_lazy_positions = known
            .offset(&[
                "class_Script__compiled_lazy_function_positions__Object",
                "class_Script__compiled_lazy_function_positions__Tagged_Object_",
            ])
            .is_some();
        let start = match known.offset(&["class_Code__instruction_start__Address"]) {
            Some(field) => Start::Field(field),
            None => match known.offset(&["class_Code__instruction_start__uintptr_t"]) {
                Some(inside) => Start::Inside(inside),
                None => Start::Field(40),
            },
        };
        let script_name = known.offset(&["class_Script__name__Object"])?;
        let first_variable = known.offset(&["scopeinfo_idx_first_vars"])?;
        let layout = Layout {
            build_id: elf.build_id()?.to_vec(),
            version,
            interpreter: symbols.interpreter?,
            collectors: symbols.collectors.clone(),
            major_collectors: symbols.major_collectors.clone(),
            function_shared: known.offset(&["class_JSFunction__shared__SharedFunctionInfo"])? as u32,
            types: Types::of(known)?,
            shared: Shared {
                data: 8,
                name_or_scope_info: known.offset(&[
                    "class_SharedFunctionInfo__name_or_scope_info__Object",
                    "class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
                    "class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_",
                ])?,
                script: known.offset(&[
                    "class_SharedFunctionInfo__script_or_debug_info__HeapObject",
                    "class_SharedFunctionInfo__script__Tagged_HeapObject_",
                ])?,
                literal_id: flags + 4,
                size: flags + 8,
            },
            script: Script {
                source: known.offset(&["class_Script__source__Object"])?,
                name: script_name,
                line_offset: script_name + 8,
                column_offset: script_name + 16,
                line_ends,
                id: line_ends + 8,
                eval_from: line_ends + 16,
                eval_position: known.offset(&["class_Script__eval_from_position__SMI"])?,
                source_url: if has_lazy_positions { 112 } else { 104 },
                size: 120,
            },
            string: Strings::of(known)?,
            bytecodes: Bytecodes {
                length: 8,
                source_positions: if is_trusted { 24 } else { 32 },
                data: known.offset(&["class_BytecodeArray__data__uintptr_t"])?,
                sizes: sizes(data(elf, symbols.sizes?.0, symbols.sizes?.1 as usize)?)?,
            },
            code: Code {
                bytecodes: if is_trusted { 8 } else { 16 },
                offset_table: if is_trusted { 16 } else { 24 },
                start,
                size: known.offset(&["class_Code__instruction_size__int"]).unwrap_or(56),
            },
            scope_info: ScopeInfo {
                // Words behind the map.
                locals: known.offset(&["scopeinfo_idx_ncontextlocals"])? + 1,
                first: first_variable + 1,
                has_position: first_variable >= 5,
            },
        };
        layout.has_known_sizes().then_some(layout)
    }

    /// Whether the objects that are read at once have room for the parts that are looked at. A later V8, or a file that
    /// lies, may say otherwise.
    pub(super) fn has_known_sizes(&self) -> bool {
        let Shared { data, name_or_scope_info, script, literal_id, size } = self.shared;
        let is_within = |words: usize, offsets: &[usize]| offsets.iter().all(|offset| *offset < words * 8);
        is_within(SHARED_WORDS, &[data, name_or_scope_info, script, literal_id])
            && size <= SHARED_WORDS * 8
            && is_within(SCRIPT_WORDS, &[self.script.source, self.script.name, self.script.id])
            && self.scope_info.first >= 2
    }
}

impl Types {
    fn of(known: &Constants) -> Option<Types> {
        let kind = |name| known.get(name).and_then(|kind| u16::try_from(kind).ok());
        let bytes = ["type_ByteArray__BYTE_ARRAY_TYPE", "type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"];
        Some(Types {
            map: kind("type_Map__MAP_TYPE")?,
            shared: kind("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE")?,
            script: kind("type_Script__SCRIPT_TYPE")?,
            bytecodes: kind("type_BytecodeArray__BYTECODE_ARRAY_TYPE")?,
            code: kind("type_Code__CODE_TYPE")?,
            interpreter_data: kind("type_InterpreterData__INTERPRETER_DATA_TYPE")?,
            scope_info: kind("type_ScopeInfo__SCOPE_INFO_TYPE")?,
            bytes: bytes.iter().filter_map(|name| kind(name)).collect(),
            oddball: kind("type_Oddball__ODDBALL_TYPE")?,
            first_non_string: kind("FirstNonstringType")?,
        })
    }
}

impl Strings {
    fn of(known: &Constants) -> Option<Strings> {
        let bits = |name| known.get(name).and_then(|bits| u16::try_from(bits).ok());
        let resource = known.offset(&["class_ExternalString__resource__Object"])?;
        Some(Strings {
            length: known.offset(&["class_String__length__int32_t"])?,
            chars: known.offset(&["class_SeqOneByteString__chars__char"])?,
            first: known.offset(&["class_ConsString__first__String"])?,
            second: known.offset(&["class_ConsString__second__String"])?,
            actual: known.offset(&["class_ThinString__actual__String"])?,
            parent: known.offset(&["class_SlicedString__parent__String"])?,
            offset: known.offset(&["class_SlicedString__offset__SMI"])?,
            data: resource + 8,
            representation: bits("StringRepresentationMask")?,
            sequential: bits("SeqStringTag")?,
            cons: bits("ConsStringTag")?,
            external: bits("ExternalStringTag")?,
            sliced: bits("SlicedStringTag")?,
            thin: bits("ThinStringTag")?,
            one_byte: bits("OneByteStringTag")?,
            // `kUncachedExternalStringTag`.
            uncached: 0x10,
        })
    }
}

/// Takes `kBytecodeSizes` apart, which is `uint8_t[3][N]`.
fn sizes(bytes: &[u8]) -> Option<[Vec<u8>; 3]> {
    let count = bytes.len() / 3;
    if !bytes.len().is_multiple_of(3) || !(100..=256).contains(&count) || bytes.contains(&0) {
        return None;
    }
    let part = |at: usize| bytes[at * count..(at + 1) * count].to_vec();
    Some([part(0), part(1), part(2)])
}

/// The constants by name.
struct Constants(FxHashMap<Vec<u8>, i32>);

impl Constants {
    fn of(elf: &Elf<'_>) -> Option<Constants> {
        let mut all = FxHashMap::default();
        each(elf, elf.file.elf_dynamic_symbol_table(), |name, at, _| {
            if let Some(name) = name.strip_prefix(PREFIX) {
                // Constants that are zero lie where the file has no bytes.
                let value = data(elf, at, 4).and_then(|bytes| bytes.try_into().ok());
                all.insert(name.to_vec(), value.map_or(0, i32::from_le_bytes));
            }
        });
        (!all.is_empty()).then_some(Constants(all))
    }

    fn get(&self, name: &str) -> Option<i32> {
        self.0.get(name.as_bytes()).copied()
    }

    /// The first of these that there is: names carry the type of what they tell, which changes from version to version.
    fn offset(&self, names: &[&str]) -> Option<usize> {
        let value = names.iter().find_map(|name| self.get(name))?;
        usize::try_from(value).ok().filter(|offset| *offset < 4096)
    }
}

/// Symbols that are needed: addresses, and ends or sizes.
#[derive(Default)]
struct Named {
    interpreter: Option<(u64, u64)>,
    collectors: Vec<(u64, u64)>,
    major_collectors: Vec<(u64, u64)>,
    sizes: Option<(u64, u64)>,
    major: Option<u64>,
    minor: Option<u64>,
}

impl Named {
    fn of(elf: &Elf<'_>) -> Named {
        let mut named = Named::default();
        each(elf, elf.file.elf_symbol_table(), |name, at, size| {
            let range = (at, at.saturating_add(size));
            match name {
                b"Builtins_InterpreterEntryTrampoline" => named.interpreter = Some(range),
                b"_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE" => named.sizes = Some((at, size)),
                b"_ZN2v88internal7Version6major_E" => named.major = Some(at),
                b"_ZN2v88internal7Version6minor_E" => named.minor = Some(at),
                b"_ZN2v88internal4Heap11MarkCompactEv" => named.major_collectors.push(range),
                _ if name.starts_with(b"_ZN2v88internal4Heap24PerformGarbageCollectionE") => {
                    named.collectors.push(range);
                }
                _ => {}
            }
        });
        named
    }
}

/// Hands on each symbol that has a place: name, address, size.
fn each<'s>(elf: &Elf<'s>, table: &RawSymbols<'s>, mut visit: impl FnMut(&'s [u8], u64, u64)) {
    let endian = elf.file.endian();
    for symbol in table.symbols() {
        let is_defined = symbol.st_shndx(endian) != elf::SHN_UNDEF;
        if let Ok(name) = table.strings().get(symbol.st_name(endian))
            && is_defined
            && !name.is_empty()
        {
            visit(name, symbol.st_value(endian), symbol.st_size(endian));
        }
    }
}

/// The file's bytes for an address.
fn data<'s>(elf: &Elf<'s>, at: u64, length: usize) -> Option<&'s [u8]> {
    let endian: Endianness = elf.file.endian();
    let header = elf.file.elf_header();
    let segments = header.program_headers(endian, elf.bytes).ok()?;
    segments
        .iter()
        .find_map(|segment| segment.data_range(endian, elf.bytes, at, length as u64).ok().flatten())
}
