//! Whose handler a signal has: libuv keeps those of the application in a red-black tree, `uv__signal_tree`.
//!
//! The kernel says that a signal is caught, not by whom.
//! Node catches SIGUSR1 with `sigaction` itself; `process.on('SIGUSR1', …)` goes through libuv.
//! So the tree is read out of the process's memory, which neither stops nor changes it.
//! It may be changing while we read, therefore nothing in it is trusted, and a walk that fails is repeated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Doubt;
use crate::elf::Elf;
use crate::process::{Proc, open};

/// The signal's number on x86-64 and aarch64.
pub(super) const SIGUSR1: i32 = 10;

/// The part of libuv's `uv_signal_t` that is of use here; the layout is libuv 1's ABI on 64-bit machines.
mod layout {
    /// `type`, an `int`.
    pub(super) const TYPE: usize = 16;
    /// The value of `type` for signal handles.
    pub(super) const UV_SIGNAL: i32 = 16;
    /// `signum`, an `int`.
    pub(super) const SIGNUM: usize = 104;
    /// Left, right and parent of the tree.
    pub(super) const LEFT: usize = 112;
    pub(super) const RIGHT: usize = 120;
    pub(super) const PARENT: usize = 128;
    /// Bytes to read.
    pub(super) const SIZE: usize = 136;
}

/// More handlers than any process has: a process watches a signal a few times, not thousands.
const MAX_HANDLERS: usize = 4096;
/// How often a walk is tried that a change in the tree may have spoilt.
const TRIES: usize = 5;
const HIGHEST_SIGNAL: i32 = 64;

/// The signals that the application handles through libuv, with repetitions.
pub(super) fn handled_by_libuv(proc: &Proc, pid: u32) -> Result<Vec<i32>, Doubt> {
    let address = tree_address(proc, pid)?;
    let memory = File::open(proc.path(pid, "mem")).map_err(|_| Doubt::NoPermission)?;
    let mut doubt = Doubt::Garbled;
    for _ in 0..TRIES {
        match walk(address, |at, buffer| memory.read_exact_at(buffer, at)) {
            Ok(signals) => return Ok(signals),
            Err(Broken::Denied) => doubt = Doubt::NoPermission,
            Err(Broken::Garbled) => doubt = Doubt::Garbled,
        }
    }
    Err(doubt)
}

/// Where the variable is in the process: in the executable, or where Node or libuv is a library, there.
fn tree_address(proc: &Proc, pid: u32) -> Result<u64, Doubt> {
    let denied = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => Doubt::NoPermission,
        _ => Doubt::NoSymbols,
    };
    let exe = std::fs::read_link(proc.path(pid, "exe")).map_err(denied)?;
    let files = proc.mapped_files(pid).map_err(denied)?;
    for mapped in &files {
        let path = if mapped.path == exe {
            proc.path(pid, "exe")
        } else if mapped.is_named("libnode.so") || mapped.is_named("libuv.so") {
            proc.inside(pid, &mapped.path)
        } else {
            continue;
        };
        let Ok(file) = open(&path) else { continue };
        let Some(elf) = Elf::open(&file) else { continue };
        if let Some(address) = elf.signal_tree() {
            return Ok(address.wrapping_add(elf.load_bias(mapped.start, mapped.offset)));
        }
    }
    Err(Doubt::NoSymbols)
}

#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Denied,
    Garbled,
}

/// All signals in the tree whose root pointer is at `root`.
fn walk(root: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> Result<Vec<i32>, Broken> {
    let mut pointer = [0; 8];
    read(root, &mut pointer).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Broken::Denied,
        _ => Broken::Garbled,
    })?;
    let mut signals = Vec::new();
    // Node and the parent that we came from.
    let mut ahead = vec![(u64::from_ne_bytes(pointer), 0)];
    while let Some((node, came_from)) = ahead.pop() {
        if node == 0 {
            continue;
        }
        let mut handle = [0; layout::SIZE];
        if node % 8 != 0 || signals.len() >= MAX_HANDLERS || read(node, &mut handle).is_err() {
            return Err(Broken::Garbled);
        }
        let signal = int(&handle, layout::SIGNUM);
        let is_handle = int(&handle, layout::TYPE) == layout::UV_SIGNAL
            && (1..=HIGHEST_SIGNAL).contains(&signal)
            && word(&handle, layout::PARENT) == came_from;
        if !is_handle {
            return Err(Broken::Garbled);
        }
        signals.push(signal);
        ahead.push((word(&handle, layout::LEFT), node));
        ahead.push((word(&handle, layout::RIGHT), node));
    }
    Ok(signals)
}

fn int(handle: &[u8; layout::SIZE], at: usize) -> i32 {
    i32::from_ne_bytes([handle[at], handle[at + 1], handle[at + 2], handle[at + 3]])
}

fn word(handle: &[u8; layout::SIZE], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&handle[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle of a made-up process: address, type, signal, left, right, parent.
    type Handle = (u64, i32, i32, u64, u64, u64);
    const ROOT: u64 = 0x1000;

    #[track_caller]
    fn check(root: u64, handles: &[Handle], expected: Result<&[i32], Broken>) {
        let read = |at: u64, buffer: &mut [u8]| {
            if at == ROOT {
                buffer.copy_from_slice(&root.to_ne_bytes());
                return Ok(());
            }
            let found = handles.iter().find(|handle| handle.0 == at);
            let &(_, kind, signal, left, right, parent) = found.ok_or(io::ErrorKind::InvalidInput)?;
            buffer[16..20].copy_from_slice(&kind.to_ne_bytes());
            buffer[104..108].copy_from_slice(&signal.to_ne_bytes());
            for (at, pointer) in [(112, left), (120, right), (128, parent)] {
                buffer[at..at + 8].copy_from_slice(&pointer.to_ne_bytes());
            }
            Ok(())
        };
        assert_eq!(walk(ROOT, read), expected.map(<[i32]>::to_vec));
    }

    #[test]
    fn every_handle_of_the_tree_is_visited() {
        check(0, &[], Ok(&[]));
        check(0x2000, &[(0x2000, 16, 10, 0, 0, 0)], Ok(&[10]));
        let three = [
            (0x2000, 16, 10, 0x3000, 0x4000, 0),
            (0x3000, 16, 2, 0, 0, 0x2000),
            (0x4000, 16, 15, 0, 0, 0x2000),
        ];
        check(0x2000, &three, Ok(&[10, 15, 2]));
    }

    #[test]
    fn what_is_no_tree_of_handles_is_said_to_be_none() {
        check(0x2001, &[(0x2001, 16, 10, 0, 0, 0)], Err(Broken::Garbled));
        check(0x2000, &[(0x2000, 13, 10, 0, 0, 0)], Err(Broken::Garbled));
        check(0x2000, &[(0x2000, 16, 65, 0, 0, 0)], Err(Broken::Garbled));
        check(0x2000, &[(0x2000, 16, 10, 0, 0, 0x3000)], Err(Broken::Garbled));
        check(0x2000, &[(0x2000, 16, 10, 0x9000, 0, 0)], Err(Broken::Garbled));
        // A circle.
        check(
            0x2000,
            &[(0x2000, 16, 10, 0x3000, 0, 0), (0x3000, 16, 2, 0x3000, 0, 0x2000)],
            Err(Broken::Garbled),
        );
        check(0x2000, &[(0x2000, 16, 10, 0x2000, 0, 0)], Err(Broken::Garbled));
    }
}
