//! The recording as the process knows it: whether there is one, and its ring.

mod chunks;
mod claim;
mod sample;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use twinheap_wire::{
    DESCRIPTORS_AT, Descriptor, Header, MAX_FRAMES, NODE_OPTIONS, PLAN_AT, VARIABLE, clock, lease,
    plan::Plan, request, status, trouble,
};

use self::claim::claim;
use crate::real;
use crate::sys;
use crate::{embedded, modules, thread, v8};

/// The process's part of a recording.
pub(crate) struct Session {
    pub(crate) header: &'static Header,
    /// The process that it is of: a forked child finds another number.
    pub(crate) process: u32,
    pub(crate) frames: u32,
    /// Mean bytes between samples; 0 records all.
    pub(crate) sample: u64,
    is_tsc: bool,
    ring: usize,
    /// A word that is 1 here and 0 in a forked child; 1 too in a child that shares our memory, as after vfork.
    canary: *const u64,
}

const UNKNOWN: u32 = 0;
const STARTING: u32 = 1;
const ON: u32 = 2;
const OFF: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);

struct Slot(UnsafeCell<MaybeUninit<Session>>);

// SAFETY: written before `STATE` is `ON`, and again only in a forked child, which has one thread.
unsafe impl Sync for Slot {}

static SESSION: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

/// The longest name of a ring, with its number and the zero behind it.
const PATH: usize = 256;

/// The name of the ring without its number, for children and to see whether the collector lives.
struct Name(UnsafeCell<[u8; PATH]>);

// SAFETY: written once, while `STATE` is `STARTING`.
unsafe impl Sync for Name {}

static NAME: Name = Name(UnsafeCell::new([0; PATH]));
static RING_NUMBER: AtomicU32 = AtomicU32::new(0);

/// The session, for a thread that has a state and so knows that there is one.
#[inline(always)]
pub(crate) fn get() -> &'static Session {
    // SAFETY: a thread's state is made after the session.
    unsafe { (*SESSION.0.get()).assume_init_ref() }
}

/// The session of this process, if it is recorded.
#[inline]
pub(crate) fn current() -> Option<&'static Session> {
    if STATE.load(Ordering::Acquire) != ON {
        return None;
    }
    let session = get();
    if session.process == sys::process() {
        return Some(session);
    }
    // SAFETY: mapped with the session, and never unmapped.
    if unsafe { session.canary.read_volatile() } == 1 {
        // What such a child allocates is the parent's memory, but its state must not become ours.
        return None;
    }
    in_child()
}

/// A forked child is recorded only if it has a ring of its own.
#[cold]
fn in_child() -> Option<&'static Session> {
    STATE.store(STARTING, Ordering::Release);
    let follows = get().header.follow.load(Ordering::Relaxed) != 0;
    thread::forget_all();
    modules::forget_all();
    if follows && claim() {
        STATE.store(ON, Ordering::Release);
        return Some(get());
    }
    STATE.store(OFF, Ordering::Release);
    None
}

