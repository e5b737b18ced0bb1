//! From the words of frames to functions, lines and columns.

use rustc_hash::FxHashMap;

use super::layout::Layout;
use super::memory::Memory;
use super::objects::{Pointer, Reader, small_integer};
use super::scope;
use super::script::Script;
use super::tables::{BaselineOffsets, SourcePositions};

/// A place in JavaScript, by its number among all that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpotNo(pub u32);

/// What was taken of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawFrame {
    /// The return address.
    pub pc: u64,
    /// Whether it leads to the interpreter; otherwise to code that was compiled for the function.
    pub is_interpreted: bool,
    /// The word for the function.
    pub function: u64,
    /// The word for the bytecode, which only interpreter and baseline code keep.
    pub bytecodes: u64,
    /// The word for the place in it, which only the interpreter keeps.
    pub offset: u64,
    /// Whether the function may be another one than the frame before with the same `shared` had, since V8 may have
    /// collected garbage meanwhile.
    pub is_new: bool,
    /// The function's `SharedFunctionInfo`; 0 if the function could not be looked at, as during garbage collection.
    pub shared: u64,
}

/// A place in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'f> {
    /// The function, `(anonymous)` if it has no name.
    pub function: &'f str,
    /// Path or address of the script; empty if there is none.
    pub script: &'f str,
    /// Line of the call, from 1. In optimised code that of the function's start; 0 if unknown.
    pub line: u32,
    /// Column, likewise.
    pub column: u32,
    /// What runs the function.
    pub code: JsCode,
}

/// What runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsCode {
    /// The interpreter.
    Interpreted,
    /// Code of the baseline compiler.
    Baseline,
    /// Code of another compiler. Functions that were inlined into this one can't be told from it.
    Optimised,
}

/// All functions and places that were found in a process's frames.
pub struct Frames {
    layout: Layout,
    functions: Vec<Function>,
    /// Functions by what makes them the same for a reader: name, script, start.
    same: FxHashMap<(String, String, Option<u32>), usize>,
    /// Those of `SharedFunctionInfo`s.
    seen: FxHashMap<u64, Seen>,
    scripts: FxHashMap<u64, SeenScript>,
    /// Spots of frames that were found: bytecode and offset, or return address and 0; then function.
    known: FxHashMap<(u64, u64, u64, usize), SpotNo>,
    /// Where a bytecode's function was found last, for frames whose function can't be looked at.
    by_bytecodes: FxHashMap<u64, u64>,
    /// The spot of a return address in compiled code, likewise.
    by_pc: FxHashMap<u64, SpotNo>,
    spots: Vec<(usize, u32, u32, JsCode)>,
    numbers: FxHashMap<(usize, u32, u32, JsCode), SpotNo>,
    found: u64,
    refused: u64,
}

struct Function {
    name: String,
    script: String,
    /// Line and column of its start; zeros if unknown.
    start: (u32, u32),
}

/// A `SharedFunctionInfo` as it was when it was read.
struct Seen {
    /// The words that make it the same: map, script, position among the script's functions.
    identity: [u64; 3],
    /// Those of the script that make it the same: map, source, name, id.
    script: [u64; 4],
    function: usize,
    script_at: Pointer,
    body: Option<Body>,
}

/// The code of a function, by the word that leads to it.
struct Body {
    data: u64,
    bytecodes: Pointer,
    length: usize,
    positions: SourcePositions,
    /// Start, end and table of its baseline code.
    baseline: Option<(u64, u64, BaselineOffsets)>,
}

struct SeenScript {
    identity: [u64; 4],
    script: Script,
}

/// So many `SharedFunctionInfo`s are remembered, several times those of a server. A worker that comes has all of its own,
/// and when it goes nobody tells.
const MOST_SEEN: usize = 1 << 15;
/// Words of these objects that are read at once; no version of V8 that is known has more.
pub(super) const SHARED_WORDS: usize = 10;
pub(super) const SCRIPT_WORDS: usize = 15;

impl Frames {
    /// None yet, of a process with V8 of this layout.
    pub fn new(layout: Layout) -> Frames {
        Frames {
            layout,
            functions: Vec::new(),
            same: FxHashMap::default(),
            seen: FxHashMap::default(),
            scripts: FxHashMap::default(),
            known: FxHashMap::default(),
            by_bytecodes: FxHashMap::default(),
            by_pc: FxHashMap::default(),
            spots: Vec::new(),
            numbers: FxHashMap::default(),
            found: 0,
            refused: 0,
        }
    }

    /// The layout that was given.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Frames that were found, and those that lead to something else than a function.
    pub fn counts(&self) -> (u64, u64) {
        (self.found, self.refused)
    }

