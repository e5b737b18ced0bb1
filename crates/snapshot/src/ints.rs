//! The integer kernel: digits to numbers at memory speed.
//!
//! More than nine tenths of a snapshot are two flat arrays of small unsigned integers. For each 64-byte block the
//! kernel makes one bit mask of the digits; the edges of the runs of ones are the ends and starts of numbers, so
//! finding the next number costs two bit operations and no branch on its length. The value is computed from the
//! eight bytes before its end, with the bytes before its start masked off, by three multiplications (the SWAR
//! method of Lemire and Mula, "Quickly parsing eight digits", 2018).
//!
//! The scanner can stop after any byte and go on with the next chunk.

/// Bytes of a block: one bit each in a mask.
const BLOCK: usize = 64;

/// The fast path reads up to 16 bytes before the end of a number.
const LOOK_BACK: usize = 16;

/// Most numbers a block can end.
const MOST_PER_BLOCK: usize = BLOCK / 2 + 1;

/// Why a scan stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All input is used.
    NeedInput,
    /// No room for more numbers.
    OutputFull,
    /// The closing bracket, which is consumed.
    End,
    /// A byte that belongs in no array of numbers; it is not consumed.
    Unexpected(u8),
}

/// Result of one [`IntScanner::scan`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    pub(crate) stop: Stop,
}

/// State between two chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IntScanner {
    /// The value so far of a number that the last chunk cut in two.
    partial: Option<u64>,
    /// A minus sign stands in front of the number that comes or is under way.
    is_negative: bool,
    /// Numbers finished.
    numbers: u64,
    /// Commas seen. A well-formed array has one fewer than numbers.
    commas: u64,
    /// A number beyond 64 bits was seen, which reads as `u64::MAX`, or a sign that makes no sense.
    overflowed: bool,
}

impl IntScanner {
    /// True if numbers and commas alternate as they should, judged at the end of the array.
    pub(crate) fn is_balanced(&self) -> bool {
        self.commas == self.numbers.saturating_sub(1) && !self.overflowed
    }

    /// Adds the counts of a scanner that read the stretch behind this one.
    pub(crate) fn join(&mut self, next: &IntScanner) {
        self.partial = next.partial;
        self.is_negative = next.is_negative;
        self.numbers += next.numbers;
        self.commas += next.commas;
        self.overflowed |= next.overflowed;
    }

    /// True if the last chunk ended inside a number.
    pub(crate) fn in_number(&self) -> bool {
        self.partial.is_some()
    }

    /// Numbers that end before the last of the next `commas` commas, if commas and numbers alternate so far.
    pub(crate) fn until_comma(&self, commas: u64) -> Option<u64> {
        (self.commas + commas).checked_sub(self.numbers)
    }

    /// Reads numbers from `input` to `out`.
    pub(crate) fn scan(&mut self, input: &[u8], out: &mut [u64]) -> Scan {
        let mut at = 0;
        let mut produced = 0;
        loop {
            if produced > 0 && produced + MOST_PER_BLOCK > out.len() && input.len() - at > BLOCK {
                // Emptying the buffer is cheaper than filling its last places byte by byte.
                return Scan { consumed: at, produced, stop: Stop::OutputFull };
            }
            if at >= LOOK_BACK && self.partial.is_none() && !self.is_negative {
                self.fast(input, &mut at, out, &mut produced);
            }
            // The slow path takes a few bytes: up to where the fast one can work, or to what stopped it.
            let until = (at + BLOCK).min(input.len());
            if let Some(stop) = self.slow(input, &mut at, until, out, &mut produced) {
                return Scan { consumed: at, produced, stop };
            }
            if at == input.len() {
                return Scan { consumed: at, produced, stop: Stop::NeedInput };
            }
        }
    }

