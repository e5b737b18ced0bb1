//! System calls without libc.
//!
//! In the child, libc is not to be trusted: its wrappers may take locks of threads that are gone.
//! All of these return what the kernel does: a negative error number on failure.

use std::{arch::asm, ffi::CStr};

/// Page protections of [`protect`].
pub(crate) const READ_WRITE: usize = (libc::PROT_READ | libc::PROT_WRITE) as usize;
pub(crate) const READ_WRITE_EXEC: usize = READ_WRITE | libc::PROT_EXEC as usize;

/// A set of signals as the kernel has it.
pub(crate) type SignalSet = u64;
/// The kernel's number of signals, and what its calls want to hear as the size of a set.
const SIGNALS: usize = 64;
const SIGNAL_SET_BYTES: usize = size_of::<SignalSet>();

/// Any system call.
///
/// # Safety
/// Whatever the kernel does with these arguments must be sound.
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers are those of the kernel's calling convention; memory may change, as the caller allows.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, in("x5") f, options(nostack));
    }
    result
}

/// A system call whose arguments are numbers, so that it can't harm memory.
fn plain(number: libc::c_long, arguments: [usize; 3]) -> isize {
    let [a, b, c] = arguments;
    // SAFETY: private to this module and used with calls that take no pointers.
    unsafe { call(number, [a, b, c, 0, 0, 0]) }
}

/// Ends the process, with all its threads and without handlers.
pub(crate) fn exit_group(code: i32) -> ! {
    loop {
        plain(libc::SYS_exit_group, [code as usize, 0, 0]);
    }
}

/// Forks without libc's fork handlers. 0 in the child, whose end sends no signal to anybody: only a wait with
/// `__WALL` sees it, so it stays hidden from the process's own `waitpid(-1)` and its SIGCHLD handler.
///
/// # Safety
/// The child has one thread and must not rely on what another one was doing.
pub(crate) unsafe fn fork_unseen() -> isize {
    // SAFETY: no shared memory, no new stack: the child goes on here, in a copy.
    unsafe { call(libc::SYS_clone, [0; 6]) }
}

pub(crate) fn process_id() -> i32 {
    plain(libc::SYS_getpid, [0; 3]) as i32
}

pub(crate) fn parent_id() -> i32 {
    plain(libc::SYS_getppid, [0; 3]) as i32
}

pub(crate) fn kill(pid: i32, signal: i32) -> isize {
    plain(libc::SYS_kill, [pid as usize, signal as usize, 0])
}

/// Replaces the thread's set of blocked signals and returns the old one.
pub(crate) fn block_signals(blocked: SignalSet) -> SignalSet {
    let mut old: SignalSet = 0;
    let (new, was) = (&raw const blocked as usize, &raw mut old as usize);
    // SAFETY: both sets are alive and as long as is said.
    unsafe { call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, new, was, SIGNAL_SET_BYTES, 0, 0]) };
    old
}

/// Gives every signal its default action.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, nothing blocked.
    let default = [0u64; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: the structure is alive and no shorter than the kernel's. SIGKILL and SIGSTOP are refused.
        unsafe {
            call(libc::SYS_rt_sigaction, [signal, &raw const default as usize, 0, SIGNAL_SET_BYTES, 0, 0]);
        }
    }
}

/// `prctl` with a number as its argument.
pub(crate) fn control(option: i32, value: usize) -> isize {
    debug_assert!(option != libc::PR_SET_NAME);
    plain(libc::SYS_prctl, [option as usize, value, 0])
}

/// Names the calling thread; for the first thread that is the process.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: the name ends with a zero and is copied.
    unsafe { call(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0, 0]) };
}

