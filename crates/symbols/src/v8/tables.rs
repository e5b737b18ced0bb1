//! V8's tables from places in code to places in bytecode and in source, decoded.

/// From offsets in bytecode to positions in the source: V8's `SourcePositionTableIterator`
/// (src/codegen/source-position-table.cc). Entries are differences, numbers are zigzag in bytes of seven bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourcePositions(Vec<(i32, i32)>);

impl SourcePositions {
    /// Decodes the table of so many bytes of bytecode; `None` if it is cut off, or leads out of the bytecode.
    ///
    /// V8 14 has a bit more in each offset. In Node 26 it is set in every entry that was ever seen; offsets that are
    /// read in the other way come out twice as large, and lead out of the bytecode, since the last entry is that of its
    /// end.
    pub(super) fn decode(bytes: &[u8], length: usize) -> Option<SourcePositions> {
        let plain = SourcePositions::read(bytes, 0).filter(|table| table.fits(length));
        plain.or_else(|| SourcePositions::read(bytes, 1).filter(|table| table.fits(length)))
    }

    fn read(bytes: &[u8], more_bits: u32) -> Option<SourcePositions> {
        let mut rest = bytes;
        // The entry of a function has offset -1.
        let (mut offset, mut position) = (-1i64, 0i64);
        let mut all = Vec::new();
        while !rest.is_empty() {
            let step = signed(&mut rest)?;
            // The sign tells statements and expressions apart.
            let step = if step >= 0 { step } else { -(step + 1) };
            offset = offset.checked_add(step >> more_bits)?;
            position = position.checked_add(signed(&mut rest)?)?;
            all.push((i32::try_from(offset).ok()?, i32::try_from(position).ok()?));
        }
        all.shrink_to_fit();
        Some(SourcePositions(all))
    }

    fn fits(&self, length: usize) -> bool {
        self.0.last().is_none_or(|&(offset, _)| i64::from(offset) < length as i64)
    }

    /// Position in the source, in characters, of the bytecode at an offset.
    pub(super) fn at(&self, offset: i64) -> Option<u32> {
        let behind = self.0.partition_point(|entry| i64::from(entry.0) <= offset);
        let (_, position) = *self.0.get(behind.checked_sub(1)?)?;
        // V8's `SourcePosition`: a bit for positions outside of scripts, then the position plus one in 30 bits.
        if position & 1 != 0 {
            return None;
        }
        ((position >> 1 & 0x3fff_ffff) as u32).checked_sub(1)
    }
}

/// From offsets in baseline code to offsets in bytecode: V8's `BytecodeOffsetIterator`
/// (src/baseline/bytecode-offset-iterator.h). The table has the length of the code of each instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BaselineOffsets(Vec<(u64, i64)>);

impl BaselineOffsets {
    /// Decodes a table for these instructions; `sizes` as in `Layout`.
    pub(super) fn decode(table: &[u8], bytecodes: &[u8], sizes: &[Vec<u8>; 3]) -> Option<BaselineOffsets> {
        let mut rest = table;
        // The prologue.
        let mut end = unsigned(&mut rest)?;
        let mut all = vec![(end, -1)];
        let mut at = 0usize;
        // Tables may be filled up with zeros.
        while !rest.is_empty() && at < bytecodes.len() {
            end = end.checked_add(unsigned(&mut rest)?)?;
            all.push((end, at as i64));
            at += instruction(bytecodes.get(at..)?, sizes)?;
        }
        Some(BaselineOffsets(all))
    }

    /// Offset of the bytecode whose code ends at or behind `pc`, which is a return address less the code's start;
    /// -1 in the prologue.
    pub(super) fn at(&self, pc: u64) -> Option<i64> {
        let at = self.0.partition_point(|entry| entry.0 < pc);
        self.0.get(at).map(|entry| entry.1)
    }
}

/// Bytes of the instruction at the start, with its prefix.
fn instruction(bytecodes: &[u8], sizes: &[Vec<u8>; 3]) -> Option<usize> {
    // `Wide`, `ExtraWide`, and what a debugger puts in their place.
    let scale = match bytecodes.first()? {
        0 | 2 => 1,
        1 | 3 => 2,
        _ => 0,
    };
    let prefix = usize::from(scale != 0);
    let size = sizes[scale].get(usize::from(*bytecodes.get(prefix)?))?;
    Some(prefix + usize::from(*size))
}

