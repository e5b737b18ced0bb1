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
    /// What is among the constants of a module that has it inside.
    marks: &'static [&'static str],
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
        marks: &["mimalloc: warning: ", "mimalloc: error: ", "mimalloc_verbose"],
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
        marks: &["<jemalloc>: "],
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
        marks: &["tcmalloc.current_total_thread_cache_bytes"],
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

/// The allocator whose texts are among a file's bytes: one without symbols has them all the same.
pub(super) fn allocator_inside(bytes: &[u8]) -> Option<&'static str> {
    let has = |mark: &&str| memchr::memmem::find(bytes, mark.as_bytes()).is_some();
    FAMILIES.iter().find(|family| family.marks.iter().any(has)).map(|family| family.name)
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
        assert_eq!(allocator_inside(b"\0mimalloc: warning: %s\0"), Some("mimalloc"));
        assert_eq!(allocator_inside(b"\0<jemalloc>: Error\0"), Some("jemalloc"));
        assert_eq!(allocator_inside(b"\0malloc\0"), None);
    }
}
