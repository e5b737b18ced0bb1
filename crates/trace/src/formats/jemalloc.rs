//! jemalloc's heap profiles, `heap_v2`.
//!
//! ```text
//! heap_v2/524288
//!   t*: 3: 1572864 [0: 0]
//!   t0: 3: 1572864 [0: 0]
//! @ 0x401186 0x4011d7
//!   t*: 1: 524288 [0: 0]
//!   t0: 1: 524288 [0: 0]
//!
//! MAPPED_LIBRARIES:
//! 00400000-00401000 r-xp 00000000 08:01 131 /srv/shop
//! ```
//!
//! The number of the heading is the sampling period in bytes; numbers in the file are those of samples. `t*` is the
//! sum over threads. What was ever allocated stands in brackets, and is 0 throughout unless jemalloc was told to
//! count it. Addresses are return addresses, the leaf's first.

use super::gperftools::{frames, numbers};
use super::lines::{Line, Lines, Wrongs, decimal};
use super::maps::{HEADING, Maps, unsampled};
use super::{Failure, ReadProfile};
use crate::profile::{CostType, ProfileBuilder};

/// How a file begins.
pub(super) const START: &[u8] = b"heap_v2/";

const COSTS: &str = "a line has no costs of threads";
const ADDRESS: &str = "a stack has an address that is no hexadecimal number";
const NO_COSTS: &str = "a stack has no costs";
const UNKNOWN: &str = "a line is none of jemalloc's";

/// A stack and its sum over threads, as the file has them.
struct Stack<'a> {
    line: Line<'a>,
    numbers: Option<[i64; 4]>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ReadProfile, Failure> {
    let mut lines = Lines::new(bytes);
    let period = lines.next().and_then(|line| decimal(line.text.strip_prefix(START)?.trim_ascii()));
    let Some(period) = period else {
        return Err(Failure::at(0, "its first line has no sampling period"));
    };
    let mut wrongs = Wrongs::default();
    let mut maps = Maps::default();
    let mut stacks: Vec<Stack<'_>> = Vec::new();
    let mut map_lines = Vec::new();
    let mut is_in_maps = false;
    for line in lines {
        let text = line.text.trim_ascii();
        if is_in_maps {
            map_lines.push(line.text);
        } else if text == HEADING {
            is_in_maps = true;
        } else if text.starts_with(b"@") {
            stacks.push(Stack { line, numbers: None });
        } else if let Some(sum) = text.strip_prefix(b"t*:") {
            match (numbers(sum), stacks.last_mut()) {
                (None, _) => wrongs.add(line, COSTS),
                // Before the first stack: the sum over stacks.
                (Some(_), None) => {}
                (found, Some(stack)) => stack.numbers = found,
            }
        } else if !text.is_empty() && !text.starts_with(b"t") {
            wrongs.add(line, UNKNOWN);
        }
    }
    let is_counted = stacks.iter().any(|stack| stack.numbers.is_some_and(|[_, _, all, _]| all > 0));
    let mut columns = Vec::new();
    if is_counted {
        columns.extend([CostType::Allocations, CostType::AllocatedBytes]);
    }
    columns.extend([CostType::LiveBlocks, CostType::LiveBytes]);
    let mut builder = ProfileBuilder::for_file(&columns, bytes.len());
    map_lines.into_iter().for_each(|line| maps.line(line, &mut builder));
    let maps = maps.finish();
    for Stack { line, numbers } in stacks {
        let Some([blocks, bytes, all, all_bytes]) = numbers else {
            wrongs.add(line, NO_COSTS);
            continue;
        };
        let addresses = &line.text.trim_ascii()[1..];
        let Some(frames) = frames(addresses, &maps, &builder) else {
            wrongs.add(line, ADDRESS);
            continue;
        };
        let stack = builder.stack(&frames)?;
        // Each stack by itself, before anything is summed: the estimate is not linear.
        let (blocks, bytes) = unsampled(blocks, bytes, period);
        let (all, all_bytes) = unsampled(all, all_bytes, period);
        let values = [all, all_bytes, blocks, bytes];
        builder.sample(stack, 0, if is_counted { &values } else { &values[2..] });
    }
    builder.profile.meta.mappings = maps.into_mappings();
    builder.profile.meta.sampling_period = Some(period);
    Ok(ReadProfile { profile: builder.profile, damage: wrongs.finish(), notes: Vec::new() })
}
