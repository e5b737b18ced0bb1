//! From a place in a compiled script to the source it was made of: source maps (ECMA-426), plain and with sections.
//!
//! Who writes a map says where it is in the script's last line; the map says where the sources are, relative to
//! itself. This module reads and joins those names; whoever calls it reads the files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oxc_sourcemap::JSONSourceMap;
use serde::Deserialize;

/// The address of a script's map: the last `//# sourceMappingURL=` of its text.
pub fn mapping_url(script: &[u8]) -> Option<&str> {
    const MARK: &[u8] = b"sourceMappingURL=";
    let at = memchr::memmem::rfind(script, MARK)?;
    let before = script[..at].trim_ascii_end();
    if ![b"//#", b"//@", b"/*#"].into_iter().any(|mark| before.ends_with(mark)) {
        return None;
    }
    let rest = &script[at + MARK.len()..];
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let url = std::str::from_utf8(&rest[..end]).ok()?;
    Some(url.strip_suffix("*/").unwrap_or(url)).filter(|url| !url.is_empty())
}

/// The map that a `data:` address holds itself; `None` for other addresses, and for what is no map.
pub fn inline_map(url: &str) -> Option<Vec<u8>> {
    let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
    if kind.ends_with(";base64") { STANDARD.decode(data).ok() } else { Some(percent_decoded(data)) }
}

/// The bytes that a part of an address stands for.
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                bytes = after;
            }
            _ => out.push(*first),
        }
    }
    out
}

/// A map that has been read.
#[derive(Debug, Default)]
pub struct SourceMap {
    /// Addresses as the map has them, after its `sourceRoot`; empty for what has none.
    sources: Vec<String>,
    names: Vec<String>,
    /// By line and column.
    segments: Vec<Segment>,
}

/// Lines and columns count from 0.
#[derive(Clone, Copy, Debug)]
struct Segment {
    line: u32,
    column: u32,
    /// Source, line, column; `None` for code that the compiler added.
    original: Option<(u32, u32, u32)>,
    name: Option<u32>,
}

/// Where code was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePlace<'a> {
    /// The source's address as the map has it, relative to the map.
    pub source: &'a str,
    /// Line, from 0.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
    /// What the word at the place was called, if it was renamed, and where that word begins: the column in the script.
    pub name: Option<(&'a str, u32)>,
}

/// A map as it is written: with sections, or a part of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Sections { sections: Vec<Section> },
    Plain(Plain),
}

#[derive(Deserialize)]
struct Section {
    offset: Offset,
    map: Plain,
}

#[derive(Clone, Copy, Deserialize)]
struct Offset {
    line: u32,
    column: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    version: u32,
    mappings: String,
    source_root: Option<String>,
    /// Null for code without a source.
    #[serde(default)]
    sources: Vec<Option<String>>,
    #[serde(default)]
    names: Vec<String>,
}

impl SourceMap {
    /// Reads a map; `None` if it is none, or damaged.
    pub fn parse(bytes: &[u8]) -> Option<SourceMap> {
        // A line that keeps browsers from running the map as a script.
        let bytes = match bytes.strip_prefix(b")]}'") {
            Some(rest) => rest.iter().position(|&byte| byte == b'\n').map(|at| &rest[at..])?,
            None => bytes,
        };
        let mut map = SourceMap::default();
        match serde_json::from_slice(bytes).ok()? {
            Written::Plain(plain) => map.add(plain, Offset { line: 0, column: 0 })?,
            Written::Sections { sections } => {
                for Section { offset, map: plain } in sections {
                    map.add(plain, offset)?;
                }
            }
        }
        map.segments.sort_by_key(|segment| (segment.line, segment.column));
        Some(map)
    }

    fn add(&mut self, plain: Plain, offset: Offset) -> Option<()> {
        let Plain { version, mappings, source_root, sources, names } = plain;
        let (first_source, first_name) = (self.sources.len() as u32, self.names.len() as u32);
        self.names.extend(names.iter().cloned());
        let root = source_root.filter(|root| !root.is_empty());
        let full = |source: &Option<String>| match (source, &root) {
            (Some(source), Some(root)) if !is_absolute(source) => {
                format!("{}/{source}", root.trim_end_matches('/'))
            }
            (Some(source), _) => source.clone(),
            (None, _) => String::new(),
        };
        self.sources.extend(sources.iter().map(full));
        let decoded = oxc_sourcemap::SourceMap::from_json(JSONSourceMap {
            version,
            file: None,
            mappings,
            source_root: None,
            sources: sources.into_iter().map(Option::unwrap_or_default).collect(),
            sources_content: None,
            names,
            debug_id: None,
            x_google_ignore_list: None,
        });
        for token in decoded.ok().filter(|_| version == 3)?.get_tokens() {
            let line = token.get_dst_line();
            let column = token.get_dst_col();
            let original = token.get_source_id().map(|source| {
                (first_source.saturating_add(source), token.get_src_line(), token.get_src_col())
            });
            self.segments.push(Segment {
                line: line.saturating_add(offset.line),
                // A section begins in the middle of a line; its other lines begin where they begin.
                column: if line == 0 { column.saturating_add(offset.column) } else { column },
                original,
                name: token.get_name_id().map(|name| first_name.saturating_add(name)),
            });
        }
        Some(())
    }

