//! A JSON tokenizer without recursion, for the small or deep parts: sampling profiles.

use crate::string_section::{StringReader, StringStop};
use crate::strings::StringTable;

/// A piece of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    BeginObject,
    EndObject,
    BeginArray,
    EndArray,
    /// A string or a key, in WTF-8.
    Text(Vec<u8>),
    /// A key: a string with a colon behind it.
    Key(Vec<u8>),
    Number(f64),
    /// `true`, `false` or `null`.
    Word,
}

/// Cuts `input` into tokens. Commas are skipped wherever they stand.
pub(crate) struct Tokenizer<'a> {
    input: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Tokenizer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Tokenizer { input, at: 0 }
    }

    fn skip_space(&mut self) {
        while self.input.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',')) {
            self.at += 1;
        }
    }

    /// The next token; `Ok(None)` at the end of the input, `Err` at something that is no JSON or is cut off.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, String> {
        self.skip_space();
        let Some(&byte) = self.input.get(self.at) else { return Ok(None) };
        let simple = match byte {
            b'{' => Some(Token::BeginObject),
            b'}' => Some(Token::EndObject),
            b'[' => Some(Token::BeginArray),
            b']' => Some(Token::EndArray),
            _ => None,
        };
        if let Some(token) = simple {
            self.at += 1;
            return Ok(Some(token));
        }
        match byte {
            b'"' => self.text().map(Some),
            b'-' | b'0'..=b'9' => self.number().map(Some),
            b't' | b'f' | b'n' => {
                let len = self.input[self.at..].iter().take_while(|b| b.is_ascii_lowercase()).count();
                match &self.input[self.at..self.at + len] {
                    b"true" | b"false" | b"null" => {
                        self.at += len;
                        Ok(Some(Token::Word))
                    }
                    _ => Err("found a word that is none of JSON's".to_owned()),
                }
            }
            other => Err(format!("found byte 0x{other:02X}, expected a JSON value")),
        }
    }

    fn text(&mut self) -> Result<Token, String> {
        let mut table = StringTable::default();
        let mut reader = StringReader::new();
        let start = self.at;
        // The section reader stops in front of whatever follows a string; feed it up to the closing quote only.
        let len = string_len(&self.input[start..]).ok_or("a string does not end")?;
        let (_, stop) = reader.read(&self.input[start..start + len], &mut table);
        debug_assert_eq!(stop, StringStop::NeedInput);
        self.at = start + len;
        let text = std::mem::take(table.buffer());
        let mut after = self.at;
        while self.input.get(after).is_some_and(u8::is_ascii_whitespace) {
            after += 1;
        }
        if self.input.get(after) == Some(&b':') {
            self.at = after + 1;
            return Ok(Token::Key(text));
        }
        Ok(Token::Text(text))
    }

    fn number(&mut self) -> Result<Token, String> {
        let digits = |b: &&u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = self.input[self.at..].iter().take_while(digits).count();
        let text = &self.input[self.at..self.at + len];
        if self.at + len == self.input.len() {
            return Err("the file ends in a number".to_owned());
        }
        let value = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
        let value = value.ok_or_else(|| "found something that is nearly a number".to_owned())?;
        self.at += len;
        Ok(Token::Number(value))
    }
}

/// Length of the string literal at the start of `input`, both quotes included.
fn string_len(input: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', input.get(at..)?)?;
        if input[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_small_document() {
        let mut tokens = Tokenizer::new(br#"{"a" : [1, -2.5e1, "b\"\u00e9", true]} "#);
        let mut got = Vec::new();
        while let Some(token) = tokens.next().unwrap() {
            got.push(token);
        }
        assert_eq!(
            got,
            [
                Token::BeginObject,
                Token::Key(b"a".to_vec()),
                Token::BeginArray,
                Token::Number(1.0),
                Token::Number(-25.0),
                Token::Text("b\"é".as_bytes().to_vec()),
                Token::Word,
                Token::EndArray,
                Token::EndObject
            ]
        );
    }

    #[test]
    fn cut_tokens_are_errors() {
        for text in ["\"abc", "12", "tru", "\"a\\"] {
            assert!(Tokenizer::new(text.as_bytes()).next().is_err(), "{text}");
        }
    }
}
