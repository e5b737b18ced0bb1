//! The functions that the hooks stand in for, as the process would have called them without us.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};

macro_rules! real {
    ($($name:ident = $symbol:literal),* $(,)?) => {
        /// The real functions, filled by [`find`].
        $(pub(crate) static $name: Real = Real::new($symbol);)*
        /// All of them.
        pub(crate) static ALL: &[&Real] = &[$(&$name),*];
    };
}

real! {
    MALLOC = c"malloc", FREE = c"free", CALLOC = c"calloc", REALLOC = c"realloc",
    POSIX_MEMALIGN = c"posix_memalign", ALIGNED_ALLOC = c"aligned_alloc", MEMALIGN = c"memalign",
    VALLOC = c"valloc", PVALLOC = c"pvalloc", MMAP = c"mmap", MUNMAP = c"munmap", MREMAP = c"mremap",
    DLOPEN = c"dlopen", DLCLOSE = c"dlclose", SETVBUF = c"setvbuf", FOPEN = c"fopen",
    PRCTL = c"prctl", SYSCALL = c"syscall",
}

/// What the program says about its own leaks, as LeakSanitizer asks for it; null if it says nothing.
pub(crate) static SUPPRESSIONS: Real = Real::new(c"__lsan_default_suppressions");
/// libc's variable with the environment.
pub(crate) static ENVIRONMENT: Real = Real::new(c"environ");

/// One function, or variable.
pub(crate) struct Real {
    symbol: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    const fn new(symbol: &'static CStr) -> Real {
        Real { symbol, address: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Its address; null before [`find`], and if the process has none.
    #[inline]
    pub(crate) fn address(&self) -> *mut c_void {
        self.address.load(Ordering::Relaxed)
    }
}

/// Looks all functions up, the one we need most last: once it is there, all are.
///
/// The search begins behind our own object. That matters: a program that takes malloc's address has a symbol of
/// that name which leads back to us, and heaptrack dies of it.
pub(crate) fn find() {
    for real in ALL.iter().rev() {
        let address = next(real.symbol);
        if !address.is_null() {
            real.address.store(address, Ordering::Release);
        }
    }
    // Now rather than when they are needed: looking up what isn't there allocates, and that would be recorded.
    for anywhere in [&SUPPRESSIONS, &ENVIRONMENT] {
        // SAFETY: a C string.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, anywhere.symbol.as_ptr()) };
        anywhere.address.store(address, Ordering::Release);
    }
}

/// The next function with this name behind our own object; null if there is none.
pub(crate) fn next(symbol: &CStr) -> *mut c_void {
    // SAFETY: a C string. What this allocates comes from `boot`, or goes unrecorded.
    unsafe { libc::dlsym(libc::RTLD_NEXT, symbol.as_ptr()) }
}
