//! What stands in for the functions that allocate and free.
//!
//! Each hook gets the arguments of the function it stands in for, and the registers of its caller. It calls the real
//! function, and records what happened: an allocation after it was made, a free before it is, since in between the
//! address belongs to the caller.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicBool, Ordering};

use twinheap_wire::record;

use crate::boot;
use crate::modules;
use crate::real::{self, Real};
use crate::session::{self, Session};
use crate::sys;
use crate::thread::{self, Thread, Told};
use crate::v8;
pub use crate::walk::Registers;

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
type Memalign = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Mmap = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;
type Munmap = unsafe extern "C" fn(*mut c_void, usize) -> c_int;
type Mremap = unsafe extern "C" fn(*mut c_void, usize, usize, c_int, *mut c_void) -> *mut c_void;
type Setvbuf = unsafe extern "C" fn(*mut c_void, *mut i8, c_int, usize) -> c_int;
type Dlclose = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The real function; null only while it is being looked up.
#[inline(always)]
fn real(function: &Real) -> *mut c_void {
    let address = function.address();
    if address.is_null() { find(function) } else { address }
}

#[cold]
#[inline(never)]
fn find(function: &Real) -> *mut c_void {
    session::start();
    function.address()
}

#[inline(always)]
fn record(with: impl FnOnce(&mut Thread, &Session)) {
    if let Some(thread) = thread::recording() {
        with(thread, session::get());
    }
}

#[inline(always)]
fn allocated(block: *mut c_void, size: usize, caller: Registers) -> *mut c_void {
    match thread::current_live() {
        Some(thread) if !block.is_null() => {
            if thread.passes_over(session::get(), size as u64) {
                return block;
            }
            told(block, size, caller, thread)
        }
        _ => allocated_first(block, size, caller),
    }
}

/// Tells of an allocation. Not a part of each hook: most of it is the same, and a hook that ends with this call keeps
/// nothing meanwhile.
#[inline(never)]
fn told(mut block: *mut c_void, size: usize, caller: Registers, thread: &mut Thread) -> *mut c_void {
    thread.allocation(session::get(), block as u64, size as u64, caller);
    // Were it known to be the same block, hooks would keep it, and return here instead of not at all.
    // SAFETY: no instruction.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) block, options(pure, readonly, nostack, preserves_flags));
    }
    block
}

/// As [`allocated`], of a thread that has no state, and where there is nothing to tell.
#[cold]
#[inline(never)]
fn allocated_first(block: *mut c_void, size: usize, caller: Registers) -> *mut c_void {
    if !block.is_null() {
        record(|thread, session| thread.allocation(session, block as u64, size as u64, caller));
    }
    block
}

/// Calls a real function whose implementation may call others that are hooked, as `calloc` may be made of `malloc`: what
/// those do is a part of this call, and not told.
#[inline(always)]
fn as_one<R>(caller: Registers, call: impl FnOnce() -> R) -> R {
    let Some(thread) = thread::recording() else { return call() };
    let outer = thread.enter(caller);
    let result = call();
    // Recording may have ended meanwhile.
    if let Some(thread) = thread::recording() {
        thread.leave(outer);
    }
    result
}

macro_rules! caller {
    ($sp:ident, $fp:ident) => {
        Registers { stack_pointer: $sp, frame_pointer: $fp }
    };
}

/// `malloc`, and the first try of `operator new`.
///
/// # Safety
/// As malloc. `sp` is where the caller's return address lies, `fp` its frame pointer register; so in all hooks.
pub unsafe extern "C" fn malloc(size: usize, sp: u64, fp: u64) -> *mut c_void {
    let function = real(&real::MALLOC);
    if function.is_null() {
        return boot::allocate(size, 16).cast();
    }
    // SAFETY: the real malloc.
    let block = unsafe { transmute::<*mut c_void, Malloc>(function)(size) };
    allocated(block, size, caller!(sp, fp))
}

