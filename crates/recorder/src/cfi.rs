//! Rules from call frame information: the `.eh_frame_hdr` and `.eh_frame` of a loaded module.
//!
//! Format: Linux Standard Base Core 5.0, chapter 10.6; instructions: DWARF 5, section 6.4. Only what x86-64 code
//! needs is followed: the CFA, the return address and the frame pointer.

use crate::expression;
use crate::rules::{Base, Rule};

/// A module's unwind tables in memory, and the range that may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    /// Address of `.eh_frame_hdr`.
    pub(crate) header: u64,
    /// The module's first and last address.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Registers of the x86-64 ABI's DWARF numbering.
const RBP: u64 = 6;
const RSP: u64 = 7;
const RETURN: u64 = 16;

/// What is known of a saved register.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saved {
    Same,
    Undefined,
    At(i64),
    Other,
}

#[derive(Clone, Copy)]
struct Row {
    base: Base,
    offset: i64,
    frame_pointer: Saved,
    return_address: Saved,
}

impl Row {
    const START: Row =
        Row { base: Base::End, offset: 0, frame_pointer: Saved::Same, return_address: Saved::Same };

    fn rule(self) -> Rule {
        if self.base == Base::Signal {
            return Rule::SIGNAL;
        }
        if self.return_address != Saved::At(-8) {
            return Rule::END;
        }
        match self.frame_pointer {
            // The tables say it in words; it is what a frame pointer is.
            Saved::At(-16) if self.base == Base::FramePointer && self.offset == 16 => Rule::FRAME,
            Saved::Same => Rule::new(self.base, self.offset, 0),
            Saved::At(offset) => Rule::new(self.base, self.offset, offset),
            // Nobody above may ask for it; if somebody does, the stack ends there.
            Saved::Undefined | Saved::Other => Rule::END,
        }
    }
}

/// Bytes of the module, read with care: what is there was written by a linker, but who knows which.
#[derive(Clone, Copy)]
struct Reader {
    at: u64,
    end: u64,
}

impl Reader {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let next = self.at.checked_add(N as u64)?;
        if next > self.end {
            return None;
        }
        // SAFETY: the range lies within the module, which the caller knows to be mapped and readable.
        let bytes = unsafe { (self.at as *const [u8; N]).read_unaligned() };
        self.at = next;
        Some(bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= i64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                if byte & 0x40 != 0 && shift < 64 {
                    value |= -1 << shift;
                }
                return Some(value);
            }
        }
    }

    /// A run of bytes.
    fn take(&mut self, length: u64) -> Option<Reader> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        let run = Reader { at: self.at, end };
        self.at = end;
        Some(run)
    }

    fn slice(&self) -> &[u8] {
        // SAFETY: as in `bytes`.
        unsafe { core::slice::from_raw_parts(self.at as *const u8, (self.end - self.at) as usize) }
    }

    /// A pointer in one of the encodings `DW_EH_PE_*`; `data` is what data-relative ones count from.
    fn pointer(&mut self, encoding: u8, data: u64) -> Option<u64> {
        let here = self.at;
        let value = match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => u64::from_le_bytes(self.bytes()?),
            0x01 => self.unsigned()?,
            0x02 => u64::from(u16::from_le_bytes(self.bytes()?)),
            0x03 => u64::from(self.u32()?),
            0x09 => self.signed()? as u64,
            0x0a => i64::from(i16::from_le_bytes(self.bytes()?)) as u64,
            0x0b => i64::from(self.u32()? as i32) as u64,
            _ => return None,
        };
        match encoding & 0xf0 {
            0x00 => Some(value),
            0x10 => Some(here.wrapping_add(value)),
            0x30 => Some(data.wrapping_add(value)),
            _ => None,
        }
    }
}

/// A common information entry: what its frame description entries share.
struct Common {
    code_factor: u64,
    data_factor: i64,
    pointers: u8,
    has_augmentation: bool,
    is_signal: bool,
    instructions: Reader,
}

/// A frame description entry: a function's part of the table.
struct Description {
    common: Common,
    start: u64,
    length: u64,
    instructions: Reader,
}

impl Tables {
    /// The rule for the instruction at this address; `None` if no entry covers it.
    pub(crate) fn rule(&self, pc: u64) -> Option<Rule> {
        let entry = self.search(pc)?;
        let description = self.description(entry)?;
        if pc.wrapping_sub(description.start) >= description.length {
            return None;
        }
        Some(description.row(pc).map_or(Rule::END, Row::rule))
    }

    /// Whether practically all functions that have a frame keep a frame pointer: at least 95 of 100, by a sample of
    /// the table.
    pub(crate) fn keeps_frame_pointers(&self) -> bool {
        const SAMPLES: u64 = 400;
        let Some((_, count)) = self.table() else { return false };
        let step = (count / SAMPLES).max(1);
        let (mut framed, mut all) = (0u32, 0u32);
        let mut at = 0;
        while at < count {
            let uses = self
                .entry(at)
                .and_then(|(_, entry)| self.description(entry))
                .and_then(|description| description.frame_use());
            if let Some(is_framed) = uses {
                all += 1;
                framed += u32::from(is_framed);
            }
            at += step;
        }
        all >= 16 && framed * 100 >= all * 95
    }