    /// Where the code at a line and column (in UTF-16 units), from 0, was written; `None` if the map does not tell.
    pub fn lookup(&self, line: u32, column: u32) -> Option<SourcePlace<'_>> {
        let after = self.segments.partition_point(|segment| (segment.line, segment.column) <= (line, column));
        let segment = self.segments.get(after.checked_sub(1)?).filter(|segment| segment.line == line)?;
        let (source, original_line, original_column) = segment.original?;
        let source = self.sources.get(source as usize).filter(|source| !source.is_empty())?;
        let name = segment.name.and_then(|name| self.names.get(name as usize));
        Some(SourcePlace {
            source,
            line: original_line,
            column: original_column,
            name: name.map(|name| (name.as_str(), segment.column)),
        })
    }
}

/// True for addresses and paths that nothing goes in front of.
fn is_absolute(source: &str) -> bool {
    source.starts_with('/') || source.contains("://") || source.as_bytes().get(1) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(map: &str, (line, column): (u32, u32), expected: Option<(&str, u32, u32)>) {
        let map = SourceMap::parse(map.as_bytes()).expect("a map");
        let place = map.lookup(line, column).map(|place| (place.source, place.line, place.column));
        assert_eq!(place, expected, "{line}:{column}");
    }

    /// Column 0 of line 0 is line 0 of a.ts, column 4 is line 1 column 2, called `total`; line 1 is the compiler's.
    const PLAIN: &str = r#"{"version":3,"sources":["a.ts"],"names":["total"],"mappings":"AAAA,IACEA;A"}"#;

    #[test]
    fn a_place_belongs_to_the_nearest_segment_before_it_in_its_line() {
        check(PLAIN, (0, 0), Some(("a.ts", 0, 0)));
        check(PLAIN, (0, 3), Some(("a.ts", 0, 0)));
        check(PLAIN, (0, 9), Some(("a.ts", 1, 2)));
        check(PLAIN, (1, 5), None);
        check(PLAIN, (7, 0), None);
        let map = SourceMap::parse(PLAIN.as_bytes()).expect("a map");
        assert_eq!(map.lookup(0, 6).and_then(|place| place.name), Some(("total", 4)));
    }

    #[test]
    fn sources_stand_behind_the_source_root() {
        let with = |root: &str, source: &str| {
            format!(r#"{{"version":3,"sourceRoot":"{root}","sources":["{source}"],"mappings":"AAAA"}}"#)
        };
        check(&with("../src/", "a.ts"), (0, 0), Some(("../src/a.ts", 0, 0)));
        check(&with("../src", "/b/a.ts"), (0, 0), Some(("/b/a.ts", 0, 0)));
        check(&with("", "webpack:///./a.ts"), (0, 0), Some(("webpack:///./a.ts", 0, 0)));
        check(r#"{"version":3,"sources":[null],"mappings":"AAAA"}"#, (0, 0), None);
    }

    #[test]
    fn a_map_of_sections_is_one_map() {
        let part = |source: &str| format!(r#"{{"version":3,"sources":["{source}"],"mappings":"AAAA;AACA"}}"#);
        let map = format!(
            r#"{{"version":3,"sections":[{{"offset":{{"line":0,"column":0}},"map":{}}},{{"offset":{{"line":2,"column":5}},"map":{}}}]}}"#,
            part("a.ts"),
            part("b.ts")
        );
        check(&map, (1, 0), Some(("a.ts", 1, 0)));
        check(&map, (2, 4), None);
        check(&map, (2, 5), Some(("b.ts", 0, 0)));
        check(&map, (3, 0), Some(("b.ts", 1, 0)));
    }

    #[test]
    fn what_is_no_map_is_none() {
        for text in
            ["", "{}", "[]", r#"{"version":2,"sources":[],"mappings":""}"#, r#"{"version":3,"mappings":"!"}"#]
        {
            assert!(SourceMap::parse(text.as_bytes()).is_none(), "{text}");
        }
        let guarded = format!(")]}}'\n{PLAIN}");
        assert!(SourceMap::parse(guarded.as_bytes()).is_some(), "a guard in front is no damage");
    }

    #[test]
    fn the_last_comment_tells_where_the_map_is() {
        let url = |script: &'static str| mapping_url(script.as_bytes());
        assert_eq!(url("a()\n//# sourceMappingURL=a.js.map\n"), Some("a.js.map"));
        assert_eq!(url("a()\n//@ sourceMappingURL=a.js.map"), Some("a.js.map"));
        assert_eq!(url("a()/*# sourceMappingURL=b.map*/"), Some("b.map"));
        assert_eq!(url("//# sourceMappingURL=a.map\n//# sourceMappingURL=b.map"), Some("b.map"));
        assert_eq!(url("x = 'sourceMappingURL=a.map'"), None);
        assert_eq!(url("a()"), None);
    }

    #[test]
    fn a_map_may_stand_in_the_script_itself() {
        assert_eq!(
            inline_map("data:application/json;charset=utf-8;base64,e30=").as_deref(),
            Some(&b"{}"[..])
        );
        assert_eq!(inline_map("data:application/json,%7B%7d").as_deref(), Some(&b"{}"[..]));
        assert_eq!(inline_map("data:application/json;base64,?").as_deref(), None);
        assert_eq!(inline_map("a.js.map"), None);
    }
}