    /// Whole blocks of nothing but digits, commas and white space. Leaves `at` behind the last number it finished,
    /// or in front of a block that it can't handle.
    fn fast(&mut self, input: &[u8], at: &mut usize, out: &mut [u64], produced: &mut usize) {
        #[cfg(target_arch = "x86_64")]
        if has_bit_instructions() {
            #[expect(
                unsafe_code,
                reason = "calls a function compiled for instructions that were just detected"
            )]
            // SAFETY: the processor has the instructions the function is compiled for.
            unsafe {
                self.fast_with_bit_instructions(input, at, out, produced);
            }
            return;
        }
        self.fast_blocks(input, at, out, produced, convert);
    }

    /// The same code with one instruction for each bit operation: a third fewer of them in all.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt,avx2")]
    fn fast_with_bit_instructions(
        &mut self,
        input: &[u8],
        at: &mut usize,
        out: &mut [u64],
        produced: &mut usize,
    ) {
        self.fast_blocks(input, at, out, produced, |digits| convert_four_at_once(digits));
    }

    #[inline(always)]
    fn fast_blocks(
        &mut self,
        input: &[u8],
        at: &mut usize,
        out: &mut [u64],
        produced: &mut usize,
        convert: impl Fn(&mut [u64]),
    ) {
        let mut base = *at;
        let mut made = *produced;
        // Numbers of more than eight digits, by their place: `convert` does not know them.
        let mut long: Vec<(usize, u64)> = Vec::new();
        // One if the byte before `base` is a digit of a number that goes on.
        let mut carry = 0u64;
        let mut start = base;
        while base + BLOCK <= input.len() && made + MOST_PER_BLOCK <= out.len() {
            let Some(block) = input[base..].first_chunk::<BLOCK>() else { break };
            let (digits, commas) = masks(block);
            let others = !(digits | commas);
            if others != 0 && others != spaces(block) {
                break;
            }
            let shifted = digits << 1 | carry;
            let mut ends = !digits & shifted;
            let mut starts = digits & !shifted;
            if carry == 0 {
                start = base + starts.trailing_zeros() as usize;
                starts &= starts.wrapping_sub(1);
            }
            self.commas += u64::from(commas.count_ones());
            self.numbers += u64::from(ends.count_ones());
            while ends != 0 {
                let end = base + ends.trailing_zeros() as usize;
                ends &= ends - 1;
                let (digits, is_long) = last_digits(input, start, end);
                out[made] = digits;
                if is_long {
                    long.push((made, self.long_number(input, start, end)));
                }
                made += 1;
                start = base + starts.trailing_zeros() as usize;
                starts &= starts.wrapping_sub(1);
            }
            carry = digits >> (BLOCK - 1);
            base += BLOCK;
        }
        convert(&mut out[*produced..made]);
        for (place, value) in long {
            out[place] = value;
        }
        // A number that reaches into the next block is left to whoever goes on there.
        *at = if carry == 1 { start } else { base };
        *produced = made;
    }

    /// A number of more than eight digits, with at least [`LOOK_BACK`] bytes before `end`.
    #[inline(never)]
    fn long_number(&mut self, input: &[u8], start: usize, end: usize) -> u64 {
        let len = end - start;
        if len <= 16 {
            let high = eight_before(input, end - 8) & (u64::MAX << (64 - 8 * (len - 8)));
            return swar(high) * 100_000_000 + swar(eight_before(input, end));
        }
        let mut value = 0;
        for &digit in &input[start..end] {
            value = self.push_digit(value, digit);
        }
        value
    }

    fn push_digit(&mut self, value: u64, digit: u8) -> u64 {
        match value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0'))) {
            Some(value) => value,
            None => {
                self.overflowed = true;
                u64::MAX
            }
        }
    }

    /// What V8 meant by a negative number: it prints the index of an element through a signed 32-bit integer, so
    /// the element 4294967294 of a sparse array is written `-2`.
    fn unsign(&mut self, value: u64) -> u64 {
        match (1u64 << 32).checked_sub(value) {
            Some(index) if value > 0 && value <= 1 << 31 => index,
            _ => {
                self.overflowed = true;
                value
            }
        }
    }

    /// Byte by byte up to `until`; `Some` if the scan must stop.
    fn slow(
        &mut self,
        input: &[u8],
        at: &mut usize,
        until: usize,
        out: &mut [u64],
        produced: &mut usize,
    ) -> Option<Stop> {
        while *at < until {
            let byte = input[*at];
            if byte.is_ascii_digit() {
                let value = self.push_digit(self.partial.unwrap_or(0), byte);
                self.partial = Some(value);
                *at += 1;
                continue;
            }
            if let Some(value) = self.partial {
                if *produced == out.len() {
                    return Some(Stop::OutputFull);
                }
                out[*produced] = if self.is_negative { self.unsign(value) } else { value };
                *produced += 1;
                self.numbers += 1;
                self.partial = None;
                self.is_negative = false;
                if *at >= LOOK_BACK && until - *at >= BLOCK / 2 {
                    // Between two numbers, with most of a block ahead: the fast path can take over.
                    return None;
                }
            }
            match byte {
                b',' => {
                    self.commas += 1;
                    // A sign without a number must not reach the next one, which may be another thread's.
                    self.overflowed |= self.is_negative;
                    self.is_negative = false;
                }
                b' ' | b'\n' | b'\r' | b'\t' => {}
                b'-' if !self.is_negative => self.is_negative = true,
                b']' => {
                    *at += 1;
                    return Some(Stop::End);
                }
                other => return Some(Stop::Unexpected(other)),
            }
            *at += 1;
            if *produced == out.len() && *at < input.len() && input[*at] != b']' {
                return Some(Stop::OutputFull);
            }
        }
        None
    }
}

