//! The thread that sees a child to its end, so that no zombie and no open pipe stays whatever the caller does.

use std::{
    ffi::c_void,
    ptr::{null, null_mut},
    time::{Duration, Instant},
};

use crate::{
    children::{self, End},
    codes, sys,
};

/// How long the pipe's read end stays open here for somebody who opens it by its number.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// How often a kernel without process descriptors is asked.
const POLL: Duration = Duration::from_millis(20);
/// The thread calls little, but the thread-local memory of all loaded objects lies on its stack too.
const STACK: usize = 256 << 10;

/// What a thread is told.
struct Task {
    pid: i32,
    output: i32,
    forked: Instant,
    timeout: Duration,
}

/// Starts the thread for a child that was added to [`children`]; with an error number if there can't be one.
///
/// The caller's blocked signals are the thread's, so all must be blocked.
pub(crate) fn start(pid: i32, output: i32, timeout: Duration) -> Result<(), i32> {
    let task = Box::into_raw(Box::new(Task { pid, output, forked: Instant::now(), timeout }));
    // SAFETY: the attributes live until they are destroyed, and the task until the thread takes it.
    let error = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let mut thread: libc::pthread_t = 0;
        libc::pthread_attr_init(&raw mut attributes);
        libc::pthread_attr_setdetachstate(&raw mut attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(&raw mut attributes, STACK);
        let error = libc::pthread_create(&raw mut thread, &raw const attributes, run, task.cast());
        libc::pthread_attr_destroy(&raw mut attributes);
        error
    };
    if error == 0 {
        return Ok(());
    }
    // SAFETY: there is no thread that could have taken it.
    drop(unsafe { Box::from_raw(task) });
    Err(error)
}

extern "C" fn run(task: *mut c_void) -> *mut c_void {
    // SAFETY: the box that `start` made for this thread.
    let task = unsafe { Box::from_raw(task.cast::<Task>()) };
    // A panic has nowhere to go here; the child's own timer ends it then.
    let _ = std::panic::catch_unwind(|| task.see_to_its_end());
    null_mut()
}

impl Task {
    fn see_to_its_end(&self) {
        sys::set_name(c"twinheap");
        let watch = sys::process_descriptor(self.pid);
        let end = self.wait(watch);
        if let Some(watch) = watch {
            sys::close(watch);
        }
        children::ended(self.pid, end);
        children::wait_for_close(self.pid, self.output, self.forked + OPEN_FOR);
    }

    fn wait(&self, watch: Option<i32>) -> End {
        let (mut open, up) = (true, self.forked + self.timeout);
        loop {
            match sys::wait(self.pid, libc::WNOHANG) {
                Ok(Some(status)) => return End::of(status),
                // Somebody waited for it in our place, so how it ended is not known.
                Err(_) => return End::Code(codes::SETUP),
                Ok(None) => {}
            }
            let now = Instant::now();
            if now >= up {
                sys::kill(self.pid, libc::SIGKILL);
                let status = sys::wait(self.pid, 0);
                // It may have been quicker.
                let ended =
                    status.ok().flatten().map(End::of).filter(|&end| end != End::Signal(libc::SIGKILL));
                return ended.unwrap_or(End::Code(codes::TIMEOUT));
            }
            if open && now >= self.forked + OPEN_FOR {
                children::close_output(self.pid);
                open = false;
            }
            let next = if open { up.min(self.forked + OPEN_FOR) } else { up };
            pause(watch, next - now);
        }
    }
}

/// Waits for the child's end, at most so long.
fn pause(watch: Option<i32>, time: Duration) {
    let Some(fd) = watch else {
        return std::thread::sleep(time.min(POLL));
    };
    let mut descriptor = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    // SAFETY: one descriptor, and a time that is only read.
    unsafe { libc::ppoll(&raw mut descriptor, 1, &raw const time, null()) };
}
