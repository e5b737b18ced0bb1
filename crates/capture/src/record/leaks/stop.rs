//! A process's threads, stopped for a while.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Between two looks at a thread that does not stop yet.
const POLL: Duration = Duration::from_micros(200);
/// What a thread that was told to stop gets, even if the time is over: left traced it would stop for good.
const PATIENCE: Duration = Duration::from_secs(2);

/// Threads that are stopped, until this is dropped. The kernel lets them go too if we die.
pub(in crate::record) struct Stopped {
    pub(super) pid: u32,
    threads: Vec<Thread>,
    registers: Vec<u64>,
}

struct Thread {
    id: Pid,
    /// A signal that it was just to get.
    signal: Option<Signal>,
    stack_pointer: u64,
    thread_pointer: u64,
}

impl Stopped {
    /// Stops all threads of a process, as debuggers do.
    ///
    /// # Errors
    /// A sentence on why not; those that were stopped go on.
    pub(in crate::record) fn all(pid: u32, deadline: Instant) -> Result<Stopped, String> {
        let mut stopped = Stopped { pid, threads: Vec::new(), registers: Vec::new() };
        // A thread that still runs may start others.
        loop {
            let before = stopped.threads.len();
            for id in thread_ids(pid)? {
                if stopped.threads.iter().all(|thread| thread.id != id) {
                    stopped.stop(id, deadline)?;
                }
            }
            if stopped.threads.len() == before {
                return Ok(stopped);
            }
        }
    }

    fn stop(&mut self, id: Pid, deadline: Instant) -> Result<(), String> {
        match ptrace::seize(id, ptrace::Options::empty()) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(()),
            Err(Errno::EPERM) => return Err("this system does not let us stop its threads".to_owned()),
            Err(error) => return Err(format!("its threads can't be stopped: {error}")),
        }
        let failed = |error: Errno| format!("a thread does not stop: {error}");
        match ptrace::interrupt(id) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(failed(error)),
        }
        let until = deadline.max(Instant::now() + PATIENCE);
        // How the process ends is for who started it to ask; its other threads are ours as long as they are traced.
        let is_leader = id.as_raw().cast_unsigned() == self.pid;
        let exits = if is_leader { WaitPidFlag::empty() } else { WaitPidFlag::WEXITED };
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | exits;
        let signal = loop {
            match waitid(Id::Pid(id), flags) {
                Ok(WaitStatus::StillAlive) if Instant::now() < until => sleep(POLL),
                Ok(WaitStatus::StillAlive) => return Err("a thread does not stop".to_owned()),
                // A signal came between the two calls above, and is handed on afterwards. The kernel tells it as an
                // event of no kind.
                Ok(WaitStatus::PtraceEvent(_, signal, 0) | WaitStatus::Stopped(_, signal)) => {
                    break Some(signal);
                }
                // A real-time signal is told so, and can't be handed on; the process exits anyway.
                Ok(WaitStatus::PtraceEvent(..)) | Err(Errno::EINVAL) => break None,
                // It is gone.
                Ok(_) | Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        };
        let registers = ptrace::getregs(id).map_err(failed);
        let mut thread = Thread { id, signal, stack_pointer: 0, thread_pointer: 0 };
        let registers = registers.inspect(|registers| {
            (thread.stack_pointer, thread.thread_pointer) = (registers.rsp, registers.fs_base);
        });
        self.threads.push(thread);
        let all = registers?;
        self.registers.extend([
            all.rax,
            all.rbx,
            all.rcx,
            all.rdx,
            all.rsi,
            all.rdi,
            all.rbp,
            all.r8,
            all.r9,
            all.r10,
            all.r11,
            all.r12,
            all.r13,
            all.r14,
            all.r15,
            all.fs_base,
            all.gs_base,
        ]);
        Ok(())
    }

    pub(super) fn registers(&self) -> &[u64] {
        &self.registers
    }

    /// Addresses of the threads' control blocks.
    pub(super) fn thread_pointers(&self) -> impl Iterator<Item = u64> + '_ {
        self.threads.iter().map(|thread| thread.thread_pointer)
    }

    pub(super) fn stack_pointers(&self) -> impl Iterator<Item = u64> + '_ {
        self.threads.iter().map(|thread| thread.stack_pointer)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for thread in &self.threads {
            // One that was killed meanwhile has nothing to go on with.
            let _: nix::Result<()> = ptrace::detach(thread.id, thread.signal);
        }
    }
}

fn thread_ids(pid: u32) -> Result<Vec<Pid>, String> {
    let failed = |error: std::io::Error| format!("its threads can't be listed: {error}");
    let mut ids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw));
    }
    Ok(ids)
}
