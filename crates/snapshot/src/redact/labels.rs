//! Values inside names: of a WeakMap's entries, in URLs, in tags of DOM elements.
//!
//! Names stay, but some are made of values. Where a form can be read in two ways, the longer stretch is masked.

use super::marks::{LEADS_TO_VALUE, Marks};
use super::mask::Masker;

/// Masks what a name shows of values; `None` if it shows none. `text` and the result are WTF-8.
pub(super) fn masked(text: &[u8], bits: u8, marks: &Marks, masker: &Masker) -> Option<Vec<u8>> {
    let mut ranges = Vec::new();
    if !entry_of_weak_map(text, bits, marks, &mut ranges) {
        forms(text, 0..text.len(), &mut ranges);
    }
    ranges.retain(|range| !range.is_empty());
    if ranges.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.extend_from_slice(&text[at..range.start]);
        at = range.end;
        replace_in_name(&text[range], masker, &mut out);
    }
    out.extend_from_slice(&text[at..]);
    Some(out)
}

type Range = std::ops::Range<usize>;

/// Replaces a part of a name. Its first line break stays: DevTools takes a name with one for something else than a
/// WeakMap's, and sizes follow from that.
fn replace_in_name(part: &[u8], masker: &Masker, out: &mut Vec<u8>) {
    let is_separator = |w: &[u8]| w == "\u{2028}".as_bytes() || w == "\u{2029}".as_bytes();
    let simple = part.iter().position(|&b| b == b'\n' || b == b'\r').map(|at| (at, 1));
    let wide = part.windows(3).position(is_separator).map(|at| (at, 3));
    match simple.into_iter().chain(wide).min() {
        Some((at, len)) => {
            masker.replace(&part[..at], out);
            out.extend_from_slice(&part[at..at + len]);
            masker.replace(&part[at + len..], out);
        }
        None => masker.replace(part, out),
    }
}

/// `N / part of key (K @id) -> value (V @id) pair in WeakMap (table @id)`, and Node 12's `N / key K in WeakMap`.
/// True if the text is one of these.
fn entry_of_weak_map(text: &[u8], bits: u8, marks: &Marks, ranges: &mut Vec<Range>) -> bool {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    // V8 numbers each of these names; without the number it is a property that looks like one.
    let leads_to_value = bits & LEADS_TO_VALUE != 0;
    let Some(rest) = text[digits..].strip_prefix(b" / ").filter(|_| digits > 0) else { return false };
    if let Some(key) = rest.strip_prefix(b"key ") {
        let Some(name) = key.strip_suffix(b" in WeakMap") else { return false };
        let start = text.len() - key.len();
        // Nothing tells what the key is, so only names that V8 itself gives are sure to be none of a value.
        if !matches!(name, b"Object" | b"Array" | b"symbol") && !name.starts_with(b"system / ") {
            ranges.push(start..start + name.len());
        }
        return true;
    }
    let Some(pair) = rest.strip_prefix(b"part of key (") else { return false };
    let start = text.len() - pair.len();
    let Some((key, value)) = split_entry(pair) else {
        // V8 cuts names of 4096 bytes: what is left of it may be all value.
        if leads_to_value {
            ranges.push(start..text.len());
        } else {
            forms(text, start..text.len(), ranges);
        }
        return true;
    };
    let (key, value) = (start + key.start..start + key.end, start + value.start..start + value.end);
    let id = number_behind(&text[key.end..]);
    if id.is_none_or(|id| marks.is_regexp(id)) {
        ranges.push(key);
    } else {
        forms(text, key, ranges);
    }
    if leads_to_value {
        ranges.push(value);
    } else {
        forms(text, value, ranges);
    }
    true
}

/// The places of the key's and the value's text in what follows `part of key (`.
fn split_entry(pair: &[u8]) -> Option<(Range, Range)> {
    let table = rfind(pair, b" pair in WeakMap (table @")?;
    let head = pair[..table].strip_suffix(b")")?;
    let id = head.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let value_end = head[..head.len() - id].strip_suffix(b" @").filter(|_| id > 0)?.len();
    let separator = b") -> value (";
    // A name may hold the separator itself. The first one that has an id in front ends the key: then the value's
    // stretch is the longest, and nothing of a value can be taken for a part of the key.
    let split = memchr::memmem::find_iter(&pair[..value_end], separator).find_map(|at| {
        let digits = pair[..at].iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let key = pair[..at - digits].strip_suffix(b" @").filter(|_| digits > 0)?;
        Some((key.len(), at + separator.len()))
    });
    let (key_end, value) = split?;
    Some((0..key_end, value..value_end.max(value)))
}

/// The number in ` @17…`.
fn number_behind(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b" @")?;
    let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..len]).ok()?.parse().ok()
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(text, what)
}