pub(crate) fn open(path: &CStr, flags: i32) -> isize {
    let at = libc::AT_FDCWD as usize;
    // SAFETY: the path ends with a zero.
    unsafe { call(libc::SYS_openat, [at, path.as_ptr() as usize, flags as usize, 0, 0, 0]) }
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> isize {
    // SAFETY: the bytes are alive and only read.
    unsafe { call(libc::SYS_write, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

/// A pipe, both ends closed by `exec`: the read end first.
pub(crate) fn pipe() -> Result<[i32; 2], i32> {
    let mut ends = [0i32; 2];
    let flags = libc::O_CLOEXEC as usize;
    // SAFETY: room for two descriptors.
    let result = unsafe { call(libc::SYS_pipe2, [&raw mut ends as usize, flags, 0, 0, 0, 0]) };
    if result < 0 { Err(-result as i32) } else { Ok(ends) }
}

/// Makes `to` another name of `from`, closing what it was.
pub(crate) fn duplicate(from: i32, to: i32) -> isize {
    if from == to { to as isize } else { plain(libc::SYS_dup3, [from as usize, to as usize, 0]) }
}

pub(crate) fn close(fd: i32) {
    plain(libc::SYS_close, [fd as usize, 0, 0]);
}

/// Asks for a pipe's buffer; without the right to it, it stays as it is.
pub(crate) fn set_pipe_size(fd: i32, bytes: usize) {
    plain(libc::SYS_fcntl, [fd as usize, libc::F_SETPIPE_SZ as usize, bytes]);
}

/// Shows the open descriptors to `visit`, each with what it leads to: a path, or `socket:[…]` and its like.
///
/// They may be closed meanwhile: the kernel goes by their numbers.
pub(crate) fn for_each_descriptor(mut visit: impl FnMut(i32, &[u8])) {
    let listing = open(c"/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
    if listing < 0 {
        return;
    }
    let mut entries = [0u64; 512];
    loop {
        let room = size_of_val(&entries);
        let to = &raw mut entries as usize;
        // SAFETY: the buffer is alive and as long as is said.
        let bytes = unsafe { call(libc::SYS_getdents64, [listing as usize, to, room, 0, 0, 0]) };
        if bytes <= 0 {
            break;
        }
        // SAFETY: the kernel wrote so many bytes into the buffer.
        let bytes = unsafe { std::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), bytes as usize) };
        for (fd, name) in listed(bytes) {
            if fd as isize == listing {
                continue;
            }
            // The names that tell something are short; a path may be cut off.
            let mut target = [0u8; 32];
            let (at, name, to) = (listing as usize, name.as_ptr() as usize, &raw mut target as usize);
            // SAFETY: the name ends with a zero, and the buffer is as long as is said.
            let length = unsafe { call(libc::SYS_readlinkat, [at, name, to, target.len(), 0, 0]) };
            visit(fd, target.get(..length.max(0) as usize).unwrap_or_default());
        }
    }
    close(listing as i32);
}

/// A descriptor that takes 8 bytes at a time and keeps none.
pub(crate) fn counter() -> isize {
    plain(libc::SYS_eventfd2, [0, (libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) as usize, 0])
}

/// The names in a buffer of directory entries that are numbers.
fn listed(mut entries: &[u8]) -> impl Iterator<Item = (i32, &CStr)> {
    /// Offsets in the kernel's `linux_dirent64`.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*entries.get(LENGTH)?, *entries.get(LENGTH + 1)?]));
        let name = entries.get(NAME..length)?;
        entries = entries.get(length..)?;
        Some(name)
    })
    .filter_map(|name| {
        let name = CStr::from_bytes_until_nul(name).ok().filter(|name| !name.is_empty())?;
        let number = name.to_bytes().iter().try_fold(0i32, |number, &digit| {
            let digit = char::from(digit).to_digit(10)?;
            number.checked_mul(10)?.checked_add(digit as i32)
        })?;
        Some((number, name))
    })
}

/// Reserves address space that can't be touched yet; `None` when there isn't as much.
pub(crate) fn reserve(bytes: usize) -> Option<usize> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { call(libc::SYS_mmap, [0, bytes, libc::PROT_NONE as usize, flags, usize::MAX, 0]) };
    (start > 0).then_some(start as usize)
}

/// Changes the protection of pages.
///
/// # Safety
/// Nothing may rely on the protection they had.
pub(crate) unsafe fn protect(start: usize, bytes: usize, protection: usize) -> bool {
    // SAFETY: as the caller promises.
    unsafe { call(libc::SYS_mprotect, [start, bytes, protection, 0, 0, 0]) == 0 }
}

/// `madvise`.
///
/// # Safety
/// The range must be the caller's to advise about; with `MADV_DONTNEED` its contents are lost.
pub(crate) unsafe fn advise(start: usize, bytes: usize, advice: i32) -> bool {
    // SAFETY: as the caller promises.
    unsafe { call(libc::SYS_madvise, [start, bytes, advice as usize, 0, 0, 0]) == 0 }
}

