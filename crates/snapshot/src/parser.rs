//! The push parser: chunks of bytes in, a [`Snapshot`] and a list of [`Damage`] out.
//!
//! V8 writes the keys in a fixed order with the header first, and DevTools relies on it. This parser takes any
//! order: integers that come before the header, without which nobody knows what they mean, are kept as text.

mod build;
mod table;

use crate::damage::{Damage, ParseError, Section, describe};
use crate::header::Header;
use crate::ids::NodeIdx;
use crate::parser::table::{EdgeTable, NodeTable, ReadTable};
use crate::records::{
    LocationSink, ReadStop, RecordReader, SampleSink, TraceFunctionLayout, TraceFunctionSink,
};
use crate::snapshot::{Location, Sample, Snapshot, TraceFunction, TraceNode};
use crate::string_section::{StringReader, StringStop};
use crate::strings::StringTable;
use crate::trace::{TraceLayout, TreeReader, TreeStop};

/// Runs two tasks, at the same time if it can. It must run both and return after both.
pub type Join<'a> = dyn Fn(&mut (dyn FnMut() + Send), &mut (dyn FnMut() + Send)) + Sync + 'a;

/// The [`Join`] of a caller with one thread.
pub fn sequential(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    a();
    b();
}

/// What the caller knows and lends.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Runs two halves of a big section at once; `None` for one thread.
    pub join: Option<&'a Join<'a>>,
    /// The most bytes the uncompressed file can have. It bounds what a lying header makes the parser reserve.
    pub size_hint: Option<u64>,
}

/// A snapshot, and what was wrong with its file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be read.
    pub snapshot: Snapshot,
    /// Empty for a whole and sound file.
    pub damage: Vec<Damage>,
}

/// A header beyond this size is none.
const MAX_HEADER: usize = 16 << 20;

/// A top-level key beyond this size is none.
const MAX_KEY: usize = 1 << 10;

enum State {
    /// In front of the opening brace.
    Start,
    /// In front of a key or the closing brace.
    BeforeKey,
    Key(Vec<u8>),
    /// In front of the colon.
    Colon(Section),
    /// In front of the value.
    Value(Section),
    Header(Nested, Vec<u8>, u64),
    Ints(Section),
    Tree(TreeReader),
    Strings,
    /// Numbers that came before the header, kept as text with their offset.
    Deferred(Section, Nested, Vec<u8>, u64),
    Skip(Nested),
    /// Behind a value.
    After,
    Done,
    /// Something did not fit; the rest of the file is not looked at.
    Broken,
}

/// Finds the end of a JSON value of any kind.
#[derive(Clone, Copy, Default)]
struct Nested {
    depth: u64,
    in_string: bool,
    escaped: bool,
    started: bool,
}

impl Nested {
    /// Bytes of `input` that belong to the value, and whether it ends there.
    fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        for (at, &byte) in input.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return (at + 1, true);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // A bare number or word ends where something else begins.
                b',' | b'}' | b']' if self.depth == 0 => return (at, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
            self.started = true;
        }
        (input.len(), false)
    }
}

/// Reads a `.heapsnapshot` or `.heaptimeline` from chunks of any size.
pub struct Parser<'a> {
    options: Options<'a>,
    state: State,
    /// Bytes consumed before the current chunk.
    offset: u64,
    header: Option<Header>,
    nodes: NodeTable,
    edges: EdgeTable,
    reader: RecordReader,
    section_start: u64,
    strings: StringTable,
    string_reader: StringReader,
    locations: Vec<Location>,
    samples: Vec<Sample>,
    trace_functions: Vec<TraceFunction>,
    trace_nodes: Vec<TraceNode>,
    /// Sections met, to notice a second one of the same name.
    seen: Vec<Section>,
    deferred: Vec<(Section, Vec<u8>, u64)>,
    damage: Vec<Damage>,
}

