//! Functions of allocators that are linked statically into a module: which there are, and what their arguments mean.

use twinheap_wire::plan::Call;

const fn call(old: Option<u32>, size: Option<u32>, count: Option<u32>, out: Option<u32>) -> Call {
    Call { old, size, count, out }
}

const SIZE: Call = call(None, Some(0), None, None);
const SECOND: Call = call(None, Some(1), None, None);
const PRODUCT: Call = call(None, Some(1), Some(0), None);
const RESIZE: Call = call(Some(0), Some(1), None, None);
const TO_POINTER: Call = call(None, Some(2), None, Some(0));
const FREE: Call = call(Some(0), None, None, None);

/// An allocator.
struct Family {
    name: &'static str,
    /// What its functions' names begin with.
    prefixes: &'static [&'static str],
    functions: &'static [(&'static str, Call)],
    /// C strings that are all among the constants of a module that has it inside.
    marks: &'static [Mark],
}

/// A C string in a file, with the zeros around it: a text that only speaks of an allocator, such as a list of names in
/// another language, has none.
enum Mark {
    Whole(&'static str),
    /// What it begins with.
    Start(&'static str),
}

/// Functions that throw are not here: an exception can't pass through the recorder. What they call is.
const FAMILIES: &[Family] = &[
    Family {
        name: "mimalloc",
        prefixes: &["mi_"],
        functions: &[
            ("malloc", SIZE),
            ("malloc_small", SIZE),
            ("zalloc", SIZE),
            ("zalloc_small", SIZE),
            ("calloc", PRODUCT),
            ("mallocn", PRODUCT),
            ("realloc", RESIZE),
            ("reallocf", RESIZE),
            ("rezalloc", RESIZE),
            ("reallocn", call(Some(0), Some(2), Some(1), None)),
            ("recalloc", call(Some(0), Some(2), Some(1), None)),
            ("reallocarray", call(Some(0), Some(2), Some(1), None)),
            ("malloc_aligned", SIZE),
            ("zalloc_aligned", SIZE),
            ("malloc_aligned_at", SIZE),
            ("zalloc_aligned_at", SIZE),
            ("calloc_aligned", PRODUCT),
            ("realloc_aligned", RESIZE),
            ("realloc_aligned_at", RESIZE),
            ("rezalloc_aligned", RESIZE),
            ("aligned_alloc", SECOND),
            ("memalign", SECOND),
            ("posix_memalign", TO_POINTER),
            ("valloc", SIZE),
            ("pvalloc", SIZE),
            ("heap_malloc", SECOND),
            ("heap_zalloc", SECOND),
            ("heap_malloc_small", SECOND),
            ("heap_calloc", call(None, Some(2), Some(1), None)),
            ("heap_mallocn", call(None, Some(2), Some(1), None)),
            ("heap_malloc_aligned", SECOND),
            ("heap_zalloc_aligned", SECOND),
            ("heap_realloc", call(Some(1), Some(2), None, None)),
            ("heap_rezalloc", call(Some(1), Some(2), None, None)),
            ("heap_realloc_aligned", call(Some(1), Some(2), None, None)),
            ("new_nothrow", SIZE),
            ("free", FREE),
            ("cfree", FREE),
            ("free_size", FREE),
            ("free_aligned", FREE),
            ("free_size_aligned", FREE),
        ],
        marks: &[
            Mark::Start("mimalloc: warning: "),
            Mark::Start("mimalloc: error: "),
            Mark::Whole("show_errors"),
        ],
    },
    Family {
        name: "jemalloc",
        prefixes: &["je_", "_rjem_", "jemalloc_"],
        functions: &[
            ("malloc", SIZE),
            ("calloc", PRODUCT),
            ("realloc", RESIZE),
            ("mallocx", SIZE),
            ("rallocx", RESIZE),
            ("aligned_alloc", SECOND),
            ("memalign", SECOND),
            ("posix_memalign", TO_POINTER),
            ("valloc", SIZE),
            ("pvalloc", SIZE),
            ("free", FREE),
            ("cfree", FREE),
            ("dallocx", FREE),
            ("sdallocx", FREE),
            ("free_sized", FREE),
            ("free_aligned_sized", FREE),
        ],
        marks: &[Mark::Start("<jemalloc>: "), Mark::Whole("opt.narenas")],
    },
    Family {
        name: "rpmalloc",
        prefixes: &["rp"],
        functions: &[
            ("malloc", SIZE),
            ("zalloc", SIZE),
            ("calloc", PRODUCT),
            ("realloc", RESIZE),
            ("aligned_realloc", call(Some(0), Some(2), None, None)),
            ("aligned_alloc", SECOND),
            ("aligned_zalloc", SECOND),
            ("aligned_calloc", call(None, Some(2), Some(1), None)),
            ("memalign", SECOND),
            ("posix_memalign", TO_POINTER),
            ("free", FREE),
        ],
        marks: &[],
    },
    Family {
        name: "tcmalloc",
        prefixes: &["tc_"],
        functions: &[
            ("malloc", SIZE),
            ("malloc_skip_new_handler", SIZE),
            ("calloc", PRODUCT),
            ("realloc", RESIZE),
            ("memalign", SECOND),
            ("posix_memalign", TO_POINTER),
            ("valloc", SIZE),
            ("pvalloc", SIZE),
            ("free", FREE),
            ("free_sized", FREE),
            ("cfree", FREE),
            ("delete", FREE),
            ("deletearray", FREE),
        ],
        marks: &[
            Mark::Whole("tcmalloc.current_total_thread_cache_bytes"),
            Mark::Whole("tcmalloc.max_total_thread_cache_bytes"),
        ],
    },
    Family {
        name: "snmalloc",
        prefixes: &["sn_"],
        functions: &[
            ("malloc", SIZE),
            ("calloc", PRODUCT),
            ("realloc", RESIZE),
            ("memalign", SECOND),
            ("aligned_alloc", SECOND),
            ("posix_memalign", TO_POINTER),
            ("rust_alloc", SECOND),
            ("rust_alloc_zeroed", SECOND),
            ("rust_realloc", call(Some(0), Some(3), None, None)),
            ("rust_dealloc", FREE),
            ("free", FREE),
        ],
        marks: &[],
    },
    Family {
        name: PLAIN,
        prefixes: &[""],
        functions: &[
            ("malloc", SIZE),
            ("calloc", PRODUCT),
            ("realloc", RESIZE),
            ("memalign", SECOND),
            ("aligned_alloc", SECOND),
            ("posix_memalign", TO_POINTER),
            ("valloc", SIZE),
            ("pvalloc", SIZE),
            ("free", FREE),
            ("cfree", FREE),
            ("free_sized", FREE),
        ],
        marks: &[],
    },
];

/// The allocator whose functions have the names of malloc and its kin.
pub(super) const PLAIN: &str = "a malloc of its own";

/// A function of an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// The allocator.
    pub(super) family: &'static str,
    /// What its arguments mean.
    pub(super) call: Call,
}

/// The function with this name, if it is an allocator's.
pub(super) fn function(name: &str) -> Option<Function> {
    FAMILIES.iter().find_map(|family| {
        let rest = family.prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
        let (_, call) = family.functions.iter().find(|(function, _)| *function == rest)?;
        Some(Function { family: family.name, call: *call })
    })
}

/// The allocator that a shared object offers by this function, which allocates under a name of its own: whoever calls it
/// needs no malloc.
pub(super) fn allocator_of(name: &str) -> Option<&'static str> {
    let own = function(name).filter(|found| found.family != PLAIN && found.call.size.is_some());
    own.map(|found| found.family).or_else(|| {
        let is_among = |names: &[&str]| names.contains(&name);
        if is_among(&["mi_new", "mi_new_n", "mi_new_aligned", "mi_new_realloc", "mi_new_reallocn"]) {
            Some("mimalloc")
        } else if is_among(&["mallocx", "rallocx"]) {
            Some("jemalloc")
        } else if is_among(&["tc_new", "tc_newarray", "tc_new_nothrow", "tc_newarray_nothrow"]) {
            Some("tcmalloc")
        } else {
            None
        }
    })
}

