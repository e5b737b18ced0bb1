//! What a process's resident memory is made of: the kernel's list of mappings and its page table, beside what is known of
//! who asked for them.
//!
//! The kernel joins neighbouring mappings whoever made them, so that only its pages tell whose memory is resident:
//! `/proc/PID/pagemap` has a word for each.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt;

use rustc_hash::FxHashMap;
use twinheap_trace::{MapKind, MemoryOwner, MemoryPart, TraceId};

use super::mapped::Mapped;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// A page that is in memory; a bit of its word in `pagemap`.
const PRESENT: u64 = 1 << 63;
/// Words of `pagemap` that are read at once.
const WORDS: usize = 64 << 10;
/// The largest mapping whose pages are looked at one by one, in bytes: the word of each has to be read, also where there
/// is nothing. Sanitizers reserve terabytes.
const MAX_MAPPING: u64 = 64 << 30;
/// The most bytes of a list of mappings.
const MAX_MAPS: u64 = 256 << 20;
/// glibc's heaps of threads begin at multiples of this.
const ARENA: u64 = 64 << 20;

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    is_accessible: bool,
    pub(super) is_executable: bool,
    pub(super) offset: u64,
    pub(super) path: String,
}

/// An owner whose names are not yet strings of the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    Malloc,
    Stack,
    File(String),
    Mapped(TraceId),
    Named(String),
    Recorder,
    Unknown,
}

/// A stretch of memory of one owner.
struct Stretch {
    start: u64,
    end: u64,
    owner: Owner,
    has_blocks: bool,
}

/// Reads `/proc/PID/maps`; nothing if the process is gone or somebody else's.
pub(super) fn mappings(pid: u32) -> Vec<Mapping> {
    let mut bytes = Vec::new();
    if let Ok(maps) = File::open(format!("/proc/{pid}/maps")) {
        // What was read before an error is all there is. The kernel has no more than 65,530 lines, by default.
        let _ = maps.take(MAX_MAPS).read_to_end(&mut bytes);
    }
    bytes.split(|&byte| byte == b'\n').filter_map(|line| mapping(&String::from_utf8_lossy(line))).collect()
}

/// A line such as `7f1c0000-7f1c1000 r-xp 00001000 08:01 123   /usr/lib/libc.so.6`.
fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end, offset) = (number(start)?, number(end)?, number(fields.next()?)?);
    Some(Mapping {
        start,
        end,
        is_accessible: !rights.starts_with("---"),
        is_executable: rights.contains('x'),
        offset,
        path: fields.nth(2).unwrap_or_default().trim_start().to_owned(),
    })
}

/// The parts of a process's resident memory, each owner once; `None` if the kernel doesn't tell. `blocks` are addresses
/// of blocks that are alive, `own_folder` is where the recorder's files are.
pub(super) fn look(
    pid: u32,
    mapped: &Mapped,
    blocks: impl Iterator<Item = u64>,
    own_folder: &str,
) -> Option<Vec<(Owner, MemoryPart)>> {
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mappings = mappings(pid);
    let mut stretches = stretches(&mappings, mapped, own_folder);
    for block in blocks {
        let at = stretches.partition_point(|stretch| stretch.end <= block);
        if let Some(stretch) = stretches.get_mut(at).filter(|stretch| stretch.start <= block) {
            stretch.has_blocks = true;
        }
    }
    let mut parts: FxHashMap<Owner, MemoryPart> = FxHashMap::default();
    let mut words = vec![0; WORDS * 8];
    for stretch in stretches {
        let owner = match stretch.owner {
            // Nobody's mmap made it, and what malloc gave is in it: so it is malloc's. That a thread had its stack there
            // before doesn't matter.
            Owner::Unknown | Owner::Stack if stretch.has_blocks => Owner::Malloc,
            owner => owner,
        };
        let resident = resident(&pagemap, stretch.start, stretch.end, &mut words);
        let part = parts.entry(owner).or_default();
        part.resident += resident;
        part.mapped += stretch.end - stretch.start;
        part.ranges += 1;
        part.has_blocks |= stretch.has_blocks;
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|(_, part)| part.resident > 0).collect();
    parts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    (!parts.is_empty()).then_some(parts)
}

/// Mappings in pieces that belong to one owner each.
fn stretches(mappings: &[Mapping], mapped: &Mapped, own_folder: &str) -> Vec<Stretch> {
    let mut all = Vec::new();
    for (at, mapping) in mappings.iter().enumerate().filter(|(_, mapping)| mapping.is_accessible) {
        let whole = |owner| Stretch { start: mapping.start, end: mapping.end, owner, has_blocks: false };
        let path = mapping.path.as_str();
        match path {
            "[heap]" => all.push(whole(Owner::Malloc)),
            "[stack]" => all.push(whole(Owner::Stack)),
            _ if path.starts_with(own_folder) => all.push(whole(Owner::Recorder)),
            _ if path.starts_with('/') => {
                let path = path.strip_suffix(" (deleted)").unwrap_or(path);
                all.push(whole(Owner::File(path.to_owned())));
            }
            // The kernel's own pages have no memory of the process.
            _ if path.starts_with("[v") => {}
            _ => {
                let next = mappings.get(at + 1);
                let unknown = match path.strip_prefix("[anon") {
                    Some(name) => Owner::Named(name.trim_matches([':', ']', '_']).to_owned()),
                    None if is_arena(mapping, next) => Owner::Malloc,
                    None => Owner::Unknown,
                };
                for (start, end, range) in mapped.parts(mapping.start, mapping.end) {
                    let owner = match range {
                        None => unknown.clone(),
                        Some(range) => match range.kind {
                            MapKind::Stack => Owner::Stack,
                            MapKind::Recorder => Owner::Recorder,
                            _ if range.trace.is_zero() => unknown.clone(),
                            _ => Owner::Mapped(range.trace),
                        },
                    };
                    all.push(Stretch { start, end, owner, has_blocks: false });
                }
            }
        }
    }
    all
}

