//! Integers: variable-length ones for what is rare, columns of bytes for what there are millions of.

/// Appends a number in groups of seven bits, the lowest first: LEB128.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A difference as a number: small ones of either sign are small.
#[inline]
pub(super) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The difference that [`zigzag`] made a number of.
#[inline]
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a difference.
#[inline]
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

/// Appends bytes with their length in front.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What was not read yet of a payload.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl<'a> Numbers<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next number; `None` at the end, or if it has more than 64 bits.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(u64::from(first));
        }
        self.long()
    }

    fn long(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7F);
            if at == 9 && byte > 1 {
                return None;
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    /// The next number, if it fits 32 bits.
    #[inline]
    pub(super) fn short(&mut self) -> Option<u32> {
        self.next().and_then(|value| u32::try_from(value).ok())
    }

    /// The next difference.
    #[inline]
    pub(super) fn signed(&mut self) -> Option<i64> {
        self.next().map(unzigzag)
    }

    /// As many bytes.
    pub(super) fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok().filter(|&len| len <= self.0.len())?;
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// Bytes with their length in front.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.next()?;
        self.take(len)
    }
}