/// Finds the real functions and, if the environment names one, the ring. Called by the first hook; what calls hooks
/// in the meantime is not recorded.
#[cold]
pub(crate) fn start() {
    if STATE.compare_exchange(UNKNOWN, STARTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    real::find();
    let is_on = read_name() && claim();
    STATE.store(if is_on { ON } else { OFF }, Ordering::Release);
    if is_on {
        if real::MALLOC.address().is_null() {
            get().trouble(trouble::NO_MALLOC);
        }
        if let Some(thread) = thread::recording() {
            thread.scan_modules();
        }
    }
}

/// What the preloaded object does when it is loaded.
///
/// A process that is recorded stays so when it becomes another program by `exec`. One that isn't takes us out of its
/// environment, so that its children don't load us for nothing.
///
/// # Safety
/// The process has only this thread, so that nobody else reads or writes the environment.
pub unsafe fn library_loaded() {
    start();
    if STATE.load(Ordering::Acquire) != ON {
        let environment = real::ENVIRONMENT.address().cast::<*mut *mut c_char>();
        // SAFETY: libc's variable: an array of C strings that ends with null, and only ours now, by the contract.
        if let Some(environment) = unsafe { environment.as_ref() } {
            // SAFETY: as above.
            unsafe { leave_environment(*environment) };
        }
        return;
    }
    embedded::hook_program(get());
    let suppressions = real::SUPPRESSIONS.address();
    if !suppressions.is_null() {
        // SAFETY: the sanitizer's interface: takes nothing, returns a C string that stays.
        let text = unsafe {
            let function: extern "C" fn() -> *const c_char = core::mem::transmute(suppressions);
            let text = function();
            if text.is_null() { c"" } else { CStr::from_ptr(text) }
        };
        if let Some(thread) = thread::recording() {
            thread.suppressions(text.to_bytes());
        }
    }
}

/// What the preloaded object does when the process ends by `exit`: the collector may still want to look at functions
/// that it was told of.
pub fn process_ends() {
    if let Some(session) = current().filter(|_| is_collector_alive()) {
        v8::wait_for_reader(session, 2000);
    }
}

/// What the preloaded object does when the process exits: the collector looks a last time at the process's memory.
pub fn library_unloaded() {
    /// A collector that is busy is not waited for forever.
    const PATIENCE: u64 = 2_000_000_000;
    if let Some(session) = current().filter(|session| session.may_ask()) {
        session.ask(request::LOOK, PATIENCE);
    }
}

/// The real function behind one of the hooks; null if there is none.
pub fn real_function(symbol: &CStr) -> *mut core::ffi::c_void {
    real::next(symbol)
}

/// Reads the ring's name from the environment.
fn read_name() -> bool {
    let Some(file) = sys::open(c"/proc/self/environ", libc::O_RDONLY) else { return false };
    // SAFETY: `STATE` is `STARTING`, so nobody else looks.
    let name = unsafe { &mut *NAME.0.get() };
    let mut buffer = [0u8; 512];
    let (mut matched, mut is_candidate, mut length) = (0, true, 0);
    loop {
        let read = file.read(&mut buffer);
        if read == 0 {
            return false;
        }
        for &byte in buffer.iter().take(read) {
            if byte == 0 {
                if matched > VARIABLE.len() && is_candidate && length > 0 {
                    return true;
                }
                (matched, is_candidate, length) = (0, true, 0);
            } else if matched <= VARIABLE.len() {
                let expected = VARIABLE.as_bytes().get(matched).copied().unwrap_or(b'=');
                is_candidate &= byte == expected;
                matched += 1;
            } else if is_candidate {
                // Room is left for a dot, ten digits and the zero.
                if length >= PATH - 12 {
                    return false;
                }
                if let Some(at) = name.get_mut(length) {
                    *at = byte;
                }
                length += 1;
                if let Some(at) = name.get_mut(length) {
                    *at = 0;
                }
            }
        }
    }
}

/// The file that takes what nobody asked for; the collector empties it.
pub(crate) fn waste() -> *const c_char {
    struct Path(UnsafeCell<[u8; PATH]>);
    // SAFETY: written with the same bytes, whoever writes.
    unsafe impl Sync for Path {}
    static WASTE: Path = Path(UnsafeCell::new([0; PATH]));
    // SAFETY: the ring's name was read before anybody asks, and leaves room for more than this.
    unsafe {
        let path = &mut *WASTE.0.get();
        *path = *NAME.0.get();
        let end = path.iter().position(|&byte| byte == 0).unwrap_or(0);
        for (at, byte) in b".waste\0".iter().enumerate() {
            if let Some(place) = path.get_mut(end + at) {
                *place = *byte;
            }
        }
        path.as_ptr().cast()
    }
}

/// The name of the ring with a number.
fn path(number: u32) -> [u8; PATH] {
    // SAFETY: written before anybody asks.
    let mut path = unsafe { *NAME.0.get() };
    let mut at = path.iter().position(|&byte| byte == 0).unwrap_or(PATH - 12).min(PATH - 12);
    let mut put = |byte| {
        if let Some(place) = path.get_mut(at) {
            *place = byte;
        }
        at += 1;
    };
    put(b'.');
    let mut scale = 1_000_000_000;
    while scale > 1 && number / scale == 0 {
        scale /= 10;
    }
    while scale > 0 {
        put(b'0' + (number / scale % 10) as u8);
        scale /= 10;
    }
    put(0);
    path
}

fn open_ring(number: u32) -> Option<sys::Descriptor> {
    let path = path(number);
    sys::open(CStr::from_bytes_until_nul(&path).ok()?, libc::O_RDWR)
}

fn open_session(header: &'static Header, process: u32, ring: usize) -> bool {
    const PAGE: usize = 4096;
    let canary = sys::map_private(PAGE).filter(|page| sys::wipe_on_fork(*page, PAGE));
    let Some(canary) = canary.map(<*mut u8>::cast::<u64>) else {
        header.trouble.store(trouble::NO_WIPE_ON_FORK, Ordering::Relaxed);
        return false;
    };
    // SAFETY: a fresh page.
    unsafe { canary.write_volatile(1) };
    let is_tsc = sys::has_invariant_tsc();
    v8::set(&header.v8);
    let session = Session {
        header,
        process,
        frames: header.frames.load(Ordering::Relaxed).clamp(1, MAX_FRAMES as u32),
        sample: header.sample.load(Ordering::Relaxed),
        is_tsc,
        ring,
        canary,
    };
    header.clock.store(if is_tsc { clock::TSC } else { clock::MONOTONIC }, Ordering::Relaxed);
    header.monotonic_start.store(sys::monotonic(), Ordering::Relaxed);
    header.clock_start.store(session.now(), Ordering::Relaxed);
    // SAFETY: nobody reads it before `STATE` is `ON`.
    unsafe { (*SESSION.0.get()).write(session) };
    header.status.store(status::RECORDING, Ordering::Release);
    call_collector(header);
    true
}

/// Has the collector look now rather than when it would.
pub(crate) fn call_collector(header: &Header) {
    header.bell.fetch_add(1, Ordering::Release);
    sys::wake(&header.bell);
}

impl Session {
    /// The clock.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        if self.is_tsc { sys::tsc() } else { slow_clock() }
    }

    /// The time of an event of the thread with this mark, see [`lease`], whose latest event was not before `latest`.
    #[inline(always)]
    pub(crate) fn time(&self, mark: u64, latest: u64) -> u64 {
        let word = self.header.lease.load(Ordering::Relaxed);
        match lease::time(word, mark) {
            Some(time) => time.max(latest),
            None => {
                if word != lease::NONE {
                    self.header.lease.store(lease::NONE, Ordering::Relaxed);
                }
                self.now()
            }
        }
    }

    /// As [`Session::time`], unless that takes a system call.
    #[inline(always)]
    pub(crate) fn time_at_once(&self, mark: u64, latest: u64) -> Option<u64> {
        let word = self.header.lease.load(Ordering::Relaxed);
        match lease::time(word, mark) {
            Some(time) => Some(time.max(latest)),
            None if self.is_tsc && word == lease::NONE => Some(sys::tsc()),
            None => None,
        }
    }

    /// Says what could not be done; recording ends.
    pub(crate) fn trouble(&self, what: u32) {
        self.header.trouble.store(what, Ordering::Relaxed);
    }

    pub(crate) fn lost_allocation(&self, size: u64) {
        self.header.lost_allocations.fetch_add(1, Ordering::Relaxed);
        self.header.lost_bytes.fetch_add(size, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn lost_free(&self) {
        self.header.lost_frees.fetch_add(1, Ordering::Relaxed);
    }

    fn descriptor(&self, chunk: u32) -> &'static Descriptor {
        let at = self.ring + DESCRIPTORS_AT + chunk as usize * size_of::<Descriptor>();
        // SAFETY: chunks' numbers come from the ring, and are checked where they are taken.
        unsafe { &*(at as *const Descriptor) }
    }

    /// The place for a question about a module.
    pub(crate) fn plan(&self) -> &'static Plan {
        // SAFETY: a part of the ring, which stays mapped; all its fields are atomic.
        unsafe { &*((self.ring + PLAN_AT) as *const Plan) }
    }

    /// Whether the collector answers, and nobody else asks. Who finds it so has the right to ask.
    pub(crate) fn may_ask(&self) -> bool {
        let asked = &self.header.request;
        STATE.load(Ordering::Relaxed) == ON
            && self.header.stop.load(Ordering::Relaxed) == 0
            && asked
                .compare_exchange(request::NONE, request::PREPARED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Asks the collector, after [`Session::may_ask`]; whether it answered within so many nanoseconds.
    pub(crate) fn ask(&self, what: u32, patience: u64) -> bool {
        let asked = &self.header.request;
        asked.store(what, Ordering::Release);
        call_collector(self.header);
        let start = sys::monotonic();
        let mut looked = 0;
        loop {
            if asked.load(Ordering::Acquire) == request::ANSWERED {
                asked.store(request::NONE, Ordering::Release);
                return true;
            }
            let waited = sys::monotonic().wrapping_sub(start);
            // Twice in a second: is there anybody to answer?
            let is_hopeless = waited / 500_000_000 > looked && {
                looked = waited / 500_000_000;
                !is_collector_alive()
            };
            if is_hopeless || waited > patience || self.header.stop.load(Ordering::Relaxed) != 0 {
                // An answer that comes right now is too late as well: it must not be written over the next one.
                asked.store(request::GIVEN_UP, Ordering::Release);
                return false;
            }
            sys::wait(asked, what, 5_000_000);
        }
    }
}

/// The collector holds a lock on the ring as long as it lives, in whatever namespace it is.
pub(crate) fn is_collector_alive() -> bool {
    open_ring(RING_NUMBER.load(Ordering::Relaxed)).is_some_and(|file| file.is_locked())
}

#[cold]
fn stop(header: &Header) {
    STATE.store(OFF, Ordering::Release);
    header.status.store(status::STOPPED, Ordering::Release);
}

/// Takes the ring's variable, our own path and V8's options out of the environment; other objects to preload and other
/// options of Node's stay.
///
/// # Safety
/// An array of C strings that ends with null, or null, which nobody else uses now.
unsafe fn leave_environment(environment: *mut *mut c_char) {
    if environment.is_null() {
        return;
    }
    let (mut from, mut to) = (environment, environment);
    // SAFETY: the array ends with null, strings with zero; both are only made shorter.
    unsafe {
        while !(*from).is_null() {
            let entry = *from;
            let text = CStr::from_ptr(entry).to_bytes();
            let keep = if text.starts_with(VARIABLE.as_bytes()) {
                false
            } else if let Some(list) = text.strip_prefix(b"LD_PRELOAD=") {
                // The collector puts us first.
                let ours = list.iter().position(|&byte| byte == b':' || byte == b' ').unwrap_or(list.len());
                shorten(entry.add("LD_PRELOAD=".len()), list.len(), ours + 1)
            } else if let Some(options) = text.strip_prefix(b"NODE_OPTIONS=")
                && options.starts_with(NODE_OPTIONS.as_bytes())
                && matches!(options.get(NODE_OPTIONS.len()), None | Some(b' '))
            {
                shorten(entry.add("NODE_OPTIONS=".len()), options.len(), NODE_OPTIONS.len() + 1)
            } else {
                true
            };
            if keep {
                *to = entry;
                to = to.add(1);
            }
            from = from.add(1);
        }
        *to = core::ptr::null_mut();
    }
}

/// Takes the first bytes of a value away; whether anything is left.
///
/// # Safety
/// A C string of that length.
unsafe fn shorten(value: *mut c_char, length: usize, by: usize) -> bool {
    let Some(rest @ 1..) = length.checked_sub(by) else { return false };
    // SAFETY: within the string.
    unsafe {
        core::ptr::copy(value.add(by), value, rest);
        *value.add(rest) = 0;
    }
    true
}

/// What it needs on the stack stays out of its callers.
#[cold]
#[inline(never)]
fn slow_clock() -> u64 {
    sys::monotonic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_leave_the_environment_as_it_was() {
        let check = |before: &[&str], after: &[&str]| {
            let mut strings: Vec<Vec<u8>> =
                before.iter().map(|text| [text.as_bytes(), &[0]].concat()).collect();
            let mut array: Vec<*mut c_char> =
                strings.iter_mut().map(|text| text.as_mut_ptr().cast()).collect();
            array.push(core::ptr::null_mut());
            // SAFETY: an array of C strings that ends with null.
            unsafe { leave_environment(array.as_mut_ptr()) };
            let left: Vec<&str> = array
                .iter()
                .take_while(|entry| !entry.is_null())
                // SAFETY: entries are C strings.
                .map(|&entry| unsafe { CStr::from_ptr(entry) }.to_str().expect("text"))
                .collect();
            assert_eq!(left, after);
        };
        check(&["A=1", "LD_PRELOAD=/x/agent.so", "TWINHEAP_RING=/dev/shm/r", "B=2"], &["A=1", "B=2"]);
        check(&["LD_PRELOAD=/x/agent.so:/y/other.so", "C="], &["LD_PRELOAD=/y/other.so", "C="]);
        check(&["LD_PRELOADED=1"], &["LD_PRELOADED=1"]);
        let ours = format!("NODE_OPTIONS={NODE_OPTIONS}");
        check(&[&ours], &[]);
        check(&[&format!("{ours} --no-warnings")], &["NODE_OPTIONS=--no-warnings"]);
        check(&[&format!("{ours}-x")], &[&format!("{ours}-x")]);
        check(&["NODE_OPTIONS=--no-warnings"], &["NODE_OPTIONS=--no-warnings"]);
    }
}