/// `calloc`.
///
/// # Safety
/// As calloc.
pub unsafe extern "C" fn calloc(count: usize, size: usize, sp: u64, fp: u64) -> *mut c_void {
    let function = real(&real::CALLOC);
    if function.is_null() {
        return count.checked_mul(size).map_or(core::ptr::null_mut(), |size| boot::allocate(size, 16).cast());
    }
    let caller = caller!(sp, fp);
    // SAFETY: the real calloc.
    let block = as_one(caller, || unsafe { transmute::<*mut c_void, Calloc>(function)(count, size) });
    allocated(block, count.wrapping_mul(size), caller)
}

/// `realloc`.
///
/// # Safety
/// As realloc.
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize, sp: u64, fp: u64) -> *mut c_void {
    if let Some(old) = boot::size_of(block.cast()) {
        // SAFETY: both blocks have that many bytes.
        unsafe {
            let new = malloc(size, sp, fp);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block.cast::<u8>(), new.cast(), old.min(size));
            }
            return new;
        }
    }
    let function = real(&real::REALLOC);
    if function.is_null() {
        return boot::allocate(size, 16).cast();
    }
    let was_recording = thread::recording().is_some();
    // The old block is free as soon as the real function returns, and the clock must be read before that; yet only
    // its result tells whether it was freed at all.
    let is_followed = was_recording && !block.is_null() && session::get().follows(block as u64);
    let before = if is_followed { session::get().now() } else { 0 };
    let caller = caller!(sp, fp);
    // SAFETY: the real realloc.
    let new = as_one(caller, || unsafe { transmute::<*mut c_void, Realloc>(function)(block, size) });
    let was_freed = !new.is_null() || size == 0;
    if was_recording && let Some(thread) = thread::recording() {
        let session = session::get();
        if is_followed && was_freed {
            thread.reallocation(session, block as u64, before, !new.is_null());
        }
        if !new.is_null() {
            thread.allocation(session, new as u64, size as u64, caller);
        }
    }
    new
}

/// `free`, and `operator delete`.
///
/// # Safety
/// As free.
pub unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() || boot::size_of(block.cast()).is_some() {
        return;
    }
    let told = match thread::current_live() {
        Some(thread) => thread.free_at_once(session::get(), block as u64),
        None => Told::No,
    };
    // Each of these is the last call, so that nothing has to be kept on the stack.
    match told {
        // SAFETY: the real free, which is known where a thread has a state.
        Told::Yes => unsafe { transmute::<*mut c_void, Free>(real::FREE.address())(block) },
        // SAFETY: by the contract.
        Told::No => unsafe { free_slowly(block) },
        // SAFETY: by the contract.
        Told::Behind(position) => unsafe { free_behind(block, position) },
    }
}

/// The same, of a thread's first event, a program that is not recorded, and all else that takes more than a few
/// instructions.
#[cold]
#[inline(never)]
unsafe fn free_slowly(block: *mut c_void) {
    let function = real(&real::FREE);
    if function.is_null() {
        return;
    }
    record(|thread, session| thread.free(session, block as u64));
    // SAFETY: the real free.
    unsafe { transmute::<*mut c_void, Free>(function)(block) };
}

/// The same, where the chunk of records ends.
#[cold]
#[inline(never)]
unsafe fn free_behind(block: *mut c_void, position: u64) {
    record(|thread, session| thread.free_behind(session, block as u64, position));
    // SAFETY: the real free.
    unsafe { transmute::<*mut c_void, Free>(real::FREE.address())(block) };
}

/// `posix_memalign`.
///
/// # Safety
/// As posix_memalign.
pub unsafe extern "C" fn posix_memalign(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
    sp: u64,
    fp: u64,
) -> c_int {
    let function = real(&real::POSIX_MEMALIGN);
    if function.is_null() {
        let block = boot::allocate(size, align);
        // SAFETY: by the caller's contract.
        unsafe { out.write(block.cast()) };
        return if block.is_null() { libc::ENOMEM } else { 0 };
    }
    let caller = caller!(sp, fp);
    // SAFETY: the real posix_memalign; on success `out` is written.
    unsafe {
        let result = as_one(caller, || transmute::<*mut c_void, PosixMemalign>(function)(out, align, size));
        if result == 0 {
            allocated(*out, size, caller);
        }
        result
    }
}

