//! One thread's records, read behind it while it writes.

use twinheap_trace::TraceId;
use twinheap_wire::record;

use super::ring::{Chunk, Ring};

/// Words by which lines are fetched ahead of reading.
const AHEAD: usize = 64;

/// Where reading stands in the records of one of the process's threads.
pub(super) struct Stream {
    /// The recorder's number of the thread.
    pub(super) number: u32,
    /// The thread's id, as the recorder told last.
    pub(super) tid: u32,
    /// The chunk that is read; `None` while the next one is not there.
    chunk: Option<u32>,
    /// The next word in it.
    word: usize,
    /// The next chunk's number in the thread's sequence.
    sequence: u32,
    /// The clock at the latest [`record::SYNC`].
    base: u64,
    /// The size that the next allocation has, if its own word has no room for it.
    large: u64,
    /// The node of each of the thread's stacks, by its number; the root's if it was lost.
    traces: Vec<TraceId>,
    /// Chunks that wait to be read: sequence and chunk.
    waiting: Vec<(u32, u32)>,
}

/// An event of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Alloc { address: u64, trace: TraceId, size: u64 },
    Free { address: u64 },
    ReallocFree { address: u64 },
    Map { address: u64, length: u64, trace: TraceId, flags: u32 },
    Unmap { address: u64, length: u64 },
}

/// What is not an event: it has no time and takes effect at once.
pub(super) enum Note<'r> {
    /// Number, first frame and count of a stack.
    Stack {
        number: u32,
        chunk: Chunk<'r>,
        at: usize,
        count: usize,
    },
    /// A frame of JavaScript of a stack that follows: the record's value, and where its words are.
    Js {
        head: u64,
        chunk: Chunk<'r>,
        at: usize,
    },
    Module {
        chunk: Chunk<'r>,
        at: usize,
    },
    Suppression(Vec<u8>),
    /// Another thread fills the stream from here on.
    Thread,
}

impl Stream {
    pub(super) fn new(number: u32) -> Stream {
        Stream {
            number,
            tid: 0,
            chunk: None,
            word: 0,
            sequence: 0,
            base: 0,
            large: 0,
            traces: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// A stack has this number from here on.
    pub(super) fn set_trace(&mut self, number: u32, trace: TraceId) {
        let at = number as usize;
        if self.traces.len() <= at {
            self.traces.resize(at + 1, TraceId(0));
        }
        self.traces[at] = trace;
    }

    #[inline]
    fn trace(&self, number: u64) -> TraceId {
        self.traces.get(number as usize).copied().unwrap_or_default()
    }

    /// A chunk that the thread fills or has filled.
    pub(super) fn offer(&mut self, sequence: u32, chunk: u32) {
        if self.chunk != Some(chunk) && !self.waiting.contains(&(sequence, chunk)) {
            self.waiting.push((sequence, chunk));
        }
    }

    /// The time of the next event, if it is written. Notes before it are handed to `note`, and chunks that are read are
    /// given back.
    #[inline]
    pub(super) fn peek<'r>(
        &mut self,
        ring: &'r Ring,
        note: &mut impl FnMut(&mut Stream, Note<'r>),
    ) -> Option<u64> {
        loop {
            let chunk = ring.chunk(self.chunk.or_else(|| self.next_chunk())?);
            let word = chunk.first(self.word);
            match record::kind(word) {
                record::ALLOC | record::FREE | record::REALLOC | record::MAP | record::UNMAP => {
                    return Some(self.base + (record::ticks(word) << record::TICK));
                }
                0 => return None,
                _ => self.take_note(ring, chunk, word, note),
            }
        }
    }

    #[cold]
    fn take_note<'r>(
        &mut self,
        ring: &'r Ring,
        chunk: Chunk<'r>,
        word: u64,
        note: &mut impl FnMut(&mut Stream, Note<'r>),
    ) {
        let (at, value) = (self.word, record::value(word));
        self.word += record::words(word);
        match record::kind(word) {
            record::SYNC => self.base = value,
            record::SIZE => self.large = value,
            record::STACK => {
                let count = ((value >> 32) as usize).min(Chunk::WORDS - at.min(Chunk::WORDS));
                note(self, Note::Stack { number: value as u32, chunk, at: at + 1, count });
            }
            record::THREAD => {
                self.tid = value as u32;
                note(self, Note::Thread);
            }
            record::JS => note(self, Note::Js { head: value, chunk, at: at + 1 }),
            record::MODULE => note(self, Note::Module { chunk, at: at + 1 }),
            record::SUPPRESS => {
                let length = (value as usize).min(Chunk::WORDS * 8);
                note(self, Note::Suppression(chunk.bytes(at + 1, length)));
            }
            // The end of the chunk, or something that should not be there: what follows can't be told apart.
            _ => self.finish_chunk(ring),
        }
    }

    /// Takes the events from the one that [`Stream::peek`] saw up to a time, to the next note or to the end of what is
    /// written; how many.
    #[inline]
    pub(super) fn take(&mut self, ring: &Ring, until: u64, mut each: impl FnMut(Event, u64)) -> u64 {
        let Some(chunk) = self.chunk else { return 0 };
        let chunk = ring.chunk(chunk);
        let (mut at, mut count) = (self.word, 0);
        loop {
            let word = chunk.first(at);
            chunk.fetch(at + AHEAD);
            let time = self.base + (record::ticks(word) << record::TICK);
            if time > until {
                break;
            }
            let address = record::address(word);
            let event = match record::kind(word) {
                record::ALLOC => {
                    let rest = chunk.word(at + 1);
                    let (trace, mut size) = (self.trace(rest >> 32), rest & 0xffff_ffff);
                    if size == u64::from(record::LARGE) {
                        size = self.large;
                    }
                    Event::Alloc { address, trace, size }
                }
                record::FREE => Event::Free { address },
                record::REALLOC => Event::ReallocFree { address },
                record::MAP => {
                    let rest = chunk.word(at + 1);
                    let (trace, flags) = (self.trace(rest >> 32), rest as u32);
                    Event::Map { address, length: chunk.word(at + 2), trace, flags }
                }
                record::UNMAP => Event::Unmap { address, length: chunk.word(at + 1) },
                _ => break,
            };
            at += record::words(word);
            count += 1;
            each(event, time);
        }
        self.word = at;
        count
    }

    fn next_chunk(&mut self) -> Option<u32> {
        let at = self.waiting.iter().position(|&(sequence, _)| sequence == self.sequence)?;
        let (_, chunk) = self.waiting.swap_remove(at);
        self.sequence += 1;
        self.word = 0;
        self.chunk = Some(chunk);
        self.chunk
    }

    fn finish_chunk(&mut self, ring: &Ring) {
        if let Some(chunk) = self.chunk.take() {
            ring.give_back(chunk, self.word);
        }
    }
}
