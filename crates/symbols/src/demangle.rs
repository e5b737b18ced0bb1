//! Names as their authors wrote them.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Longer names are not taken apart, in bytes. Templates of real programs reach 30 kB.
const MAX_MANGLED: usize = 1 << 16;
/// What one name may become, in bytes: a name that repeats its own parts can double with each letter.
const MAX_DEMANGLED: usize = 1 << 18;

/// The readable form of a symbol's name: C++ as libiberty (`nm -C`) prints it, but for rare templates; Rust without
/// its hash. Any other name, and one that can't be taken apart, comes back as it is.
pub fn demangle(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(without_version(name));
    let demangled = if text.len() > MAX_MANGLED || !is_mangled(text.as_bytes()) {
        None
    } else if text.starts_with("_R") || is_old_rust(&text) {
        rust(&text)
    } else {
        cpp(&text)
    };
    demangled.map_or(text, Cow::Owned)
}

/// Whether a name is one of a C++ or Rust compiler.
pub(crate) fn is_mangled(name: &[u8]) -> bool {
    name.starts_with(b"_Z") || name.starts_with(b"_R")
}

/// `memcpy@@GLIBC_2.14` is `memcpy`: linkers write versions into the names of `.symtab`.
fn without_version(name: &[u8]) -> &[u8] {
    match memchr::memchr(b'@', name) {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

/// Whether a name is of the older of Rust's two schemes, which looks like C++ but ends with a hash: `17h…E`.
fn is_old_rust(name: &str) -> bool {
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    let Some(name) = name.strip_suffix('E').filter(|name| name.starts_with("_ZN")) else { return false };
    let Some((_, hash)) = name.len().checked_sub(19).and_then(|at| name.split_at_checked(at)) else {
        return false;
    };
    hash.starts_with("17h") && hash[3..].bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Bounded(String::new());
    write!(text, "{demangled:#}").ok()?;
    Some(text.0)
}

fn cpp(name: &str) -> Option<String> {
    // Both steps have limits for the depth of a name, made for the stack of a debug build.
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    let mut text = Bounded(String::new());
    symbol.structured_demangle(&mut text, &cpp_demangle::DemangleOptions::default()).ok()?;
    let text = without_empty_packs(with_short_literals(text.0));
    Some(if name.starts_with("_ZT") { thunk(name, &text).unwrap_or(text) } else { text })
}

/// Says of a thunk what libiberty says: `{virtual override thunk({offset(-8)}, F)}` is `non-virtual thunk to F`.
fn thunk(name: &str, text: &str) -> Option<String> {
    let (_, function) = text.strip_prefix("{virtual override thunk(")?.split_once(")}, ")?;
    let (function, clone) = function.rsplit_once(")}")?;
    let kind = match name.as_bytes().get(3)? {
        b'h' => "non-virtual thunk to ",
        b'v' => "virtual thunk to ",
        _ => "covariant return thunk to ",
    };
    Some([kind, function, clone].concat())
}

/// Integer types whose literals libiberty writes with a suffix instead of a cast.
const SUFFIXES: [(&str, &str); 5] = [
    ("(unsigned int)", "u"),
    ("(long)", "l"),
    ("(unsigned long)", "ul"),
    ("(long long)", "ll"),
    ("(unsigned long long)", "ull"),
];

/// `(unsigned long)7` is `7ul`.
fn with_short_literals(text: String) -> String {
    let literal = |rest: &str| {
        let (cast, suffix) = SUFFIXES.into_iter().find(|(cast, _)| rest.starts_with(cast))?;
        let number = &rest[cast.len()..];
        let sign = usize::from(number.starts_with('-'));
        let digits = number[sign..].bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then_some((cast.len(), sign + digits, suffix))
    };
    let mut short = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('(') {
        let Some((cast, number, suffix)) = literal(&text[at..]) else { continue };
        let end = at + cast + number;
        short.extend([&text[copied..at], &text[at + cast..end], suffix]);
        copied = end;
    }
    if copied == 0 {
        return text;
    }
    short.push_str(&text[copied..]);
    short
}

/// A parameter pack without parameters leaves nothing behind, not even its comma: `f<int>(int)` and not
/// `f<int, >(int, &&)`.
fn without_empty_packs(mut text: String) -> String {
    for (left, whole) in
        [(", >", ">"), (", &&)", ")"), (", &)", ")"), (", const&)", ")"), (", )", ")"), ("(&&)", "()")]
    {
        // Several of them leave `, , >`.
        while text.contains(left) {
            text = text.replace(left, whole);
        }
    }
    text
}

/// Text that refuses to grow without end.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > MAX_DEMANGLED {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mangled: &str, expected: &str) {
        assert_eq!(demangle(mangled.as_bytes()), expected);
    }

    #[test]
    fn cpp_names_read_as_libiberty_prints_them() {
        check("_Znwm", "operator new(unsigned long)");
        check("_Znam", "operator new[](unsigned long)");
        check("_ZdlPvm", "operator delete(void*, unsigned long)");
        check("_ZN4node6BufferC2Ev", "node::Buffer::Buffer()");
        check(
            "_ZNSt6vectorISt4pairIiiESaIS1_EE9push_backERKS1_",
            "std::vector<std::pair<int, int>, std::allocator<std::pair<int, int> > >::push_back(std::pair<int, int> const&)",
        );
        check("_ZN12_GLOBAL__N_14workEv", "(anonymous namespace)::work()");
        check("_Z3addIiET_S0_S0_", "int add<int>(int, int)");
        check("_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const");
        check("_Z3runv.part.0", "run() [clone .part.0]");
        check("_Z4manyIiLm7ELin3ELln2ELj5ELb1EEvv", "void many<int, 7ul, -3, -2l, 5u, true>()");
        check("_Z4packIJEEvPKcDpOT_", "void pack<>(char const*)");
        check("_Z4packIbJEEvRT_DpOT0_", "void pack<bool>(bool&)");
        check("_Z4packIJEEvPKcDpRKT_", "void pack<>(char const*)");
        check("_ZThn8_N4node4TaskD0Ev", "non-virtual thunk to node::Task::~Task()");
        check("_ZTv0_n24_N4node4Task3RunEv", "virtual thunk to node::Task::Run()");
        check(
            "_ZThn8_N4node4TaskD0Ev.constprop.0",
            "non-virtual thunk to node::Task::~Task() [clone .constprop.0]",
        );
    }

    #[test]
    fn rust_names_lose_their_hash() {
        check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
        check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.123", "core::fmt::Formatter::pad");
        check("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
    }

    #[test]
    fn other_names_stay_as_they_are() {
        check("malloc", "malloc");
        check("malloc@@GLIBC_2.2.5", "malloc");
        check("@odd", "@odd");
        check(
            "heap.general_purpose_allocator.Allocator.alloc",
            "heap.general_purpose_allocator.Allocator.alloc",
        );
        check("Builtins_ArrayMap", "Builtins_ArrayMap");
        check("uv__read.part.0", "uv__read.part.0");
        check("_Z", "_Z");
        check("_ZN4node", "_ZN4node");
        check("_R", "_R");
        check("", "");
    }

    #[test]
    fn a_hostile_name_stays_as_it_is() {
        let deep = format!("_Z1f{}i", "P".repeat(60_000));
        check(&deep, &deep);
        // Each pair holds the one before it twice: 2^64 letters.
        let mut doubling = String::from("_Z1fSt4pairIiiE");
        for at in 0..60 {
            let _ = write!(doubling, "S_IS{0}_S{0}_E", base_36(at));
        }
        check(&doubling, &doubling);
    }

    fn base_36(number: u32) -> String {
        let digit = |value: u32| char::from_digit(value, 36).unwrap().to_ascii_uppercase();
        match number {
            0..36 => digit(number).to_string(),
            _ => [digit(number / 36), digit(number % 36)].iter().collect(),
        }
    }
}
