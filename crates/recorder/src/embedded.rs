//! Allocators that modules bring along, linked statically: no symbol leads to them that a preloaded object could stand
//! in for. Their functions get a jump to our hook in front, while nobody can run them.
//!
//! What is to be written where is worked out by the collector, which has the module's file and a disassembler
//! (`twinheap_wire::plan`). Here bytes are compared and copied, and nothing else.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use twinheap_wire::plan::{CODE, Call, MAX_PATCHES, MAX_PATH, Plan, outcome};
use twinheap_wire::request;

use crate::real;
use crate::session::{self, Session};
use crate::sys;
use crate::thread;
use crate::walk::Registers;

type Function = unsafe extern "C" fn(u64, u64, u64, u64) -> u64;
type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Dlclose = unsafe extern "C" fn(*mut c_void) -> c_int;

/// How long a process waits for a plan: a collector under load needs its time, and a large file too.
const PATIENCE: u64 = 2_000_000_000;

core::arch::global_asm!(
    // What an entry of a plan's code goes on to: the original's address is in r10, the call's meaning in eax.
    ".text",
    ".hidden twinheap_recorder_embedded",
    ".globl twinheap_recorder_embedded",
    ".type twinheap_recorder_embedded, @function",
    "twinheap_recorder_embedded:",
    ".cfi_startproc",
    "mov r11, rsp",
    "push rcx",
    ".cfi_adjust_cfa_offset 8",
    "push rdx",
    ".cfi_adjust_cfa_offset 8",
    "push rsi",
    ".cfi_adjust_cfa_offset 8",
    "push rdi",
    ".cfi_adjust_cfa_offset 8",
    "mov rdi, rsp",
    "mov esi, eax",
    "mov rdx, r10",
    "mov rcx, r11",
    "mov r8, rbp",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "call {hook}",
    "add rsp, 40",
    ".cfi_adjust_cfa_offset -40",
    "ret",
    ".cfi_endproc",
    ".size twinheap_recorder_embedded, . - twinheap_recorder_embedded",
    hook = sym embedded_call,
);

unsafe extern "C" {
    fn twinheap_recorder_embedded();
}

/// A call of such a function. What the allocator calls of itself meanwhile is a part of it, and not recorded.
///
/// # Safety
/// `original` is the function, moved; the arguments are its own.
unsafe extern "C" fn embedded_call(
    arguments: *const [u64; 4],
    meaning: u32,
    original: *mut c_void,
    sp: u64,
    fp: u64,
) -> u64 {
    // SAFETY: the entry pushed them.
    let arguments = unsafe { *arguments };
    let [a, b, c, d] = arguments;
    // SAFETY: by the contract. It takes at most four arguments; others change nothing.
    let call = || unsafe { transmute::<*mut c_void, Function>(original)(a, b, c, d) };
    if thread::recording().is_none() || thread::set_busy(true) {
        return call();
    }
    let Call { old, size, count, out } = Call::decode(meaning);
    let value = |argument: Option<u32>| argument.and_then(|at| arguments.get(at as usize).copied());
    let (old, size) = (value(old).unwrap_or(0), value(size));
    let session = session::get();
    let Some(size) = size.map(|size| size.wrapping_mul(value(count).unwrap_or(1))) else {
        if let Some(thread) = thread::recording().filter(|_| old != 0) {
            thread.free(session, old);
        }
        let result = call();
        thread::set_busy(false);
        return result;
    };
    let before = session.now();
    let result = call();
    thread::set_busy(false);
    let new = match value(out) {
        None => result,
        // SAFETY: posix_memalign and its kin have written it if they return 0.
        Some(out) if result == 0 => unsafe { *(out as *const u64) },
        Some(_) => 0,
    };
    if let Some(thread) = thread::recording() {
        if old != 0 && (new != 0 || size == 0) {
            thread.reallocation(session, old, before, new != 0);
        }
        if new != 0 {
            let caller = Registers { stack_pointer: sp, frame_pointer: fp };
            thread.allocation(session, new, size, caller);
        }
    }
    result
}

/// Hooks what the program itself brings along. Nothing of it has run yet, and there is no other thread.
pub(crate) fn hook_program(session: &Session) {
    if let Some(headers) = sys::program_headers().filter(|_| sys::is_single_threaded()) {
        hook(session, headers, c"", true);
    }
}

/// Calls of `dlopen` that have not returned.
static OPENING: AtomicU32 = AtomicU32::new(0);
/// Counts calls of `dlopen`.
static OPENED: AtomicU32 = AtomicU32::new(0);

/// What a `dlopen` of this path is to go on to: the real one, or one that looks at what was loaded. The latter calls the
/// real one by itself, which would ask who its caller is if the path were no path but a name.
///
/// # Safety
/// As dlopen.
pub unsafe extern "C" fn dlopen_target(path: *const c_char) -> *mut c_void {
    let real = real_dlopen();
    // SAFETY: by the contract.
    let path = if path.is_null() { c"" } else { unsafe { CStr::from_ptr(path) } };
    let bytes = path.to_bytes();
    if session::current().is_none() || !bytes.contains(&b'/') || bytes.contains(&b'$') {
        return real;
    }
    dlopen_and_look as Dlopen as *mut c_void
}

fn real_dlopen() -> *mut c_void {
    extern "C" fn nothing() -> *mut c_void {
        core::ptr::null_mut()
    }
    let function = real::DLOPEN.address();
    if function.is_null() { nothing as extern "C" fn() -> *mut c_void as *mut c_void } else { function }
}

