//! A malloc for a process with one thread.
//!
//! It owns one stretch of address space, so that a block of its own is told from a block of the parent's malloc by
//! its address. Blocks come in classes, eight to a power of two, so that rounding wastes at most an eighth; a
//! freed block waits in its class's list. Big blocks give their pages back to the kernel while they wait.
//!
//! A block starts 8 bytes off a multiple of 16, with one word that tells its class and where it starts; the memory
//! that the caller gets follows. That is what glibc needs too: a block for 24 bytes takes 32.

use std::ptr::null_mut;

use crate::sys;

/// The alignment that every block has.
pub(crate) const ALIGNMENT: usize = 16;
/// The word before a block's memory.
const WORD: usize = 8;
/// Block sizes up to here are multiples of 16, one class each.
const FINE: usize = 128;
const FINE_CLASSES: usize = FINE / ALIGNMENT;
/// Classes for each power of two above.
const STEPS: usize = 8;
/// Enough for blocks of 2^44 bytes, more than there is address space to reserve.
const CLASSES: usize = FINE_CLASSES + (45 - 7) * STEPS;
/// Blocks from this size on are whole pages, given back while they are free.
const BIG: usize = 1 << 20;
/// Blocks up to this size are cut from runs, so that they lie close together.
const SMALL: usize = 16 << 10;
const RUN: usize = 256 << 10;
/// How much more memory is made usable at a time.
const STEP: usize = 4 << 20;
/// In a block's first word: the class in the low bits, then how far its memory is from its start.
const CLASS_BITS: u32 = 16;

/// The allocator. Zeroes are its state before [`Heap::reserve`]: nothing reserved, nothing to give.
#[derive(Debug)]
pub(crate) struct Heap {
    start: usize,
    end: usize,
    /// What was never handed out begins here; a multiple of 16.
    top: usize,
    /// Memory below is readable and writable.
    usable: usize,
    /// The rest of the run that small blocks are cut from; 8 more than a multiple of 16.
    run: usize,
    run_end: usize,
    page: usize,
    /// The first free block of each class, or 0. A free block's first word is the address of the next.
    free: [usize; CLASSES],
}

impl Heap {
    /// A heap without memory.
    pub(crate) const fn empty() -> Self {
        Heap { start: 0, end: 0, top: 0, usable: 0, run: 0, run_end: 0, page: 0, free: [0; CLASSES] }
    }

    /// Reserves the first of `sizes` that there is room for. Whether there was.
    pub(crate) fn reserve(&mut self, sizes: &[usize], page: usize) -> bool {
        let found = sizes.iter().find_map(|&size| Some((sys::reserve(size)?, size)));
        let Some((start, size)) = found else { return false };
        *self = Heap { start, end: start + size, top: start, usable: start, page, ..Heap::empty() };
        true
    }

    /// Whether this is a block of this heap.
    pub(crate) fn owns(&self, memory: *const u8) -> bool {
        (self.start..self.end).contains(&memory.addr())
    }

    /// Memory for `size` bytes, and whether it is all zero for sure. Null if there is none, or if `align` is no
    /// power of two.
    pub(crate) fn allocate(&mut self, size: usize, align: usize) -> (*mut u8, bool) {
        self.find(size, align).map_or((null_mut(), false), |(memory, zero)| (memory as *mut u8, zero))
    }

