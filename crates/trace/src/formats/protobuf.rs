//! The wire format of protocol buffers, as far as pprof needs it.
//!
//! By hand and not by a crate: it is one page, it needs no compiler for `.proto` files and no derived code, and errors
//! keep the byte offset, which generated decoders don't.

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// Byte offset of the field in the file.
    pub(super) offset: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// A string, a message, or packed numbers, and where they begin.
    Bytes(&'a [u8], usize),
    /// Of fixed size: nothing that pprof uses.
    Fixed,
}

/// The wire format is broken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) offset: usize,
    pub(super) what: &'static str,
}

/// The fields of a message in their order.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the message begins in the file.
    base: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        Fields { bytes, at: 0, base }
    }

    fn broken(&self, what: &'static str) -> Broken {
        Broken { offset: self.base + self.at, what }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let (value, len) =
            varint(&self.bytes[self.at..]).ok_or(self.broken("a number has no end, or more than 64 bits"))?;
        self.at += len;
        Ok(value)
    }

    fn skip(&mut self, len: u64) -> Result<&'a [u8], Broken> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let taken = taken.ok_or(self.broken("a field is longer than what is left"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'a>, Broken> {
        let offset = self.base + self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                let start = self.base + self.at;
                Value::Bytes(self.skip(len)?, start)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            _ => return Err(Broken { offset, what: "a field has a type that does not exist" }),
        };
        Ok(Field { number: key >> 3, value, offset })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

/// A number and the bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7F);
        if at == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Adds the numbers of a repeated field: one, or several packed.
pub(super) fn numbers(field: &Field<'_>, out: &mut Vec<u64>) -> Result<(), Broken> {
    match field.value {
        Value::Varint(value) => out.push(value),
        Value::Bytes(bytes, start) => {
            let mut fields = Fields::new(bytes, start);
            while fields.at < bytes.len() {
                out.push(fields.varint()?);
            }
        }
        Value::Fixed => return Err(Broken { offset: field.offset, what: "a number has a fixed size" }),
    }
    Ok(())
}

/// Writes a message.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number; 0 is what a missing one means.
    pub(super) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.raw(field << 3);
            self.raw(value);
        }
    }

    /// A number with a sign, in two's complement.
    pub(super) fn signed(&mut self, field: u64, value: i64) {
        self.number(field, value.cast_unsigned());
    }

    pub(super) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.raw(field << 3 | 2);
        self.raw(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    pub(super) fn packed(&mut self, field: u64, numbers: impl Iterator<Item = u64>) {
        let mut packed = Message::default();
        numbers.for_each(|number| packed.raw(number));
        if !packed.0.is_empty() {
            self.bytes(field, &packed.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_written() {
        let mut message = Message::default();
        message.number(1, 300);
        message.number(2, 0);
        message.signed(3, -1);
        message.bytes(4, b"abc");
        message.packed(5, [1, u64::MAX, 0].into_iter());
        let fields: Vec<_> = Fields::new(&message.0, 100).map(|field| field.expect("a field")).collect();
        let values: Vec<_> = fields.iter().map(|field| (field.number, field.value)).collect();
        assert_eq!(values[..2], [(1, Value::Varint(300)), (3, Value::Varint(u64::MAX))]);
        assert_eq!(values[2], (4, Value::Bytes(b"abc", 116)));
        let mut numbers_back = Vec::new();
        numbers(&fields[3], &mut numbers_back).expect("numbers");
        assert_eq!(numbers_back, [1, u64::MAX, 0]);
    }

    /// These bytes break at this offset.
    #[track_caller]
    fn check(bytes: &[u8], offset: usize) {
        let broken = Fields::new(bytes, 0).find_map(Result::err).expect("something broken");
        assert_eq!(broken.offset, offset, "{}", broken.what);
        assert_eq!(Fields::new(bytes, 0).filter(Result::is_err).count(), 1);
    }

    #[test]
    fn what_is_broken_has_an_offset() {
        check(&[0x08], 1);
        check(&[0x08, 0x80, 0x80], 1);
        check(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], 1);
        check(&[0x08, 1, 0x0A, 5, 1], 4);
        check(&[0x09, 1], 1);
        check(&[0x0B], 0);
    }
}
