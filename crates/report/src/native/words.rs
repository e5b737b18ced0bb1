//! Places in words.

use twinheap_native::{CallSite, CallSites, FrameView};
use twinheap_trace::{FrameKind, TraceId};

use super::NativeSource;

/// The word for a kind of code. What has no name, but lies in a module, is that module's machine code.
pub(crate) fn kind(frame: &FrameView<'_>) -> &'static str {
    match frame.kind {
        FrameKind::Builtin => "builtin",
        FrameKind::Js => "js",
        FrameKind::Unknown if frame.module.is_empty() => "unknown",
        FrameKind::Unknown | FrameKind::Native => "native",
    }
}

/// The site with its place, then the names of the functions around it.
pub(super) fn site_words(source: &NativeSource<'_>, all: &CallSites, site: &CallSite) -> String {
    let stack = all.stacks[site.stacks.start].stack;
    let Some(first) = source.heap.places(stack).flat_map(|ip| source.heap.frames(ip)).next() else {
        return "(no stack)".to_owned();
    };
    let own = own_words(source, stack, 4);
    if own.is_empty() || source.full_names {
        return format!("{}{}", frame_words(&first, source.full_names), callers_words(source, stack, 4));
    }
    // The line that tells where to look must not be cut off for the namespaces of one that doesn't.
    let name = function_name(&first, false);
    let short = name.rsplit("::").next().unwrap_or(&name);
    format!("{short} ← …{own}")
}

/// The program's own JavaScript functions in a stack. What Node and V8 do between them and the allocator is the same for
/// every program.
fn own_words(source: &NativeSource<'_>, stack: TraceId, most: usize) -> String {
    source
        .heap
        .places(stack)
        .flat_map(|ip| source.heap.frames(ip))
        .skip(1)
        .filter(|frame| {
            frame.kind == FrameKind::Js && !frame.file.is_empty() && !frame.file.starts_with(b"node:")
        })
        .take(most)
        .map(|frame| format!(" ← {}", frame_words(&frame, false)))
        .collect()
}

/// The functions around a call site, all of them.
pub(super) fn stack_words(source: &NativeSource<'_>, stack: TraceId) -> String {
    let words = callers_words(source, stack, usize::MAX);
    if words.is_empty() { "(nothing around it)".to_owned() } else { words.trim_start().to_owned() }
}

pub(super) fn callers_words(source: &NativeSource<'_>, stack: TraceId, most: usize) -> String {
    let callers = source.heap.places(stack).flat_map(|ip| source.heap.frames(ip)).skip(1).take(most);
    callers.map(|caller| format!(" ← {}", function_name(&caller, source.full_names))).collect()
}

/// A function with its place.
pub(crate) fn frame_words(frame: &FrameView<'_>, full_names: bool) -> String {
    let place = match frame.line {
        0 => file_name(if frame.file.is_empty() { frame.module } else { frame.file }),
        line => format!("{}:{line}", file_name(frame.file)),
    };
    let name = function_name(frame, full_names);
    if place.is_empty() { name } else { format!("{name}  {place}") }
}

pub(super) fn function_name(frame: &FrameView<'_>, full_names: bool) -> String {
    if frame.function.is_empty() {
        return format!("{:#x}", frame.address);
    }
    let name = String::from_utf8_lossy(frame.function);
    if full_names { name.into_owned() } else { short_name(&name) }
}

/// A C++ name without parameters and template arguments: they fill lines and tell little.
pub(crate) fn short_name(name: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for (at, c) in name.char_indices() {
        let is_operator = out.trim_end_matches(['<', '>', '-']).ends_with("operator");
        match c {
            '<' | '>' if is_operator && depth == 0 => out.push(c),
            '<' => {
                if depth == 0 {
                    out.push_str("<>");
                }
                depth += 1;
            }
            '>' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '(' if at > 0 && !name[at..].starts_with("(anonymous") && !out.ends_with("operator") => break,
            _ => out.push(c),
        }
    }
    out
}

pub(crate) fn file_name(path: &[u8]) -> String {
    String::from_utf8_lossy(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &str, module: &str, expected_name: &str, expected_kind: &str) {
        let frame = FrameView {
            function: function.as_bytes(),
            module: module.as_bytes(),
            file: b"",
            line: 0,
            column: 0,
            kind: FrameKind::of_name(function.as_bytes()),
            is_inlined: false,
            address: 0x7f10,
        };
        assert_eq!((function_name(&frame, false).as_str(), kind(&frame)), (expected_name, expected_kind));
    }

    #[test]
    fn frames_are_named_and_told_apart() {
        check("node::Start(int, char**)", "/bin/node", "node::Start", "native");
        check("std::vector<int>::push_back(int&&)", "/bin/node", "std::vector<>::push_back", "native");
        check("operator<<(int)", "/bin/node", "operator<<", "native");
        check("f<g<h>(int)>::operator()(int)", "/bin/node", "f<>::operator()", "native");
        check(
            "v8::(anonymous namespace)::Invoke(v8::Isolate*)",
            "/bin/node",
            "v8::(anonymous namespace)::Invoke",
            "native",
        );
        check("(anonymous namespace)::f()", "/bin/node", "(anonymous namespace)::f", "native");
        check(
            "Builtins_InterpreterEntryTrampoline",
            "/bin/node",
            "Builtins_InterpreterEntryTrampoline",
            "builtin",
        );
        check("JS:~tick timers:1:2", "", "JS:~tick timers:1:2", "js");
        check("", "/lib/libc.so.6", "0x7f10", "native");
        check("", "", "0x7f10", "unknown");
    }
}