/// True on every x86-64 processor since 2013 (Haswell) or 2015 (Excavator).
#[cfg(target_arch = "x86_64")]
#[inline]
fn has_bit_instructions() -> bool {
    is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("avx2")
}

/// The last eight digits of the number in `input[start..end]` as they stand, with zero bytes in front of a shorter
/// one, and whether there are more. There must be [`LOOK_BACK`] bytes before `end`.
#[inline(always)]
fn last_digits(input: &[u8], start: usize, end: usize) -> (u64, bool) {
    let len = end - start;
    debug_assert!((LOOK_BACK..=input.len()).contains(&end));
    #[expect(
        unsafe_code,
        reason = "the one load of the kernel; its bounds checks cost a tenth of the kernel"
    )]
    // SAFETY: the fast path starts at `LOOK_BACK` at the earliest and handles whole blocks, so that
    // `8 < LOOK_BACK <= end <= input.len()`; the load needs no alignment.
    let low = u64::from_le(unsafe { input.as_ptr().add(end - 8).cast::<u64>().read_unaligned() });
    (low & (u64::MAX << (64 - 8 * len.min(8))), len > 8)
}

/// Digits to numbers, in place.
fn convert(digits: &mut [u64]) {
    for number in digits {
        *number = swar(*number);
    }
}

/// [`convert`] with vector instructions: the same three steps, pairs to two digits, to four, to eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn convert_four_at_once(digits: &mut [u64]) {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_mul_epu32, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_set1_epi64x, _mm256_srli_epi64, _mm256_storeu_si256,
    };
    // Low byte or word first: ten times the first of each pair, a hundred times, ten thousand times.
    let (low_bits, tens) = (_mm256_set1_epi8(0x0F), _mm256_set1_epi16(0x010A));
    let (hundreds, thousands) = (_mm256_set1_epi32(0x0001_0064), _mm256_set1_epi64x(10_000));
    let mut fours = digits.chunks_exact_mut(4);
    for four in &mut fours {
        let place = four.as_mut_ptr().cast::<__m256i>();
        #[expect(unsafe_code, reason = "vector loads and stores")]
        // SAFETY: a chunk has exactly the 32 bytes of a vector; neither access needs alignment.
        unsafe {
            let bytes = _mm256_and_si256(_mm256_loadu_si256(place), low_bits);
            let words = _mm256_maddubs_epi16(bytes, tens);
            let halves = _mm256_madd_epi16(words, hundreds);
            let high = _mm256_mul_epu32(halves, thousands);
            _mm256_storeu_si256(place, _mm256_add_epi64(high, _mm256_srli_epi64::<32>(halves)));
        }
    }
    convert(fours.into_remainder());
}

