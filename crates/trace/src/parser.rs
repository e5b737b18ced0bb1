//! The push parser: chunks of bytes in, a [`Trace`] and a list of [`Damage`] out.
//!
//! A file is lines of a letter and fields. Numbers of strings, places and stacks follow from the order of their
//! lines, so a line that can't be used still takes its number: what refers to the ones behind it stays right.

use crate::damage::{Damage, ParseError};
use crate::events::Event;
use crate::fields::{Fields, indexed_event};
use crate::ids::{InfoIdx, IpId, StringId, TraceId};
use crate::raw::{Blocks, Modules};
use crate::trace::{EmbeddedSuppression, Frame, FrameKind, Matching, RssSample, Trace};

/// A recording, and what was wrong with its file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be read.
    pub trace: Trace,
    /// Empty for a whole and sound file.
    pub damage: Vec<Damage>,
    /// Sentences on what this version does not understand of a sound file, without a full stop.
    pub notes: Vec<String>,
}

/// A line beyond this many bytes is none; the longest real ones are names of C++ templates.
const MAX_LINE: usize = 16 << 20;

/// What is kept of a line that is too long: the record's letter, so that the record takes its number.
const HEAD: usize = 2;

/// The heaptrack that called its version 1.2.0 before there was a 1.0, and gave the file no version of its own.
const UNNUMBERED_VERSION_1: u64 = 0x010200;

/// The newest file format that is understood.
const NEWEST_FILE: u64 = 3;

/// What is wrong with a line.
type Wrong = &'static str;

const FIELDS: Wrong = "a record lacks a field, or a field is no hexadecimal number";
const UNKNOWN: Wrong = "a line is no record of heaptrack's";
const TOO_LONG: Wrong = "a line has more than 16 MiB and was skipped";
const STRING: Wrong = "a string is shorter than the length in front of it";
const NO_STRING: Wrong = "a record refers to a string that the file has not defined";
const NO_IP: Wrong = "a stack refers to an instruction pointer that the file has not defined";
const NO_PARENT: Wrong = "a stack refers to a parent that the file has not defined";
const NO_TRACE: Wrong = "an allocation refers to a stack that the file has not defined";
const NO_INFO: Wrong = "an event refers to an allocation that the file has not defined";
const CLOCK: Wrong = "the clock runs backwards; the time stamp was ignored";
const TWICE: Wrong = "a record that occurs once in a file is there twice; the first counts";
const TOO_MANY: Wrong = "there are more records of a kind than can be numbered; the rest was skipped";
const CUT: Wrong = "the file ends within a line, which was skipped: it is cut short";

/// Reads heaptrack's data files, interpreted and raw, from chunks of any size.
#[derive(Default)]
pub struct Parser {
    trace: Trace,
    modules: Modules,
    blocks: Blocks,
    /// The raw form's name of the main executable.
    executable: StringId,
    /// The start of a line whose end did not come yet.
    carry: Vec<u8>,
    /// Bytes of the line that were skipped because it is too long; then `carry` has but its first two.
    skipped: u64,
    /// Byte offset of the line that is being read.
    offset: u64,
    /// Lines before it.
    line: u64,
    has_version: bool,
    has_command: bool,
    /// Lines that were understood.
    records: u64,
    damage: Vec<(Wrong, Damage)>,
}