/// # Safety
/// As dlopen.
unsafe extern "C" fn dlopen_and_look(path: *const c_char, flags: c_int) -> *mut c_void {
    // SAFETY: the real dlopen.
    let open = |flags| unsafe { transmute::<*mut c_void, Dlopen>(real_dlopen())(path, flags) };
    let others = OPENING.fetch_add(1, Ordering::SeqCst);
    let number = OPENED.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    let threads = sys::thread_count();
    let known = open(libc::RTLD_LAZY | libc::RTLD_NOLOAD);
    let close = real::DLCLOSE.address();
    if !known.is_null() && !close.is_null() {
        // SAFETY: the real dlclose; the handle is ours.
        unsafe { transmute::<*mut c_void, Dlclose>(close)(known) };
    }
    let handle = open(flags);
    // Its constructors have run. Whoever they may have started, or a second thread that opened the same file, could be
    // in the code that is to be changed.
    let is_alone = others == 0 && OPENED.load(Ordering::SeqCst) == number && sys::thread_count() == threads;
    if !handle.is_null()
        && known.is_null()
        && let Some(session) = session::current()
    {
        // SAFETY: glibc's handles are its link maps, whose first members are the bias and the path.
        let (bias, name) = unsafe { (*handle.cast::<u64>(), *handle.cast::<*const c_char>().add(1)) };
        if !name.is_null() && is_alone {
            // SAFETY: the module's path, which lives as long as the module.
            hook(session, bias, unsafe { CStr::from_ptr(name) }, false);
        }
    }
    OPENING.fetch_sub(1, Ordering::SeqCst);
    handle
}

/// Asks the collector for a plan and follows it.
fn hook(session: &Session, bias: u64, path: &CStr, is_program: bool) {
    let path = path.to_bytes();
    if path.len() > MAX_PATH {
        return;
    }
    // Before the right to ask is taken: whoever has it and doesn't ask keeps all others from it.
    let Some(page) = room_below(bias) else { return };
    if !session.may_ask() {
        // SAFETY: nothing leads there.
        unsafe { sys::unmap(page, CODE) };
        return;
    }
    let plan = session.plan();
    plan.bias.store(bias, Ordering::Relaxed);
    plan.page.store(page as u64, Ordering::Relaxed);
    let hook: unsafe extern "C" fn() = twinheap_recorder_embedded;
    plan.hook.store(hook as usize as u64, Ordering::Relaxed);
    plan.is_program.store(u32::from(is_program), Ordering::Relaxed);
    plan.path_length.store(path.len() as u32, Ordering::Relaxed);
    for (word, bytes) in plan.path.iter().zip(path.chunks(8)) {
        let mut all = [0; 8];
        for (to, from) in all.iter_mut().zip(bytes) {
            *to = *from;
        }
        word.store(u64::from_le_bytes(all), Ordering::Relaxed);
    }
    for (word, real) in plan.known.iter().zip(real::ALL) {
        word.store(real.address() as u64, Ordering::Relaxed);
    }
    let is_answered = session.ask(request::PLAN, PATIENCE);
    let is_followed = is_answered && plan.count.load(Ordering::Relaxed) != 0 && follow(plan, page);
    plan.outcome.store(if is_followed { outcome::FOLLOWED } else { outcome::LEFT }, Ordering::Release);
    if !is_followed {
        // SAFETY: nothing leads there.
        unsafe { sys::unmap(page, CODE) };
    }
}

/// Writes the code and the jumps. False if nothing leads to the code.
fn follow(plan: &Plan, page: *mut u8) -> bool {
    let count = (plan.count.load(Ordering::Relaxed) as usize).min(MAX_PATCHES);
    let word = |from: &AtomicU64| from.load(Ordering::Relaxed);
    let patches = || plan.patches.iter().take(count);
    // SAFETY: the collector has made sure that eight bytes of the module are mapped there.
    let now = |address: u64| unsafe { (address as *const u64).read_unaligned() };
    if !patches().all(|patch| now(word(&patch.address)) == word(&patch.before)) {
        return false;
    }
    for (at, code) in plan.code.iter().enumerate() {
        // SAFETY: the page has room for all of it.
        unsafe { page.cast::<u64>().add(at).write(word(code)) };
    }
    if !sys::protect(page as u64, CODE as u64, libc::PROT_READ | libc::PROT_EXEC) {
        return false;
    }
    const PAGE: u64 = 4096;
    let range =
        |address: u64| (address & !(PAGE - 1), if address % PAGE > PAGE - 8 { 2 * PAGE } else { PAGE });
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // All or nothing: a block whose allocation is seen and whose free is not would look leaked.
    let may_write = patches().all(|patch| {
        let (start, length) = range(word(&patch.address));
        sys::protect(start, length, all)
    });
    if may_write {
        for patch in patches() {
            let address = word(&patch.address) as *mut u64;
            // SAFETY: just made writable; nobody runs there.
            unsafe { address.write_unaligned(word(&patch.after)) };
        }
    }
    for patch in patches() {
        let (start, length) = range(word(&patch.address));
        sys::protect(start, length, libc::PROT_READ | libc::PROT_EXEC);
    }
    may_write
}

/// Room for code in reach of a jump. Below the module: above a program is its heap. Something large may lie there, as the
/// ring does, so that steps become longer.
fn room_below(address: u64) -> Option<*mut u8> {
    const NEAR: u64 = 64 << 10;
    const FAR: u64 = 4 << 20;
    /// A jump reaches 2 GiB, and starts somewhere in the module.
    const MOST: u64 = 1792 << 20;
    let start = address & !(NEAR - 1);
    let mut distances = (1..FAR / NEAR).map(|step| step * NEAR).chain((1..MOST / FAR).map(|step| step * FAR));
    distances.find_map(|distance| sys::map_at(start.checked_sub(distance)?, CODE))
}
