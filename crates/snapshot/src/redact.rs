//! Redaction: a snapshot in, the same snapshot without what strings and numbers say.
//!
//! The bytes are rewritten as they come; sizes, ids, edges and their order stay. What has to be remembered is a bit a
//! node and four bits a string: the strings come last in the file, and only the nodes and edges in front of them know
//! which of them are values and which are names. One text is often both. So each entry is split in two while the
//! numbers pass by (see [`numbers`]), and nothing has to be read twice.

mod labels;
mod layout;
mod marks;
mod mask;
mod numbers;
mod texts;

use crate::damage::{Section, describe};
use layout::Layout;
use marks::Marks;
use mask::Masker;
use numbers::{Numbers, Stop};
use texts::{Context, Texts};

/// Why a file can't be redacted. Whatever was written until then is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// No byte at all.
    #[error("the file is empty (0 bytes): the process that wrote it was probably killed while it did")]
    Empty,
    /// The bytes are no heap snapshot.
    #[error("this is not a V8 heap snapshot: {what} at byte {offset}")]
    NotASnapshot {
        /// Byte offset of the first thing that does not fit.
        offset: u64,
        /// What was found, and what was expected.
        what: String,
    },
    /// A sampling profile, in which there is nothing to redact.
    #[error(
        "this is a sampling heap profile: it holds names of functions and scripts but no values, so there is \
         nothing to redact"
    )]
    SamplingProfile,
    /// The header is there but unusable.
    #[error("the header of the snapshot can't be used: {what} (section `snapshot`, byte {offset})")]
    BadHeader {
        /// Byte offset of the header.
        offset: u64,
        /// Why.
        what: String,
    },
    /// The sections stand in an order in which one pass can't tell values from names.
    #[error(
        "the sections of the file are in an order that can't be redacted: {what} (section `{section}`, byte {offset})"
    )]
    Order {
        /// The section that stands in the wrong place.
        section: Section,
        /// Its byte offset.
        offset: u64,
        /// What it would need.
        what: String,
    },
    /// Something in the file does not fit.
    #[error("the file is damaged: {what} (section `{section}`, byte {offset})")]
    Damaged {
        /// Where in the file's structure.
        section: Section,
        /// Byte offset of the first thing that does not fit.
        offset: u64,
        /// What was found, and what was expected.
        what: String,
    },
    /// The file ends before the snapshot does.
    #[error("the file is damaged: it ends too early (section `{section}`, byte {offset})")]
    Truncated {
        /// The section that is cut.
        section: Section,
        /// The file's length.
        offset: u64,
    },
}

/// What was done to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedactStats {
    /// Nodes of the file.
    pub nodes: u64,
    /// Strings in the file's table.
    pub strings: u64,
    /// Texts that were replaced since a node has them as its value.
    pub values_replaced: u64,
    /// Texts that are the value of a node and stay, being the name of a script.
    pub script_names_kept: u64,
    /// Names that stay as they are.
    pub labels_kept: u64,
    /// Names of which a part was replaced.
    pub labels_masked: u64,
    /// Bytes that came in.
    pub bytes_read: u64,
}

/// A header beyond this size is none.
const MAX_HEADER: usize = 16 << 20;
/// A top-level key beyond this size is none.
const MAX_KEY: usize = 1 << 10;

enum State {
    Start,
    /// In front of a key, and whether the object may end here instead.
    BeforeKey(bool),
    Key,
    Colon,
    Value,
    Header {
        depth: u64,
        in_string: bool,
        escaped: bool,
    },
    /// Numbers without any of strings; brackets may nest, and so many are open.
    Copied(u64),
    Numbers(Numbers),
    Strings(Texts),
    /// Behind the bracket of a section that may only be empty.
    Empty,
    After,
    Done,
    Failed(RedactError),
}

/// Takes the values out of a `.heapsnapshot` or `.heaptimeline` that is pushed through in chunks of any size.
///
/// Replaced are the texts of strings, numbers, BigInts and regular expressions, and what names show of them. Names of
/// classes, functions, properties and scripts stay. Texts that are equal stay equal, in all files with the same salt.
pub struct Redactor {
    state: State,
    masker: Masker,
    layout: Option<Layout>,
    marks: Marks,
    stats: RedactStats,
    /// The key under way or read last.
    key: Vec<u8>,
    section: Section,
    /// Keys seen, to find those that stand twice.
    seen: Vec<Vec<u8>>,
    header: Vec<u8>,
    header_at: u64,
    /// Bytes consumed.
    offset: u64,
}

impl Redactor {
    /// Begins a file. `salt` is the key to all replacements: who knows it can test guesses at short values, so it
    /// should be long, random and kept secret, or thrown away.
    pub fn new(salt: &[u8]) -> Redactor {
        Redactor {
            state: State::Start,
            masker: Masker::new(salt),
            layout: None,
            marks: Marks::default(),
            stats: RedactStats::default(),
            key: Vec::new(),
            section: Section::Top,
            seen: Vec::new(),
            header: Vec::new(),
            header_at: 0,
            offset: 0,
        }
    }

