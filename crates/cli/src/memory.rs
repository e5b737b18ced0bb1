//! Big columns on big pages.
//!
//! The first touch of fresh memory costs as much as parsing into it: a fault for every 4 KiB, and later a miss in
//! the address cache for every random access. Asking for 2 MiB pages where an allocation is large enough brought a
//! third of the whole run time back on the machine in BENCHMARKS.md.

#![expect(
    unsafe_code,
    reason = "a global allocator is unsafe by its trait; this one forwards to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};

#[global_allocator]
static ALLOCATOR: BigPages = BigPages;

/// The system's allocator, with a word to the kernel about large blocks.
struct BigPages;

/// Blocks from this size on get the advice.
const LARGE: usize = 4 << 20;
/// Size of a small page, on which advice must begin.
const PAGE: usize = 4 << 10;

fn advise(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    if size >= LARGE && !block.is_null() {
        // The allocator's own header stands in front of the block, on the first page of a mapping that the kernel
        // has aligned for big pages: leave that page out, and the first big page is lost.
        let start = block as usize / PAGE * PAGE;
        let end = (block as usize + size).next_multiple_of(PAGE);
        // SAFETY: the pages hold a block that was just allocated, so they are mapped; the advice changes no content,
        // neither the block's nor a neighbour's. If the kernel does not know it, nothing is lost.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
}

// SAFETY: every method forwards to `System` with the caller's arguments and returns its result unchanged.
unsafe impl GlobalAlloc for BigPages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        let block = unsafe { System.alloc(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { System.alloc_zeroed(layout) };
        advise(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { System.realloc(block, layout, new_size) };
        if new_size > layout.size() {
            advise(block, new_size);
        }
        block
    }
}