    /// The size that a block can be used to.
    ///
    /// # Safety
    /// `memory` must be an allocated block of this heap.
    pub(crate) unsafe fn usable_size(&self, memory: *const u8) -> usize {
        // SAFETY: as the caller promises.
        let (class, offset) = unsafe { Self::read_word(memory.addr()) };
        class_size(class) - offset
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `memory` must be an allocated block of this heap, and nobody may use it again.
    pub(crate) unsafe fn free(&mut self, memory: *mut u8) {
        // SAFETY: as the caller promises.
        let (class, offset) = unsafe { Self::read_word(memory.addr()) };
        let start = memory.addr() - offset;
        let size = class_size(class);
        if size >= BIG {
            // SAFETY: whole pages of a block that nobody uses.
            unsafe { sys::advise(start, size, libc::MADV_DONTNEED) };
        }
        // SAFETY: a block is longer than a word, and this one is nobody's now.
        unsafe { (start as *mut usize).write(self.free[class]) };
        self.free[class] = start;
    }

    /// Changes a block's size, moving it if need be. Null, and the block as it was, if there is no memory.
    ///
    /// # Safety
    /// As for [`Heap::free`], unless null comes back.
    pub(crate) unsafe fn resize(&mut self, memory: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        let old = unsafe { self.usable_size(memory) };
        // A block that shrinks to less than half moves, so that the rest is not lost.
        if size <= old && size >= old / 2 {
            return memory;
        }
        let (new, _) = self.allocate(size, ALIGNMENT);
        if !new.is_null() {
            // SAFETY: two blocks, both as long as that, and the old one is not used again.
            unsafe {
                new.copy_from_nonoverlapping(memory, old.min(size));
                self.free(memory);
            }
        }
        new
    }

    fn find(&mut self, size: usize, align: usize) -> Option<(usize, bool)> {
        if !align.is_power_of_two() {
            return None;
        }
        let slack = if align > ALIGNMENT { align } else { 0 };
        let mut class = class_of(size.checked_add(slack)?.checked_add(WORD)?)?;
        if class_size(class) >= BIG {
            // Starts on a page and not 8 bytes off a multiple of 16, so its first word is followed by a gap.
            class = class_of(size.checked_add(slack)?.checked_add(ALIGNMENT)?)?;
        }
        let size = class_size(class);
        let (start, zero) = match self.free[class] {
            // All of a big block's pages were given back, and the list's word lies where the caller's zeroes don't.
            0 => (self.cut(size)?, true),
            start => {
                // SAFETY: a free block of this heap; its first word is the next one's address.
                self.free[class] = unsafe { (start as *const usize).read() };
                (start, size >= BIG)
            }
        };
        let memory = (start + WORD).next_multiple_of(align.max(ALIGNMENT));
        let word = class | ((memory - start) << CLASS_BITS);
        // SAFETY: the word before the memory is inside the block, which is nobody else's.
        unsafe { ((memory - WORD) as *mut usize).write(word) };
        Some((memory, zero))
    }

    /// A new block.
    fn cut(&mut self, size: usize) -> Option<usize> {
        if size >= BIG {
            self.top = self.top.checked_next_multiple_of(self.page)?;
            return self.advance(size);
        }
        if size > SMALL {
            return Some(self.advance(size + ALIGNMENT)? + WORD);
        }
        if self.run_end - self.run < size {
            self.run_end = self.advance(RUN)? + RUN;
            self.run = self.run_end - RUN + WORD;
        }
        let start = self.run;
        self.run += size;
        Some(start)
    }

    fn advance(&mut self, bytes: usize) -> Option<usize> {
        let start = self.top;
        let top = start.checked_add(bytes).filter(|&top| top <= self.end)?;
        if top > self.usable {
            let usable = top.next_multiple_of(STEP);
            let usable = usable.clamp(top.next_multiple_of(self.page), self.end);
            // SAFETY: pages of our own reservation that nobody has seen yet.
            if !unsafe { sys::protect(self.usable, usable - self.usable, sys::READ_WRITE) } {
                return None;
            }
            self.usable = usable;
        }
        self.top = top;
        Some(start)
    }

    /// Class and offset of a block.
    ///
    /// # Safety
    /// `memory` must be an allocated block of a heap.
    unsafe fn read_word(memory: usize) -> (usize, usize) {
        // SAFETY: `find` wrote it there.
        let word = unsafe { ((memory - WORD) as *const usize).read() };
        (word & ((1 << CLASS_BITS) - 1), word >> CLASS_BITS)
    }
}

/// The class of the smallest blocks that hold `size` bytes, first word included.
fn class_of(size: usize) -> Option<usize> {
    if size <= FINE {
        return Some(size.saturating_sub(1) / ALIGNMENT);
    }
    let last = size - 1;
    let power = last.ilog2();
    let step = (last >> (power - STEPS.ilog2())) % STEPS;
    let class = FINE_CLASSES + (power - FINE.ilog2()) as usize * STEPS + step;
    (class < CLASSES).then_some(class)
}

/// How long a class's blocks are: a multiple of 16.
fn class_size(class: usize) -> usize {
    if class < FINE_CLASSES {
        return (class + 1) * ALIGNMENT;
    }
    let (power, step) = ((class - FINE_CLASSES) / STEPS, (class - FINE_CLASSES) % STEPS);
    (STEPS + step + 1) << (power + (FINE / STEPS).ilog2() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    #[test]
    fn a_class_holds_what_it_is_for_and_wastes_at_most_an_eighth() {
        let sizes =
            (0..5000).chain((5..43).flat_map(|power| (0..99).map(move |step| (step + 99) << power >> 6)));
        for size in sizes {
            let class = class_of(size).unwrap();
            let room = class_size(class);
            assert!(room >= size && room.is_multiple_of(ALIGNMENT), "{size} in {room}");
            assert!(room - size <= (size / STEPS).max(ALIGNMENT), "{size} in {room}");
            assert_eq!(class_of(room), Some(class), "{size} in {room}");
            assert!(class == 0 || class_size(class - 1) < room);
            assert!(room < BIG || room.is_multiple_of(PAGE));
        }
        assert_eq!(class_of(usize::MAX), None);
        assert!(class_size(CLASSES - 1) < 1 << (usize::BITS - CLASS_BITS));
    }

    /// Random calls against a list of what each block must hold.
    #[track_caller]
    fn check_random(seed: u64, calls: usize, largest_power: u64) {
        let mut heap = Heap::empty();
        assert!(heap.reserve(&[1 << 36], PAGE));
        // Address, length, and the byte that fills it.
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for call in 0..calls {
            let below = 1 << random(largest_power);
            let size = random(below) as usize;
            let fill = call as u8;
            match random(5) {
                0 | 1 => {
                    let align = if random(4) == 0 { 1 << random(14) } else { ALIGNMENT };
                    let (memory, zero) = heap.allocate(size, align);
                    assert_eq!(memory.addr() % align.max(ALIGNMENT), 0);
                    assert!(heap.owns(memory));
                    if zero {
                        assert!(bytes(memory, size).iter().all(|&byte| byte == 0), "new memory is zero");
                    }
                    write(&heap, memory, size, fill);
                    blocks.push((memory, size, fill));
                }
                kind if !blocks.is_empty() => {
                    let (memory, old, filled) = blocks.swap_remove(random(blocks.len() as u64) as usize);
                    assert!(bytes(memory, old).iter().all(|&byte| byte == filled), "somebody wrote into it");
                    if kind == 2 {
                        // SAFETY: allocated above, not used again.
                        let new = unsafe { heap.resize(memory, size) };
                        assert!(bytes(new, old.min(size)).iter().all(|&byte| byte == filled), "not copied");
                        write(&heap, new, size, fill);
                        blocks.push((new, size, fill));
                    } else {
                        // SAFETY: allocated above, not used again.
                        unsafe { heap.free(memory) };
                    }
                }
                _ => {}
            }
        }
        let mut ranges: Vec<_> = blocks.iter().map(|&(memory, size, _)| (memory.addr(), size)).collect();
        ranges.sort_unstable();
        assert!(ranges.is_sorted_by(|a, b| a.0 + a.1 <= b.0), "blocks overlap");
        // SAFETY: the heap's own reservation, which is not used again.
        unsafe { libc::munmap(heap.start as *mut libc::c_void, heap.end - heap.start) };
    }

    fn bytes<'a>(memory: *mut u8, size: usize) -> &'a [u8] {
        // SAFETY: the tests ask for blocks that they allocated with this size.
        unsafe { std::slice::from_raw_parts(memory, size) }
    }

    /// Fills all that may be used, as some callers do.
    fn write(heap: &Heap, memory: *mut u8, size: usize, fill: u8) {
        // SAFETY: a block of this heap.
        let usable = unsafe { heap.usable_size(memory) };
        assert!(usable >= size);
        // SAFETY: as long as is said.
        unsafe { memory.write_bytes(fill, usable.min(size + 4096)) };
    }

    #[test]
    fn random_calls_keep_every_block_whole() {
        for seed in 0..20 {
            check_random(seed, 3000, 12);
        }
        check_random(99, 1500, 23);
    }

    #[test]
    fn small_blocks_cost_what_glibcs_do() {
        let mut heap = Heap::empty();
        assert!(heap.reserve(&[1 << 30], PAGE));
        for size in [24, 40, 56, 88, 120] {
            let before = heap.top;
            for _ in 0..100_000 {
                assert!(!heap.allocate(size, ALIGNMENT).0.is_null());
            }
            let each = (heap.top - before) as f64 / 100_000.0;
            assert!(each < (size + WORD) as f64 * 1.05 + 3.0, "{size} bytes take {each}");
        }
    }

    #[test]
    fn memory_that_is_freed_is_used_again() {
        let mut heap = Heap::empty();
        assert!(heap.reserve(&[1 << 30], PAGE));
        for size in [1, 100, 5000, 100_000, 3 << 20] {
            let first = heap.allocate(size, ALIGNMENT).0;
            // SAFETY: allocated above, not used again.
            unsafe { heap.free(first) };
            assert_eq!(heap.allocate(size, ALIGNMENT).0, first);
        }
    }

    #[test]
    fn a_full_heap_gives_null_and_the_next_size_is_tried() {
        let mut heap = Heap::empty();
        assert!(heap.allocate(1, ALIGNMENT).0.is_null(), "nothing reserved");
        assert!(heap.reserve(&[1 << 60, 8 << 20], PAGE));
        assert_eq!(heap.end - heap.start, 8 << 20);
        assert!(heap.allocate(16 << 20, ALIGNMENT).0.is_null());
        assert!(heap.allocate(usize::MAX, ALIGNMENT).0.is_null());
        assert!(heap.allocate(8, 3).0.is_null(), "no power of two");
        assert!(!heap.allocate(4 << 20, ALIGNMENT).0.is_null());
    }
}
