//! C++'s operators new and delete.
//!
//! They are hooked themselves, and not only through the malloc that they call: libstdc++ keeps no frame pointers, so
//! that a stack that begins in it loses the caller of `new`.
//!
//! A successful `new` is a malloc, and a `delete` a free, as in libstdc++ and libc++. Only when there is no memory
//! does the program's own operator run, with its handlers and exceptions, as if it had been called by our caller:
//! an exception that passes through our frames would end the process.

use core::arch::naked_asm;
use core::ffi::{CStr, c_void};

use twinheap_recorder::{hooks, real_function};

use crate::stub;

/// `new` whose arguments are a size, or a size and something that malloc doesn't need.
macro_rules! new {
    ($($name:ident = $symbol:literal;)*) => {$(
        /// Stands in for the operator of this name.
        ///
        /// # Safety
        /// As that operator.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            extern "C" fn find() -> *mut c_void {
                find_or_stop($symbol)
            }
            naked_asm!(
                "push rdi",
                "push rsi",
                "sub rsp, 8",
                "lea rsi, [rsp + 24]",
                "mov rdx, rbp",
                "test rdi, rdi",
                "jnz 2f",
                "inc rdi",
                "2:",
                "call {malloc}",
                "test rax, rax",
                "jz 3f",
                "add rsp, 24",
                "ret",
                "3:",
                "call {find}",
                "add rsp, 8",
                "pop rsi",
                "pop rdi",
                "jmp rax",
                malloc = sym hooks::malloc,
                find = sym find,
            )
        }
    )*};
}

/// `new` with an alignment as its second argument.
macro_rules! aligned_new {
    ($($name:ident = $symbol:literal;)*) => {$(
        /// Stands in for the operator of this name.
        ///
        /// # Safety
        /// As that operator.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            extern "C" fn find() -> *mut c_void {
                find_or_stop($symbol)
            }
            naked_asm!(
                "push rdi",
                "push rsi",
                "push rdx",
                "lea rdx, [rsp + 24]",
                "mov rcx, rbp",
                // aligned_alloc wants a size that is a multiple of the alignment, and one that is not 0.
                "lea rax, [rdi + rsi - 1]",
                "neg rsi",
                "and rax, rsi",
                "neg rsi",
                "cmp rax, rdi",
                "jb 3f",
                "test rax, rax",
                "cmovz rax, rsi",
                "xchg rdi, rsi",
                "mov rsi, rax",
                "call {aligned_alloc}",
                "test rax, rax",
                "jz 3f",
                "add rsp, 24",
                "ret",
                "3:",
                "call {find}",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "jmp rax",
                aligned_alloc = sym hooks::aligned_alloc,
                find = sym find,
            )
        }
    )*};
}

new! {
    _Znwm = c"_Znwm";
    _Znam = c"_Znam";
    _ZnwmRKSt9nothrow_t = c"_ZnwmRKSt9nothrow_t";
    _ZnamRKSt9nothrow_t = c"_ZnamRKSt9nothrow_t";
}

aligned_new! {
    _ZnwmSt11align_val_t = c"_ZnwmSt11align_val_t";
    _ZnamSt11align_val_t = c"_ZnamSt11align_val_t";
    _ZnwmSt11align_val_tRKSt9nothrow_t = c"_ZnwmSt11align_val_tRKSt9nothrow_t";
    _ZnamSt11align_val_tRKSt9nothrow_t = c"_ZnamSt11align_val_tRKSt9nothrow_t";
}

stub! {
    _ZdlPv("rsi", "rdx") = hooks::free;
    _ZdaPv("rsi", "rdx") = hooks::free;
    _ZdlPvm("rsi", "rdx") = hooks::free;
    _ZdaPvm("rsi", "rdx") = hooks::free;
    _ZdlPvRKSt9nothrow_t("rsi", "rdx") = hooks::free;
    _ZdaPvRKSt9nothrow_t("rsi", "rdx") = hooks::free;
    _ZdlPvSt11align_val_t("rsi", "rdx") = hooks::free;
    _ZdaPvSt11align_val_t("rsi", "rdx") = hooks::free;
    _ZdlPvmSt11align_val_t("rsi", "rdx") = hooks::free;
    _ZdaPvmSt11align_val_t("rsi", "rdx") = hooks::free;
    _ZdlPvSt11align_val_tRKSt9nothrow_t("rsi", "rdx") = hooks::free;
    _ZdaPvSt11align_val_tRKSt9nothrow_t("rsi", "rdx") = hooks::free;
}

/// The program's own operator. A program that calls `new` has one; if it is not to be found, `new` has failed and
/// nobody can be told, which is what null says to those who look.
fn find_or_stop(symbol: &CStr) -> *mut c_void {
    extern "C" fn nothing() -> *mut c_void {
        core::ptr::null_mut()
    }
    let operator = real_function(symbol);
    if operator.is_null() { nothing as extern "C" fn() -> *mut c_void as *mut c_void } else { operator }
}
