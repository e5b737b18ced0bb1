//! Names out of a dump: whatever they contain, they are shown as text.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use twinheap_snapshot::Wtf8;

/// A name as a JSON string. `serde_json` alone can't: names may hold lone surrogates.
pub(crate) fn json(name: &Wtf8) -> Box<RawValue> {
    let text = name.to_json();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A name of bytes that are WTF-8, as a JSON string.
pub(crate) fn json_bytes(name: &[u8]) -> Box<RawValue> {
    json(Wtf8::new(name))
}

/// [`json_bytes`] where there are thousands: it is made when it is written.
pub(crate) struct NameJson(Box<[u8]>);

impl NameJson {
    pub(crate) fn new(name: &[u8]) -> Self {
        NameJson(name.into())
    }
}

impl Serialize for NameJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => json_bytes(&self.0).serialize(serializer),
        }
    }
}

/// A name on one line of a terminal, at most `most` characters wide: control characters, which could move the
/// cursor or worse, become visible, and what is too long is cut.
pub fn clean(name: &str, most: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    for c in name.chars() {
        let shown: String = match c {
            '\n' => "\\n".into(),
            '\r' => "\\r".into(),
            '\t' => "\\t".into(),
            // Also the marks that turn the direction of text around.
            c if c.is_control()
                || matches!(c, '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}') =>
            {
                format!("\\u{{{:x}}}", c as u32)
            }
            c => c.into(),
        };
        let more = shown.chars().count();
        if width + more > most.saturating_sub(1) {
            out.push('…');
            return out;
        }
        width += more;
        out.push_str(&shown);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\n", 80), "a\\u{1b}[31mb\\n");
        assert_eq!(clean("abcdefgh", 5), "abcd…");
        assert_eq!(clean("ab\u{202E}c", 80), "ab\\u{202e}c");
    }

    #[test]
    fn lone_surrogates_reach_json() {
        assert_eq!(json_bytes(b"\xED\xA0\x80\"").get(), r#""\ud800\"""#);
    }
}
