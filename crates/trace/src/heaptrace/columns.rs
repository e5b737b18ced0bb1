//! Columns of 32-bit numbers: millions of them, so that writing and reading takes no branch a number.
//!
//! A column is `width` planes of bytes: the lowest byte of each number, then the next. The compressor then sees like
//! beside like, and both ways are loops that the compiler makes vectors of.

use super::numbers::{Numbers, put};

/// Appends a column: its number, its length in bytes, the width, the planes.
pub(super) fn put_column(out: &mut Vec<u8>, column: u8, values: &[u32]) {
    let all = values.iter().fold(0, |all, value| all | value);
    let width = (4 - all.leading_zeros() as usize / 8).max(1);
    out.push(column);
    put(out, (1 + width * values.len()) as u64);
    out.push(width as u8);
    for plane in 0..width {
        out.extend(values.iter().map(|value| (value >> (8 * plane)) as u8));
    }
}

/// Reads a column of `count` numbers; `None` if it has another length.
pub(super) fn take_column(bytes: &[u8], count: usize, out: &mut Vec<u32>) -> Option<()> {
    let mut bytes = Numbers(bytes);
    let width = usize::from(bytes.byte()?);
    if !(1..=4).contains(&width) || bytes.0.len() != width.checked_mul(count)? {
        return None;
    }
    let planes = bytes.0;
    out.clear();
    let plane = |at: usize| planes[at * count..(at + 1) * count].iter().map(|&byte| u32::from(byte));
    match width {
        1 => out.extend(plane(0)),
        2 => out.extend(plane(0).zip(plane(1)).map(|(a, b)| a | b << 8)),
        3 => {
            out.extend(plane(0).zip(plane(1)).zip(plane(2)).map(|((a, b), c)| a | b << 8 | c << 16));
        }
        _ => {
            let low = plane(0).zip(plane(1)).map(|(a, b)| a | b << 8);
            let high = plane(2).zip(plane(3)).map(|(a, b)| a | b << 8);
            out.extend(low.zip(high).map(|(low, high)| low | high << 16));
        }
    }
    Some(())
}
