//! The push parser of our own format: chunks of bytes in, a [`Trace`] out.

mod builder;
mod defs;
mod events;
mod live;
mod tables;

use zstd::bulk::Decompressor;

use self::builder::Builder;
use super::layout::{
    CHECKED_HEADER, ENDIAN, FILE_HEADER, MAGIC, MAX_RAW, MAX_STORED, SEGMENT_HEADER, STORED_RAW, VERSION,
    checksum, kind,
};
use crate::damage::{Damage, ParseError};
use crate::parser::Parsed;

/// What is wrong with a segment.
type Wrong = &'static str;

const CUT: Wrong = "the file is cut short: it ends within a segment, which was skipped";
const NO_END: Wrong = "the file has no end: the recorder was stopped before it could write one";
const LENGTHS: Wrong = "a segment has impossible lengths; the rest of the file was not read";
const SUM: Wrong = "a segment is damaged: its checksum is wrong";
const UNPACKING: Wrong = "a segment is damaged: it can't be decompressed";
const STOPPED: Wrong = "what follows needs a damaged segment and was not read";
const JSON: Wrong = "a segment should hold JSON of a known kind, and does not";

/// The most bytes of a header. None was ever written beyond 16.
const MAX_HEADER: usize = 1 << 16;

/// Reads `.heaptrace` files from chunks of any size.
///
/// A damaged or missing part ends what later parts are built on: events and definitions up to there are given. A
/// damaged table that nothing is built on is left out.
#[derive(Default)]
pub struct Parser {
    builder: Builder,
    decompressor: Decompressor<'static>,
    /// The start of a header or segment whose end did not come yet.
    carry: Vec<u8>,
    /// A decompressed segment, kept for its room.
    raw: Vec<u8>,
    /// Byte offset of what is being read.
    offset: u64,
    state: State,
    damage: Vec<Damage>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Segments,
    /// As before, after a damaged segment: its length may be wrong too, so one more ends the reading.
    AfterDamage,
    Stopped,
}

impl Parser {
    /// A parser at the start of a file.
    pub fn new() -> Self {
        Parser::default()
    }