    /// Takes the next bytes, and appends to `out` what can be written by now.
    ///
    /// # Errors
    /// When the file is no whole and sound snapshot. What was written so far is to be thrown away.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), RedactError> {
        let mut at = 0;
        while at < chunk.len() {
            match self.step(&chunk[at..], out) {
                Ok(used) => {
                    at += used;
                    self.offset += used as u64;
                }
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Ends the file. `out` gets what is still to be written: nothing, at present.
    ///
    /// # Errors
    /// When the file is not whole.
    pub fn finish(self, _out: &mut Vec<u8>) -> Result<RedactStats, RedactError> {
        let offset = self.offset;
        let section = match self.state {
            State::Failed(error) => return Err(error),
            State::Done => {
                return Ok(RedactStats { nodes: self.marks.nodes, bytes_read: offset, ..self.stats });
            }
            State::Start if offset == 0 => return Err(RedactError::Empty),
            State::Header { .. } => Section::Header,
            State::Copied(_) | State::Numbers(_) | State::Strings(_) | State::Value => self.section,
            _ => Section::Top,
        };
        Err(RedactError::Truncated { section, offset })
    }

    /// Handles the start of `input` (never empty); returns the bytes used.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, RedactError> {
        let byte = input[0];
        let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        match &mut self.state {
            State::Start => match byte {
                b'{' => self.state = State::BeforeKey(true),
                0xEF | 0xBB | 0xBF if self.offset < 3 => {}
                _ if is_space => {}
                _ => return Err(self.unexpected("expected `{`", byte)),
            },
            State::BeforeKey(may_end) => match byte {
                b'"' => {
                    self.key.clear();
                    self.state = State::Key;
                }
                b'}' if *may_end => self.end()?,
                _ if is_space => {}
                _ => return Err(self.unexpected("a key was expected", byte)),
            },
            State::Key => match byte {
                b'"' => self.state = State::Colon,
                b'\\' => return Err(self.unexpected("keys of a snapshot have none", byte)),
                _ if self.key.len() == MAX_KEY => return Err(self.unexpected("a key does not end", byte)),
                _ => self.key.push(byte),
            },
            State::Colon => match byte {
                b':' => self.state = State::Value,
                _ if is_space => {}
                _ => return Err(self.unexpected("a colon was expected", byte)),
            },
            State::Value if is_space => {}
            State::Value => self.enter(byte)?,
            State::Header { depth, in_string, escaped } => {
                let mut used = 0;
                for &byte in input {
                    used += 1;
                    match byte {
                        _ if *escaped => *escaped = false,
                        b'\\' if *in_string => *escaped = true,
                        b'"' => *in_string = !*in_string,
                        _ if *in_string => {}
                        b'{' | b'[' => *depth += 1,
                        b'}' | b']' => *depth -= 1,
                        _ => {}
                    }
                    if *depth == 0 || self.header.len() + used > MAX_HEADER {
                        break;
                    }
                }
                let is_whole = *depth == 0;
                self.header.extend_from_slice(&input[..used]);
                out.extend_from_slice(&input[..used]);
                if self.header.len() > MAX_HEADER {
                    let what = format!("it is larger than {} MB", MAX_HEADER >> 20);
                    return Err(RedactError::BadHeader { offset: self.header_at, what });
                }
                if is_whole {
                    let json = std::mem::take(&mut self.header);
                    let bad = |what| RedactError::BadHeader { offset: self.header_at, what };
                    self.layout = Some(Layout::new(&json).map_err(bad)?);
                    self.state = State::After;
                }
                return Ok(used);
            }
            State::Copied(open) => {
                let is_copied =
                    |b: &u8| matches!(b, b'0'..=b'9' | b',' | b'-' | b' ' | b'\n' | b'\r' | b'\t');
                let used = input.iter().position(|b| !is_copied(b)).unwrap_or(input.len());
                out.extend_from_slice(&input[..used]);
                match input.get(used) {
                    None => return Ok(used),
                    Some(b'[') if self.section == Section::TraceTree => *open += 1,
                    Some(b']') => *open -= 1,
                    Some(&other) => {
                        self.offset += used as u64;
                        return Err(self.unexpected("a number was expected", other));
                    }
                }
                out.push(input[used]);
                if *open == 0 {
                    self.state = State::After;
                }
                return Ok(used + 1);
            }
            State::Numbers(numbers) => {
                let Some(layout) = &self.layout else { return Err(self.unexpected("no header", byte)) };
                let (used, stop) = numbers.read(input, self.offset, layout, &mut self.marks, out);
                return self.stopped(used, stop);
            }
            State::Strings(texts) => {
                let Some(layout) = &self.layout else { return Err(self.unexpected("no header", byte)) };
                let (marks, masker) = (&self.marks, &self.masker);
                let mut context = Context { layout, marks, masker, stats: &mut self.stats };
                let (used, stop) = texts.read(input, &mut context, out);
                if stop == Stop::End {
                    let (strings, wanted) = (texts.count(), self.marks.marked_strings());
                    if wanted > strings {
                        self.offset += used as u64;
                        return Err(self.damaged(format!(
                            "a node or an edge refers to string {}, and there are only {strings}",
                            wanted - 1
                        )));
                    }
                }
                return self.stopped(used, stop);
            }
            State::Empty => match byte {
                b']' => self.state = State::After,
                _ if is_space => {}
                _ => {
                    let key = String::from_utf8_lossy(&self.key).into_owned();
                    return Err(self.damaged(format!(
                        "the section `{key}` is not known, so nobody can say whether there are values in it"
                    )));
                }
            },
            State::After => match byte {
                b',' => self.state = State::BeforeKey(false),
                b'}' => self.end()?,
                _ if is_space => {}
                _ => return Err(self.unexpected("a comma or `}` was expected", byte)),
            },
            State::Done if is_space => {}
            State::Done => {
                self.section = Section::Top;
                let what = format!("{} follows the end of the snapshot", describe(byte));
                return Err(self.damaged(what));
            }
            State::Failed(error) => return Err(error.clone()),
        }
        // `enter` puts bytes out by itself where they must be looked at again.
        if !matches!(self.state, State::Header { depth: 0, .. }) {
            out.push(byte);
            return Ok(1);
        }
        Ok(0)
    }

    /// Chooses how to read a section; `byte` is its first.
    fn enter(&mut self, byte: u8) -> Result<(), RedactError> {
        let key = std::mem::take(&mut self.key);
        self.section = Section::of_key(&key);
        self.key = key;
        if self.layout.is_none() && matches!(&self.key[..], b"head" | b"samples" | b"profile") {
            return Err(RedactError::SamplingProfile);
        }
        if self.layout.is_none() && self.section != Section::Header {
            return Err(self.order("the header, `snapshot`, has to come first"));
        }
        if self.seen.contains(&self.key) {
            return Err(self.damaged("the section stands in the file twice".to_owned()));
        }
        let expected = if self.section == Section::Header { b'{' } else { b'[' };
        if byte != expected {
            return Err(self.unexpected(&format!("`{}` was expected", expected as char), byte));
        }
        let has = |key: &[u8]| self.seen.iter().any(|seen| seen == key);
        let shape = self.layout.as_ref().and_then(|layout| layout.shape(self.section, &self.key));
        self.state = match self.section {
            Section::Header => {
                self.header_at = self.offset;
                State::Header { depth: 0, in_string: false, escaped: false }
            }
            _ if shape.is_some() && has(b"strings") => {
                return Err(self.order("the strings stand in front of what tells names from values"));
            }
            Section::Edges if !has(b"nodes") => return Err(self.order("the nodes have to come first")),
            Section::Strings if !has(b"nodes") || !has(b"edges") => {
                return Err(self.order(
                    "the strings stand in front of the nodes and edges, which tell names from values",
                ));
            }
            Section::Strings => State::Strings(Texts::new()),
            Section::TraceTree | Section::Samples | Section::Locations => State::Copied(1),
            _ if matches!(&self.key[..], b"scopes" | b"scope_uses") => State::Copied(1),
            _ => match shape {
                Some(shape) => State::Numbers(Numbers::new(shape)),
                None => State::Empty,
            },
        };
        // A list without end is not worth keeping: only known sections may hold anything.
        if self.section != Section::Unknown || self.key.starts_with(b"scope") {
            self.seen.push(self.key.clone());
        }
        Ok(())
    }

    /// Behind a section of numbers, or the strings.
    fn stopped(&mut self, used: usize, stop: Stop) -> Result<usize, RedactError> {
        match stop {
            Stop::NeedInput => {}
            Stop::End => {
                if self.section == Section::Nodes {
                    self.marks.end_nodes();
                }
                self.state = State::After;
            }
            Stop::Bad(what) => {
                self.offset += used as u64;
                return Err(self.damaged(what));
            }
        }
        Ok(used)
    }

    /// The end of the top-level object.
    fn end(&mut self) -> Result<(), RedactError> {
        for (section, key) in [
            (Section::Header, &b"snapshot"[..]),
            (Section::Nodes, b"nodes"),
            (Section::Edges, b"edges"),
            (Section::Strings, b"strings"),
        ] {
            if !self.seen.iter().any(|seen| seen == key) {
                if section == Section::Header {
                    let what = "it has no section `snapshot`".to_owned();
                    return Err(RedactError::NotASnapshot { offset: self.offset, what });
                }
                self.section = section;
                return Err(self.damaged("the section is missing".to_owned()));
            }
        }
        self.state = State::Done;
        Ok(())
    }

    fn order(&self, what: &str) -> RedactError {
        RedactError::Order { section: self.section, offset: self.offset, what: what.to_owned() }
    }

    fn damaged(&self, what: String) -> RedactError {
        RedactError::Damaged { section: self.section, offset: self.offset, what }
    }

    fn unexpected(&self, what: &str, found: u8) -> RedactError {
        let what = format!("found {}, {what}", describe(found));
        if self.seen.is_empty() {
            return RedactError::NotASnapshot { offset: self.offset, what };
        }
        self.damaged(what)
    }
}