#[inline(always)]
unsafe fn aligned(function: &Real, align: usize, size: usize, caller: Registers) -> *mut c_void {
    let function = real(function);
    if function.is_null() {
        return boot::allocate(size, align).cast();
    }
    // SAFETY: the real function, of the same form in all cases.
    let block = as_one(caller, || unsafe { transmute::<*mut c_void, Memalign>(function)(align, size) });
    allocated(block, size, caller)
}

/// `aligned_alloc`, and the first try of `operator new` with an alignment.
///
/// # Safety
/// As aligned_alloc.
pub unsafe extern "C" fn aligned_alloc(align: usize, size: usize, sp: u64, fp: u64) -> *mut c_void {
    // SAFETY: by the contract.
    unsafe { aligned(&real::ALIGNED_ALLOC, align, size, caller!(sp, fp)) }
}

/// `memalign`.
///
/// # Safety
/// As memalign.
pub unsafe extern "C" fn memalign(align: usize, size: usize, sp: u64, fp: u64) -> *mut c_void {
    // SAFETY: by the contract.
    unsafe { aligned(&real::MEMALIGN, align, size, caller!(sp, fp)) }
}

#[inline(always)]
unsafe fn paged(function: &Real, size: usize, caller: Registers) -> *mut c_void {
    let function = real(function);
    if function.is_null() {
        return boot::allocate(size, 4096).cast();
    }
    // SAFETY: the real function, of malloc's form.
    let block = as_one(caller, || unsafe { transmute::<*mut c_void, Malloc>(function)(size) });
    allocated(block, size, caller)
}

/// `valloc`.
///
/// # Safety
/// As valloc.
pub unsafe extern "C" fn valloc(size: usize, sp: u64, fp: u64) -> *mut c_void {
    // SAFETY: by the contract.
    unsafe { paged(&real::VALLOC, size, caller!(sp, fp)) }
}

/// `pvalloc`.
///
/// # Safety
/// As pvalloc.
pub unsafe extern "C" fn pvalloc(size: usize, sp: u64, fp: u64) -> *mut c_void {
    // SAFETY: by the contract.
    unsafe { paged(&real::PVALLOC, size, caller!(sp, fp)) }
}

/// `mmap`.
///
/// # Safety
/// As mmap.
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
    sp: u64,
    fp: u64,
) -> *mut c_void {
    let function = real(&real::MMAP);
    if function.is_null() {
        return libc::MAP_FAILED;
    }
    // SAFETY: the real mmap.
    let result =
        unsafe { transmute::<*mut c_void, Mmap>(function)(address, length, protection, flags, file, offset) };
    if result != libc::MAP_FAILED {
        let kinds = (flags as u32) << 8 | protection as u32 & 0xff;
        record(|thread, session| {
            thread.map(session, result as u64, length as u64, kinds, caller!(sp, fp));
        });
    }
    result
}

/// `munmap`.
///
/// # Safety
/// As munmap.
pub unsafe extern "C" fn munmap(address: *mut c_void, length: usize) -> c_int {
    let function = real(&real::MUNMAP);
    if function.is_null() {
        return -1;
    }
    record(|thread, session| {
        thread.unmap(session, address as u64, length as u64);
        if v8::may_be_heap(address as u64, length as u64) {
            v8::wait_for_reader(session, 1000);
        }
    });
    // SAFETY: the real munmap.
    unsafe { transmute::<*mut c_void, Munmap>(function)(address, length) }
}

/// `mremap`.
///
/// # Safety
/// As mremap; `new` matters only with `MREMAP_FIXED`.
pub unsafe extern "C" fn mremap(
    old: *mut c_void,
    old_length: usize,
    length: usize,
    flags: c_int,
    new: *mut c_void,
    _: usize,
    sp: u64,
    fp: u64,
) -> *mut c_void {
    let function = real(&real::MREMAP);
    if function.is_null() {
        return libc::MAP_FAILED;
    }
    // SAFETY: the real mremap.
    let result = unsafe { transmute::<*mut c_void, Mremap>(function)(old, old_length, length, flags, new) };
    if result != libc::MAP_FAILED {
        record(|thread, session| {
            thread.unmap(session, old as u64, old_length as u64);
            let kinds = (libc::MAP_ANONYMOUS as u32) << 8;
            thread.map(session, result as u64, length as u64, kinds, caller!(sp, fp));
        });
    }
    result
}

