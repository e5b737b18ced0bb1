//! One thread's records, read behind it while it writes.

use twinheap_trace::{InfoIdx, TraceId};
use twinheap_wire::record;

use super::output::Plain;
use super::ring::{Chunk, Ring};

/// Words by which lines are fetched ahead of reading.
const AHEAD: usize = 64;
/// Words by which what an event will lead to is fetched ahead of it: some thirty events.
const SOON: usize = 48;

/// Numbers that a thread's stacks may have: the recorder's have 24 bits.
const STACKS: usize = 1 << 24;

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
    /// The thread's stacks by their numbers.
    stacks: Vec<Stack>,
    /// Chunks that wait to be read: sequence and chunk.
    waiting: Vec<(u32, u32)>,
}

/// What is known of a stack.
#[derive(Clone, Copy)]
struct Stack {
    /// The latest allocation's second word: the stack's number and the size. Most call sites ask for the same size again.
    latest: u64,
    /// Their pair.
    info: InfoIdx,
    /// Its node; the root's if it was lost.
    trace: TraceId,
}

impl Stack {
    /// No stack has the number of this word.
    const LOST: Stack = Stack { latest: u64::MAX, info: InfoIdx(0), trace: TraceId(0) };
}

/// Whom a thread's events are for. Each has its time.
pub(super) trait Sink {
    /// A block was allocated; `info` is the pair of its stack and size, if that is known. The pair.
    fn allocated(&mut self, address: u64, kind: (TraceId, u64), info: Option<InfoIdx>, time: u64) -> InfoIdx;
    /// A block was freed, on its own or within a realloc whose allocation follows.
    fn freed(&mut self, address: u64, is_realloc: bool, time: u64);
    fn mapped(&mut self, event: Mapping, time: u64);
    /// Soon there may be an event of this address.
    fn soon(&mut self, address: u64);
    /// Takes plain events up to a time, if it can now.
    fn plain(&mut self) -> Option<(Plain<'_>, u64)>;
}

/// A call of mmap or munmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
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
            stacks: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// A stack has this number from here on. If no recorder gives such a number, the process has written over the ring.
    pub(super) fn set_trace(&mut self, number: u32, trace: TraceId) {
        let at = number as usize;
        if at >= STACKS {
            return;
        }
        if self.stacks.len() <= at {
            self.stacks.resize(at + 1, Stack::LOST);
        }
        self.stacks[at] = Stack { trace, ..Stack::LOST };
    }

    #[inline]
    fn stack(&self, number: u64) -> Stack {
        self.stacks.get(number as usize).copied().unwrap_or(Stack::LOST)
    }

    /// The latest allocation of a stack, whose size has its place in the word, and what it was.
    fn remember(&mut self, latest: u64, info: InfoIdx) {
        if let Some(stack) = self.stacks.get_mut((latest >> 32) as usize) {
            (stack.latest, stack.info) = (latest, info);
        }
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
    pub(super) fn take(&mut self, ring: &Ring, until: u64, sink: &mut impl Sink) -> u64 {
        let Some(chunk) = self.chunk else { return 0 };
        let chunk = ring.chunk(chunk);
        let (mut at, mut count) = (self.word, 0);
        loop {
            if let Some((plain, before)) = sink.plain() {
                let (next, events) = self.take_plain(chunk, at, until.min(before), plain);
                (at, count) = (next, count + events);
            }
            let word = chunk.first(at);
            chunk.fetch(at + AHEAD);
            let time = self.base + (record::ticks(word) << record::TICK);
            if time > until {
                break;
            }
            sink.soon(record::address(chunk.about(at + SOON)));
            let address = record::address(word);
            match record::kind(word) {
                record::FREE => sink.freed(address, false, time),
                record::ALLOC => {
                    let rest = chunk.word(at + 1);
                    let (stack, size) = (self.stack(rest >> 32), rest & 0xffff_ffff);
                    if size == u64::from(record::LARGE) {
                        sink.allocated(address, (stack.trace, self.large), None, time);
                    } else {
                        let known = (stack.latest == rest).then_some(stack.info);
                        let info = sink.allocated(address, (stack.trace, size), known, time);
                        self.remember(rest, info);
                    }
                }
                record::REALLOC => sink.freed(address, true, time),
                record::MAP => {
                    let rest = chunk.word(at + 1);
                    let (trace, flags) = (self.stack(rest >> 32).trace, rest as u32);
                    sink.mapped(Mapping::Map { address, length: chunk.word(at + 2), trace, flags }, time);
                }
                record::UNMAP => {
                    sink.mapped(Mapping::Unmap { address, length: chunk.word(at + 1) }, time);
                }
                _ => break,
            }
            at += record::words(word);
            count += 1;
        }
        self.word = at;
        count
    }

    /// Takes events as long as they are plain and not later than a time; the next word, and how many.
    #[inline]
    fn take_plain(
        &mut self,
        chunk: Chunk<'_>,
        mut at: usize,
        until: u64,
        mut plain: Plain<'_>,
    ) -> (usize, u64) {
        let Some(ticks) = until.checked_sub(self.base) else { return (at, 0) };
        let ticks = ticks >> record::TICK;
        let stacks = &mut self.stacks[..];
        let mut count = 0;
        loop {
            let word = chunk.first(at);
            chunk.fetch(at + AHEAD);
            // Where another word of a record stands there, a line is fetched in vain.
            plain.soon(record::address(chunk.about(at + SOON)));
            if record::ticks(word) > ticks {
                break;
            }
            let (kind, address) = (record::kind(word), record::address(word));
            if kind == record::FREE {
                if !plain.freed(address) {
                    break;
                }
                at += 1;
            } else if kind == record::ALLOC {
                let rest = chunk.word(at + 1);
                let Some(stack) = stacks.get_mut((rest >> 32) as usize) else { break };
                if stack.latest != rest {
                    let size = rest & 0xffff_ffff;
                    let has_size = size != u64::from(record::LARGE);
                    let Some(info) = plain.info(stack.trace, size).filter(|_| has_size) else { break };
                    (stack.latest, stack.info) = (rest, info);
                }
                if !plain.allocated(address, stack.info) {
                    break;
                }
                at += 2;
            } else {
                break;
            }
            count += 1;
        }
        (at, count)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_can_t_be_takes_no_room() {
        let mut stream = Stream::new(0);
        stream.set_trace(5, TraceId(7));
        stream.set_trace(u32::MAX, TraceId(8));
        assert_eq!(
            (stream.stack(5).trace, stream.stack(u64::from(u32::MAX)).trace),
            (TraceId(7), TraceId(0))
        );
        assert_eq!(stream.stacks.len(), 6);
    }
}