    /// Has it count how long blocks lived, which takes a seventh of the time and few want to know: at the start of a file.
    #[must_use]
    pub fn with_lifetimes(mut self) -> Self {
        self.builder.events.count_all_lifetimes();
        self
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When the file is none of this kind, or of a newer version.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ParseError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.state == State::Stopped {
                self.offset += rest.len() as u64;
                return Ok(());
            }
            if self.carry.is_empty() {
                let len = self.wanted(rest);
                if len <= rest.len() {
                    let (item, next) = rest.split_at(len);
                    self.item(item)?;
                    rest = next;
                    continue;
                }
            }
            let missing = self.wanted(&self.carry) - self.carry.len();
            let (part, next) = rest.split_at(missing.min(rest.len()));
            self.carry.extend_from_slice(part);
            rest = next;
            if self.carry.len() >= self.wanted(&self.carry) {
                let mut item = std::mem::take(&mut self.carry);
                self.item(&item)?;
                item.clear();
                self.carry = item;
            }
        }
        Ok(())
    }

    /// Ends the file. One that ends too early gives what was read.
    ///
    /// # Errors
    /// When there is nothing to give.
    pub fn finish(mut self) -> Result<Parsed, ParseError> {
        if self.offset == 0 && self.carry.is_empty() {
            return Err(ParseError::Empty);
        }
        if self.state == State::Header && !MAGIC.starts_with(&self.carry[..self.carry.len().min(MAGIC.len())])
        {
            return Err(ParseError::NotAHeaptrace);
        }
        if !self.carry.is_empty() {
            self.wrong(CUT);
            self.offset += self.carry.len() as u64;
        } else if self.state != State::Stopped && !self.builder.is_complete() {
            self.wrong(NO_END);
        }
        let (trace, notes) = self.builder.finish();
        Ok(Parsed { trace, damage: self.damage, notes })
    }

    /// Bytes of the header or segment that `bytes` begins with, as far as they tell; more than there are if they
    /// don't.
    fn wanted(&self, bytes: &[u8]) -> usize {
        if self.state == State::Header {
            let Some(header) = bytes.first_chunk::<FILE_HEADER>() else { return FILE_HEADER };
            let more = u32_at(header, 12) as usize;
            return FILE_HEADER + if more <= MAX_HEADER { more } else { 0 };
        }
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER>() else { return SEGMENT_HEADER };
        let stored = u32_at(header, 8) as usize;
        SEGMENT_HEADER + if stored <= MAX_STORED { stored } else { 0 }
    }

    /// A whole header or segment.
    fn item(&mut self, item: &[u8]) -> Result<(), ParseError> {
        if self.state == State::Header {
            header(item)?;
            self.state = State::Segments;
        } else {
            self.segment(item);
        }
        self.offset += item.len() as u64;
        Ok(())
    }

    fn segment(&mut self, item: &[u8]) {
        let Some((header, stored)) = item.split_first_chunk::<SEGMENT_HEADER>() else { return };
        let [kind, flags, ..] = *header;
        let (raw_len, stored_len) = (u32_at(header, 4) as usize, u32_at(header, 8) as usize);
        if stored_len > MAX_STORED || raw_len > MAX_RAW {
            self.wrong(LENGTHS);
            self.state = State::Stopped;
            return;
        }
        if checksum(&header[..CHECKED_HEADER], stored) != u32_at(header, CHECKED_HEADER) {
            return self.damaged(SUM, kind);
        }
        let outcome = if flags & STORED_RAW != 0 {
            self.builder.segment(kind, stored)
        } else {
            self.raw.clear();
            self.raw.reserve(raw_len);
            match self.decompressor.decompress_to_buffer(stored, &mut self.raw) {
                Ok(len) if len == raw_len => self.builder.segment(kind, &self.raw),
                _ => return self.damaged(UNPACKING, kind),
            }
        };
        self.state = State::Segments;
        for (what, count) in self.builder.take_complaints() {
            self.wrong_often(what, count);
        }
        if let Err(what) = outcome {
            self.wrong(what);
            if is_built_on(kind) {
                self.wrong_behind(item.len());
            }
        }
    }

    /// A segment whose bytes are not those that were written.
    fn damaged(&mut self, what: Wrong, kind: u8) {
        self.wrong(what);
        if is_built_on(kind) || self.state == State::AfterDamage {
            self.wrong(STOPPED);
            self.state = State::Stopped;
        } else {
            self.state = State::AfterDamage;
        }
    }

    /// Stops behind a segment of this length.
    fn wrong_behind(&mut self, len: usize) {
        self.offset += len as u64;
        self.wrong(STOPPED);
        self.offset -= len as u64;
        self.state = State::Stopped;
    }

    fn wrong(&mut self, what: Wrong) {
        self.wrong_often(what, 1);
    }

    #[cold]
    fn wrong_often(&mut self, what: Wrong, count: u64) {
        match self.damage.iter_mut().find(|damage| damage.what == what) {
            Some(damage) => damage.count += count,
            None => self.damage.push(Damage { line: 0, offset: self.offset, count, what: what.to_owned() }),
        }
    }
}

/// Whether later segments mean something else without this one.
fn is_built_on(kind: u8) -> bool {
    matches!(kind, kind::DEFS | kind::EVENTS)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |&four| u32::from_le_bytes(four))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |&two| u16::from_le_bytes(two))
}

fn header(bytes: &[u8]) -> Result<(), ParseError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(ParseError::NotAHeaptrace);
    }
    let wrong = |what, offset| Err(ParseError::HeaptraceHeader { what, offset });
    if u16_at(bytes, 10) == ENDIAN.swap_bytes() {
        return wrong("the bytes of its numbers are swapped", 10);
    }
    if u16_at(bytes, 10) != ENDIAN {
        return wrong("it lacks the mark of the order of bytes", 10);
    }
    match u16_at(bytes, 8) {
        0 => wrong("there was never a version 0", 8),
        version if version > VERSION => Err(ParseError::HeaptraceTooNew { version }),
        _ if u32_at(bytes, 12) as usize > MAX_HEADER => wrong("it has an impossible length", 12),
        _ => Ok(()),
    }
}