/// `dlclose`.
///
/// # Safety
/// As dlclose.
pub unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    let function = real(&real::DLCLOSE);
    if function.is_null() {
        return -1;
    }
    // SAFETY: the real dlclose.
    let close = || unsafe { transmute::<*mut c_void, Dlclose>(function)(handle) };
    match thread::recording() {
        Some(_) => {
            // Not the thread's scratch room: the module's destructors run, and may walk stacks.
            let mut lines = [0u8; 4608];
            modules::unload(&mut lines, close)
        }
        None => close(),
    }
}

/// `setvbuf`. V8 writes the names of its code through a buffer of two megabytes, so that nobody knows them while the
/// code runs, and nobody ever does if the process is killed. In a recorded process that buffer is one of lines.
///
/// # Safety
/// As setvbuf.
pub unsafe extern "C" fn setvbuf(stream: *mut c_void, buffer: *mut i8, mode: c_int, size: usize) -> c_int {
    /// V8's `PerfBasicLogger::kLogBufferSize`.
    const V8_BUFFER: usize = 2 << 20;
    const FULLY_BUFFERED: c_int = 0;
    const LINE_BUFFERED: c_int = 1;
    let function = real(&real::SETVBUF);
    if function.is_null() {
        return -1;
    }
    let is_v8 = mode == FULLY_BUFFERED && size == V8_BUFFER && buffer.is_null();
    let mode = if is_v8 && session::current().is_some() { LINE_BUFFERED } else { mode };
    // SAFETY: the real setvbuf.
    unsafe { transmute::<*mut c_void, Setvbuf>(function)(stream, buffer, mode, size) }
}

/// How a file is to be opened that a program opens by `fopen`: as it says, but for V8's map of names. The V8 of Node 18
/// opens that once for every worker, and each time from its start, over what the others have written. In a recorded
/// process all of them write to its end.
///
/// # Safety
/// C strings, as for fopen.
pub unsafe extern "C" fn fopen_mode(path: *const c_char, mode: *const c_char) -> *const c_char {
    static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
    if path.is_null() || mode.is_null() {
        return mode;
    }
    // SAFETY: by the contract.
    if unsafe { is_isolates_log(path, mode) } {
        // To the end: the collector cuts the file short now and then.
        return c"a".as_ptr();
    }
    // SAFETY: by the contract.
    let (path, text) = unsafe { (CStr::from_ptr(path), CStr::from_ptr(mode).to_bytes()) };
    let Some(session) = session::current().filter(|_| text.starts_with(b"w")) else { return mode };
    let number = path.to_bytes().strip_prefix(b"/tmp/perf-").and_then(|rest| rest.strip_suffix(b".map"));
    let digit = |pid: u32, byte: &u8| pid.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0')));
    if number.map(|number| number.iter().fold(0, digit)) != Some(session.process) {
        return mode;
    }
    if !HAS_BEGUN.swap(true, Ordering::Relaxed) {
        // One of a process before us that had the same number.
        drop(sys::open(path, libc::O_WRONLY | libc::O_TRUNC | libc::O_NOFOLLOW));
    }
    c"a".as_ptr()
}

/// The file that a program opens by `fopen`: the one it says, but for the log that V8 keeps for every isolate when it is
/// asked for names. It would lie in the program's folder, and nobody asked for it. V8 takes regular files only; to
/// anything else it prefers the standard output.
///
/// # Safety
/// C strings, as for fopen.
pub unsafe extern "C" fn fopen_path(path: *const c_char, mode: *const c_char) -> *const c_char {
    // SAFETY: by the contract.
    if unsafe { is_isolates_log(path, mode) } { session::waste() } else { path }
}