impl<'a> Parser<'a> {
    /// A parser at the start of a file.
    pub fn new(options: Options<'a>) -> Self {
        Parser {
            options,
            state: State::Start,
            offset: 0,
            header: None,
            nodes: NodeTable::default(),
            edges: EdgeTable::default(),
            reader: RecordReader::new(),
            section_start: 0,
            strings: StringTable::default(),
            string_reader: StringReader::new(),
            locations: Vec::new(),
            samples: Vec::new(),
            trace_functions: Vec::new(),
            trace_nodes: Vec::new(),
            seen: Vec::new(),
            deferred: Vec::new(),
            damage: Vec::new(),
        }
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When the bytes are no snapshot, the header is unusable, or there are more records than can be named.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ParseError> {
        let mut at = 0;
        while at < chunk.len() {
            at += self.step(&chunk[at..], self.offset + at as u64)?;
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Ends the file. A file that ends too early gives what was read.
    ///
    /// # Errors
    /// When there is nothing to give: no byte, no header, no node.
    pub fn finish(mut self) -> Result<Parsed, ParseError> {
        if self.offset == 0 {
            return Err(ParseError::Empty);
        }
        self.note_early_end();
        build::build(self)
    }

    /// Handles the start of `input` (never empty), which stands at byte `offset`; returns the bytes used.
    fn step(&mut self, input: &[u8], offset: u64) -> Result<usize, ParseError> {
        let byte = input[0];
        let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        match &mut self.state {
            State::Start => match byte {
                b'{' => self.state = State::BeforeKey,
                // A byte order mark, as some editors leave one.
                0xEF | 0xBB | 0xBF if offset < 3 => {}
                _ if is_space => {}
                _ => {
                    return Err(ParseError::NotASnapshot {
                        offset,
                        what: format!("found {}, expected `{{`", describe(byte)),
                    });
                }
            },
            State::BeforeKey => match byte {
                b'"' => self.state = State::Key(Vec::new()),
                b'}' => self.state = State::Done,
                _ if is_space || byte == b',' => {}
                _ => return self.broken(Section::Top, offset, "a key was expected", byte),
            },
            State::Key(key) => match byte {
                b'"' if !ends_in_escape(key) => {
                    let section = Section::of_key(key);
                    self.state = State::Colon(section);
                }
                _ => {
                    key.push(byte);
                    if key.len() > MAX_KEY {
                        return self.broken(Section::Top, offset, "a key does not end", byte);
                    }
                }
            },
            State::Colon(section) => match byte {
                b':' => self.state = State::Value(*section),
                _ if is_space => {}
                _ => return self.broken(Section::Top, offset, "a colon was expected", byte),
            },
            State::Value(_) if is_space => {}
            State::Value(section) => {
                let section = *section;
                return self.enter(section, byte, offset);
            }
            State::Header(nested, text, start) => {
                // One byte more than allowed is enough to tell, however long the input is.
                let (used, ended) = nested.scan(&input[..input.len().min(MAX_HEADER + 1 - text.len())]);
                text.extend_from_slice(&input[..used]);
                if text.len() > MAX_HEADER {
                    let what = format!("it is larger than {} MB", MAX_HEADER >> 20);
                    return Err(ParseError::BadHeader { offset: *start, what });
                }
                if ended {
                    let (text, start) = (std::mem::take(text), *start);
                    self.state = State::After;
                    self.take_header(&text, start)?;
                }
                return Ok(used);
            }
            State::Ints(section) => {
                let section = *section;
                return self.read_ints(section, input, offset);
            }
            State::Tree(reader) => {
                let (used, stop) = reader.read(input, &mut self.trace_nodes);
                match stop {
                    TreeStop::NeedInput => {}
                    TreeStop::End => self.state = State::After,
                    TreeStop::Unexpected(byte) => {
                        let depth = reader.depth();
                        self.leave_section(Section::TraceTree, offset + used as u64, byte, depth);
                        return Ok(used);
                    }
                }
                return Ok(used.max(1));
            }
            State::Strings => {
                let (used, stop) = self.string_reader.read(input, &mut self.strings);
                match stop {
                    StringStop::NeedInput => {}
                    StringStop::End => self.end_strings(),
                    StringStop::Unexpected(byte) => {
                        self.broken(Section::Strings, offset + used as u64, "a string was expected", byte)?;
                    }
                    StringStop::TooMany => return Err(too_large(Section::Strings, offset)),
                }
                return Ok(used.max(1));
            }
            State::Deferred(section, nested, text, start) => {
                let (used, ended) = nested.scan(input);
                text.extend_from_slice(&input[..used]);
                if ended {
                    self.deferred.push((*section, std::mem::take(text), *start));
                    self.state = State::After;
                }
                return Ok(used);
            }
            State::Skip(nested) => {
                let (used, ended) = nested.scan(input);
                if ended {
                    self.state = State::After;
                }
                return Ok(used);
            }
            State::After => match byte {
                b',' => self.state = State::BeforeKey,
                b'}' => self.state = State::Done,
                _ if is_space => {}
                _ => return self.broken(Section::Top, offset, "a comma or `}` was expected", byte),
            },
            State::Done if is_space => {}
            State::Done => {
                self.note(
                    Section::Top,
                    offset,
                    format!("{} follows the end of the snapshot", describe(byte)),
                );
                self.state = State::Broken;
            }
            State::Broken => return Ok(input.len()),
        }
        Ok(1)
    }

    /// Chooses how to read the value of a key; `byte` is its first.
    fn enter(&mut self, section: Section, byte: u8, offset: u64) -> Result<usize, ParseError> {
        let expected = if section == Section::Header { b'{' } else { b'[' };
        if section != Section::Unknown && byte != expected {
            return self.broken(section, offset, &format!("`{}` was expected", expected as char), byte);
        }
        let before = self.seen.iter().filter(|&&s| s == section).count();
        let twice = section != Section::Unknown && before > 0;
        if twice && before == 1 {
            let what = "the section stands more than once in the file; only the first is read";
            self.note(section, offset, what.to_owned());
        }
        // A file can hold a section a million times; neither this list nor the damage grows with it.
        if before < 2 {
            self.seen.push(section);
        }
        self.section_start = offset;
        let needs_header = !matches!(section, Section::Header | Section::Strings | Section::Unknown);
        match section {
            _ if twice || section == Section::Unknown => {
                self.state = State::Skip(Nested::default());
                return Ok(0);
            }
            Section::Header => {
                self.state = State::Header(Nested::default(), Vec::new(), offset);
                return Ok(0);
            }
            Section::Strings => self.state = State::Strings,
            _ if needs_header && self.header.is_none() => {
                self.state = State::Deferred(section, Nested::default(), Vec::new(), offset);
                return Ok(0);
            }
            _ => self.begin_numbers(section),
        }
        Ok(1)
    }

    /// The state behind the opening bracket of a section of numbers. The header is known.
    fn begin_numbers(&mut self, section: Section) {
        let Some(header) = &self.header else { return };
        self.reader = RecordReader::new();
        let bytes_left = self.options.size_hint.map(|size| size.saturating_sub(self.section_start));
        self.state = match section {
            Section::Nodes => {
                self.nodes.reserve(header, bytes_left);
                State::Ints(section)
            }
            Section::Edges => {
                self.edges.reserve(header, bytes_left);
                State::Ints(section)
            }
            Section::Locations if header.location.is_some() => State::Ints(section),
            Section::Samples if header.sample_fields >= 2 => State::Ints(section),
            Section::TraceFunctionInfos
                if TraceFunctionLayout::new(&header.trace_function_fields).is_some() =>
            {
                State::Ints(section)
            }
            Section::TraceTree => match TraceLayout::new(&header.trace_node_fields) {
                Some(layout) => State::Tree(TreeReader::new(layout)),
                None => State::Skip(open_array()),
            },
            // Not described by the header: a section some other tool added.
            _ => State::Skip(open_array()),
        };
    }

    fn take_header(&mut self, text: &[u8], offset: u64) -> Result<(), ParseError> {
        let header = Header::parse(text).map_err(|what| ParseError::BadHeader { offset, what })?;
        self.header = Some(header);
        for (section, text, start) in std::mem::take(&mut self.deferred) {
            if matches!(self.state, State::Broken) {
                break;
            }
            self.section_start = start;
            self.begin_numbers(section);
            let mut at = 1;
            while at < text.len() {
                at += self.step(&text[at..], start + at as u64)?;
            }
        }
        if !matches!(self.state, State::Broken) {
            self.state = State::After;
        }
        Ok(())
    }

    fn read_ints(&mut self, section: Section, input: &[u8], offset: u64) -> Result<usize, ParseError> {
        let Some(header) = &self.header else { return Ok(input.len()) };
        let join = self.options.join;
        let reader = &mut self.reader;
        let (used, stop) = match section {
            Section::Nodes => self.nodes.read(header, reader, input, join),
            Section::Edges => {
                self.edges.node_limit = match self.nodes.len() {
                    0 => u64::from(u32::MAX),
                    nodes => nodes as u64,
                };
                self.edges.read(header, reader, input, join)
            }
            Section::Locations => match header.location {
                Some(layout) => {
                    let node_stride = header.node.stride as u64;
                    reader.read(input, &mut LocationSink { layout, node_stride, out: &mut self.locations })
                }
                None => (input.len(), ReadStop::NeedInput),
            },
            Section::Samples => {
                reader.read(input, &mut SampleSink { stride: header.sample_fields, out: &mut self.samples })
            }
            _ => match TraceFunctionLayout::new(&header.trace_function_fields) {
                Some(layout) => {
                    reader.read(input, &mut TraceFunctionSink { layout, out: &mut self.trace_functions })
                }
                None => (input.len(), ReadStop::NeedInput),
            },
        };
        match stop {
            ReadStop::NeedInput => {}
            ReadStop::Full => return Err(too_large(section, offset)),
            ReadStop::End => {
                let end = offset + used as u64;
                if !self.reader.scanner.is_balanced() {
                    let what = "numbers and commas do not alternate, or a number has more than 64 bits";
                    self.note(section, self.section_start, what.to_owned());
                }
                if self.reader.left_over() > 0 {
                    self.note(section, end, "the last record is incomplete and is left out".to_owned());
                }
                self.state = State::After;
            }
            ReadStop::Unexpected(byte) => {
                self.leave_section(section, offset + used as u64, byte, 1);
                return Ok(used);
            }
        }
        Ok(used.max(1))
    }

    fn end_strings(&mut self) {
        if !self.string_reader.is_balanced() {
            self.note(Section::Strings, self.section_start, "strings and commas do not alternate".to_owned());
        }
        if self.string_reader.bad_escapes > 0 {
            let what = format!("{} escapes are none of JSON's", self.string_reader.bad_escapes);
            self.note(Section::Strings, self.section_start, what);
        }
        self.state = State::After;
    }

    fn note(&mut self, section: Section, offset: u64, what: String) {
        self.damage.push(Damage { section, offset, what });
    }

    /// Records damage inside an array of numbers, `depth` brackets deep, and goes on behind the array: the names at
    /// the end of the file are worth having.
    fn leave_section(&mut self, section: Section, offset: u64, found: u8, depth: u64) {
        let what =
            format!("found {}, a number was expected; the rest of the section is left out", describe(found));
        self.note(section, offset, what);
        self.state = State::Skip(Nested { depth, started: true, ..Nested::default() });
    }

    /// Records damage behind which nothing can be trusted.
    fn broken(&mut self, section: Section, offset: u64, what: &str, found: u8) -> Result<usize, ParseError> {
        if self.header.is_none() && self.seen.is_empty() {
            let what = format!("found {}, {what}", describe(found));
            return Err(ParseError::NotASnapshot { offset, what });
        }
        self.note(
            section,
            offset,
            format!("found {}, {what}; the rest of the file is left out", describe(found)),
        );
        self.state = State::Broken;
        Ok(1)
    }

    fn note_early_end(&mut self) {
        let section = match &self.state {
            State::Done => return self.note_missing(),
            State::Broken => return,
            State::Header(..) => Section::Header,
            State::Ints(section)
            | State::Deferred(section, ..)
            | State::Value(section)
            | State::Colon(section) => *section,
            State::Tree(_) => Section::TraceTree,
            State::Strings => Section::Strings,
            State::Skip(_) => Section::Unknown,
            State::Start | State::BeforeKey | State::Key(_) | State::After => Section::Top,
        };
        if let State::Deferred(section, _, text, start) = &mut self.state {
            self.deferred.push((*section, std::mem::take(text), *start));
        }
        if self.string_reader.in_string() {
            self.strings.abandon_string();
        }
        self.note(section, self.offset, "the file ends too early".to_owned());
    }

    /// V8 writes every section, empty or not. Without these two a snapshot would look sound and say nothing.
    fn note_missing(&mut self) {
        for section in [Section::Edges, Section::Strings] {
            if !self.seen.contains(&section) {
                self.note(section, self.offset, "the section is missing".to_owned());
            }
        }
    }
}

/// True behind a backslash that is not itself escaped: a quote here does not end the string.
fn ends_in_escape(text: &[u8]) -> bool {
    text.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// A value to skip whose opening bracket is consumed.
fn open_array() -> Nested {
    Nested { depth: 1, started: true, ..Nested::default() }
}

fn too_large(section: Section, offset: u64) -> ParseError {
    ParseError::TooLarge { section, offset, limit: u64::from(u32::MAX) - 1 }
}

/// The root of the node graph as an index, whatever the header says.
fn root_of(header: &Header, nodes: usize) -> NodeIdx {
    let root = u32::try_from(header.root_index).unwrap_or(0);
    NodeIdx(if (root as usize) < nodes { root } else { 0 })
}