    /// The sorted table of the header: where it starts, and how many entries it has.
    fn table(&self) -> Option<(u64, u64)> {
        let mut reader = self.reader(self.header)?;
        let [version, frames, count, table] = reader.bytes()?;
        // 0x3b: signed words of 32 bits relative to the header. All linkers write this.
        if version != 1 || table != 0x3b {
            return None;
        }
        reader.pointer(frames, self.header)?;
        let count = reader.pointer(count, self.header)?;
        let room = reader.end.saturating_sub(reader.at) / 8;
        Some((reader.at, count.min(room)))
    }

    /// An entry of the table: a function's start and its description.
    fn entry(&self, number: u64) -> Option<(u64, u64)> {
        let (table, _) = self.table()?;
        self.entry_at(table, number)
    }

    fn entry_at(&self, table: u64, number: u64) -> Option<(u64, u64)> {
        let mut reader = self.reader(table + 8 * number)?;
        let start = reader.pointer(0x3b, self.header)?;
        Some((start, reader.pointer(0x3b, self.header)?))
    }

    /// The description of the last function that starts at or before the address.
    fn search(&self, pc: u64) -> Option<u64> {
        let (table, count) = self.table()?;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            if self.entry_at(table, middle)?.0 <= pc { low = middle + 1 } else { high = middle }
        }
        Some(self.entry_at(table, low.checked_sub(1)?)?.1)
    }

    fn description(&self, at: u64) -> Option<Description> {
        let (mut reader, body) = self.sized(at)?;
        let offset = u64::from(reader.u32()?);
        if offset == 0 {
            return None;
        }
        let common = self.common(body.checked_sub(offset)?)?;
        let start = reader.pointer(common.pointers, 0)?;
        let length = reader.pointer(common.pointers & 0x0f, 0)?;
        if common.has_augmentation {
            let length = reader.unsigned()?;
            reader.take(length)?;
        }
        Some(Description { common, start, length, instructions: reader })
    }

    fn common(&self, at: u64) -> Option<Common> {
        let (mut reader, _) = self.sized(at)?;
        if reader.u32()? != 0 {
            return None;
        }
        let version = reader.u8()?;
        // The augmentation is a C string; none is longer than these.
        let mut augmentation = [0u8; 8];
        let mut length = 0;
        loop {
            match reader.u8()? {
                0 => break,
                byte => *augmentation.get_mut(length)? = byte,
            }
            length += 1;
        }
        let code_factor = reader.unsigned()?;
        let data_factor = reader.signed()?;
        let register = if version == 1 { u64::from(reader.u8()?) } else { reader.unsigned()? };
        if register != RETURN {
            return None;
        }
        let mut common = Common {
            code_factor,
            data_factor,
            pointers: 0,
            has_augmentation: false,
            is_signal: false,
            instructions: reader,
        };
        if augmentation[0] == b'z' {
            common.has_augmentation = true;
            let length = reader.unsigned()?;
            let mut data = reader.take(length)?;
            for byte in augmentation.iter().skip(1) {
                match byte {
                    b'R' => common.pointers = data.u8()?,
                    b'P' => {
                        let encoding = data.u8()?;
                        data.pointer(encoding & 0x7f, 0)?;
                    }
                    b'L' => {
                        data.u8()?;
                    }
                    b'S' => common.is_signal = true,
                    _ => {}
                }
            }
        } else if augmentation[0] != 0 {
            return None;
        }
        common.instructions = reader;
        Some(common)
    }

    /// An entry's contents behind its length, and where they begin.
    fn sized(&self, at: u64) -> Option<(Reader, u64)> {
        let mut reader = self.reader(at)?;
        let length = u64::from(reader.u32()?);
        // 0 ends the section; 0xffffffff means 64-bit DWARF, which nobody uses here.
        if length == 0 || length >= 0xffff_fff0 {
            return None;
        }
        let body = reader.at;
        Some((reader.take(length)?, body))
    }

    fn reader(&self, at: u64) -> Option<Reader> {
        (self.start..self.end).contains(&at).then_some(Reader { at, end: self.end })
    }
}

impl Description {
    /// The row of the table for an address.
    fn row(&self, pc: u64) -> Option<Row> {
        let mut program = Program {
            common: &self.common,
            row: Row::START,
            initial: Row::START,
            kept: [Row::START; 8],
            depth: 0,
            location: self.start,
        };
        program.run(self.common.instructions, u64::MAX)?;
        program.initial = program.row;
        program.run(self.instructions, pc)?;
        Some(program.row)
    }

