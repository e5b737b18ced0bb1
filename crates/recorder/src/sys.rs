//! System calls without libc, which would change `errno`, and the processor's clock.
//!
//! They return what the kernel does: a negative error number on failure.

use core::arch::asm;
use core::ffi::CStr;

/// Any system call.
///
/// # Safety
/// Whatever the kernel does with these arguments must be sound.
#[inline]
unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention; the caller answers for the rest.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Opens a file; its descriptor.
pub(crate) fn open(path: &CStr, flags: i32) -> Option<Descriptor> {
    let at = libc::AT_FDCWD as usize;
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the path is a C string that outlives the call.
    let result = unsafe { call(libc::SYS_openat, [at, path.as_ptr() as usize, flags as usize, 0, 0, 0]) };
    (result >= 0).then_some(Descriptor(result as i32))
}

/// An open file, closed with this.
pub(crate) struct Descriptor(i32);

impl Descriptor {
    /// Reads what comes next; 0 at the end, and after an error too.
    pub(crate) fn read(&self, into: &mut [u8]) -> usize {
        loop {
            // SAFETY: the kernel writes within the slice.
            let read = unsafe {
                call(libc::SYS_read, [self.0 as usize, into.as_mut_ptr() as usize, into.len(), 0, 0, 0])
            };
            if read != -libc::EINTR as isize {
                return read.max(0) as usize;
            }
        }
    }

    /// Reads eight bytes from a place in the file.
    fn read_word(&self, at: u64) -> Option<u64> {
        let mut word = 0u64;
        let arguments = [self.0 as usize, (&raw mut word) as usize, 8, at as usize, 0, 0];
        // SAFETY: the kernel writes eight bytes.
        let read = unsafe { call(libc::SYS_pread64, arguments) };
        (read == 8).then_some(word)
    }