#[inline(always)]
fn eight_before(input: &[u8], end: usize) -> u64 {
    match input[..end].last_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// Eight ASCII digits, the first in the lowest byte, to a number; zero bytes count as the digit 0.
#[inline(always)]
fn swar(digits: u64) -> u64 {
    let v = digits & 0x0F0F_0F0F_0F0F_0F0F;
    let v = (v.wrapping_mul(2561) >> 8) & 0x00FF_00FF_00FF_00FF;
    let v = (v.wrapping_mul(6_553_601) >> 16) & 0x0000_FFFF_0000_FFFF;
    v.wrapping_mul(42_949_672_960_001) >> 32
}

/// Bit masks of the digits and of the commas of a block, lowest bit first.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "SSE2 loads; the instruction set is part of x86-64")]
fn masks(block: &[u8; BLOCK]) -> (u64, u64) {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8,
        _mm_sub_epi8,
    };
    let mut digits = 0;
    let mut commas = 0;
    for quarter in 0..4 {
        // SAFETY: SSE2 is part of the x86-64 baseline, and `quarter * 16 + 16 <= 64` bytes are in the block;
        // the load needs no alignment.
        unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().add(quarter * 16).cast::<__m128i>());
            let value = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
            let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value);
            let is_comma = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b',' as i8));
            digits |= u64::from(_mm_movemask_epi8(is_digit) as u16) << (quarter * 16);
            commas |= u64::from(_mm_movemask_epi8(is_comma) as u16) << (quarter * 16);
        }
    }
    (digits, commas)
}

