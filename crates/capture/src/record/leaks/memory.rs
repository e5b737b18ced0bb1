//! A stopped process's memory: what of it can hold pointers, and its words.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::search::Words;
use super::stop::Stopped;

/// Bytes that are read at once.
const WINDOW: usize = 256 << 10;
/// glibc's `HEAP_MAX_SIZE`: what a thread's arena lies in, aligned to its size.
const ARENA: u64 = 64 << 20;
/// What a thread's control block lies in, at the upper end of a stack.
const BLOCK: u64 = 64 << 10;
/// Threads that a process can have; a longer list is a ring.
const LONGEST_LIST: usize = 1 << 22;
/// Bytes below the stack pointer that are in use, by the ABI.
const RED_ZONE: u64 = 128;

/// Memory of a process.
pub(super) struct Memory {
    memory: File,
    /// Which pages there are: those that never were touched need not be read.
    pages: Option<File>,
    page: u64,
    maps: Vec<Mapping>,
    deadline: Instant,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
}

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    range: Range<u64>,
    is_readable: bool,
    is_writable: bool,
    is_shared: bool,
    path: String,
}

impl Memory {
    /// # Errors
    /// When it can't be read.
    pub(super) fn of(pid: u32, deadline: Instant) -> Result<Memory, String> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        let failed = |error| format!("its memory can't be read: {error}");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(failed)?;
        Ok(Memory {
            memory: open("mem").map_err(failed)?,
            pages: open("pagemap").ok(),
            page: rustix::param::page_size() as u64,
            maps: maps.lines().filter_map(mapping).collect(),
            deadline,
            window: Vec::new(),
            start: 0,
        })
    }

    /// A list in the process: its first piece, bytes of each piece, and the offset in it of the next one's address.
    ///
    /// # Errors
    /// When there is no time left.
    pub(super) fn list(&mut self, list: (u64, u64, u64)) -> Result<Vec<Range<u64>>, String> {
        let (mut piece, size, next) = list;
        let mut all: Vec<Range<u64>> = Vec::new();
        while piece != 0 && all.len() < LONGEST_LIST {
            all.push(piece..piece.saturating_add(size));
            let at = piece.saturating_add(next);
            piece = 0;
            self.words(at..at.saturating_add(8), &mut |word| piece = word)?;
        }
        Ok(all)
    }

    /// All that can hold a pointer and is in none of the blocks, which are in order of addresses, nor the recorder's own.
    ///
    /// # Errors
    /// When there is no time left.
    pub(super) fn roots(
        &mut self,
        stopped: &Stopped,
        blocks: &[(u64, u64)],
        own: &[Range<u64>],
    ) -> Result<Vec<Range<u64>>, String> {
        let mut roots = Vec::new();
        let maps = std::mem::take(&mut self.maps);
        for (at, map) in maps.iter().enumerate() {
            if !map.may_hold_pointers() {
                continue;
            }
            let mut range = map.range.clone();
            // What lies below a stack pointer is left from calls that are over. Only where it is certain that the
            // stack begins with the mapping: the kernel's, and those behind a guard page.
            let before = at.checked_sub(1).map(|before| &maps[before]);
            let has_guard = before.is_some_and(|map| map.range.end == range.start && !map.is_readable);
            if map.path == "[stack]" || has_guard {
                let pointers = stopped.stack_pointers().filter(|pointer| range.contains(pointer));
                if let Some(lowest) = pointers.min() {
                    range.start = lowest.saturating_sub(RED_ZONE).max(range.start);
                } else if let Some(thread) = self.thread_block(range.clone())?
                    && stopped.thread_pointers().all(|pointer| pointer != thread)
                {
                    // The stack of a thread that is over: glibc keeps it for the next one, with what it holds.
                    range.start = thread;
                }
            }
            let end = blocks.partition_point(|block| block.0 < range.end);
            let inside = &blocks[blocks.partition_point(|block| block.0 < range.start)..end];
            let mut holes = self.arenas(map, inside, &maps)?;
            holes.extend(own.iter().filter(|own| range.contains(&own.start)).cloned());
            roots.extend(without(range, holes, inside));
        }
        Ok(roots)
    }

    /// The control block of the thread that glibc made a stack for: it lies at the stack's upper end, and its first and
    /// its third word are its own address (`tcbhead_t`).
    fn thread_block(&mut self, stack: Range<u64>) -> Result<Option<u64>, String> {
        let mut found = None;
        let mut page = stack.start.max(stack.end.saturating_sub(BLOCK));
        while page < stack.end {
            let (mut at, mut before) = (page, [0; 2]);
            let end = (page + self.page).min(stack.end);
            self.words(page..end, &mut |word| {
                if word == before[0] && word.wrapping_add(16) == at {
                    found = Some(word);
                }
                before = [before[1], word];
                at += 8;
            })?;
            page = end;
        }
        Ok(found)
    }

    /// Arenas of glibc's malloc that these blocks lie in: what is free there still holds what it held.
    fn arenas(
        &mut self,
        map: &Mapping,
        blocks: &[(u64, u64)],
        maps: &[Mapping],
    ) -> Result<Vec<Range<u64>>, String> {
        let mut arenas: Vec<Range<u64>> = Vec::new();
        for &(address, _) in blocks {
            let base = address & !(ARENA - 1);
            if arenas.last().is_some_and(|arena| arena.start == base) || !map.range.contains(&base) {
                continue;
            }
            // `heap_info` begins with the arena's address: behind a `heap_info`, its own or that of its first part.
            let mut first = 0;
            self.words(base..base + 8, &mut |word| first = word)?;
            let home = first & !(ARENA - 1);
            if first != home && first - home < 256 && maps.iter().any(|map| map.range.contains(&home)) {
                arenas.push(base..base.saturating_add(ARENA).min(map.range.end));
            }
        }
        Ok(arenas)
    }

    /// How many bytes from an address on were never touched, at most up to `end`.
    fn absent(&self, start: u64, end: u64) -> u64 {
        let Some(pages) = &self.pages else { return 0 };
        let mut entries = [0; 8 * 512];
        let wanted = ((end - start).div_ceil(self.page) as usize).min(512) * 8;
        let Ok(read) = pages.read_at(&mut entries[..wanted], start / self.page * 8) else { return 0 };
        const PRESENT: u64 = 0b11 << 62;
        let is_absent = |entry: &&[u8; 8]| u64::from_le_bytes(**entry) & PRESENT == 0;
        let count = entries[..read].as_chunks().0.iter().take_while(is_absent).count() as u64;
        if count == 0 { 0 } else { (start / self.page + count) * self.page - start }
    }

    /// The bytes at an address, as many as can be read, and not beyond `end`.
    fn bytes(&mut self, start: u64, end: u64) -> &[u8] {
        let loaded = self.start..self.start + self.window.len() as u64;
        if !loaded.contains(&start) {
            self.window.resize(WINDOW, 0);
            // More than is asked for: the next blocks lie near.
            let read = self.memory.read_at(&mut self.window, start).unwrap_or(0);
            self.window.truncate(read);
            self.start = start;
        }
        let at = (start - self.start) as usize;
        let bytes = self.window.get(at..).unwrap_or(&[]);
        &bytes[..bytes.len().min((end - start) as usize)]
    }
}

