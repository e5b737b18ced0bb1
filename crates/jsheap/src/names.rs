//! Names with a meaning: one pass over the string table, one byte a string.

use rustc_hash::FxHashMap;
use twinheap_snapshot::{Snapshot, StringId, StringTable, Wtf8};

/// Names that rules of DevTools mention. Every string of a file gets one, so a rule costs a byte compare, and a
/// producer that writes a text twice is handled as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Known {
    Other,
    /// The name of an edge of a WeakMap entry; see [`Ephemeron`].
    Ephemeron,
    Object,
    Array,
    Proto,
    Elements,
    DocumentDomTrees,
    ExternalStringData,
    ArrayBufferData,
    MapDescriptors,
    NativeContext,
    SloppyFunctionMap,
    Empty,
    First,
    Second,
    Truncated,
    Code,
}

/// What the name of an edge of a WeakMap entry says.
///
/// V8 writes the edge to the entry's value twice, from the key and from the table, both named
/// `N / part of key (… @id) -> value (… @id) pair in WeakMap (table @id)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ephemeron {
    /// Object id of the table.
    pub(crate) table: u64,
    /// Equal for names that differ only in the digits in front.
    pub(crate) tail: u32,
}

/// The meaning of every string of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Vec<Known>,
    ephemerons: FxHashMap<u32, Ephemeron>,
    /// Number of different tails.
    pub(crate) tails: usize,
}

impl Names {
    pub(crate) fn new(strings: &StringTable) -> Names {
        let mut names = Names { known: Vec::with_capacity(strings.len()), ..Names::default() };
        let mut tails: FxHashMap<&[u8], u32> = FxHashMap::default();
        for (id, text) in strings.iter().enumerate() {
            let known = known(text);
            if known == Known::Ephemeron
                && let Some((tail, table)) = parse_ephemeron(text.as_bytes())
            {
                let next = tails.len() as u32;
                let tail = *tails.entry(tail).or_insert(next);
                names.ephemerons.insert(id as u32, Ephemeron { table, tail });
            }
            names.known.push(known);
        }
        names.tails = tails.len();
        names
    }

    #[inline]
    pub(crate) fn known(&self, id: StringId) -> Known {
        self.known.get(id.index()).copied().unwrap_or(Known::Other)
    }

    #[inline]
    pub(crate) fn ephemeron(&self, id: StringId) -> Option<Ephemeron> {
        if self.known(id) == Known::Ephemeron { self.ephemerons.get(&id.0).copied() } else { None }
    }

    /// The meaning of a node's own name.
    #[inline]
    pub(crate) fn of_node(&self, snapshot: &Snapshot, node: twinheap_snapshot::NodeIdx) -> Known {
        self.known(snapshot.raw_name(node))
    }
}

fn known(text: &Wtf8) -> Known {
    let bytes = text.as_bytes();
    let Some(&start) = bytes.first() else { return Known::Empty };
    if start.is_ascii_digit() {
        return if parse_ephemeron(bytes).is_some() { Known::Ephemeron } else { Known::Other };
    }
    // By length first: among a million strings nearly all end here.
    match bytes.len() {
        4 if bytes == b"code" => Known::Code,
        5 if bytes == b"Array" => Known::Array,
        5 if bytes == b"first" => Known::First,
        6 if bytes == b"Object" => Known::Object,
        6 if bytes == b"second" => Known::Second,
        8 if bytes == b"elements" => Known::Elements,
        9 if bytes == b"__proto__" => Known::Proto,
        9 if bytes == b"truncated" => Known::Truncated,
        17 if bytes == b"(map descriptors)" => Known::MapDescriptors,
        19 if bytes == b"sloppy_function_map" => Known::SloppyFunctionMap,
        20 if bytes == b"(Document DOM trees)" => Known::DocumentDomTrees,
        22 if bytes == b"system / NativeContext" => Known::NativeContext,
        27 if bytes == b"system / ExternalStringData" => Known::ExternalStringData,
        26 if bytes == b"system / JSArrayBufferData" => Known::ArrayBufferData,
        _ => Known::Other,
    }
}