    /// Whether another process holds a lock on the file's first byte.
    pub(crate) fn is_locked(&self) -> bool {
        // SAFETY: all zeros is a lock of the whole file from its start.
        let mut lock: libc::flock = unsafe { core::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as i16;
        lock.l_len = 1;
        let pointer = (&raw mut lock) as usize;
        // SAFETY: the kernel writes one `flock`.
        let result =
            unsafe { call(libc::SYS_fcntl, [self.0 as usize, libc::F_OFD_GETLK as usize, pointer, 0, 0, 0]) };
        result == 0 && lock.l_type != libc::F_UNLCK as i16
    }

    /// Maps the file's first bytes, shared; its address.
    pub(crate) fn map_shared(&self, address: usize, length: usize) -> Option<*mut u8> {
        let flags = libc::MAP_SHARED | if address == 0 { 0 } else { libc::MAP_FIXED };
        map(address, length, libc::PROT_READ | libc::PROT_WRITE, flags, self.0)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours.
        unsafe { call(libc::SYS_close, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Fresh private memory, all zeros.
pub(crate) fn map_private(length: usize) -> Option<*mut u8> {
    map(0, length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

/// Address space without memory.
pub(crate) fn reserve(length: usize) -> Option<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    map(0, length, libc::PROT_NONE, flags, -1)
}

fn map(address: usize, length: usize, protection: i32, flags: i32, file: i32) -> Option<*mut u8> {
    // SAFETY: a new mapping, or one in place of a reservation of ours.
    let result = unsafe {
        let arguments = [address, length, protection as usize, flags as usize, file as usize, 0];
        call(libc::SYS_mmap, arguments)
    };
    (result > 0).then_some(result as *mut u8)
}

/// Fresh private memory exactly there; `None` if something else is.
pub(crate) fn map_at(address: u64, length: usize) -> Option<*mut u8> {
    // Kernels before 4.17 take the flag for nothing, and the address for a wish.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let mapped = map(address as usize, length, libc::PROT_READ | libc::PROT_WRITE, flags, -1)?;
    if mapped as u64 == address {
        return Some(mapped);
    }
    // SAFETY: just mapped, and not where it should be.
    unsafe { unmap(mapped, length) };
    None
}

/// Changes what may be done with whole pages; whether the kernel agreed.
pub(crate) fn protect(address: u64, length: u64, protection: i32) -> bool {
    let arguments = [address as usize, length as usize, protection as usize, 0, 0, 0];
    // SAFETY: callers only add rights, or give back those that code has.
    unsafe { call(libc::SYS_mprotect, arguments) == 0 }
}

/// Where the program's headers lie, as the kernel told it at its start.
pub(crate) fn program_headers() -> Option<u64> {
    const AT_PHDR: u64 = 3;
    let file = open(c"/proc/self/auxv", libc::O_RDONLY)?;
    let mut buffer = [0u8; 1024];
    let read = file.read(&mut buffer);
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    buffer.get(..read)?.chunks_exact(16).find_map(|pair| {
        let (key, value) = (word(pair.get(..8)?)?, word(pair.get(8..)?)?);
        (key == AT_PHDR && value != 0).then_some(value)
    })
}

/// Threads of this process; 0 if nobody tells.
pub(crate) fn thread_count() -> u32 {
    let Some(file) = open(c"/proc/self/stat", libc::O_RDONLY) else { return 0 };
    let mut buffer = [0u8; 512];
    let read = file.read(&mut buffer);
    let text = buffer.get(..read).unwrap_or_default();
    // The name, in brackets, may hold anything. The eighteenth field behind it is the count.
    let end = text.iter().rposition(|&byte| byte == b')').unwrap_or(0);
    let field = text.get(end..).unwrap_or_default().split(|&byte| byte == b' ').nth(18).unwrap_or_default();
    field
        .iter()
        .fold(0, |count: u32, byte| count.wrapping_mul(10).wrapping_add(u32::from(byte.wrapping_sub(b'0'))))
}

/// Whether there is no other thread.
pub(crate) fn is_single_threaded() -> bool {
    thread_count() == 1
}

/// Gives memory back.
///
/// # Safety
/// The range is ours and nobody uses it any more.
pub(crate) unsafe fn unmap(address: *mut u8, length: usize) {
    // SAFETY: by the contract.
    unsafe { call(libc::SYS_munmap, [address as usize, length, 0, 0, 0, 0]) };
}

/// Whether the kernel agreed to give a forked child zeros instead of this memory.
pub(crate) fn wipe_on_fork(address: *mut u8, length: usize) -> bool {
    let arguments = [address as usize, length, libc::MADV_WIPEONFORK as usize, 0, 0, 0];
    // SAFETY: the range is private memory of ours; the advice changes it in children only.
    unsafe { call(libc::SYS_madvise, arguments) == 0 }
}

/// This process's number.
pub(crate) fn process() -> u32 {
    // SAFETY: takes nothing.
    unsafe { call(libc::SYS_getpid, [0; 6]) as u32 }
}

/// This thread's number.
pub(crate) fn thread() -> u32 {
    // SAFETY: takes nothing.
    unsafe { call(libc::SYS_gettid, [0; 6]) as u32 }
}

/// Reads words of a process, one for each place: bytes that were read, up to the first place that can't be.
pub(crate) fn read_process(process: u32, from: &[libc::iovec], into: &mut [u64]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: size_of_val(into) };
    let arguments = [process as usize, (&raw const local) as usize, 1, from.as_ptr() as usize, from.len(), 0];
    // SAFETY: the kernel writes within the slice, and reads only what may be read.
    let read = unsafe { call(libc::SYS_process_vm_readv, arguments) };
    read.max(0) as usize
}

/// As [`read_process`] of this process, by system calls that every program needs and no filter forbids; more of them.
pub(crate) fn read_self(from: &[libc::iovec], into: &mut [u64]) -> usize {
    let Some(memory) = open(c"/proc/self/mem", libc::O_RDONLY) else { return 0 };
    let words = from.iter().map_while(|place| memory.read_word(place.iov_base as u64));
    into.iter_mut().zip(words).map(|(into, word)| *into = word).count() * 8
}

/// Whether the process's system calls go through a filter (seccomp), which may end it for one that it doesn't expect.
pub(crate) fn is_filtered() -> bool {
    const MARK: &[u8] = b"\nSeccomp:\t2";
    let Some(file) = open(c"/proc/self/status", libc::O_RDONLY) else { return true };
    let mut text = [0u8; 4096];
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            0 => break,
            read => length += read,
        }
    }
    text.windows(MARK.len()).any(|window| window == MARK)
}

/// Whether a thread of this process still runs.
pub(crate) fn is_alive(process: u32, thread: u32) -> bool {
    // SAFETY: signal 0 only asks.
    let result = unsafe { call(libc::SYS_tgkill, [process as usize, thread as usize, 0, 0, 0, 0]) };
    result != -libc::ESRCH as isize
}

/// Waits until the word is no longer `value`, at most so long.
pub(crate) fn wait(word: &core::sync::atomic::AtomicU32, value: u32, nanoseconds: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(nanoseconds) };
    let arguments =
        [word.as_ptr() as usize, libc::FUTEX_WAIT as usize, value as usize, (&raw const time) as usize, 0, 0];
    // SAFETY: the word and the time live through the call.
    unsafe { call(libc::SYS_futex, arguments) };
}

/// Wakes whoever waits for a change of the word, in this or another process.
pub(crate) fn wake(word: &core::sync::atomic::AtomicU32) {
    let arguments = [word.as_ptr() as usize, libc::FUTEX_WAKE as usize, i32::MAX as usize, 0, 0, 0];
    // SAFETY: the kernel only takes the address as a name.
    unsafe { call(libc::SYS_futex, arguments) };
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [libc::CLOCK_MONOTONIC as usize, (&raw mut time) as usize, 0, 0, 0, 0];
    // SAFETY: the kernel writes one `timespec`.
    unsafe { call(libc::SYS_clock_gettime, arguments) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// The time stamp counter.
#[inline]
pub(crate) fn tsc() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Whether the counter runs at one speed in all states of the processor: CPUID 8000_0007h, EDX bit 8 (AMD's
/// manual, volume 3; Intel's, volume 2A, the same).
pub(crate) fn has_invariant_tsc() -> bool {
    use core::arch::x86_64::__cpuid;
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
}

/// The stack that the thread has for signal handlers: its first address and its end.
pub(crate) fn alternate_stack() -> Option<(u64, u64)> {
    let mut stack = libc::stack_t { ss_sp: core::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: the kernel writes one `stack_t`.
    let result = unsafe { call(libc::SYS_sigaltstack, [0, (&raw mut stack) as usize, 0, 0, 0, 0]) };
    let is_there = result == 0 && stack.ss_flags & libc::SS_DISABLE == 0;
    is_there.then(|| (stack.ss_sp as u64, (stack.ss_sp as u64).saturating_add(stack.ss_size as u64)))
}

/// The thread control block, where glibc's stacks end.
#[inline]
pub(crate) fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: the first word of the block is its own address, by the ABI for thread-local storage.
    unsafe { asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(nostack, readonly, pure)) };
    pointer
}

/// The stack pointer of whoever calls this, or a little below it.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nostack, nomem, preserves_flags)) };
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_for_handlers_is_known_as_long_as_there_is_one() {
        // A thread of its own: the test harness has such a stack itself.
        let check = || {
            let mut room = vec![0u8; 1 << 16];
            let low = room.as_mut_ptr() as u64;
            let mut stack =
                libc::stack_t { ss_sp: room.as_mut_ptr().cast(), ss_flags: 0, ss_size: room.len() };
            // SAFETY: the room outlives its use.
            assert_eq!(unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) }, 0);
            assert_eq!(alternate_stack(), Some((low, low + (1 << 16))));
            stack.ss_flags = libc::SS_DISABLE;
            // SAFETY: as above.
            assert_eq!(unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) }, 0);
            assert_eq!(alternate_stack(), None);
        };
        std::thread::spawn(check).join().expect("the thread ends");
    }
}
