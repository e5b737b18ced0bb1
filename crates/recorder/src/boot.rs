//! Memory for those who allocate before the real malloc is found: looking it up may allocate.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

const SIZE: usize = 64 << 10;

#[repr(align(64))]
struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: blocks are handed out once, by an atomic position.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));
static POSITION: AtomicUsize = AtomicUsize::new(0);

/// Before each block, its size.
const HEAD: usize = 16;

/// A block of zeros; null when there is no more.
pub(crate) fn allocate(size: usize, align: usize) -> *mut u8 {
    let align = align.max(HEAD);
    let wanted = size.saturating_add(align).saturating_add(HEAD).saturating_add(15) & !15;
    let at = POSITION.fetch_add(wanted, Ordering::Relaxed);
    if wanted > SIZE || at > SIZE - wanted {
        return core::ptr::null_mut();
    }
    // SAFETY: within the arena; aligning moves the block by less than `align`, which was asked for too.
    unsafe {
        let start = ARENA.0.get().cast::<u8>().add(at + HEAD);
        let block = start.add(start.align_offset(align));
        block.sub(HEAD).cast::<usize>().write(size);
        block
    }
}

/// The size of a block from here; `None` for any other block.
#[inline]
pub(crate) fn size_of(block: *const u8) -> Option<usize> {
    let offset = (block as usize).wrapping_sub(ARENA.0.get() as usize);
    // SAFETY: a block of the arena has its size in front of it.
    (offset < SIZE).then(|| unsafe { block.sub(HEAD).cast::<usize>().read() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_zeroed_and_known() {
        let check = |size: usize, align: usize| {
            let block = allocate(size, align);
            assert_eq!(block as usize % align.max(16), 0);
            assert_eq!(size_of(block), Some(size));
            // SAFETY: the block has that many bytes.
            assert!(unsafe { core::slice::from_raw_parts(block, size) }.iter().all(|&byte| byte == 0));
        };
        for (size, align) in [(1, 1), (0, 8), (100, 64), (33, 256), (4096, 4096)] {
            check(size, align);
        }
        assert!(allocate(SIZE, 1).is_null());
        assert_eq!(size_of(&0), None);
    }
}
