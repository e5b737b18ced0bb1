//! The malloc family of the child.
//!
//! glibc's arenas and jemalloc's bins may be locked by threads that are gone, so the child never enters them: what
//! it allocates comes from its own heap, and what the parent allocated is never given back.

use std::{
    cell::UnsafeCell,
    ffi::{c_int, c_void},
    ptr::null_mut,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::heap::{ALIGNMENT, Heap};

/// What to reserve: as much as the limits of the process allow.
const SIZES: [usize; 6] = [256 << 30, 64 << 30, 16 << 30, 4 << 30, 1 << 30, 256 << 20];

struct OneThread(UnsafeCell<Heap>);

// SAFETY: only the child uses it, and the child has one thread.
unsafe impl Sync for OneThread {}

static HEAP: OneThread = OneThread(UnsafeCell::new(Heap::empty()));
/// The parent's `malloc_usable_size`: it reads a block's own words and takes no lock.
static FORMER_SIZE: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// Tells the functions of this module, before the fork, how to measure the parent's blocks.
pub(crate) fn prepare(former_size: usize, page: usize) {
    FORMER_SIZE.store(former_size, Relaxed);
    PAGE.store(page, Relaxed);
}

/// Reserves the heap. In the child only.
pub(crate) fn reserve() -> bool {
    heap().reserve(&SIZES, PAGE.load(Relaxed))
}

pub(crate) extern "C" fn malloc(size: usize) -> *mut c_void {
    aligned(ALIGNMENT, size)
}

pub(crate) unsafe extern "C" fn free(memory: *mut c_void) {
    if heap().owns(memory.cast()) {
        // SAFETY: by the rules of `free` an allocated block, and the address says that it is ours.
        unsafe { heap().free(memory.cast()) };
    }
}

pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return no_memory() };
    let (memory, zero) = heap().allocate(bytes, ALIGNMENT);
    if memory.is_null() {
        return no_memory();
    }
    if !zero {
        // SAFETY: a block of that size, just allocated.
        unsafe { memory.write_bytes(0, bytes) };
    }
    memory.cast()
}

pub(crate) unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    if memory.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: as the caller promises.
        unsafe { free(memory) };
        return null_mut();
    }
    if heap().owns(memory.cast()) {
        // SAFETY: by the rules of `realloc` an allocated block, and the address says that it is ours.
        let new = unsafe { heap().resize(memory.cast(), size) };
        return if new.is_null() { no_memory() } else { new.cast() };
    }
    let new = malloc(size);
    if !new.is_null() {
        // SAFETY: a block of the parent's malloc, by the rules of `realloc`; the new one is `size` long.
        unsafe { new.cast::<u8>().copy_from_nonoverlapping(memory.cast(), usable_size(memory).min(size)) };
    }
    new
}

pub(crate) unsafe extern "C" fn reallocarray(memory: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as the caller promises.
        Some(bytes) => unsafe { realloc(memory, bytes) },
        None => no_memory(),
    }
}

pub(crate) unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return libc::EINVAL;
    }
    let (memory, _) = heap().allocate(size, align);
    if memory.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's place for the answer.
    unsafe { to.write(memory.cast()) };
    0
}

/// `aligned_alloc` and `memalign`.
pub(crate) extern "C" fn aligned(align: usize, size: usize) -> *mut c_void {
    let (memory, _) = heap().allocate(size, align);
    if memory.is_null() { no_memory() } else { memory.cast() }
}

pub(crate) extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned(PAGE.load(Relaxed), size)
}

pub(crate) extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = PAGE.load(Relaxed);
    size.checked_next_multiple_of(page).map_or_else(no_memory, |size| aligned(page, size))
}

pub(crate) unsafe extern "C" fn usable_size(memory: *mut c_void) -> usize {
    if memory.is_null() {
        return 0;
    }
    if heap().owns(memory.cast()) {
        // SAFETY: an allocated block, and the address says that it is ours.
        return unsafe { heap().usable_size(memory.cast()) };
    }
    match FORMER_SIZE.load(Relaxed) {
        0 => 0,
        // SAFETY: the address of the parent's `malloc_usable_size`, looked up by that name.
        former => unsafe {
            std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void) -> usize>(former)(memory)
        },
    }
}

/// Nothing to give back: free memory is kept for the next block.
pub(crate) extern "C" fn trim(_keep: usize) -> c_int {
    0
}

fn heap() -> &'static mut Heap {
    // SAFETY: the child has one thread, its signals have no handlers, and the heap calls nothing that allocates:
    // no two of these references are in use at once.
    unsafe { &mut *HEAP.0.get() }
}

fn no_memory() -> *mut c_void {
    // SAFETY: libc's own place for this thread's error, in its static thread-local memory.
    unsafe { *libc::__errno_location() = libc::ENOMEM };
    null_mut()
}