    /// A place by its number; `None` for a number that there isn't.
    pub fn spot(&self, SpotNo(number): SpotNo) -> Option<Spot<'_>> {
        let &(function, line, column, code) = self.spots.get(number as usize)?;
        let function = self.functions.get(function)?;
        let name = if function.name.is_empty() { "(anonymous)" } else { &function.name };
        Some(Spot { function: name, script: &function.script, line, column, code })
    }

    /// The place of a frame, which must be of a moment ago: what it leads to is read now, unless it is known.
    pub fn find(&mut self, memory: &dyn Memory, frame: &RawFrame) -> Option<SpotNo> {
        let spot = self.look_up(memory, frame);
        match spot {
            Some(_) => self.found += 1,
            None if frame.shared != 0 && self.is_there(memory, frame.shared) => self.refused += 1,
            None => {}
        }
        spot
    }

    fn look_up(&mut self, memory: &dyn Memory, frame: &RawFrame) -> Option<SpotNo> {
        if frame.shared == 0 && !frame.is_interpreted {
            return self.by_pc.get(&frame.pc).copied();
        }
        let shared = match frame.shared {
            // The bytecode has to be the frame's, whatever leads to it.
            0 => match self.by_bytecodes.get(&frame.bytecodes) {
                Some(shared) => *shared,
                None => self.shared_of(memory, frame.function)?,
            },
            shared => shared,
        };
        let key = |function| match frame.is_interpreted {
            true => (frame.bytecodes, frame.offset, shared, function),
            false => (frame.pc, 0, shared, function),
        };
        let known = self.seen.get(&shared).filter(|_| !frame.is_new);
        if let Some(spot) = known.and_then(|seen| self.known.get(&key(seen.function))) {
            return Some(*spot);
        }
        match self.see(memory, shared) {
            Some(data) => self.see_body(memory, shared, data),
            // The process has ended. What was known before still holds.
            None if !self.is_there(memory, shared) => {
                if !frame.is_interpreted {
                    return self.by_pc.get(&frame.pc).copied();
                }
            }
            None => {
                // Perhaps it was written just now. What was there before is gone, and the next frame, which is told of as
                // one of the same function, must not be taken for that.
                self.seen.remove(&shared);
                return None;
            }
        }
        let seen = self.seen.get(&shared)?;
        let function = seen.function;
        let body = seen.body.as_ref();
        let (bytecode, code) = if frame.is_interpreted {
            // The function that the frame names must be the one whose bytecode it runs.
            let body = body.filter(|body| body.bytecodes.at(1) == frame.bytecodes)?;
            let first = self.layout.bytecodes.data as i64 - 1;
            let offset = i64::from(small_integer(frame.offset)?) - first;
            if !(0..body.length as i64).contains(&offset) {
                return None;
            }
            (body.positions.at(offset), JsCode::Interpreted)
        } else {
            let place = body.and_then(|body| Some((body, body.baseline.as_ref()?)));
            match place.filter(|(_, (start, end, _))| *start < frame.pc && frame.pc <= *end) {
                Some((body, (start, _, table))) => {
                    let bytecode = table.at(frame.pc - start);
                    (bytecode.and_then(|offset| body.positions.at(offset)), JsCode::Baseline)
                }
                None => (None, JsCode::Optimised),
            }
        };
        let script = self.scripts.get(&seen.script_at.at(0)).map(|seen| &seen.script);
        let place = bytecode.and_then(|position| script?.line_and_column(position));
        let (line, column) = place.unwrap_or_else(|| self.functions[function].start);
        let spots = &mut self.spots;
        let number = *self.numbers.entry((function, line, column, code)).or_insert_with(|| {
            spots.push((function, line, column, code));
            SpotNo(spots.len() as u32 - 1)
        });
        self.known.insert(key(function), number);
        if frame.is_interpreted {
            self.by_bytecodes.insert(frame.bytecodes, shared);
        } else {
            self.by_pc.insert(frame.pc, number);
        }
        Some(number)
    }

    /// The `SharedFunctionInfo` of a function as it is now.
    fn shared_of(&self, memory: &dyn Memory, function: u64) -> Option<u64> {
        let reader = Reader { memory, layout: &self.layout };
        reader.word(Pointer::of(function)?.at(self.layout.function_shared as usize))
    }

    fn is_there(&self, memory: &dyn Memory, object: u64) -> bool {
        let reader = Reader { memory, layout: &self.layout };
        Pointer::of(object).is_some_and(|object| reader.word(object.at(0)).is_some())
    }

    /// Makes sure that the function is known as it is now; the word that leads to its code.
    fn see(&mut self, memory: &dyn Memory, shared: u64) -> Option<u64> {
        let layout = &self.layout;
        let reader = Reader { memory, layout };
        let object = Pointer::of(shared)?;
        let (words, identity, script_at, script) = read_identity(&reader, object)?;
        let data = words[layout.shared.data / 8];
        if let Some(seen) = self.seen.get(&shared)
            && (seen.identity, seen.script, seen.script_at) == (identity, script, script_at)
        {
            return Some(data);
        }
        if !reader.is(object, layout.types.shared) {
            return None;
        }
        if self.seen.len() >= MOST_SEEN {
            // Most of it is of isolates that are gone. What is still there is read again.
            self.seen = FxHashMap::default();
            self.scripts = FxHashMap::default();
            self.known = FxHashMap::default();
            self.by_bytecodes = FxHashMap::default();
            self.by_pc = FxHashMap::default();
        }
        let is_known = self.scripts.get(&script_at.at(0)).is_some_and(|seen| seen.identity == script);
        let read = if is_known { None } else { Some(Script::read(&reader, script_at)?) };
        let (name, start) = match words[layout.shared.name_or_scope_info / 8] {
            0 => (String::new(), None),
            word => {
                let object = Pointer::of(word)?;
                match reader.is_string(object) {
                    true => (reader.name(object)?, None),
                    false => scope::function(&reader, object)?,
                }
            }
        };
        // Nothing has moved while we read?
        let (_, again, script_again, words_again) = read_identity(&reader, object)?;
        if (again, script_again, words_again) != (identity, script_at, script) {
            return None;
        }
        if let Some(read) = read {
            self.scripts.insert(script_at.at(0), SeenScript { identity: script, script: read });
        }
        let script_of = &self.scripts.get(&script_at.at(0))?.script;
        let place = start.and_then(|start| script_of.line_and_column(start)).unwrap_or_default();
        let functions = &mut self.functions;
        let key = (name, script_of.name.clone(), start);
        let function = *self.same.entry(key).or_insert_with_key(|(name, script, _)| {
            functions.push(Function { name: name.clone(), script: script.clone(), start: place });
            functions.len() - 1
        });
        self.seen.insert(shared, Seen { identity, script, function, script_at, body: None });
        Some(data)
    }

    /// Reads the function's code if that has changed.
    fn see_body(&mut self, memory: &dyn Memory, shared: u64, data: u64) {
        let Some(seen) = self.seen.get_mut(&shared) else { return };
        let reader = Reader { memory, layout: &self.layout };
        if seen.body.as_ref().is_none_or(|body| body.data != data) {
            seen.body = Body::read(&reader, data);
        }
    }
}