/// Sends SIGALRM after so many seconds.
pub(crate) fn alarm(seconds: u64) {
    // `struct itimerval`: interval, then value, both in seconds and microseconds.
    let timer = [0u64, 0, seconds, 0];
    let real = libc::ITIMER_REAL as usize;
    // SAFETY: the structure is alive and only read.
    unsafe { call(libc::SYS_setitimer, [real, &raw const timer as usize, 0, 0, 0, 0]) };
}

/// Makes the process nicer by `more`.
pub(crate) fn be_nicer(more: isize) {
    // The kernel answers with 20 - nice, so that no answer is negative.
    let nice = 20 - plain(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0]);
    let nicest = (nice + more).min(19);
    plain(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, nicest as usize]);
}

/// No core files.
pub(crate) fn forbid_core() {
    let none = [0u64; 2];
    let core = libc::RLIMIT_CORE as usize;
    // SAFETY: the structure is alive and only read.
    unsafe { call(libc::SYS_prlimit64, [0, core, &raw const none as usize, 0, 0, 0]) };
}

/// Waits for a child made by [`fork_unseen`] and returns how it ended, or `None` when it runs still or is not ours.
pub(crate) fn wait(pid: i32, flags: i32) -> Result<Option<i32>, i32> {
    let mut status = 0i32;
    let flags = (flags | libc::__WALL) as usize;
    loop {
        // SAFETY: room for the status.
        let got = unsafe { call(libc::SYS_wait4, [pid as usize, &raw mut status as usize, flags, 0, 0, 0]) };
        match got {
            0 => return Ok(None),
            got if got > 0 => return Ok(Some(status)),
            got if -got as i32 == libc::EINTR => {}
            got => return Err(-got as i32),
        }
    }
}

/// A descriptor that becomes readable when the process ends (5.3).
pub(crate) fn process_descriptor(pid: i32) -> Option<i32> {
    let fd = plain(libc::SYS_pidfd_open, [pid as usize, 0, 0]);
    (fd >= 0).then_some(fd as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], want: &[i32]) {
        let mut bytes = Vec::new();
        for name in names {
            let length = (19 + name.len() + 1).next_multiple_of(8);
            let start = bytes.len();
            bytes.extend([0; 16]);
            bytes.extend((length as u16).to_ne_bytes());
            bytes.push(0);
            bytes.extend(name.as_bytes());
            bytes.resize(start + length, 0);
        }
        assert_eq!(listed(&bytes).map(|(number, _)| number).collect::<Vec<_>>(), want);
        bytes.truncate(bytes.len().saturating_sub(1));
        assert!(listed(&bytes).count() <= want.len(), "an entry that is cut off");
    }

    #[test]
    fn a_listing_of_descriptors_is_read_by_its_numbers() {
        check(&[], &[]);
        check(&[".", "..", "0", "17", "1048576"], &[0, 17, 1_048_576]);
        check(&["99999999999", "4x", ""], &[]);
    }

    #[test]
    fn descriptors_are_listed_with_what_they_lead_to() {
        let ours = [counter() as i32, pipe().unwrap()[0], open(c"/dev/null", libc::O_RDONLY) as i32];
        let mut found = Vec::new();
        for_each_descriptor(|fd, target| {
            if ours.contains(&fd) {
                found.push((fd, String::from_utf8_lossy(target).into_owned()));
            }
        });
        found.sort_unstable();
        let targets: Vec<_> = found
            .iter()
            .map(|(_, target)| target.split_once(":[").map_or(&**target, |(kind, _)| kind))
            .collect();
        assert_eq!(targets, ["anon_inode", "pipe", "/dev/null"]);
    }

    #[test]
    fn a_child_is_seen_by_its_own_wait_only() {
        // SAFETY: the child ends at once.
        let pid = unsafe { fork_unseen() } as i32;
        if pid == 0 {
            exit_group(7);
        }
        // SAFETY: no status is asked for.
        let others = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        assert_eq!(others, -1, "an ordinary wait must not find it");
        assert_eq!(wait(pid, 0), Ok(Some(7 << 8)));
        assert_eq!(wait(pid, 0), Err(libc::ECHILD));
    }
}