/// Splits the name of a WeakMap edge into its tail, which starts behind the leading digits, and the table's id.
///
/// DevTools uses a regular expression,
/// `^\d+( / part of key \(.*? @\d+\) -> value \(.*? @\d+\) pair in WeakMap \(table @(\d+)\))$`, whose `.` excludes
/// line terminators. Names with a line break therefore don't match, and DevTools counts both edges; to give its
/// numbers, neither does this.
fn parse_ephemeron(name: &[u8]) -> Option<(&[u8], u64)> {
    let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
    let tail = &name[digits..];
    let rest = tail.strip_prefix(b" / part of key (")?;
    if digits == 0 || has_line_terminator(rest) {
        return None;
    }
    // From the back: `… @V) pair in WeakMap (table @T)`.
    let rest = rest.strip_suffix(b")")?;
    let (rest, table) = split_id(rest, b" pair in WeakMap (table @")?;
    let rest = rest.strip_suffix(b")")?;
    // What is left is `KEY @K) -> value (VALUE @V`; both names are arbitrary text, so try every separator.
    let (values, _) = split_id(rest, b" @")?;
    let separator = b") -> value (";
    let is_split = |at: usize| values[at..].starts_with(separator) && split_id(&rest[..at], b" @").is_some();
    // The name is arbitrary text that may be full of separators; only digits in front of one make it slow, and
    // `is_split` looks at those once each.
    (0..values.len().saturating_sub(separator.len() - 1)).any(is_split).then_some((tail, table))
}

/// Splits `text` at the last `mark` with nothing but digits behind it.
fn split_id<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], u64)> {
    let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (head, id) = text.split_at(text.len() - digits);
    let head = head.strip_suffix(mark)?;
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    Some((head, id))
}

/// JavaScript's line terminators: what `.` does not match.
fn has_line_terminator(text: &[u8]) -> bool {
    text.iter().any(|&b| b == b'\n' || b == b'\r')
        || text.windows(3).any(|w| w == "\u{2028}".as_bytes() || w == "\u{2029}".as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, table: Option<u64>) {
        assert_eq!(parse_ephemeron(name.as_bytes()).map(|(_, table)| table), table, "{name}");
    }

    #[test]
    fn every_known_name_is_recognised() {
        let list = [
            ("", Known::Empty),
            ("Object", Known::Object),
            ("Array", Known::Array),
            ("__proto__", Known::Proto),
            ("elements", Known::Elements),
            ("first", Known::First),
            ("second", Known::Second),
            ("truncated", Known::Truncated),
            ("code", Known::Code),
            ("(Document DOM trees)", Known::DocumentDomTrees),
            ("system / ExternalStringData", Known::ExternalStringData),
            ("system / JSArrayBufferData", Known::ArrayBufferData),
            ("(map descriptors)", Known::MapDescriptors),
            ("system / NativeContext", Known::NativeContext),
            ("sloppy_function_map", Known::SloppyFunctionMap),
            ("anything else", Known::Other),
            ("7", Known::Other),
        ];
        for (name, meaning) in list {
            assert_eq!(known(name.into()), meaning, "{name}");
        }
    }

    #[test]
    fn ephemeron_names() {
        check("2 / part of key (Object @9) -> value (Foo @11) pair in WeakMap (table @13)", Some(13));
        check("25 / part of key (a) -> value (b @1 @9) -> value (c @4) pair in WeakMap (table @7)", Some(7));
        check("2 / part of key ( @9) -> value ( @11) pair in WeakMap (table @13)", Some(13));
        check("x / part of key (Object @9) -> value (Foo @11) pair in WeakMap (table @13)", None);
        check("2 / part of key (Object @9) -> value (Foo @11) pair in WeakMap (table @13) ", None);
        check("2 / part of key (Ob\nject @9) -> value (Foo @11) pair in WeakMap (table @13)", None);
        check("2 / part of key (Ob\u{2028}ject @9) -> value (Foo @11) pair in WeakMap (table @13)", None);
        check("2 / part of key (%s @%u) -> value (%s @%u) pair in WeakMap (table @%u)", None);
        check("2 / part of key (Object @9) -> value (Foo @) pair in WeakMap (table @13)", None);
        let (tail, _) =
            parse_ephemeron(b"12 / part of key (O @9) -> value (F @1) pair in WeakMap (table @3)").unwrap();
        assert!(tail.starts_with(b" / part"));
    }
}