/// # Safety
/// C strings, or null.
unsafe fn is_isolates_log(path: *const c_char, mode: *const c_char) -> bool {
    if path.is_null() || mode.is_null() {
        return false;
    }
    // SAFETY: by the contract.
    let (path, mode) = unsafe { (CStr::from_ptr(path).to_bytes(), CStr::from_ptr(mode).to_bytes()) };
    mode.starts_with(b"w")
        && path.starts_with(b"isolate-0x")
        && path.ends_with(b"-v8.log")
        && session::current().is_some_and(|session| session.header.names.load(Ordering::Relaxed) != 0)
}

/// The real fopen; with a function that fails if there is none.
pub extern "C" fn real_fopen() -> *mut c_void {
    extern "C" fn nothing() -> *mut c_void {
        core::ptr::null_mut()
    }
    let function = real(&real::FOPEN);
    if function.is_null() { nothing as extern "C" fn() -> *mut c_void as *mut c_void } else { function }
}

/// What a call of `prctl` is to go on to. It may put the process under a filter of system calls.
pub extern "C" fn real_prctl(option: c_int) -> *mut c_void {
    if option == libc::PR_SET_SECCOMP {
        expect_filter();
    }
    real(&real::PRCTL)
}

/// What a call of `syscall` is to go on to, likewise; `first` is the first argument of the system call.
pub extern "C" fn real_syscall(number: i64, first: u64) -> *mut c_void {
    let is_prctl = number == libc::SYS_prctl && first as c_int == libc::PR_SET_SECCOMP;
    if number == libc::SYS_seccomp || is_prctl {
        expect_filter();
    }
    real(&real::SYSCALL)
}

#[cold]
fn expect_filter() {
    if session::current().is_some() {
        v8::before_filter();
    }
}

/// An allocation by the program's own allocator, as told through `heaptrack_api.h`.
///
/// # Safety
/// None beyond that of the registers.
pub unsafe extern "C" fn reported_allocation(block: *mut c_void, size: usize, sp: u64, fp: u64) {
    if !block.is_null() {
        record(|thread, session| {
            thread.allocation(session, reported(block), size as u64, caller!(sp, fp));
        });
    }
}

/// A reallocation by the program's own allocator. One without a new block has failed, and the old one is still there,
/// unless it was to have no bytes.
///
/// # Safety
/// As above.
pub unsafe extern "C" fn reported_reallocation(
    old: *mut c_void,
    size: usize,
    new: *mut c_void,
    sp: u64,
    fp: u64,
) {
    if new.is_null() && size != 0 {
        return;
    }
    record(|thread, session| {
        if !old.is_null() && session.follows(reported(old)) {
            thread.reallocation(session, reported(old), session.now(), !new.is_null());
        }
        if !new.is_null() {
            thread.allocation(session, reported(new), size as u64, caller!(sp, fp));
        }
    });
}

/// A free by the program's own allocator.
///
/// # Safety
/// None: the address is only noted.
pub unsafe extern "C" fn reported_free(block: *mut c_void) {
    if !block.is_null() {
        record(|thread, session| thread.free(session, reported(block)));
    }
}

/// What a record has as the address of such a block. Records count in eights, which is enough for malloc's blocks; the
/// blocks of a pool may lie closer together. Those get an address 16 TB away or more for each of the seven bytes, where
/// no process has its memory in the same places.
fn reported(block: *mut c_void) -> u64 {
    let address = block as u64;
    address & !7 ^ (address & 7) << record::TIME_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_blocks_that_lie_close_together_have_addresses_of_their_own() {
        let check = |base: u64| {
            let mut all: Vec<u64> = (base..base + 64)
                .map(|at| {
                    let address = reported(at as *mut c_void);
                    record::address(record::event(record::ALLOC, 0, address))
                })
                .collect();
            assert_eq!(all[0], base);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 64, "{base:#x}");
        };
        for base in [0x40_0000, 0x5555_5555_0000, 0x7fff_f7ff_0000] {
            check(base);
        }
    }
}
