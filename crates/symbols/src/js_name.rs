//! The names that V8 gives to generated code, taken apart.
//!
//! `TAG:MARK FUNCTION SCRIPT:LINE:COLUMN`, put together by V8's `CodeEventLogger` (src/logging/log.cc); Node 18 has no
//! column. The mark says which compiler made the code. Neither function names nor script names are quoted, and both
//! may have spaces in them.

/// A name of generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsName<'m> {
    /// The function, `(anonymous)` if it has no name; for a regular expression its source.
    pub function: &'m str,
    /// Path or address of the script; empty if there is none.
    pub script: &'m str,
    /// Line where the *function* begins, from 1; 0 if unknown. Not the line of a call.
    pub line: u32,
    /// Column where the function begins, from 1; 0 if unknown.
    pub column: u32,
    /// What made the code.
    pub tier: Tier,
    /// Whose code it is.
    pub kind: JsKind,
}

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsKind {
    /// The program's: functions, regular expressions, WebAssembly.
    Js,
    /// V8's own.
    Builtin,
}

/// What made a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Ignition: bytecode. The code is a copy of the interpreter's entry, made for this function.
    Interpreted,
    /// Sparkplug.
    Baseline,
    /// Maglev, and Turboprop before it.
    Maglev,
    /// TurboFan.
    Optimised,
    /// Part of V8.
    Builtin,
    /// A regular expression.
    RegExp,
    /// WebAssembly, whichever compiler.
    Wasm,
    /// Anything else, such as the glue between JavaScript and WebAssembly of old versions.
    Other,
}

impl Tier {
    /// A word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Interpreted => "interpreted",
            Tier::Baseline => "baseline",
            Tier::Maglev => "maglev",
            Tier::Optimised => "optimised",
            Tier::Builtin => "builtin",
            Tier::RegExp => "regexp",
            Tier::Wasm => "wasm",
            Tier::Other => "other",
        }
    }
}

const ANONYMOUS: &str = "(anonymous)";

/// How scripts' names begin. A space before one of these is where the function's name ends.
const SCRIPT_STARTS: [&str; 15] = [
    "/",
    "node:",
    "internal/",
    "file:",
    "[eval",
    "[stdin]",
    "[worker eval]",
    "evalmachine.",
    "data:",
    "blob:",
    "wasm:",
    "webpack",
    "native ",
    "./",
    "../",
];

impl<'m> JsName<'m> {
    /// Takes a name of a `perf` map apart. A name of no known form is a function's as a whole.
    pub fn parse(name: &'m str) -> JsName<'m> {
        let own = |function, tier| JsName::of_function(function, tier, JsKind::Builtin);
        let Some((tag, rest)) = name.split_once(':') else {
            return match name.starts_with("wasm-function[") {
                true => JsName::of_function(name, Tier::Wasm, JsKind::Js),
                false => JsName::of_function(name, Tier::Other, JsKind::Js),
            };
        };
        match tag {
            "Builtin" | "BytecodeHandler" => own(rest, Tier::Builtin),
            "Stub" | "Handler" | "Callback" => own(rest, Tier::Other),
            "RegExp" => JsName::of_function(rest, Tier::RegExp, JsKind::Js),
            _ if tag.starts_with("RegExp.") => {
                JsName::of_function(pattern_of(rest).unwrap_or(name), Tier::RegExp, JsKind::Js)
            }
            "JS" | "LazyCompile" | "Function" | "Script" | "Eval" | "InterpretedFunction" => of_js(rest),
            _ => JsName::of_function(name, Tier::Other, JsKind::Js),
        }
    }

    fn of_function(function: &'m str, tier: Tier, kind: JsKind) -> JsName<'m> {
        let function = if function.is_empty() { ANONYMOUS } else { function };
        JsName { function, script: "", line: 0, column: 0, tier, kind }
    }
}

fn of_js(name: &str) -> JsName<'_> {
    let (tier, name) = split_mark(name);
    if tier.is_none()
        && let Some(function) = wasm_function(name)
    {
        return JsName::of_function(function, Tier::Wasm, JsKind::Js);
    }
    let tier = tier.unwrap_or(Tier::Other);
    let position = split_position(name);
    let (text, line, column) = position.unwrap_or((name, 0, 0));
    let (function, script) = split_script(text, position.is_some());
    JsName { script, line, column, ..JsName::of_function(function, tier, JsKind::Js) }
}

/// The pattern of `RegExp.> src: 'PATTERN' flags: 'FLAGS'`, as Node 24 and newer have it.
fn pattern_of(rest: &str) -> Option<&str> {
    rest.strip_prefix(" '")?.rsplit_once("' flags: '").map(|(pattern, _)| pattern)
}

/// The mark of the compiler. Optimised code has an `o` before it if it was made for a loop that was running, and an
/// apostrophe behind it if it is for one context only.
fn split_mark(name: &str) -> (Option<Tier>, &str) {
    let name = name.strip_prefix('o').filter(|rest| rest.starts_with(['+', '*'])).unwrap_or(name);
    let tier = match name.as_bytes().first() {
        Some(b'~') => Tier::Interpreted,
        Some(b'^') => Tier::Baseline,
        Some(b'+') => Tier::Maglev,
        Some(b'*') => Tier::Optimised,
        _ => return (None, name),
    };
    let rest = &name[1..];
    let is_optimised = matches!(tier, Tier::Maglev | Tier::Optimised);
    (Some(tier), rest.strip_prefix('\'').filter(|_| is_optimised).unwrap_or(rest))
}

/// `NAME-INDEX-COMPILER` and the glue code around it.
fn wasm_function(name: &str) -> Option<&str> {
    let mut parts = name.rsplitn(3, '-');
    let (compiler, index, function) = (parts.next()?, parts.next(), parts.next());
    if let (Some(index), Some(function)) = (index, function) {
        let is_compiler = matches!(compiler, "liftoff" | "turbofan" | "interpreter" | "none");
        let is_index = index == "<anonymous>" || index.parse::<u32>().is_ok();
        if is_compiler && is_index {
            return Some(function);
        }
    }
    let is_glue = ["wasm-function[", "wasm-to-js", "js-to-wasm"].iter().any(|start| name.starts_with(start));
    is_glue.then_some(name)
}

/// `TEXT:LINE:COLUMN`, or `TEXT:LINE` with no column.
fn split_position(name: &str) -> Option<(&str, u32, u32)> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (name, last) = name.rsplit_once(':')?;
    let last = number(last)?;
    let before = name.rsplit_once(':').and_then(|(name, line)| Some((name, number(line)?)));
    Some(before.map_or((name, last, 0), |(name, line)| (name, line, last)))
}