impl Words for Memory {
    fn words(&mut self, range: Range<u64>, each: &mut dyn FnMut(u64)) -> Result<(), String> {
        let mut at = range.start.next_multiple_of(8);
        while at < range.end {
            if range.end - at > WINDOW as u64 / 8 {
                if Instant::now() > self.deadline {
                    return Err("it takes too long".to_owned());
                }
                let absent = self.absent(at, range.end);
                if absent > 0 {
                    at += absent;
                    continue;
                }
            }
            let bytes = self.bytes(at, range.end);
            let words = bytes.as_chunks().0;
            words.iter().for_each(|&word| each(u64::from_le_bytes(word)));
            let read = 8 * words.len() as u64;
            // What can't be read is passed over, page by page; so is the last piece of a word.
            at = if read > 0 { at + read } else { (at / self.page + 1) * self.page };
        }
        if Instant::now() > self.deadline {
            return Err("it takes too long".to_owned());
        }
        Ok(())
    }
}

impl Mapping {
    fn may_hold_pointers(&self) -> bool {
        let is_anonymous = self.path.is_empty() || self.path.starts_with("[anon");
        let is_kernels = self.path.starts_with("[v");
        // malloc's own: its blocks are looked at one by one.
        let is_heap = self.path == "[heap]";
        let is_device = self.path.starts_with("/dev/");
        self.is_readable
            && !is_kernels
            && !is_heap
            && !is_device
            && !self.is_shared
            && (self.is_writable || is_anonymous)
    }
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let flags = fields.next()?.as_bytes();
    let path = fields.nth(3).unwrap_or("").trim_start().to_owned();
    Some(Mapping {
        range: number(start)?..number(end)?,
        is_readable: flags.first() == Some(&b'r'),
        is_writable: flags.get(1) == Some(&b'w'),
        is_shared: flags.get(3) == Some(&b's'),
        path,
    })
}

