//! Hints for passes that wait for memory most of their time.

/// Tells the processor that an element will be needed. Changes nothing else.
#[inline(always)]
pub fn prefetch<T>(column: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "a prefetch hint for a kernel that waits for memory most of its time")]
    if let Some(element) = column.get(at) {
        // SAFETY: SSE is part of x86-64; a prefetch of any address is harmless, and this one is inside the slice.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (column, at);
}