/// Whether a mapping is one of glibc's heaps: 64 MB of addresses from a multiple of 64 MB on, of which the first part may
/// be used.
fn is_arena(mapping: &Mapping, next: Option<&Mapping>) -> bool {
    let end = mapping.start + ARENA;
    let is_rest = |next: &Mapping| next.start == mapping.end && !next.is_accessible && next.end >= end;
    mapping.start.is_multiple_of(ARENA)
        && (mapping.end == end || mapping.end < end && next.is_some_and(is_rest))
}

/// Resident bytes of a range.
fn resident(pagemap: &File, start: u64, end: u64, words: &mut [u8]) -> u64 {
    if end - start > MAX_MAPPING {
        // It shows up as what is not explained.
        return 0;
    }
    let (mut at, mut pages) = (start, 0);
    while at < end {
        let wanted = ((end - at).div_ceil(PAGE) as usize * 8).min(words.len());
        let read = pagemap.read_at(&mut words[..wanted], at / PAGE * 8).unwrap_or(0);
        if read < 8 {
            break;
        }
        let (all, _) = words[..read].as_chunks::<8>();
        pages += all.iter().filter(|word| u64::from_ne_bytes(**word) & PRESENT != 0).count() as u64;
        at += (read / 8) as u64 * PAGE;
    }
    pages * PAGE
}

impl Owner {
    /// As the file has it; `string` gives a text its number.
    pub(super) fn in_file(&self, mut string: impl FnMut(&[u8]) -> twinheap_trace::StringId) -> MemoryOwner {
        match self {
            Owner::Malloc => MemoryOwner::Malloc,
            Owner::Stack => MemoryOwner::Stack,
            Owner::File(path) => MemoryOwner::File(string(path.as_bytes())),
            Owner::Mapped(trace) => MemoryOwner::Mapped(*trace),
            Owner::Named(name) => MemoryOwner::Named(string(name.as_bytes())),
            Owner::Recorder => MemoryOwner::Recorder,
            Owner::Unknown => MemoryOwner::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mappings_are_read() {
        let line = "7f10000-7f12000 r-xp 00001000 08:01 123                  /usr/lib/with space.so";
        let expected = Mapping {
            start: 0x7f1_0000,
            end: 0x7f1_2000,
            is_accessible: true,
            is_executable: true,
            offset: 0x1000,
            path: "/usr/lib/with space.so".to_owned(),
        };
        assert_eq!(mapping(line), Some(expected));
        let anonymous = mapping("1000-2000 ---p 00000000 00:00 0 ").expect("a mapping");
        assert_eq!((anonymous.path.as_str(), anonymous.is_accessible), ("", false));
        assert_eq!(mapping("rubbish"), None);
        assert_eq!(mapping(""), None);
    }

    #[test]
    fn glibc_s_heaps_are_told_by_their_shape() {
        let mapping = |start: u64, end: u64, is_accessible| Mapping {
            start,
            end,
            is_accessible,
            is_executable: false,
            offset: 0,
            path: String::new(),
        };
        let check = |start, end, rest, expected| {
            let rest = mapping(end, rest, false);
            assert_eq!(is_arena(&mapping(start, end, true), Some(&rest)), expected);
        };
        let at = 5 * ARENA;
        check(at, at + 0x21000, at + ARENA, true);
        check(at, at + ARENA, at + 2 * ARENA, true);
        check(at, at + 0x21000, at + ARENA / 2, false);
        check(at + PAGE, at + 0x21000, at + ARENA, false);
    }

    #[test]
    fn our_own_memory_is_found() {
        let mut memory = vec![1_u8; 8 << 20];
        memory[0] = 2;
        let block = memory.as_ptr() as u64;
        let mut mapped = Mapped::default();
        // As if a call of mmap had made the second half of it.
        let half = (block + (4 << 20)).next_multiple_of(PAGE);
        mapped.map(half, 3 << 20, MapKind::Anonymous, TraceId(7), 1);
        let parts =
            look(std::process::id(), &mapped, [block].into_iter(), "/nowhere").expect("our own memory");
        let part = |wanted: &Owner| parts.iter().find(|(owner, _)| owner == wanted).map(|(_, part)| *part);
        assert_eq!(part(&Owner::Mapped(TraceId(7))).expect("the second half").resident, 3 << 20);
        let malloc = part(&Owner::Malloc).expect("the first half");
        assert!(malloc.resident >= 4 << 20 && malloc.has_blocks, "{malloc:?}");
        assert!(parts.iter().any(|(owner, _)| matches!(owner, Owner::File(path) if path.contains("libc"))));
    }
}
