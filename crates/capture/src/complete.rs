//! Whether a stream of JSON closed what it opened.

/// Follows brackets and strings of one JSON document, in pieces of any size.
///
/// A snapshot that was cut off, by a dead process or a full disk, is still a nice-looking file; only its last
/// bracket tells. Nothing else of the grammar is checked: that is the parser's business.
#[derive(Debug, Default)]
pub(crate) struct Complete {
    depth: u32,
    in_string: bool,
    escaped: bool,
    is_closed: bool,
    has_more: bool,
}

impl Complete {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = if self.in_string { self.skip_string(bytes) } else { self.skip_numbers(bytes) };
        }
    }

    /// True if the document began, ended, and nothing came after it.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_closed && !self.has_more
    }

    fn skip_string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if std::mem::take(&mut self.escaped) {
            return &bytes[1..];
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', bytes) else { return &[] };
        match bytes[at] {
            b'"' => self.in_string = false,
            _ => self.escaped = true,
        }
        &bytes[at + 1..]
    }

    fn skip_numbers<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, &byte) in bytes.iter().enumerate() {
            // Digits and commas are nearly all there is, and all of them are below the letters and brackets.
            if byte < b'[' && byte != b'"' {
                self.has_more |= self.is_closed && !byte.is_ascii_whitespace();
                continue;
            }
            self.has_more |= self.is_closed;
            match byte {
                b'"' => {
                    self.in_string = true;
                    return &bytes[at + 1..];
                }
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_closed = self.depth == 0;
                }
                _ => {}
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        for size in 1..=text.len().max(1) {
            let mut complete = Complete::default();
            text.as_bytes().chunks(size).for_each(|piece| complete.feed(piece));
            assert_eq!(complete.is_complete(), expected, "{text} in pieces of {size}");
        }
    }

    #[test]
    fn only_a_closed_document_is_complete() {
        check("", false);
        check(r#"{"snapshot":{"a":[1,2]},"strings":["x"]}"#, true);
        check("{\"strings\":[]}\n", true);
        check(r#"{"strings":["]}"]"#, false);
        check(r#"{"strings":["\"]}"#, false);
        check(r#"{"strings":["\\"]}"#, true);
        check(r#"{"nodes":[1,2"#, false);
        check(r#"{"a":1}{"#, false);
        check(r#"{"a":1}7"#, false);
    }
}