impl Body {
    fn read(reader: &Reader<'_>, word: u64) -> Option<Body> {
        let layout = reader.layout;
        let data = Pointer::of(word)?;
        let is_baseline = reader.kind(data)? == layout.types.code;
        let code = if is_baseline { Some(reader.code(data)?) } else { None };
        let bytecodes = match code {
            Some((_, _, bytecodes)) => bytecodes,
            None => reader.bytecode_of(data)?,
        };
        let instructions = reader.bytecode(bytecodes)?;
        let positions = reader.field(bytecodes, layout.bytecodes.source_positions);
        let positions =
            positions.and_then(|table| SourcePositions::decode(&reader.table(table)?, instructions.len()));
        let baseline = code.and_then(|(start, end, _)| {
            let table = reader.table(reader.field(data, layout.code.offset_table)?)?;
            Some((start, end, BaselineOffsets::decode(&table, &instructions, &layout.bytecodes.sizes)?))
        });
        Some(Body {
            data: word,
            bytecodes,
            length: instructions.len(),
            positions: positions.unwrap_or_default(),
            baseline,
        })
    }
}

/// The words of a `SharedFunctionInfo`, and those of it and of its script that make them the same.
type Identity = ([u64; SHARED_WORDS], [u64; 3], Pointer, [u64; 4]);

fn read_identity(reader: &Reader<'_>, shared: Pointer) -> Option<Identity> {
    let layout = reader.layout;
    let mut words = [0u64; SHARED_WORDS];
    let bytes = reader.bytes(shared.at(0), layout.shared.size)?;
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let literal = words[layout.shared.literal_id / 8] >> 32;
    let script_at = Pointer::of(words[layout.shared.script / 8])?;
    let script: [u64; SCRIPT_WORDS] = reader.words(script_at)?;
    let part = |offset: usize| script[offset / 8];
    let identity = [words[0], words[layout.shared.script / 8], literal];
    let of_script = [script[0], part(layout.script.source), part(layout.script.name), part(layout.script.id)];
    Some((words, identity, script_at, of_script))
}

#[cfg(test)]
mod tests;
