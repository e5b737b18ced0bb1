//! Columns of 32-bit numbers: millions of them, so that writing and reading takes no branch a number.
//!
//! A column gives all its numbers the bytes that its largest one needs. What repeats in sequences is laid out number
//! by number, as rows: the compressor finds the sequence. What has but a skewed distribution is laid out as planes,
//! the lowest byte of each number, then the next: the compressor sees like beside like. On recordings of Node,
//! Python and git either is up to a third smaller than the other where it is used.

use super::numbers::{Numbers, put};

/// How numbers lie in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All bytes of a number, then those of the next.
    Rows,
    /// The lowest byte of each number, then the next byte of each.
    Planes,
}

/// Appends a column: its number, its length in bytes, the width, the numbers.
pub(super) fn put_column(out: &mut Vec<u8>, column: u8, layout: Layout, values: &[u32]) {
    let all = values.iter().fold(0, |all, value| all | value);
    let width = (4 - all.leading_zeros() as usize / 8).max(1);
    out.push(column);
    put(out, (1 + width * values.len()) as u64);
    out.push(width as u8);
    match layout {
        Layout::Planes => {
            for plane in 0..width {
                out.extend(values.iter().map(|value| (value >> (8 * plane)) as u8));
            }
        }
        Layout::Rows => {
            let start = out.len();
            out.resize(start + width * values.len(), 0);
            match width {
                1 => put_rows::<1>(&mut out[start..], values),
                2 => put_rows::<2>(&mut out[start..], values),
                3 => put_rows::<3>(&mut out[start..], values),
                _ => put_rows::<4>(&mut out[start..], values),
            }
        }
    }
}

fn put_rows<const WIDTH: usize>(out: &mut [u8], values: &[u32]) {
    for (bytes, value) in out.as_chunks_mut::<WIDTH>().0.iter_mut().zip(values) {
        bytes.copy_from_slice(&value.to_le_bytes()[..WIDTH]);
    }
}

/// Reads a column of `count` numbers; `None` if it has another length.
pub(super) fn take_column(bytes: &[u8], layout: Layout, count: usize, out: &mut Vec<u32>) -> Option<()> {
    let mut bytes = Numbers(bytes);
    let width = usize::from(bytes.byte()?);
    let bytes = bytes.0;
    if !(1..=4).contains(&width) || bytes.len() != width.checked_mul(count)? {
        return None;
    }
    out.clear();
    match (layout, width) {
        (_, 1) => out.extend(bytes.iter().map(|&byte| u32::from(byte))),
        (Layout::Rows, 2) => take_rows::<2>(bytes, out),
        (Layout::Rows, 3) => take_rows::<3>(bytes, out),
        (Layout::Rows, _) => take_rows::<4>(bytes, out),
        (Layout::Planes, _) => {
            out.resize(count, 0);
            for (at, plane) in bytes.chunks_exact(count.max(1)).enumerate() {
                out.iter_mut().zip(plane).for_each(|(value, &byte)| *value |= u32::from(byte) << (8 * at));
            }
        }
    }
    Some(())
}

fn take_rows<const WIDTH: usize>(bytes: &[u8], out: &mut Vec<u32>) {
    out.extend(bytes.as_chunks::<WIDTH>().0.iter().map(|bytes| {
        let mut value = [0; 4];
        value[..WIDTH].copy_from_slice(bytes);
        u32::from_le_bytes(value)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u32], width: usize) {
        for layout in [Layout::Rows, Layout::Planes] {
            let mut column = Vec::new();
            put_column(&mut column, 9, layout, values);
            assert_eq!(column[..3], [9, (1 + width * values.len()) as u8, width as u8]);
            let mut read = vec![7];
            assert_eq!(take_column(&column[2..], layout, values.len(), &mut read), Some(()));
            assert_eq!(read, values);
            for wrong in [values.len() + 1, values.len().wrapping_sub(1), usize::MAX / 2] {
                assert_eq!(take_column(&column[2..], layout, wrong, &mut read), None);
            }
        }
    }

    #[test]
    fn numbers_come_back() {
        check(&[], 1);
        check(&[0, 255, 7], 1);
        check(&[1, 256, 0xFFFF], 2);
        check(&[0x1_0000, 5, 0xFF_FFFF], 3);
        check(&[u32::MAX, 0, 0x0102_0304, 1], 4);
        assert_eq!(take_column(&[0], Layout::Rows, 0, &mut Vec::new()), None);
        assert_eq!(take_column(&[5], Layout::Rows, 0, &mut Vec::new()), None);
        assert_eq!(take_column(&[], Layout::Rows, 0, &mut Vec::new()), None);
    }
}