/// Values that a stretch shows by its form, in order of their places.
fn forms(text: &[u8], within: Range, ranges: &mut Vec<Range>) {
    let part = &text[within.clone()];
    let first = ranges.len();
    let is_tag = |name: &[u8]| name.starts_with(b"<") && name.get(1).is_some_and(u8::is_ascii_alphabetic);
    if is_tag(part) || part.strip_prefix(b"Detached ").is_some_and(is_tag) {
        attributes(part, ranges);
    }
    if ranges.len() == first {
        data_url(part, ranges);
    }
    if ranges.len() == first && memchr::memchr(b':', part).is_some() {
        urls(part, ranges);
    }
    if ranges.len() == first
        && part.starts_with(b"/")
        && let Some(query) = part.iter().position(|&b| b == b'?')
        && part[query..].contains(&b'=')
    {
        ranges.push(query + 1..part.len());
    }
    for range in &mut ranges[first..] {
        *range = range.start + within.start..range.end + within.start;
    }
}

/// `<div id="…" class="…">`: what stands in quotes.
fn attributes(tag: &[u8], ranges: &mut Vec<Range>) {
    let mut at = 0;
    while let Some(equals) = memchr::memchr(b'=', &tag[at..]) {
        let quote = at + equals + 1;
        let Some(&mark @ (b'"' | b'\'')) = tag.get(quote) else {
            at = quote;
            continue;
        };
        let start = quote + 1;
        let ends =
            |&end: &usize| tag[end] == mark && (next_attribute(&tag[end + 1..]) || &tag[end + 1..] == b">");
        let end = (start..tag.len()).find(ends).unwrap_or(tag.len());
        ranges.push(start..end);
        at = (end + 1).min(tag.len());
    }
}

/// ` name=` with a quote behind: only this ends the attribute before it, since values may hold quotes.
fn next_attribute(text: &[u8]) -> bool {
    let Some(name) = text.strip_prefix(b" ") else { return false };
    let len = name.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    len > 0 && matches!(name[len..], [b'=', b'"' | b'\'', ..])
}

/// `data:text/plain;base64,…`: what follows the comma.
fn data_url(text: &[u8], ranges: &mut Vec<Range>) {
    for at in memchr::memmem::find_iter(text, b"data:") {
        if at > 0 && text[at - 1].is_ascii_alphanumeric() {
            continue;
        }
        let kind = |b: &&u8| b.is_ascii_alphanumeric() || b"/+.-_;=*\"' ".contains(b);
        let comma = at + 5 + text[at + 5..].iter().take_while(kind).count();
        if text.get(comma) == Some(&b',') {
            ranges.push(comma + 1..text.len());
            return;
        }
    }
}

/// `scheme://user:password@host/path?query#fragment`, anywhere: user info, query and fragment.
fn urls(text: &[u8], ranges: &mut Vec<Range>) {
    let mut from = 0;
    while let Some(colon) = memchr::memmem::find(&text[from..], b"://").map(|at| from + at) {
        let authority = colon + 3;
        from = authority;
        let is_scheme = |b: &&u8| b.is_ascii_alphanumeric() || b"+.-".contains(b);
        if text[..colon].iter().rev().take_while(is_scheme).count() == 0 {
            continue;
        }
        let host_end = |&b: &u8| matches!(b, b'/' | b'\\' | b'?' | b'#' | b' ');
        let end = text[authority..].iter().position(host_end).map_or(text.len(), |at| authority + at);
        if let Some(info) = text[authority..end].iter().rposition(|&b| b == b'@') {
            ranges.push(authority..authority + info);
            from = authority + info;
        }
        // A further URL in the path is looked at like the first; behind a question mark all is masked anyway.
        let rest = &text[end..];
        let next = memchr::memmem::find(rest, b"://").unwrap_or(rest.len());
        if let Some(query) = rest[..next].iter().position(|&b| b == b'?' || b == b'#') {
            ranges.push(end + query + 1..text.len());
            return;
        }
    }
}

/// V8's own words, which it puts in the place of values.
pub(super) fn is_word_of_v8(text: &[u8]) -> bool {
    matches!(text, b"(concatenated string)" | b"(sliced string)")
}

/// True for what can be nothing but the name of a file of JavaScript.
pub(super) fn is_script_file(text: &[u8]) -> bool {
    const ENDINGS: [&[u8]; 10] =
        [b".js", b".mjs", b".cjs", b".ts", b".mts", b".cts", b".jsx", b".tsx", b".wasm", b".node"];
    let has_place = text.starts_with(b"/") || memchr::memmem::find(text, b"://").is_some();
    has_place
        && text.len() <= 1024
        && !text.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b"\"'`<>{}|,;".contains(b))
        && (ENDINGS.iter().any(|end| text.ends_with(end)))
}

