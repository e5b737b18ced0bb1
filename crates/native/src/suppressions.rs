//! Which leaks nobody wants to hear of, by the rules of LeakSanitizer as heaptrack applies them.

use memchr::memmem::Finder;
use twinheap_trace::{IpId, Trace};

use crate::heap::NativeHeap;

/// Leaks of system libraries that heaptrack leaves out by itself.
const BUILT_IN: [&str; 7] = [
    // libc
    "__nss_module_allocate",
    "__gconv_read_conf",
    "__new_exitfn",
    "tzset_internal",
    // the dynamic linker
    "dl_open_worker",
    // glib's event loop
    "g_main_context_new",
    "g_thread_self",
];

/// Patterns; a stack is suppressed if one of them matches a function, file or module anywhere in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions {
    patterns: Vec<Vec<u8>>,
    /// Lines that are no suppressions, for a warning.
    pub invalid: Vec<Vec<u8>>,
}

/// What a pattern suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionHits {
    /// The pattern.
    pub pattern: Vec<u8>,
    /// Stacks; one that several patterns match counts for the one that comes first.
    pub stacks: u64,
    /// Bytes.
    pub leaked: i64,
}

impl Suppressions {
    /// None at all.
    pub fn none() -> Self {
        Suppressions::default()
    }

    /// heaptrack's own.
    pub fn built_in() -> Self {
        let patterns = BUILT_IN.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        Suppressions { patterns, invalid: Vec::new() }
    }

    /// Adds those that the recorded program brought along.
    ///
    /// heaptrack writes them with their length and then can't read them. They are meant, so they are read here;
    /// `as_heaptrack` leaves them out to give the same number.
    #[must_use]
    pub fn embedded(mut self, trace: &Trace, as_heaptrack: bool) -> Self {
        for line in &trace.suppressions {
            if !(as_heaptrack && line.is_sized) {
                self.add(&line.text);
            }
        }
        self
    }

    /// Adds the lines of a suppression file: `leak:PATTERN`, `#` for comments.
    #[must_use]
    pub fn file(mut self, text: &[u8]) -> Self {
        text.split(|&byte| byte == b'\n').for_each(|line| self.add(line));
        self
    }

    fn add(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        match line.strip_prefix(b"leak:") {
            Some(b"") => {}
            Some(pattern) => self.patterns.push(pattern.to_vec()),
            None if line.is_empty() || line[0] == b'#' => {}
            None => self.invalid.push(line.to_vec()),
        }
    }

    /// For each node of the tree the number of the pattern that suppresses it; the leaf's is the stack's.
    pub(crate) fn of_nodes(&self, heap: &NativeHeap) -> Option<Vec<u32>> {
        let trace = &heap.trace;
        let patterns: Vec<Pattern<'_>> = self.patterns.iter().map(|pattern| Pattern::new(pattern)).collect();
        let mut is_any = false;
        let mut of_string = vec![NO_PATTERN; trace.strings.len() + 1];
        for (id, text) in trace.strings.iter() {
            if let Some(at) = patterns.iter().position(|pattern| pattern.matches(text)) {
                of_string[id.index()] = at as u32;
                is_any = true;
            }
        }
        if !is_any {
            return None;
        }
        let of_ip: Vec<u32> = (0..trace.ips.len() as u32)
            .map(IpId)
            .map(|ip| {
                let frames = trace.ips.frames(ip).iter().flat_map(|frame| [frame.function, frame.file]);
                let strings = [trace.ips.module(ip)].into_iter().chain(frames);
                strings.map(|id| of_string[id.index()]).find(|&at| at != NO_PATTERN).unwrap_or(NO_PATTERN)
            })
            .collect();
        let mut of_node = Vec::with_capacity(trace.tree.len());
        for node in (0..trace.tree.len() as u32).map(twinheap_trace::TraceId) {
            // A node that stands for `operator new` is as its caller.
            let node = heap.visible(node);
            let outer = of_node.get(heap.outer(node).index()).copied().unwrap_or(NO_PATTERN);
            of_node.push(if outer == NO_PATTERN { of_ip[heap.ip(node).index()] } else { outer });
        }
        Some(of_node)
    }

    pub(crate) fn patterns(&self) -> &[Vec<u8>] {
        &self.patterns
    }
}

/// The mark of a node that no pattern matches.
pub(crate) const NO_PATTERN: u32 = u32::MAX;

/// LeakSanitizer's matching: a pattern is a part of the text; `^` at its start ties it to the text's start, `$` to
/// its end, `*` stands for anything. The whole text, taken literally, matches too.
pub fn pattern_matches(pattern: &[u8], text: &[u8]) -> bool {
    Pattern::new(pattern).matches(text)
}

/// A pattern, ready for many texts.
struct Pattern<'p> {
    whole: &'p [u8],
    /// Whether the first part stands at the text's start.
    is_tied: bool,
    parts: Vec<Part<'p>>,
}

enum Part<'p> {
    Anything,
    End,
    Literal(Box<Finder<'p>>),
}

impl<'p> Pattern<'p> {
    fn new(whole: &'p [u8]) -> Self {
        let is_tied = whole.first() == Some(&b'^');
        let mut rest = &whole[usize::from(is_tied)..];
        let mut parts = Vec::new();
        while let Some(&first) = rest.first() {
            let len = match first {
                b'*' | b'$' => 1,
                _ => rest.iter().position(|&byte| byte == b'*' || byte == b'$').unwrap_or(rest.len()),
            };
            let (part, behind) = rest.split_at(len);
            parts.push(match first {
                b'*' => Part::Anything,
                b'$' => Part::End,
                _ => Part::Literal(Box::new(Finder::new(part))),
            });
            rest = behind;
        }
        Pattern { whole, is_tied, parts }
    }

    fn matches(&self, text: &[u8]) -> bool {
        if self.whole == text {
            return true;
        }
        if text.is_empty() {
            return false;
        }
        let (mut is_tied, mut is_after_star) = (self.is_tied, false);
        let mut rest = text;
        for part in &self.parts {
            match part {
                Part::Anything => (is_tied, is_after_star) = (false, true),
                Part::End => return rest.is_empty() || is_after_star,
                // The first place counts, also where a later one would match the rest: so do LeakSanitizer and heaptrack.
                Part::Literal(literal) => match literal.find(rest) {
                    Some(at) if !is_tied || at == 0 => {
                        rest = &rest[at + literal.needle().len()..];
                        (is_tied, is_after_star) = (false, false);
                    }
                    _ => return false,
                },
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(pattern_matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} in {text:?}");
    }

    #[test]
    fn patterns_match_as_in_leak_sanitizer() {
        check("pool", "the pool of it", true);
        check("pool", "po", false);
        check("^pool", "pools", true);
        check("^pool", "a pool", false);
        check("pool$", "a pool", true);
        check("pool$", "pools", false);
        check("^pool$", "pool", true);
        check("a*c", "xxabbbcxx", true);
        check("a*c$", "abcc", false);
        check("*", "anything", true);
        check("*$", "anything", true);
        check("^*c", "abc", true);
        check("", "", true);
        check("", "a", true);
        check("a", "", false);
        check("^^a", "^^a", true);
    }
}
