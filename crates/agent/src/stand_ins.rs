//! What the child calls instead of functions that wait for other threads.
//!
//! The child has one thread. A lock can't be contended, only left behind by a thread that is gone, so taking it
//! always succeeds; what such a thread was changing may be half done, and then the child crashes or aborts, which
//! costs another try. To wait until another thread does something would be to wait forever: the child ends with
//! [`codes::LONELY`].

use std::{
    ffi::{c_int, c_long},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::{codes, malloc, sys};

/// Waits that ran out before the child gives up: somebody keeps asking for what never comes.
const MOST_TIMEOUTS: u32 = 1000;

static TIMEOUTS: AtomicU32 = AtomicU32::new(0);

/// The address of the function that takes the place of the one with this name.
///
/// Fixed functions stand in for variadic and for shorter ones: by both processors' conventions the caller passes
/// the same registers, and a callee may ignore them.
pub(crate) fn for_name(name: &[u8]) -> Option<usize> {
    let address = match name {
        b"malloc" => malloc::malloc as *const () as usize,
        b"free" | b"cfree" => malloc::free as *const () as usize,
        b"calloc" => malloc::calloc as *const () as usize,
        b"realloc" => malloc::realloc as *const () as usize,
        b"reallocarray" => malloc::reallocarray as *const () as usize,
        b"posix_memalign" => malloc::posix_memalign as *const () as usize,
        b"aligned_alloc" | b"memalign" => malloc::aligned as *const () as usize,
        b"valloc" => malloc::valloc as *const () as usize,
        b"pvalloc" => malloc::pvalloc as *const () as usize,
        b"malloc_usable_size" => malloc::usable_size as *const () as usize,
        b"malloc_trim" => malloc::trim as *const () as usize,

        b"pthread_mutex_lock"
        | b"pthread_mutex_trylock"
        | b"pthread_mutex_timedlock"
        | b"pthread_mutex_clocklock"
        | b"pthread_mutex_unlock"
        // libuv aborts when a mutex that is held can't be destroyed.
        | b"pthread_mutex_destroy"
        | b"pthread_rwlock_rdlock"
        | b"pthread_rwlock_tryrdlock"
        | b"pthread_rwlock_timedrdlock"
        | b"pthread_rwlock_clockrdlock"
        | b"pthread_rwlock_wrlock"
        | b"pthread_rwlock_trywrlock"
        | b"pthread_rwlock_timedwrlock"
        | b"pthread_rwlock_clockwrlock"
        | b"pthread_rwlock_unlock"
        | b"pthread_rwlock_destroy"
        | b"pthread_spin_lock"
        | b"pthread_spin_trylock"
        | b"pthread_spin_unlock"
        // glibc waits here for waiters to have left, and they are gone.
        | b"pthread_cond_signal"
        | b"pthread_cond_broadcast"
        | b"pthread_cond_destroy"
        | b"sem_post" => succeed as *const () as usize,

        b"pthread_cond_wait" | b"sem_wait" | b"pthread_join" | b"pthread_timedjoin_np" | b"pthread_clockjoin_np" => {
            wait_forever as *const () as usize
        }
        b"pthread_cond_timedwait" | b"pthread_cond_clockwait" => time_out as *const () as usize,
        b"sem_timedwait" | b"sem_clockwait" => wait_forever as *const () as usize,
        b"sem_trywait" | b"pthread_tryjoin_np" => not_now as *const () as usize,
        b"pthread_create" => no_thread as *const () as usize,
        b"syscall" => system_call as *const () as usize,

        b"exit" | b"_exit" | b"_Exit" | b"quick_exit" => exit as *const () as usize,
        b"abort" => abort as *const () as usize,
        _ => return None,
    };
    Some(address)
}

extern "C" fn succeed() -> c_int {
    0
}

extern "C" fn wait_forever() -> c_int {
    sys::exit_group(codes::LONELY)
}

extern "C" fn time_out() -> c_int {
    if TIMEOUTS.fetch_add(1, Relaxed) >= MOST_TIMEOUTS {
        sys::exit_group(codes::LONELY);
    }
    libc::ETIMEDOUT
}

extern "C" fn not_now() -> c_int {
    set_error(libc::EAGAIN);
    -1
}

extern "C" fn no_thread() -> c_int {
    libc::EAGAIN
}

extern "C" fn exit(code: c_int) -> c_int {
    sys::exit_group(code)
}

extern "C" fn abort() -> c_int {
    sys::exit_group(codes::ABORT)
}

/// libc's `syscall`. V8's newer mutexes, abseil's and the guards of C++ statics wait with `futex` through it.
unsafe extern "C" fn system_call(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let arguments = [a, b, c, d, e, f];
    let result = if number == libc::SYS_futex {
        // SAFETY: as the caller promises.
        unsafe { futex(arguments) }
    } else {
        // SAFETY: as the caller promises.
        unsafe { sys::call(number, arguments) }
    };
    if (-4095..0).contains(&result) {
        set_error(-result as c_int);
        return -1;
    }
    result as c_long
}

/// # Safety
/// As for the system call.
unsafe fn futex(arguments: [usize; 6]) -> isize {
    let [address, operation, value, timeout, ..] = arguments;
    let waits = match operation as c_int & libc::FUTEX_CMD_MASK {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            // SAFETY: the caller waits for a change of this word.
            let now = unsafe { (address as *const u32).read_volatile() };
            now == value as u32
        }
        libc::FUTEX_LOCK_PI | libc::FUTEX_WAIT_REQUEUE_PI => true,
        _ => false,
    };
    if !waits {
        // SAFETY: as the caller promises; the kernel answers at once.
        return unsafe { sys::call(libc::SYS_futex, arguments) };
    }
    if timeout == 0 {
        sys::exit_group(codes::LONELY);
    }
    -(time_out() as isize)
}

fn set_error(error: c_int) {
    // SAFETY: libc's own place for this thread's error, in its static thread-local memory.
    unsafe { *libc::__errno_location() = error };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<usize>) {
        assert_eq!(for_name(name.as_bytes()), want, "{name}");
    }

    #[test]
    fn names_are_matched_whole() {
        check("malloc", Some(malloc::malloc as *const () as usize));
        check("pthread_cond_wait", Some(wait_forever as *const () as usize));
        check("pthread_mutex_lock", Some(succeed as *const () as usize));
        for name in ["", "mallo", "malloc_info", "pthread_mutex_init", "pthread_self", "fork"] {
            check(name, None);
        }
    }

    #[test]
    fn system_calls_other_than_waits_go_through() {
        let word = 5u32;
        let address = &raw const word as usize;
        let wait = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
        // SAFETY: neither call touches memory but the word.
        let (pid, changed) = unsafe {
            (
                system_call(libc::SYS_getpid, 0, 0, 0, 0, 0, 0),
                system_call(libc::SYS_futex, address, wait, 4, 0, 0, 0),
            )
        };
        assert_eq!(pid as u32, std::process::id());
        assert_eq!(changed, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN));
    }
}