/// Bit masks of the digits and of the commas of a block, lowest bit first.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn masks(block: &[u8; BLOCK]) -> (u64, u64) {
    masks_portable(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn masks_portable(block: &[u8; BLOCK]) -> (u64, u64) {
    let mut digits = 0;
    let mut commas = 0;
    for (i, &byte) in block.iter().enumerate() {
        digits |= u64::from(byte.is_ascii_digit()) << i;
        commas |= u64::from(byte == b',') << i;
    }
    (digits, commas)
}

/// Bit mask of JSON's white space. Only files up to Node 22 have any, one line break a record.
fn spaces(block: &[u8; BLOCK]) -> u64 {
    let mut mask = 0;
    for (i, &byte) in block.iter().enumerate() {
        mask |= u64::from(matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) << i;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `text` cut into chunks of `chunk` bytes, with room for `room` numbers a call.
    fn scan_all(text: &[u8], chunk: usize, room: usize) -> (Vec<u64>, Stop, bool) {
        let mut scanner = IntScanner::default();
        let mut numbers = Vec::new();
        let mut out = vec![0; room];
        let mut at = 0;
        loop {
            let end = (at + chunk).min(text.len());
            let scan = scanner.scan(&text[at..end], &mut out);
            numbers.extend_from_slice(&out[..scan.produced]);
            at += scan.consumed;
            let done = match scan.stop {
                Stop::NeedInput => at == text.len(),
                Stop::OutputFull => false,
                Stop::End | Stop::Unexpected(_) => true,
            };
            if done {
                return (numbers, scan.stop, scanner.is_balanced());
            }
        }
    }

    #[track_caller]
    fn check(text: &str, want: &[u64], stop: Stop, balanced: bool) {
        for chunk in [1, 2, 3, 7, 16, 63, 64, 65, 200, text.len().max(1)] {
            for room in [1, 2, MOST_PER_BLOCK, 4096] {
                let (numbers, stopped, is_balanced) = scan_all(text.as_bytes(), chunk, room);
                assert_eq!(numbers, want, "chunk {chunk}, room {room}");
                assert_eq!(stopped, stop, "chunk {chunk}, room {room}");
                assert_eq!(is_balanced, balanced, "chunk {chunk}, room {room}");
            }
        }
    }

    /// Numbers of every length from 1 to 20 digits, in a fixed pseudo-random order.
    fn sample(count: usize) -> Vec<u64> {
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state >> (state % 64)
            })
            .collect()
    }

    #[test]
    fn every_separator_style_reads_the_same() {
        let numbers = sample(500);
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        check(&format!("{}]", words.join(",")), &numbers, Stop::End, true);
        check(&format!("{}\n]", words.join("\n,")), &numbers, Stop::End, true);
        check(&format!(" {} \r\n]", words.join(" ,\t")), &numbers, Stop::End, true);
    }

    #[test]
    fn ends_are_found() {
        check("]", &[], Stop::End, true);
        check("7]", &[7], Stop::End, true);
        let long = format!("{}12", "1,".repeat(100));
        let mut want = vec![1; 100];
        // The last number is not finished: its remaining digits may be missing.
        check(&long, &want, Stop::NeedInput, false);
        want.push(12);
        check(&format!("{long}x"), &want, Stop::Unexpected(b'x'), true);
    }

    #[test]
    fn indices_that_v8_printed_as_negative_are_large() {
        let text = format!("{},-2,5,-2147483648\n,-1]", vec!["7"; 80].join(","));
        let mut want = vec![7; 80];
        want.extend([4_294_967_294, 5, 2_147_483_648, 4_294_967_295]);
        check(&text, &want, Stop::End, true);
        check("-]", &[], Stop::End, true);
        check("--1]", &[], Stop::Unexpected(b'-'), true);
        check("-2147483649]", &[2_147_483_649], Stop::End, false);
        check("7-,5]", &[7, 5], Stop::End, false);
        check("-,5,- 5]", &[5, 4_294_967_291], Stop::End, false);
    }

    #[test]
    fn doubtful_lists_are_noticed() {
        check("1,,2]", &[1, 2], Stop::End, false);
        check("1 2]", &[1, 2], Stop::End, false);
        check("18446744073709551616]", &[u64::MAX], Stop::End, false);
        let many = format!("{}]", vec!["99999999999999999999999"; 40].join(","));
        check(&many, &[u64::MAX; 40], Stop::End, false);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_conversions_agree() {
        let digits =
            |number: u64| u64::from_le_bytes(format!("{number:08}").into_bytes().try_into().unwrap());
        let numbers: Vec<u64> =
            sample(1000).into_iter().map(|n| n % 100_000_000).chain([0, 99_999_999]).collect();
        let raw: Vec<u64> = numbers.iter().map(|&n| digits(n)).collect();
        let mut plain = raw.clone();
        convert(&mut plain);
        assert_eq!(plain, numbers);
        if has_bit_instructions() {
            for from in 0..5 {
                let mut vectors = raw[from..].to_vec();
                #[expect(unsafe_code, reason = "the processor was asked")]
                // SAFETY: the instructions were just detected.
                unsafe {
                    convert_four_at_once(&mut vectors);
                }
                assert_eq!(vectors, numbers[from..]);
            }
        }
    }

    #[test]
    fn both_mask_functions_agree() {
        let mut block = [0u8; BLOCK];
        for byte in 0..=255u8 {
            for (i, slot) in block.iter_mut().enumerate() {
                *slot = byte.wrapping_add((i * 37) as u8);
            }
            assert_eq!(masks(&block), masks_portable(&block));
        }
    }
}