    /// Whether the function keeps a frame pointer; `None` if it has no frame at all.
    fn frame_use(&self) -> Option<bool> {
        // The row in the middle: behind the prologue, before most epilogues.
        let row = self.row(self.start + self.length / 2)?;
        match (row.base, row.offset) {
            (Base::FramePointer | Base::AtFramePointer, _) => Some(true),
            (Base::StackPointer, 8) => None,
            (Base::StackPointer, _) => Some(false),
            _ => None,
        }
    }
}

struct Program<'a> {
    common: &'a Common,
    row: Row,
    initial: Row,
    kept: [Row; 8],
    depth: usize,
    location: u64,
}

impl Program<'_> {
    /// Runs instructions up to those for code behind `pc`.
    fn run(&mut self, mut code: Reader, pc: u64) -> Option<()> {
        while code.at < code.end {
            let byte = code.u8()?;
            let low = u64::from(byte & 0x3f);
            match byte & 0xc0 {
                0x40 => {
                    if !self.advance(low, pc) {
                        return Some(());
                    }
                }
                0x80 => {
                    let offset = code.unsigned()?;
                    self.save(low, Saved::At(self.scaled(offset)));
                }
                0xc0 => self.restore(low),
                _ => {
                    if !self.extended(byte, &mut code, pc)? {
                        return Some(());
                    }
                }
            }
        }
        Some(())
    }

    /// Instructions whose operands follow. False if the code behind `pc` is reached.
    fn extended(&mut self, byte: u8, code: &mut Reader, pc: u64) -> Option<bool> {
        match byte {
            0x00 => {}
            0x01 => {
                self.location = code.pointer(self.common.pointers, 0)?;
                return Some(self.location <= pc);
            }
            0x02 => return Some(self.advance(u64::from(code.u8()?), pc)),
            0x03 => return Some(self.advance(u64::from(u16::from_le_bytes(code.bytes()?)), pc)),
            0x04 => return Some(self.advance(u64::from(code.u32()?), pc)),
            0x05 => {
                let (register, offset) = (code.unsigned()?, code.unsigned()?);
                self.save(register, Saved::At(self.scaled(offset)));
            }
            0x06 => {
                let register = code.unsigned()?;
                self.restore(register);
            }
            0x07 => self.save(code.unsigned()?, Saved::Undefined),
            0x08 => self.save(code.unsigned()?, Saved::Same),
            0x09 => {
                let register = code.unsigned()?;
                code.unsigned()?;
                self.save(register, Saved::Other);
            }
            0x0a => {
                *self.kept.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            0x0b => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = *self.kept.get(self.depth)?;
            }
            0x0c => {
                let (register, offset) = (code.unsigned()?, code.unsigned()?);
                self.define(register, offset as i64);
            }
            0x0d => {
                let register = code.unsigned()?;
                self.define(register, self.row.offset);
            }
            0x0e => self.row.offset = code.unsigned()? as i64,
            0x0f => {
                let length = code.unsigned()?;
                let expression = code.take(length)?;
                self.define_by(expression.slice());
            }
            0x10 | 0x16 => {
                let register = code.unsigned()?;
                let length = code.unsigned()?;
                code.take(length)?;
                self.save(register, Saved::Other);
            }
            0x11 => {
                let (register, offset) = (code.unsigned()?, code.signed()?);
                self.save(register, Saved::At(offset.wrapping_mul(self.common.data_factor)));
            }
            0x12 => {
                let (register, offset) = (code.unsigned()?, code.signed()?);
                self.define(register, offset.wrapping_mul(self.common.data_factor));
            }
            0x13 => self.row.offset = code.signed()?.wrapping_mul(self.common.data_factor),
            0x14 | 0x15 => {
                let register = code.unsigned()?;
                code.unsigned()?;
                self.save(register, Saved::Other);
            }
            // DW_CFA_GNU_args_size.
            0x2e => {
                code.unsigned()?;
            }
            _ => return None,
        }
        Some(true)
    }

    fn advance(&mut self, units: u64, pc: u64) -> bool {
        self.location = self.location.wrapping_add(units.wrapping_mul(self.common.code_factor));
        self.location <= pc
    }

    fn scaled(&self, offset: u64) -> i64 {
        (offset as i64).wrapping_mul(self.common.data_factor)
    }

    fn save(&mut self, register: u64, how: Saved) {
        match register {
            RBP => self.row.frame_pointer = how,
            RETURN => self.row.return_address = how,
            _ => {}
        }
    }

    fn restore(&mut self, register: u64) {
        match register {
            RBP => self.row.frame_pointer = self.initial.frame_pointer,
            RETURN => self.row.return_address = self.initial.return_address,
            _ => {}
        }
    }

    fn define(&mut self, register: u64, offset: i64) {
        self.row.offset = offset;
        self.row.base = match register {
            RSP => Base::StackPointer,
            RBP => Base::FramePointer,
            _ => Base::End,
        };
    }

    fn define_by(&mut self, expression: &[u8]) {
        (self.row.base, self.row.offset) = match expression::cfa(expression) {
            Some(by) => by,
            None if self.common.is_signal && expression::is_signal_frame(expression) => (Base::Signal, 0),
            None => (Base::End, 0),
        };
    }
}