/// `FUNCTION SCRIPT`, either of which may be empty and may have spaces in it.
fn split_script(text: &str, has_position: bool) -> (&str, &str) {
    let split = |at: usize| (&text[..at], &text[at + 1..]);
    if text.starts_with(' ') {
        return split(0);
    }
    // An address has no space in it, so a last word that is one is all of it.
    if let Some(at) = text.rfind(' ').filter(|&at| text[at..].contains("://")) {
        return split(at);
    }
    let mut spaces = text.match_indices(' ').map(|(at, _)| at);
    if let Some(at) = spaces.clone().find(|&at| is_start_of_script(&text[at + 1..])) {
        return split(at);
    }
    // A script with a name of its own making. Accessors are what has a space in its name most often.
    let is_accessor = text.starts_with("get ") || text.starts_with("set ");
    let at = if is_accessor { spaces.nth(1) } else { spaces.next() };
    at.filter(|_| has_position).map_or((text, ""), split)
}

fn is_start_of_script(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or(text);
    SCRIPT_STARTS.iter().any(|start| text.starts_with(start)) || word.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, function: &str, script: &str, position: (u32, u32), tier: Tier) {
        let parsed = JsName::parse(name);
        let found = (parsed.function, parsed.script, (parsed.line, parsed.column), parsed.tier, parsed.kind);
        assert_eq!(found, (function, script, position, tier, JsKind::Js), "{name}");
    }

    #[test]
    fn the_mark_is_the_tier() {
        check("JS:~leaf /tmp/x.js:1:25", "leaf", "/tmp/x.js", (1, 25), Tier::Interpreted);
        check("JS:^f file:///a b/c.mjs:10:3", "f", "file:///a b/c.mjs", (10, 3), Tier::Baseline);
        check("JS:+f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Maglev);
        check("JS:*f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Optimised);
        check("JS:*'f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Optimised);
        check("JS:+'f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Maglev);
        check("JS:o+ file:///x.mjs:1:1", ANONYMOUS, "file:///x.mjs", (1, 1), Tier::Maglev);
        check("JS:o*'f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Optimised);
        check("JS:~o /x.js:1:1", "o", "/x.js", (1, 1), Tier::Interpreted);
        check("JS:f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Other);
        check("JS:o /x.js:1:1", "o", "/x.js", (1, 1), Tier::Other);
        check("LazyCompile:*name file:1:2", "name", "file", (1, 2), Tier::Optimised);
        check("LazyCompile:~read node:fs:400:18", "read", "node:fs", (400, 18), Tier::Interpreted);
        check("InterpretedFunction:~f /x.js:1:1", "f", "/x.js", (1, 1), Tier::Interpreted);
    }

    #[test]
    fn node_18_tells_no_column() {
        check("LazyCompile:~hot file:///x.mjs:3", "hot", "file:///x.mjs", (3, 0), Tier::Interpreted);
        check("Eval:~ node:vm:1", ANONYMOUS, "node:vm", (1, 0), Tier::Interpreted);
        check("Function:~vmf my own.vm:1", "vmf", "my own.vm", (1, 0), Tier::Interpreted);
        check("Function:~evald :1", "evald", "", (1, 0), Tier::Interpreted);
    }

    #[test]
    fn what_has_no_name_is_anonymous() {
        check("JS:~ /x.js:1:1", ANONYMOUS, "/x.js", (1, 1), Tier::Interpreted);
        check("Function:~ /a b.js:1:11", ANONYMOUS, "/a b.js", (1, 11), Tier::Interpreted);
        check("Script:~ /path/x.js:1:1", ANONYMOUS, "/path/x.js", (1, 1), Tier::Interpreted);
        check("Script:~ /path", ANONYMOUS, "/path", (0, 0), Tier::Interpreted);
        check("Eval:~ ", ANONYMOUS, "", (0, 0), Tier::Interpreted);
        check("Eval:~ [eval]:1:1", ANONYMOUS, "[eval]", (1, 1), Tier::Interpreted);
        check("JS:~", ANONYMOUS, "", (0, 0), Tier::Interpreted);
        check("JS:~f :1:10", "f", "", (1, 10), Tier::Interpreted);
    }

    #[test]
    fn names_and_scripts_may_have_spaces() {
        check("JS:~get size /x.js:1:1", "get size", "/x.js", (1, 1), Tier::Interpreted);
        check("JS:~a b c node:internal/x:1:1", "a b c", "node:internal/x", (1, 1), Tier::Interpreted);
        check("JS:~odd /x file:///a%20b.mjs:2:5", "odd /x", "file:///a%20b.mjs", (2, 5), Tier::Interpreted);
        check("JS:~f /a /b.js:1:1", "f", "/a /b.js", (1, 1), Tier::Interpreted);
        check("JS:~f https://x/y z.js:1:1", "f", "https://x/y z.js", (1, 1), Tier::Interpreted);
        check("JS:~f evalmachine.<anonymous>:1:1", "f", "evalmachine.<anonymous>", (1, 1), Tier::Interpreted);
        check("JS:~f internal/fs/utils.js:1:1", "f", "internal/fs/utils.js", (1, 1), Tier::Interpreted);
        check("JS:~f my own.vm:1:1", "f", "my own.vm", (1, 1), Tier::Interpreted);
        check("JS:~get x my.vm:1:1", "get x", "my.vm", (1, 1), Tier::Interpreted);
        check("JS:~a b", "a b", "", (0, 0), Tier::Interpreted);
        check("JS:~f /x.js:1:", "f", "/x.js:1:", (0, 0), Tier::Interpreted);
        check("JS:~f /x.js:99999999999:1", "f", "/x.js:99999999999", (1, 0), Tier::Interpreted);
    }

    #[test]
    fn code_that_is_no_function_has_its_own_tier() {
        check("RegExp:^a b:1:2$", "^a b:1:2$", "", (0, 0), Tier::RegExp);
        check("RegExp.> src: '^a 'b:1:2$' flags: 'gi'", "^a 'b:1:2$", "", (0, 0), Tier::RegExp);
        check("RegExp.< src: 'a' flags: ''", "a", "", (0, 0), Tier::RegExp);
        check("RegExp.? new", "RegExp.? new", "", (0, 0), Tier::Other);
        check("RegExp.?:new", "RegExp.?:new", "", (0, 0), Tier::RegExp);
        check("JS:wasm-function[12]-12-turbofan", "wasm-function[12]", "", (0, 0), Tier::Wasm);
        check("JS:fib-3-liftoff", "fib", "", (0, 0), Tier::Wasm);
        check("JS:-<anonymous>-liftoff", ANONYMOUS, "", (0, 0), Tier::Wasm);
        check("Function:wasm-to-js:i:i", "wasm-to-js:i:i", "", (0, 0), Tier::Wasm);
        check("wasm-function[3]", "wasm-function[3]", "", (0, 0), Tier::Wasm);
        check("who knows", "who knows", "", (0, 0), Tier::Other);
        check("Odd:thing", "Odd:thing", "", (0, 0), Tier::Other);
        check("", ANONYMOUS, "", (0, 0), Tier::Other);
    }

    #[test]
    fn what_is_v8s_own_is_a_builtin() {
        #[track_caller]
        fn check(name: &str, function: &str, tier: Tier) {
            let parsed = JsName::parse(name);
            assert_eq!((parsed.function, parsed.script, parsed.tier), (function, "", tier));
            assert_eq!(parsed.kind, JsKind::Builtin);
        }
        check("Builtin:ArrayMap", "ArrayMap", Tier::Builtin);
        check("BytecodeHandler:LdaZero", "LdaZero", Tier::Builtin);
        check("Stub:CEntry", "CEntry", Tier::Other);
        check("Handler:", ANONYMOUS, Tier::Other);
    }
}
