//! V8's objects, read with suspicion.

use super::layout::{Layout, Start};
use super::memory::Memory;

/// The most characters of a name that are read.
const MAX_NAME: usize = 4096;
/// The most characters of a script that are read, to find its lines.
const MAX_SOURCE: usize = 64 << 20;
/// Pieces that a string may be put together from.
const MAX_PIECES: usize = 4096;

/// A process's memory, with the knowledge of where things lie.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) layout: &'a Layout,
}

/// A pointer to an object; its two lowest bits are 01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pointer(u64);

impl Pointer {
    /// A word as a pointer; `None` if it is none, or one that may become invalid by itself.
    pub(super) fn of(word: u64) -> Option<Pointer> {
        (word & 3 == 1 && (0x1_0000..1 << 47).contains(&word)).then_some(Pointer(word))
    }

    /// The address of a part of the object.
    pub(super) fn at(self, offset: usize) -> u64 {
        self.0 - 1 + offset as u64
    }
}

/// A small integer, which is a word's upper half.
pub(super) fn small_integer(word: u64) -> Option<i32> {
    (word as u32 == 0).then_some((word >> 32) as u32 as i32)
}

impl Reader<'_> {
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.memory.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    pub(super) fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.memory.read(address, &mut bytes).then_some(bytes)
    }

    /// Words from an object's start.
    pub(super) fn words<const N: usize>(&self, object: Pointer) -> Option<[u64; N]> {
        let mut bytes = [[0u8; 8]; N];
        self.memory.read(object.at(0), bytes.as_flattened_mut()).then(|| bytes.map(u64::from_le_bytes))
    }

    pub(super) fn field(&self, object: Pointer, offset: usize) -> Option<Pointer> {
        Pointer::of(self.word(object.at(offset))?)
    }

    /// The type that an object's map has, which must be a map itself.
    pub(super) fn kind(&self, object: Pointer) -> Option<u16> {
        let map = self.field(object, 0)?;
        let kind = self.kind_of_map(map)?;
        let meta = self.field(map, 0)?;
        (self.kind_of_map(meta)? == self.layout.types.map).then_some(kind)
    }

    pub(super) fn is(&self, object: Pointer, kind: u16) -> bool {
        self.kind(object) == Some(kind)
    }

    fn kind_of_map(&self, map: Pointer) -> Option<u16> {
        let mut bytes = [0; 2];
        self.memory.read(map.at(12), &mut bytes).then(|| u16::from_le_bytes(bytes))
    }

    pub(super) fn is_string(&self, object: Pointer) -> bool {
        self.kind(object).is_some_and(|kind| kind < self.layout.types.first_non_string)
    }

    /// The text of a string that is a name; longer ones are cut.
    pub(super) fn name(&self, string: Pointer) -> Option<String> {
        let mut units = Vec::new();
        self.characters(string, MAX_NAME, &mut units)?;
        Some(String::from_utf16_lossy(&units))
    }

    /// A script's text; `None` also if it is too long.
    pub(super) fn source(&self, string: Pointer) -> Option<Vec<u16>> {
        let length = self.length(string)?;
        let mut units = Vec::new();
        if length <= MAX_SOURCE {
            self.characters(string, length, &mut units)?;
        }
        (units.len() == length).then_some(units)
    }

    fn length(&self, string: Pointer) -> Option<usize> {
        let mut bytes = [0; 4];
        let is_there =
            self.is_string(string) && self.memory.read(string.at(self.layout.string.length), &mut bytes);
        is_there.then(|| u32::from_le_bytes(bytes) as usize).filter(|length| *length < 1 << 30)
    }

    /// Appends a string's characters until there are `most`.
    fn characters(&self, string: Pointer, most: usize, into: &mut Vec<u16>) -> Option<()> {
        let layout = &self.layout.string;
        // What is still to come: a string, and the part of it that is wanted.
        let mut rest = vec![(string, 0usize, self.length(string)?)];
        let mut pieces = 0;
        while let Some((string, skip, take)) = rest.pop() {
            pieces += 1;
            let kind = self.kind(string).filter(|kind| *kind < self.layout.types.first_non_string)?;
            let length = self.length(string)?;
            if pieces > MAX_PIECES || skip.checked_add(take)? > length {
                return None;
            }
            let width = if kind & layout.one_byte != 0 { 1 } else { 2 };
            let form = kind & layout.representation;
            let text = if form == layout.sequential {
                string.at(layout.chars)
            } else if form == layout.external && kind & layout.uncached == 0 {
                self.word(string.at(layout.data))?
            } else if form == layout.thin {
                rest.push((self.field(string, layout.actual)?, skip, take));
                continue;
            } else if form == layout.sliced {
                let offset = small_integer(self.word(string.at(layout.offset))?)?;
                let parent = self.field(string, layout.parent)?;
                rest.push((parent, skip.checked_add(usize::try_from(offset).ok()?)?, take));
                continue;
            } else if form == layout.cons {
                let first = self.field(string, layout.first)?;
                let middle = self.length(first)?;
                let second = self.field(string, layout.second)?;
                if skip + take > middle {
                    let behind = skip.max(middle) - middle;
                    rest.push((second, behind, skip + take - middle - behind));
                }
                if skip < middle {
                    rest.push((first, skip, take.min(middle - skip)));
                }
                continue;
            } else {
                return None;
            };
            let take = take.min(most - into.len());
            let bytes = self.bytes(text.checked_add((skip * width) as u64)?, take * width)?;
            match width {
                1 => into.extend(bytes.iter().map(|&byte| u16::from(byte))),
                _ => into.extend(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]))),
            }
            if into.len() >= most {
                break;
            }
        }
        Some(())
    }

    /// The bytes of an array of bytes: a table of V8's.
    pub(super) fn table(&self, array: Pointer) -> Option<Vec<u8>> {
        if !self.layout.types.bytes.contains(&self.kind(array)?) {
            return None;
        }
        let length = small_integer(self.word(array.at(8))?)?;
        self.bytes(array.at(16), usize::try_from(length).ok().filter(|length| *length < 16 << 20)?)
    }

    /// The instructions of a function in bytecode.
    pub(super) fn bytecode(&self, array: Pointer) -> Option<Vec<u8>> {
        let layout = &self.layout.bytecodes;
        if !self.is(array, self.layout.types.bytecodes) {
            return None;
        }
        let length = small_integer(self.word(array.at(layout.length))?)?;
        self.bytes(array.at(layout.data), usize::try_from(length).ok().filter(|length| *length < 64 << 20)?)
    }

    /// Start, end and bytecode of a piece of baseline code.
    pub(super) fn code(&self, code: Pointer) -> Option<(u64, u64, Pointer)> {
        let layout = &self.layout.code;
        let start = match layout.start {
            Start::Inside(offset) => code.at(offset),
            Start::Field(offset) => self.word(code.at(offset))?,
        };
        let mut size = [0; 4];
        let is_there = self.memory.read(code.at(layout.size), &mut size);
        let end = start.checked_add(u64::from(u32::from_le_bytes(size)))?;
        Some((start, end, self.bytecode_of(self.field(code, layout.bytecodes)?)?)).filter(|_| is_there)
    }

    /// The bytecode behind what a function or its code has in its place.
    pub(super) fn bytecode_of(&self, data: Pointer) -> Option<Pointer> {
        let kind = self.kind(data)?;
        let bytecode = if kind == self.layout.types.interpreter_data { self.field(data, 8)? } else { data };
        self.is(bytecode, self.layout.types.bytecodes).then_some(bytecode)
    }
}
