//! The functions that a preloaded program calls instead of its own: stubs that add the caller's registers and go on
//! to `twinheap_recorder::hooks`.
//!
//! A stub is bare code, since a compiled function's prologue would change the registers first. The caller's return
//! address lies at the stack pointer; the frame pointer register is whatever the caller had in it.
#![no_std]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(unsafe_code, reason = "exports of malloc's name, by bare code")]
#![allow(non_snake_case, reason = "names of C++ functions")]

use core::arch::naked_asm;

use twinheap_recorder::hooks;

mod operators;

/// Nothing here panics; should it, the thread stops rather than the process.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Runs when the dynamic linker has loaded us, before the program.
extern "C" fn loaded() {
    // SAFETY: no code of the program ran yet.
    unsafe { twinheap_recorder::library_loaded() };
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = loaded;

/// Runs when the process exits by `exit`.
extern "C" fn exiting() {
    twinheap_recorder::process_ends();
    twinheap_recorder::library_unloaded();
    twinheap_recorder::exiting();
}

#[used]
#[unsafe(link_section = ".fini_array")]
static EXITING: extern "C" fn() = exiting;

/// A stub for a function of one to four arguments: the registers become the arguments behind them.
macro_rules! stub {
    ($($name:ident($sp:literal, $fp:literal) = $hook:path;)*) => {$(
        /// Stands in for the function of this name.
        ///
        /// # Safety
        /// As that function.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                concat!("mov ", $sp, ", rsp"),
                concat!("mov ", $fp, ", rbp"),
                "jmp {hook}",
                hook = sym $hook,
            )
        }
    )*};
}
pub(crate) use stub;

stub! {
    malloc("rsi", "rdx") = hooks::malloc;
    calloc("rdx", "rcx") = hooks::calloc;
    realloc("rdx", "rcx") = hooks::realloc;
    posix_memalign("rcx", "r8") = hooks::posix_memalign;
    aligned_alloc("rdx", "rcx") = hooks::aligned_alloc;
    memalign("rdx", "rcx") = hooks::memalign;
    valloc("rsi", "rdx") = hooks::valloc;
    pvalloc("rsi", "rdx") = hooks::pvalloc;
    heaptrack_malloc("rdx", "rcx") = hooks::reported_allocation;
    heaptrack_realloc("rcx", "r8") = hooks::reported_reallocation;
    // No registers are needed; those that are set here are the caller's to lose.
    free("rsi", "rdx") = hooks::free;
    cfree("rsi", "rdx") = hooks::free;
    free_sized("rdx", "rcx") = hooks::free;
    free_aligned_sized("rcx", "r8") = hooks::free;
    heaptrack_free("rsi", "rdx") = hooks::reported_free;
    munmap("rdx", "rcx") = hooks::munmap;
    dlclose("rsi", "rdx") = hooks::dlclose;
    setvbuf("r8", "r9") = hooks::setvbuf;
}

/// A stub for a function of six arguments: the registers go on the stack.
macro_rules! stub_of_six {
    ($($name:ident = $hook:path;)*) => {$(
        /// Stands in for the function of this name.
        ///
        /// # Safety
        /// As that function.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "mov rax, rsp",
                "sub rsp, 8",
                "push rbp",
                "push rax",
                "call {hook}",
                "add rsp, 24",
                "ret",
                hook = sym $hook,
            )
        }
    )*};
}

stub_of_six! {
    mmap = hooks::mmap;
    mmap64 = hooks::mmap;
    mremap = hooks::mremap;
}

/// A stub for `fopen`. It goes on to the real one by a jump, so that no frame of ours is in the stack of what that
/// allocates.
macro_rules! stub_of_fopen {
    ($($name:ident)*) => {$(
        /// Stands in for the function of this name.
        ///
        /// # Safety
        /// As fopen.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "push rdi",
                "push rsi",
                "sub rsp, 8",
                "call {path}",
                // The path takes the place of the one that was given; the function for the mode wants the latter.
                "mov rdi, [rsp + 16]",
                "mov rsi, [rsp + 8]",
                "mov [rsp + 16], rax",
                "call {mode}",
                "mov [rsp + 8], rax",
                "call {real}",
                "add rsp, 8",
                "pop rsi",
                "pop rdi",
                "jmp rax",
                path = sym hooks::fopen_path,
                mode = sym hooks::fopen_mode,
                real = sym hooks::real_fopen,
            )
        }
    )*};
}

stub_of_fopen! { fopen fopen64 }

/// `dlopen`: goes on to the real one by a jump, since that asks who its caller is; or to ours, where it needn't.
///
/// # Safety
/// As dlopen.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen() {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {target}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        target = sym twinheap_recorder::dlopen_target,
    )
}

/// A stub that goes on to the real function by a jump, or to the system call itself as long as that isn't known. The
/// function that finds the real one gets the first two arguments; the seventh one lies on the stack, where it stays.
macro_rules! stub_of_system_call {
    ($($name:ident($($direct:literal),*) = $real:path;)*) => {$(
        /// Stands in for the function of this name.
        ///
        /// # Safety
        /// As that function.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "sub rsp, 8",
                "call {real}",
                "add rsp, 8",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "test rax, rax",
                "jz 2f",
                "jmp rax",
                "2:",
                $($direct,)*
                "syscall",
                "cmp rax, -4095",
                "jb 3f",
                "mov rax, -1",
                "3:",
                "ret",
                real = sym $real,
            )
        }
    )*};
}

stub_of_system_call! {
    prctl("mov eax, 157", "mov r10, rcx") = hooks::real_prctl;
    syscall(
        "mov rax, rdi", "mov rdi, rsi", "mov rsi, rdx", "mov rdx, rcx", "mov r10, r8", "mov r8, r9",
        "mov r9, [rsp + 8]"
    ) = hooks::real_syscall;
}

/// `reallocarray`: a realloc by the same caller, unless the product overflows.
///
/// # Safety
/// As reallocarray.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray() {
    naked_asm!(
        "mov rax, rsi",
        "mul rdx",
        "jo 2f",
        "mov rsi, rax",
        "mov rdx, rsp",
        "mov rcx, rbp",
        "jmp {realloc}",
        // What is too large for the product is too large for realloc, which says so in `errno`.
        "2:",
        "mov rsi, -1",
        "mov rdx, rsp",
        "mov rcx, rbp",
        "jmp {realloc}",
        realloc = sym hooks::realloc,
    )
}