impl Parser {
    /// A parser at the start of a file.
    pub fn new() -> Self {
        Parser::default()
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When a newer heaptrack wrote the file.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ParseError> {
        let mut rest = chunk;
        if !self.carry.is_empty() {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.keep(rest);
                return Ok(());
            };
            let (tail, next) = rest.split_at(end);
            rest = &next[1..];
            self.keep(tail);
            let line = std::mem::take(&mut self.carry);
            let skipped = std::mem::take(&mut self.skipped);
            if skipped > 0 {
                self.wrong(TOO_LONG);
            }
            self.record(&line)?;
            self.offset += line.len() as u64 + skipped + 1;
            self.line += 1;
            self.carry = line;
            self.carry.clear();
        }
        loop {
            if self.trace.matching == Matching::ByInfo {
                rest = self.indexed_events(rest);
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            if end > MAX_LINE {
                self.wrong(TOO_LONG);
                self.record(&rest[..HEAD])?;
            } else {
                self.record(&rest[..end])?;
            }
            self.offset += end as u64 + 1;
            self.line += 1;
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        Ok(())
    }

    /// Ends the file. A file that ends too early gives what was read.
    ///
    /// # Errors
    /// When there is nothing to give.
    pub fn finish(mut self) -> Result<Parsed, ParseError> {
        if self.offset == 0 && self.carry.is_empty() {
            return Err(ParseError::Empty);
        }
        if self.records == 0 {
            return Err(ParseError::NotATrace { lines: self.line + u64::from(!self.carry.is_empty()) });
        }
        if !self.carry.is_empty() {
            self.wrong(CUT);
        }
        self.trace.shrink();
        let damage = self.damage.into_iter().map(|(_, damage)| damage).collect();
        Ok(Parsed { trace: self.trace, damage, notes: Vec::new() })
    }

    /// Takes allocations and frees as long as they follow each other; what is left begins with another line.
    fn indexed_events<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        let infos = self.trace.infos.len() as u32;
        let before = rest.len();
        let mut lines = 0;
        while let Some((is_free, info, len)) = indexed_event(rest) {
            if info >= infos {
                break;
            }
            let event = if is_free { Event::free(info, false) } else { Event::allocation(info) };
            self.trace.events.push(event);
            lines += 1;
            rest = &rest[len..];
        }
        self.line += lines;
        self.records += lines;
        self.offset += (before - rest.len()) as u64;
        rest
    }

    /// Keeps the start of a line for the next chunk, unless the line is too long to be one.
    fn keep(&mut self, part: &[u8]) {
        if self.skipped > 0 {
            self.skipped += part.len() as u64;
            return;
        }
        self.carry.extend_from_slice(part);
        if self.carry.len() > MAX_LINE {
            self.skipped = (self.carry.len() - HEAD) as u64;
            self.carry.truncate(HEAD);
            self.carry.shrink_to_fit();
        }
    }

    #[cold]
    fn wrong(&mut self, what: Wrong) {
        match self.damage.iter_mut().find(|(known, _)| std::ptr::eq(*known, what) || *known == what) {
            Some((_, damage)) => damage.count += 1,
            None => {
                let (line, offset) = (self.line + 1, self.offset);
                self.damage.push((what, Damage { line, offset, count: 1, what: what.to_owned() }));
            }
        }
    }

    fn record(&mut self, line: &[u8]) -> Result<(), ParseError> {
        // A line of one or two bytes has no fields, as heaptrack's own reader has it.
        let fields = Fields(line.get(2..).unwrap_or_default());
        let outcome = match line.first() {
            // The interpreter closes a file with two lines of statistics and an empty one.
            None | Some(b'#') => return Ok(()),
            Some(b'+') => self.allocation(fields),
            Some(b'-') => self.free(fields),
            Some(b't') => self.stack(fields),
            Some(b'a') => self.info(fields),
            Some(b'i') => self.ip(fields),
            Some(b's') => self.string(fields),
            Some(b'c') => self.clock(fields),
            Some(b'R') => self.rss(fields),
            Some(b'v') => return self.version(fields),
            Some(b'x') => self.executable(fields),
            Some(b'm') => self.module(fields),
            Some(b'X') => self.command(fields),
            Some(b'I') => self.system(fields),
            Some(b'S') => self.suppression(fields),
            Some(b'A') => {
                self.trace.is_attached = true;
                Ok(())
            }
            Some(_) => {
                self.wrong(UNKNOWN);
                return Ok(());
            }
        };
        self.records += 1;
        if let Err(what) = outcome {
            self.wrong(what);
        }
        Ok(())
    }

    fn version(&mut self, mut fields: Fields<'_>) -> Result<(), ParseError> {
        self.records += 1;
        if std::mem::replace(&mut self.has_version, true) {
            self.wrong(TWICE);
            return Ok(());
        }
        let Some(heaptrack) = fields.number() else {
            self.wrong(FIELDS);
            return Ok(());
        };
        let version = fields.number().unwrap_or(u64::from(heaptrack == UNNUMBERED_VERSION_1));
        if version > NEWEST_FILE {
            return Err(ParseError::TooNew { version, line: self.line + 1, offset: self.offset });
        }
        self.trace.heaptrack_version = heaptrack;
        self.trace.file_version = version as u32;
        if version == 0 && !self.trace.is_raw {
            self.trace.matching = Matching::ByPointerInterpreted;
        }
        Ok(())
    }

    /// The file has no version line: it is from before there were versions.
    fn assume_version(&mut self) {
        if !std::mem::replace(&mut self.has_version, true) {
            self.trace.matching = Matching::ByPointerInterpreted;
        }
    }

    fn text<'a>(&self, fields: &mut Fields<'a>) -> Option<&'a [u8]> {
        if self.trace.file_version >= 3 { fields.sized() } else { fields.word() }
    }

    fn executable(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.become_raw();
        // Up to version 2 the rest of the line is the path, spaces and all.
        let path = if self.trace.file_version >= 3 { fields.sized().ok_or(STRING)? } else { fields.0 };
        if !self.executable.is_zero() {
            return Err(TWICE);
        }
        self.executable = self.trace.strings.push(path);
        Ok(())
    }

    fn become_raw(&mut self) {
        self.has_version = true;
        self.trace.is_raw = true;
        self.trace.matching = Matching::ByPointer;
    }

    fn module(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.become_raw();
        let name = self.text(&mut fields).ok_or(FIELDS)?;
        if name == b"-" {
            self.modules.clear();
            return Ok(());
        }
        let base = fields.number().ok_or(FIELDS)?;
        let module = if name == b"x" && !self.executable.is_zero() {
            self.executable
        } else {
            self.room(self.trace.strings.len())?;
            self.trace.strings.push(name)
        };
        while !fields.is_empty() {
            let (start, size) = fields.number().zip(fields.number()).ok_or(FIELDS)?;
            self.modules.map(module, base.wrapping_add(start), size);
        }
        Ok(())
    }

    fn command(&mut self, fields: Fields<'_>) -> Result<(), Wrong> {
        if std::mem::replace(&mut self.has_command, true) {
            return Err(TWICE);
        }
        self.trace.command = fields.0.trim_ascii_start().to_vec();
        Ok(())
    }

    fn system(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.trace.page_size = Some(fields.number().ok_or(FIELDS)?);
        self.trace.physical_pages = Some(fields.number().ok_or(FIELDS)?);
        Ok(())
    }

    fn suppression(&mut self, fields: Fields<'_>) -> Result<(), Wrong> {
        let mut sized = fields;
        let text = sized.sized().filter(|_| sized.is_empty());
        self.trace
            .suppressions
            .push(EmbeddedSuppression { text: text.unwrap_or(fields.0).to_vec(), is_sized: text.is_some() });
        Ok(())
    }

    fn string(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.assume_version();
        self.room(self.trace.strings.len())?;
        let text = if self.trace.file_version >= 3 { fields.sized() } else { Some(fields.0) };
        self.trace.strings.push(text.unwrap_or_default());
        text.map(|_| ()).ok_or(STRING)
    }

    /// Whether one more record can be numbered.
    fn room(&self, count: usize) -> Result<(), Wrong> {
        if count < u32::MAX as usize - 1 { Ok(()) } else { Err(TOO_MANY) }
    }

    /// A string that a record refers to; 0, with the complaint noted, if there is none.
    fn string_id(&mut self, id: u32) -> StringId {
        if id as usize > self.trace.strings.len() {
            self.wrong(NO_STRING);
            return StringId(0);
        }
        StringId(id)
    }

    fn ip(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.assume_version();
        self.room(self.trace.ips.len().max(self.trace.ips.frame_count()))?;
        let (address, module) = (fields.number(), fields.short());
        let module = self.string_id(module.unwrap_or(0));
        self.trace.ips.push(address.unwrap_or(0), module);
        if address.is_none() {
            return Err(FIELDS);
        }
        // A place has nothing, a function, or a function with file and line and then those around it.
        while !fields.is_empty() {
            self.room(self.trace.ips.frame_count())?;
            let function = fields.short().ok_or(FIELDS)?;
            let function = self.string_id(function);
            let kind = FrameKind::of_name(self.trace.strings.get(function));
            let mut frame = Frame { function, kind, ..Frame::default() };
            if !fields.is_empty() {
                let (file, line) = fields.short().zip(fields.short()).ok_or(FIELDS)?;
                frame.file = self.string_id(file);
                frame.line = line;
            }
            self.trace.ips.push_frame(frame);
        }
        Ok(())
    }

    fn stack(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.assume_version();
        self.room(self.trace.tree.len())?;
        let place = fields.number().zip(fields.short());
        let Some((ip, parent)) = place else {
            self.trace.tree.push(IpId(0), TraceId(0));
            return Err(FIELDS);
        };
        let mut wrong = Ok(());
        let ip = if self.trace.is_raw {
            self.modules.place(ip, &mut self.trace.ips)
        } else if ip < self.trace.ips.len() as u64 {
            IpId(ip as u32)
        } else {
            wrong = Err(NO_IP);
            IpId(0)
        };
        // Parents come first: that also keeps a stack from leading back into itself.
        let parent = if (parent as usize) < self.trace.tree.len() {
            TraceId(parent)
        } else {
            wrong = Err(NO_PARENT);
            TraceId(0)
        };
        self.trace.tree.push(ip, parent);
        wrong
    }

    /// A stack that an allocation refers to; 0, with the complaint noted, if there is none.
    fn trace_id(&mut self, id: u32) -> TraceId {
        if id as usize >= self.trace.tree.len() {
            self.wrong(NO_TRACE);
            return TraceId(0);
        }
        TraceId(id)
    }

    fn info(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        if self.trace.infos.len() > Event::MAX_INFO as usize {
            return Err(TOO_MANY);
        }
        let (size, trace) = fields.number().zip(fields.short()).ok_or(FIELDS)?;
        let trace = self.trace_id(trace);
        self.trace.infos.push(size, trace);
        Ok(())
    }

    /// The info that an event of an interpreted file names.
    fn event_info(&self, mut fields: Fields<'_>) -> Result<u32, Wrong> {
        let info = fields.short().ok_or(FIELDS)?;
        if InfoIdx(info).index() < self.trace.infos.len() { Ok(info) } else { Err(NO_INFO) }
    }

    fn allocation(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.assume_version();
        let event = if self.trace.matching == Matching::ByInfo {
            Event::allocation(self.event_info(fields)?)
        } else {
            let size = fields.number().ok_or(FIELDS)?;
            let (trace, pointer) = fields.short().zip(fields.number()).ok_or(FIELDS)?;
            let trace = self.trace_id(trace);
            self.blocks.allocate(size, trace, pointer, &mut self.trace.infos).ok_or(TOO_MANY)?
        };
        self.trace.events.push(event);
        Ok(())
    }

    fn free(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        self.assume_version();
        let event = if self.trace.matching == Matching::ByInfo {
            Event::free(self.event_info(fields)?, false)
        } else {
            let pointer = fields.number().ok_or(FIELDS)?;
            let Some(event) = self.blocks.free(pointer, self.trace.is_raw) else { return Ok(()) };
            event
        };
        self.trace.events.push(event);
        Ok(())
    }

    fn clock(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let ms = fields.number().ok_or(FIELDS)?;
        if self.trace.clock.stamps().last().is_some_and(|last| last.ms > ms) {
            return Err(CLOCK);
        }
        self.trace.clock.push_ms(self.trace.events.len(), ms);
        Ok(())
    }

    fn rss(&mut self, mut fields: Fields<'_>) -> Result<(), Wrong> {
        let pages = fields.number().ok_or(FIELDS)?;
        let ms = self.trace.clock.stamps().last().map_or(0, |stamp| stamp.ms);
        self.trace.rss.push(RssSample { ms, pages });
        Ok(())
    }
}