fn unsigned(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn signed(rest: &mut &[u8]) -> Option<i64> {
    let value = unsigned(rest)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// Where lines of a script end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineEnds(Vec<u32>);

impl LineEnds {
    /// Of a text of characters. V8's `String::CalculateLineEnds` takes these for ends of lines.
    pub(super) fn of(text: impl Iterator<Item = u16>) -> LineEnds {
        let mut ends = Vec::new();
        let mut text = text.peekable();
        let mut at = 0u32;
        while let Some(character) = text.next() {
            match character {
                0x0d if text.peek() == Some(&0x0a) => {}
                0x0a | 0x0d | 0x2028 | 0x2029 => ends.push(at),
                _ => {}
            }
            at += 1;
        }
        ends.push(at);
        ends.shrink_to_fit();
        LineEnds(ends)
    }

    /// Line and column of a position, both from 0; `None` behind the end.
    pub(super) fn at(&self, position: u32) -> Option<(u32, u32)> {
        let line = self.0.partition_point(|&end| end < position);
        let start = line.checked_sub(1).map_or(0, |before| self.0[before] + 1);
        (line < self.0.len()).then(|| (line as u32, position - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_entry_before() {
        // (0, statement, 10), (5, expression, 20), (9, statement, 15); positions are doubled, plus two.
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u8;
        // As until V8 13, and with the bit of V8 14.
        for steps in [[1, 5, 4], [3, 11, 9]] {
            let bytes = [steps[0], 22, -(steps[1] + 1), 20, steps[2], -10].map(zigzag);
            let table = SourcePositions::decode(&bytes, 10).expect("a table");
            let check = |offset, expected| assert_eq!(table.at(offset), expected, "{offset}");
            check(-1, None);
            check(0, Some(10));
            check(4, Some(10));
            check(5, Some(20));
            check(8, Some(20));
            check(9, Some(15));
            check(1000, Some(15));
            assert_eq!(SourcePositions::decode(&bytes, 2), None);
        }
        assert_eq!(SourcePositions::decode(&[0x80], 10), None);
        assert_eq!(SourcePositions::decode(&[2], 10), None);
    }

    #[test]
    fn baseline_code_follows_the_bytecode() {
        let mut sizes = [vec![1; 200], vec![1; 200], vec![1; 200]];
        sizes[0][50] = 3;
        sizes[1][50] = 5;
        // 3 bytes, one byte, a prefix and five bytes, one byte.
        let bytecodes = [50, 9, 9, 60, 0, 50, 9, 9, 9, 9, 60];
        let table = BaselineOffsets::decode(&[20, 10, 4, 0x80, 1, 7], &bytecodes, &sizes).expect("a table");
        let check = |pc, expected| assert_eq!(table.at(pc), expected, "{pc}");
        check(1, Some(-1));
        check(20, Some(-1));
        check(21, Some(0));
        check(30, Some(0));
        check(34, Some(3));
        check(35, Some(4));
        check(162, Some(4));
        check(163, Some(10));
        check(169, Some(10));
        check(170, None);
        assert_eq!(BaselineOffsets::decode(&[20, 10, 4], &[250, 1], &sizes), None);
    }

    #[test]
    fn lines_end_where_v8_says() {
        let check = |text: &str, position, expected| {
            assert_eq!(LineEnds::of(text.encode_utf16()).at(position), expected, "{text:?} {position}");
        };
        check("ab\ncd", 0, Some((0, 0)));
        check("ab\ncd", 2, Some((0, 2)));
        check("ab\ncd", 3, Some((1, 0)));
        check("ab\r\ncd", 4, Some((1, 0)));
        check("ab\rcd", 3, Some((1, 0)));
        check("a\u{2028}b", 2, Some((1, 0)));
        check("ab", 2, Some((0, 2)));
        check("ab", 3, None);
        check("", 0, Some((0, 0)));
    }
}