/// The allocator whose texts are among a file's bytes: one without symbols has them all the same.
pub(super) fn allocator_inside(bytes: &[u8]) -> Option<&'static str> {
    let has = |mark: &Mark| {
        let (text, is_whole) = match mark {
            Mark::Whole(text) => (text.as_bytes(), true),
            Mark::Start(text) => (text.as_bytes(), false),
        };
        memchr::memmem::find_iter(bytes, text).any(|at| {
            let is_end = bytes.get(at + text.len()) == Some(&0);
            at.checked_sub(1).is_some_and(|before| bytes[before] == 0) && (is_end || !is_whole)
        })
    };
    let found = FAMILIES.iter().find(|family| !family.marks.is_empty() && family.marks.iter().all(has));
    found.map(|family| family.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_their_names() {
        let check = |name, expected| assert_eq!(function(name).map(|found| found.family), expected, "{name}");
        check("mi_malloc_aligned", Some("mimalloc"));
        check("_rjem_sdallocx", Some("jemalloc"));
        check("je_malloc", Some("jemalloc"));
        check("rpfree", Some("rpmalloc"));
        check("tc_malloc", Some("tcmalloc"));
        check("malloc", Some("a malloc of its own"));
        check("mi_malloc_generic", None);
        check("_mi_malloc", None);
        check("my_malloc", None);
        check("mi_new", None);
    }

    #[test]
    fn allocators_are_known_by_their_texts() {
        let check = |bytes: &[u8], expected| assert_eq!(allocator_inside(bytes), expected);
        check(b"\0mimalloc: warning: \0mimalloc: error: \0x\0show_errors\0", Some("mimalloc"));
        check(b"\0show_errors\0mimalloc: error: %s\0mimalloc: warning: %s\0", Some("mimalloc"));
        check(b"\0<jemalloc>: Error\0opt.narenas\0", Some("jemalloc"));
        check(b"\0malloc\0", None);
    }

    #[test]
    fn whoever_speaks_of_an_allocator_has_none_inside() {
        let check = |bytes: &[u8]| assert_eq!(allocator_inside(bytes), None);
        // As a list of texts lies in a Rust program.
        check(b"\0mimalloc: warning: mimalloc: error: show_errors<jemalloc>: opt.narenas\0");
        check(b"\0mimalloc: warning: \0mimalloc: error: \0");
        check(b"\0<jemalloc>: \0");
    }

    #[test]
    fn calls_by_an_allocator_s_own_names_are_known() {
        let check = |name, expected| assert_eq!(allocator_of(name), expected, "{name}");
        check("mi_malloc", Some("mimalloc"));
        check("mi_new", Some("mimalloc"));
        check("tc_new", Some("tcmalloc"));
        check("mallocx", Some("jemalloc"));
        check("malloc", None);
        check("mi_free", None);
    }
}
