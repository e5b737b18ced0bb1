//! The few DWARF expressions that compilers and libraries really use in call frame information.

use crate::rules::Base;

const DW_OP_BREG6: u8 = 0x76;
const DW_OP_BREG7: u8 = 0x77;
const DW_OP_DEREF: u8 = 0x06;

/// A CFA as an expression: what lies at the frame pointer and an offset (GCC's functions that align their stack).
/// Others, such as that of a procedure linkage table, are of code that calls nobody.
pub(crate) fn cfa(expression: &[u8]) -> Option<(Base, i64)> {
    let (&operation, rest) = expression.split_first()?;
    let (offset, rest) = signed(rest)?;
    (operation == DW_OP_BREG6 && rest == [DW_OP_DEREF]).then_some((Base::AtFramePointer, offset))
}

/// True for the CFA of glibc's and the vDSO's signal trampolines on x86-64: the stack pointer in the `ucontext` at the stack pointer.
pub(crate) fn is_signal_frame(expression: &[u8]) -> bool {
    let Some((&DW_OP_BREG7, rest)) = expression.split_first() else { return false };
    signed(rest) == Some((UCONTEXT_STACK_POINTER as i64, &[DW_OP_DEREF]))
}

/// Offsets in a `ucontext` of x86-64 Linux: `uc_mcontext` begins at 40, its registers are r8 to r15, rdi, rsi, rbp,
/// rbx, rdx, rax, rcx, rsp, rip.
pub(crate) const UCONTEXT_FRAME_POINTER: u64 = 40 + 8 * 10;
/// The stack pointer's offset.
pub(crate) const UCONTEXT_STACK_POINTER: u64 = 40 + 8 * 15;
/// The instruction pointer's offset.
pub(crate) const UCONTEXT_PC: u64 = 40 + 8 * 16;

fn signed(mut bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (mut value, mut shift) = (0i64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        bytes = rest;
        if shift < 64 {
            value |= i64::from(byte & 0x7f) << shift;
        }
        shift += 7;
        if byte & 0x80 == 0 {
            if byte & 0x40 != 0 && shift < 64 {
                value |= -1 << shift;
            }
            return Some((value, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_real_code_are_known() {
        assert_eq!(cfa(&[0x76, 0x78, 0x06]), Some((Base::AtFramePointer, -8)));
        assert_eq!(cfa(&[0x76, 0x50, 0x06]), Some((Base::AtFramePointer, -48)));
        // A procedure linkage table's.
        assert_eq!(cfa(&[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22]), None);
        assert_eq!(cfa(&[]), None);
        // glibc 2.36's __restore_rt.
        assert!(is_signal_frame(&[0x77, 0xa0, 0x01, 0x06]));
        assert!(!is_signal_frame(&[0x77, 0x08, 0x06]));
    }
}