/// True for what a script may be called. Only asked about names of nodes of type `code`, which are functions or
/// scripts: functions are rarely called like this.
pub(super) fn is_script_name(text: &[u8]) -> bool {
    text.starts_with(b"node:")
        || text.contains(&b'/')
        || text.contains(&b'\\')
        || matches!(text, b"evalmachine.<anonymous>" | b"[eval]" | b"[worker eval]" | b"[stdin]" | b"REPL")
        || is_script_file(&[b"/", text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with stars where something was masked.
    #[track_caller]
    fn check(text: &str, bits: u8, want: &str) {
        let mut marks = Marks::default();
        marks.push_regexp(77);
        let got = masked(text.as_bytes(), bits, &marks, &Masker::new(b"x")).unwrap_or_else(|| text.into());
        let got = String::from_utf8(got).unwrap();
        assert_eq!(got.encode_utf16().count(), want.chars().count(), "{got}");
        let shown: String =
            got.chars().zip(want.chars()).map(|(got, want)| if want == '*' { '*' } else { got }).collect();
        assert_eq!(shown, want, "{got}");
        if want.contains("****") {
            assert_ne!(got, text);
        } else if !want.contains('*') {
            assert_eq!(got, text);
        }
    }

    #[test]
    fn names_of_weak_map_entries() {
        let v = LEADS_TO_VALUE;
        check(
            "2 / part of key (Object @9) -> value (secret @11) pair in WeakMap (table @13)",
            v,
            "2 / part of key (Object @9) -> value (****** @11) pair in WeakMap (table @13)",
        );
        check(
            "2 / part of key (Object @9) -> value (Foo @11) pair in WeakMap (table @13)",
            0,
            "2 / part of key (Object @9) -> value (Foo @11) pair in WeakMap (table @13)",
        );
        check(
            "2 / part of key (regex @77) -> value (Foo @11) pair in WeakMap (table @13)",
            0,
            "2 / part of key (***** @77) -> value (Foo @11) pair in WeakMap (table @13)",
        );
        check(
            "2 / part of key (O @9) -> value (a @1) -> value (b @2) pair in WeakMap (table @3) @4) pair in WeakMap (table @13)",
            v,
            "2 / part of key (O @9) -> value (************************************************ @4) pair in WeakMap (table @13)",
        );
        check(
            "2 / part of key (O @9) -> value (pass\nword @4) pair in WeakMap (table @13)",
            v,
            "2 / part of key (O @9) -> value (****\n**** @4) pair in WeakMap (table @13)",
        );
        check("2 / part of key (O @9) -> value (password", v, "2 / part of key (************************");
        check("2 / key regexp key in WeakMap", 0, "2 / key ********** in WeakMap");
        check("2 / key Object in WeakMap", 0, "2 / key Object in WeakMap");
        check("part of key (O @9) -> value (p @4) pair", v, "part of key (O @9) -> value (p @4) pair");
    }

    #[test]
    fn urls_keep_host_and_path() {
        check("https://user:pw@host/path?token=x#y", 0, "https://*******@host/path?*********");
        check("file:///srv/app/main.js", 0, "file:///srv/app/main.js");
        check("https://unpkg.com/@scope/pkg@1.2/index.js", 0, "https://unpkg.com/@scope/pkg@1.2/index.js");
        check("Window / https://h/a?secret", 0, "Window / https://h/a?******");
        check("https://proxy/http://u:p@h/x#frag", 0, "https://proxy/http://***@h/x#****");
        check("https://host#fragment", 0, "https://host#********");
        check("system / NativeContext / ://", 0, "system / NativeContext / ://");
        check("postgres://u:secret@db:5432/x", 0, "postgres://********@db:5432/x");
        check("/api/users?token=secret", 0, "/api/users?************");
        check("data:text/javascript;base64,QUJDREVG", 0, "data:text/javascript;base64,********");
        check(
            "system / Script / data:text/javascript,abcdef",
            0,
            "system / Script / data:text/javascript,******",
        );
        check("metadata:x,y", 0, "metadata:x,y");
    }

    #[test]
    fn attributes_of_elements() {
        check("<div id=\"secret\" class=\"x y\">", 0, "<div id=\"******\" class=\"***\">");
        check("Detached <a href=\"https://h/?q\">", 0, "Detached <a href=\"************\">");
        check("<div id=\"a\"b c\">", 0, "<div id=\"*****\">");
        check("<div id=\"cut off", 0, "<div id=\"*******");
        check("<symbol a=\"b\">", 0, "<symbol a=\"*\">");
        check("<div>", 0, "<div>");
    }

    #[test]
    fn names_of_scripts() {
        for name in ["node:internal/util", "/srv/app.js", "file:///srv/app.mjs", "main.js", "[eval]", "C:\\x"]
        {
            assert!(is_script_name(name.as_bytes()), "{name}");
        }
        assert!(!is_script_name(b"handleRequest"));
        assert!(is_script_file(b"https://deno.land/x/mod.ts") && !is_script_file(b"see /srv/app.js"));
    }
}
