//! The heap profiler of gperftools, as text.
//!
//! ```text
//! heap profile:    203:    1659288 [   300:    1700000] @ heapprofile
//!    103:    1440000 [   103:    1440000] @ 0x401186 0x4011d7
//!
//! MAPPED_LIBRARIES:
//! 00400000-00401000 r-xp 00000000 08:01 131 /srv/shop
//! ```
//!
//! Blocks and bytes in use, those ever allocated in brackets, then return addresses from the leaf on. The last word
//! of the heading says whether all allocations were counted (`heapprofile`, `growthz`, `fragmentationz`), or one in
//! so many bytes (`heap_v2/524288`; `heap/1048576` has twice the number).

use super::lines::{Line, Lines, Wrongs, cost, decimal, hexadecimal, words};
use super::maps::{HEADING, Maps, unsampled};
use super::{Failure, ReadProfile};
use crate::profile::{CostType, ProfileBuilder, ProfileFrame};

/// How a file begins.
pub(super) const START: &[u8] = b"heap profile:";

const STACK: &str = "a line is no stack with its costs";
const ADDRESS: &str = "a stack has an address that is no hexadecimal number";

/// Blocks and bytes in use, blocks and bytes allocated.
type Numbers = [i64; 4];

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    let mut lines = Lines::new(bytes);
    let header = lines.next().and_then(|line| Some((line, split(line.text.strip_prefix(START)?)?)));
    let Some((first, (totals, source))) = header else {
        return Err(Failure::at(0, "its first line has no totals"));
    };
    let period = period(source).ok_or_else(|| {
        let source = String::from_utf8_lossy(source.trim_ascii()).into_owned();
        Failure::at(first.offset, format!("`{source}` is no kind of heap profile that is known"))
    })?;
    // A sampling allocator writes what is in use a second time where it has not counted allocations.
    let [in_use, in_use_bytes, all, all_bytes] = totals;
    let is_copy = (all == in_use || all == 0) && (all_bytes == in_use_bytes || all_bytes == 0);
    let is_counted = source.trim_ascii() == b"heapprofile" || !is_copy;

    let mut columns = vec![CostType::LiveBlocks, CostType::LiveBytes];
    if is_counted {
        columns.extend([CostType::Allocations, CostType::AllocatedBytes]);
    }
    columns.sort_unstable();
    let mut builder = ProfileBuilder::for_file(&columns, bytes.len());
    let mut wrongs = Wrongs::default();
    let mut maps = Maps::default();
    let mut stacks: Vec<Line<'_>> = Vec::new();
    let mut is_in_maps = false;
    for line in lines {
        if is_in_maps {
            maps.line(line.text, &mut builder);
        } else if line.text == HEADING {
            is_in_maps = true;
        } else if !line.text.trim_ascii().is_empty() && !line.text.starts_with(b"#") {
            // Go's form of it has names in comments.
            stacks.push(line);
        }
    }
    // The mappings come last, and each address needs one.
    let maps = maps.finish();
    for line in stacks {
        let Some((numbers, addresses)) = split(line.text) else {
            wrongs.add(line, STACK);
            continue;
        };
        let Some(frames) = frames(addresses, &maps, &builder) else {
            wrongs.add(line, ADDRESS);
            continue;
        };
        let stack = builder.stack(&frames)?;
        let (blocks, bytes) = unsampled(numbers[0], numbers[1], period);
        let (all, all_bytes) = unsampled(numbers[2], numbers[3], period);
        let values = [all, all_bytes, blocks, bytes];
        builder.sample(stack, 0, if is_counted { &values } else { &values[2..] });
    }
    builder.profile.meta.mappings = maps.into_mappings();
    builder.profile.meta.sampling_period = Some(period);
    Ok(ReadProfile { profile: builder.profile, damage: wrongs.finish(), notes: Vec::new() })
}

/// Return addresses, leaf first, as frames.
pub(super) fn frames(addresses: &[u8], maps: &Maps, builder: &ProfileBuilder) -> Option<Vec<ProfileFrame>> {
    words(addresses).map(|word| Some(maps.frame(hexadecimal(word)?, builder))).collect()
}

/// `BLOCKS: BYTES [BLOCKS: BYTES] @ REST`; the brackets may be missing.
pub(super) fn split(text: &[u8]) -> Option<(Numbers, &[u8])> {
    let at = memchr::memchr(b'@', text)?;
    Some((numbers(&text[..at])?, &text[at + 1..]))
}

/// `BLOCKS: BYTES [BLOCKS: BYTES]`; the brackets may be missing.
pub(super) fn numbers(text: &[u8]) -> Option<Numbers> {
    let mut found = [0; 4];
    let mut count = 0;
    let separators = |byte: &u8| matches!(byte, b' ' | b'\t' | b':' | b'[' | b']');
    for word in text.split(separators).filter(|word| !word.is_empty()) {
        *found.get_mut(count)? = cost(decimal(word)?);
        count += 1;
    }
    (count == 4 || count == 2).then_some(found)
}

/// Bytes between two samples.
fn period(source: &[u8]) -> Option<u64> {
    let source = source.trim_ascii();
    let (kind, rate) = match memchr::memchr(b'/', source) {
        Some(at) => (&source[..at], decimal(&source[at + 1..])?),
        None => (source, 1),
    };
    match kind {
        b"heapprofile" | b"growthz" | b"growth" | b"fragmentationz" => Some(1),
        b"heap_v2" | b"heapz_v2" => Some(rate),
        b"heap" => Some((rate / 2).max(1)),
        _ => None,
    }
}
