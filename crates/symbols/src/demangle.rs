//! Names as their authors wrote them.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Longer names are not taken apart, in bytes. Templates of real programs reach 30 kB.
const MAX_MANGLED: usize = 1 << 16;
/// What one name may become, in bytes: a name that repeats its own parts can double with each letter.
const MAX_DEMANGLED: usize = 1 << 18;

/// The readable form of a symbol's name: C++ as libiberty (`nm -C`) prints it, Rust without its hash. Any other name,
/// and one that can't be taken apart, comes back as it is.
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
    Some(text.0)
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