/// A range without these parts.
fn without(range: Range<u64>, mut holes: Vec<Range<u64>>, blocks: &[(u64, u64)]) -> Vec<Range<u64>> {
    holes.extend(blocks.iter().map(|&(address, size)| address..address.saturating_add(size)));
    holes.sort_unstable_by_key(|hole| hole.start);
    let mut rest = Vec::new();
    let mut at = range.start;
    for hole in holes {
        if hole.start > at {
            rest.push(at..hole.start.min(range.end));
        }
        at = at.max(hole.end);
    }
    if at < range.end {
        rest.push(at..range.end);
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
    fn holes_are_left_out() {
        let check = |arenas: &[Range<u64>], blocks: &[(u64, u64)], expected: &[Range<u64>]| {
            assert_eq!(without(100..200, arenas.to_vec(), blocks), expected);
        };
        check(&[], &[], &[100..200]);
        check(&[], &[(100, 10), (120, 80)], &[110..120]);
        check(&[100..150], &[(110, 10), (160, 0)], &[150..160, 160..200]);
        check(&[0..300], &[(110, 10)], &[]);
        check(&[], &[(190, 500)], &[100..190]);
    }

    #[test]
    fn mappings_are_told_apart() {
        let check = |line: &str, expected: bool| {
            assert_eq!(mapping(line).expect(line).may_hold_pointers(), expected, "{line}");
        };
        check("7f00-7f10 rw-p 00000000 00:00 0 ", true);
        check("7f00-7f10 rw-p 00000000 00:00 0                          [anon:v8]", true);
        check("7f00-7f10 rw-p 00002000 08:01 77                         /lib/with space.so", true);
        check("7f00-7f10 r--p 00000000 00:00 0 ", true);
        check("7f00-7f10 r--p 00000000 08:01 77                         /lib/libc.so.6", false);
        check("7f00-7f10 r-xp 00000000 08:01 77                         /lib/libc.so.6", false);
        check("7f00-7f10 ---p 00000000 00:00 0 ", false);
        check("7f00-7f10 rw-p 00000000 00:00 0                          [heap]", false);
        check("7f00-7f10 rw-p 00000000 00:00 0                          [stack]", true);
        check("7f00-7f10 r--p 00000000 00:00 0                          [vvar]", false);
        check("7f00-7f10 rw-s 00000000 00:19 5                          /dev/shm/ring", false);
        assert_eq!(mapping("nonsense"), None);
    }

    #[test]
    fn our_own_memory_is_read() {
        let words: Vec<u64> = (0..100_000).map(|n| n * 3).collect();
        let mut memory =
            Memory::of(std::process::id(), Instant::now() + Duration::from_secs(60)).expect("our own");
        let start = words.as_ptr() as u64;
        let mut read = Vec::new();
        memory.words(start..start + 800_000, &mut |word| read.push(word)).expect("time");
        assert_eq!(read, words);
        memory.words(0..4096 * 100, &mut |_| panic!("nothing is there")).expect("time");
        memory.deadline = Instant::now() - Duration::from_secs(1);
        assert!(memory.words(start..start + 8, &mut |_| {}).is_err());
    }
}
