//! A thread's state, and how it writes records.

mod room;
mod stack;

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use twinheap_wire::{lease, record};

use crate::modules::{self, Found};
use crate::rules::RuleCache;
use crate::session::{self, Session};
use crate::stacks::{Bounds, Known, Numbers};
use crate::sys;
use crate::trail::Trail;
use crate::v8;
use crate::walk::{self, Registers};
use room::{is_behind_end, publish};

core::arch::global_asm!(
    // The thread's state and its mark. Initial-exec: the general way to thread-local storage may call malloc.
    ".section .tbss.twinheap_recorder_thread,\"awT\",@nobits",
    ".hidden twinheap_recorder_thread",
    ".globl twinheap_recorder_thread",
    ".type twinheap_recorder_thread, @object",
    ".size twinheap_recorder_thread, 16",
    ".p2align 4",
    "twinheap_recorder_thread:",
    ".zero 16",
    ".text",
);

/// The thread's state; null before its first event, and in processes that are not recorded.
#[inline(always)]
fn current() -> *mut Thread {
    let state: *mut Thread;
    // SAFETY: the symbol is ours, eight bytes in every thread.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [rip + twinheap_recorder_thread@GOTTPOFF]",
            "mov {0}, qword ptr fs:[{0}]",
            out(reg) state, options(nostack, readonly, preserves_flags)
        );
    }
    state
}

fn set_current(state: *mut Thread) {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [rip + twinheap_recorder_thread@GOTTPOFF]",
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _, in(reg) state, options(nostack, preserves_flags)
        );
    }
}

/// Marks the thread as one that is making its state, or is in a hook that calls hooked functions; the mark before.
pub(crate) fn set_busy(busy: bool) -> bool {
    let before: u64;
    // SAFETY: the second word of the same symbol.
    unsafe {
        core::arch::asm!(
            "mov {t}, qword ptr [rip + twinheap_recorder_thread@GOTTPOFF]",
            "xchg {v}, qword ptr fs:[{t} + 8]",
            t = out(reg) _, v = inout(reg) u64::from(busy) => before, options(nostack, preserves_flags)
        );
    }
    before != 0
}

/// Room for lines of mappings; one has up to 4,200 bytes.
const SCRATCH: usize = 16 << 10;

/// What a thread needs to record. A forked child finds zeros here, and so learns what it is.
#[repr(C)]
pub(crate) struct Thread {
    /// 1 while the state is in use; 0 in a forked child.
    is_live: u64,
    /// Where the next record goes. Handlers of signals change it at any time.
    position: UnsafeCell<u64>,
    /// The clock at the latest [`record::SYNC`].
    base: u64,
    /// By which it knows its [`lease`].
    mark: u64,
    /// Bytes until the next sample.
    until_sample: i64,
    random: u64,
    /// The mapping that the stack is in.
    pub(crate) stack: Bounds,
    /// [`modules::generation`] that the caches are of.
    generation: u32,
    /// 1 while a chunk is changed or a stack is written.
    is_changing: AtomicU32,
    number: u32,
    sequence: u32,
    tid: u32,
    /// A walk has just met a function of V8's that moves and frees old objects.
    pub(crate) collects: bool,
    /// The walk before did.
    has_collected: bool,
    /// Where the return address lies of the hook whose real function is being called, if that may call other hooks; else
    /// 0. And that address.
    inside: (u64, u64),
    next_state: *mut Thread,
    stacks: Known,
    numbers: Numbers,
    /// A stack is being written; a handler that comes in between remembers none, and leaves the numbers alone.
    is_numbering: AtomicU32,
    pub(crate) rules: RuleCache,
    pub(crate) trail: Trail,
    javascript: v8::Room,
    /// 1 while the scratch room is in use. A handler that comes in between has to do without.
    is_scratch_taken: AtomicU32,
    scratch: [u8; SCRATCH],
}

/// All states that were ever made, so that those of threads that ended are used again. glibc may call us in a thread
/// after all its destructors ran, so that nothing but the thread's end tells that it is over.
static STATES: AtomicPtr<Thread> = AtomicPtr::new(core::ptr::null_mut());
static STATE_COUNT: AtomicU32 = AtomicU32::new(0);

/// Address of the first of all states, bytes of each, and the offset in it of the next one's address.
pub(crate) fn states() -> (u64, u64, u64) {
    let (size, next) = (size_of::<Thread>(), core::mem::offset_of!(Thread, next_state));
    (STATES.load(Ordering::Acquire) as u64, size as u64, next as u64)
}

/// The state of a thread that records; `None` if this one doesn't.
#[inline(always)]
pub(crate) fn recording() -> Option<&'static mut Thread> {
    current_live().or_else(begin)
}

/// The same, if it has recorded before.
#[inline(always)]
pub(crate) fn current_live() -> Option<&'static mut Thread> {
    // SAFETY: a state is the thread's own and is never unmapped.
    unsafe { current().as_mut() }.filter(|thread| thread.is_live != 0)
}

#[cold]
#[inline(never)]
fn begin() -> Option<&'static mut Thread> {
    let session = session::current()?;
    if set_busy(true) {
        return None;
    }
    let thread = Thread::for_this_thread(session);
    set_busy(false);
    // SAFETY: the thread's own, and never unmapped.
    thread.map(|thread| unsafe { &mut *thread })
}

/// Forgets all threads, in a forked child: there is one, and its state was wiped.
pub(crate) fn forget_all() {
    STATES.store(core::ptr::null_mut(), Ordering::Release);
    STATE_COUNT.store(0, Ordering::Release);
    set_current(core::ptr::null_mut());
}

impl Thread {
    fn for_this_thread(session: &Session) -> Option<*mut Thread> {
        let tid = sys::thread();
        let state = reuse(session, tid).or_else(|| {
            let state = sys::map_private(size_of::<Thread>())?;
            if !sys::wipe_on_fork(state, size_of::<Thread>()) {
                // SAFETY: just mapped, nobody else knows it.
                unsafe { sys::unmap(state, size_of::<Thread>()) };
                return None;
            }
            Some((state.cast::<Thread>(), false))
        });
        let Some((state, is_used)) = state else {
            session.trouble(twinheap_wire::trouble::NO_MEMORY);
            return None;
        };
        // SAFETY: ours alone: fresh, or taken over from a thread that ended.
        let thread = unsafe { &mut *state };
        thread.tid = tid;
        thread.generation = modules::generation();
        thread.random = sys::tsc() ^ u64::from(tid) << 32 | 1;
        thread.until_sample = session.next_sample(&mut thread.random);
        thread.stack.forget();
        thread.inside = (0, 0);
        thread.is_changing.store(0, Ordering::Relaxed);
        thread.is_scratch_taken.store(0, Ordering::Relaxed);
        thread.is_numbering.store(0, Ordering::Relaxed);
        if is_used {
            thread.forget_stacks();
            thread.trail.reset();
            thread.javascript.reset();
        } else {
            let mut head = STATES.load(Ordering::Acquire);
            loop {
                thread.next_state = head;
                match STATES.compare_exchange_weak(head, state, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(now) => head = now,
                }
            }
            STATE_COUNT.fetch_add(1, Ordering::Relaxed);
            thread.number = session.header.threads.fetch_add(1, Ordering::Relaxed);
            thread.mark = lease::mark(thread.number);
            thread.sequence = 0;
            let (position, sequence) = session.first_chunk(thread.number)?;
            thread.sequence = sequence;
            // SAFETY: no handler knows this thread yet.
            unsafe { *thread.position.get() = position };
            thread.synchronise(session.now());
        }
        thread.write(record::number(record::THREAD, u64::from(tid)));
        if !is_used {
            thread.note(state as u64, size_of::<Thread>() as u64, record::OWN_FLAG);
        }
        thread.is_live = 1;
        set_current(state);
        Some(state)
    }

    fn forget_stacks(&mut self) {
        self.forget_numbers();
        self.rules.clear();
        self.trail.clear();
    }

    /// From here on, what functions further down the stack allocate and free is not told: it is what a function is made
    /// of that is told as a whole. What was there before is for [`Thread::leave`].
    #[inline(always)]
    pub(crate) fn enter(&mut self, caller: Registers) -> (u64, u64) {
        core::mem::replace(&mut self.inside, (caller.stack_pointer, walk::return_address(caller)))
    }

    /// The function has returned.
    #[inline(always)]
    pub(crate) fn leave(&mut self, before: (u64, u64)) {
        self.inside = before;
    }

    /// Whether a call with this stack pointer comes from within a function that is told as a whole. Somebody may have
    /// jumped out of that: then whoever stands further up the stack is not in it any more, nor is anybody once its
    /// return address was written over.
    #[cold]
    #[inline(never)]
    fn is_within(&mut self, stack_pointer: u64) -> bool {
        let (at, address) = self.inside;
        let hook = Registers { stack_pointer: at, frame_pointer: 0 };
        // Both on the stack that is looked at, which is mapped; another one may be gone.
        let is_same = stack_pointer < at && self.stack.end_of(stack_pointer).is_some_and(|end| at < end);
        let is_within = is_same && walk::return_address(hook) == address;
        if !is_within {
            self.inside = (0, 0);
        }
        is_within
    }

    /// Records an allocation by a caller with these registers.
    #[inline(always)]
    pub(crate) fn allocation(&mut self, session: &Session, address: u64, size: u64, caller: Registers) {
        if self.inside.0 != 0 && self.is_within(caller.stack_pointer) {
            return;
        }
        if session.sample != 0 && !self.is_sampled(session, address, size) {
            return;
        }
        let stack = self.stack(session, caller);
        let ticks = self.ticks(session);
        let word = if size < u64::from(record::LARGE) { size as u32 } else { self.large(size) };
        match self.reserve_event(2, ticks) {
            // SAFETY: two words are reserved; the first makes them visible.
            Some((at, ticks)) => unsafe {
                at.add(1).write(u64::from(stack) << 32 | u64::from(word));
                publish(at, record::event(record::ALLOC, ticks, address));
            },
            None => {
                session.lost_allocation(size);
                if session.sample != 0 {
                    // Its free has nothing to be matched with.
                    session.unmark_sampled(address);
                }
            }
        }
    }

    /// Tells of a size that doesn't fit into its word; what stands there instead.
    #[cold]
    #[inline(never)]
    fn large(&mut self, size: u64) -> u32 {
        self.write(record::number(record::SIZE, size));
        record::LARGE
    }

    /// Records a free, before the block is really freed: its address may belong to somebody else right afterwards.
    #[inline(always)]
    pub(crate) fn free(&mut self, session: &Session, address: u64) {
        if self.inside.0 != 0 && self.is_within(sys::stack_pointer()) {
            return;
        }
        if !session.follows(address) {
            return;
        }
        let ticks = self.ticks(session);
        match self.reserve_event(1, ticks) {
            // SAFETY: a word is reserved.
            Some((at, ticks)) => unsafe { publish(at, record::event(record::FREE, ticks, address)) },
            None => session.lost_free(),
        }
    }

    /// As [`Thread::free`], if a few instructions do it, and without a call.
    #[inline(always)]
    pub(crate) fn free_at_once(&mut self, session: &Session, address: u64) -> Told {
        if self.inside.0 != 0 {
            return Told::No;
        }
        if !session.follows(address) {
            return Told::Yes;
        }
        let base = self.base;
        let Some(now) = session.time_at_once(self.mark, base) else { return Told::No };
        let ticks = now.wrapping_sub(base) >> record::TICK;
        if ticks > 0xffff {
            return Told::No;
        }
        let position = self.advance(1);
        if is_behind_end(position) {
            return Told::Behind(position);
        }
        let ticks = if self.base == base { ticks } else { 0 };
        // SAFETY: a word is reserved.
        unsafe { publish(position as *mut u64, record::event(record::FREE, ticks, address)) };
        Told::Yes
    }

    /// Goes on from [`Told::Behind`].
    pub(crate) fn free_behind(&mut self, session: &Session, address: u64, position: u64) {
        match self.next_chunk(position, 1).then(|| self.reserve_again(1)).flatten() {
            // SAFETY: a word is reserved. The chunk has just begun, and so has its time.
            Some(at) => unsafe { publish(at, record::event(record::FREE, 0, address)) },
            None => session.lost_free(),
        }
    }

    /// Records the free within a realloc of a block that the session follows, `before` being the clock when it was still
    /// the caller's. If there is a new block, its allocation follows.
    #[inline(always)]
    pub(crate) fn reallocation(&mut self, session: &Session, address: u64, before: u64, has_new: bool) {
        if self.inside.0 != 0 && self.is_within(sys::stack_pointer()) {
            return;
        }
        // The clock is read again, since an interval too long for the record's bits has to be told first.
        let now = self.ticks(session);
        let ticks = (before.saturating_sub(self.base) >> record::TICK).min(now);
        let kind = if has_new { record::REALLOC } else { record::FREE };
        match self.reserve_event(1, ticks) {
            // SAFETY: a word is reserved.
            Some((at, ticks)) => unsafe { publish(at, record::event(kind, ticks, address)) },
            None => session.lost_free(),
        }
    }

    /// Records an mmap; `flags` are those of mmap and the protection.
    pub(crate) fn map(
        &mut self,
        session: &Session,
        address: u64,
        length: u64,
        flags: u32,
        caller: Registers,
    ) {
        let stack = self.stack(session, caller);
        let ticks = self.ticks(session);
        if let Some(at) = self.reserve(3) {
            // SAFETY: three words are reserved.
            unsafe {
                at.add(1).write(u64::from(stack) << 32 | u64::from(flags));
                at.add(2).write(length);
                publish(at, record::event(record::MAP, ticks, address));
            }
        }
    }

    /// Records whose a range of memory is that no mmap of the program's made; `flag` is one of those of
    /// [`twinheap_wire::record`].
    pub(crate) fn note(&mut self, address: u64, length: u64, flag: u32) {
        let ticks = self.ticks(session::get());
        if let Some(at) = self.reserve(3) {
            // SAFETY: three words are reserved.
            unsafe {
                at.add(1).write(u64::from((flag | libc::MAP_ANONYMOUS as u32) << 8));
                at.add(2).write(length);
                publish(at, record::event(record::MAP, ticks, address));
            }
        }
    }

    /// Records a munmap.
    pub(crate) fn unmap(&mut self, session: &Session, address: u64, length: u64) {
        let ticks = self.ticks(session);
        if let Some(at) = self.reserve(2) {
            // SAFETY: two words are reserved.
            unsafe {
                at.add(1).write(length);
                publish(at, record::event(record::UNMAP, ticks, address));
            }
        }
    }

    /// Whether a sampled recording has nothing to tell of an allocation of so many bytes; then they are counted.
    #[inline(always)]
    pub(crate) fn passes_over(&mut self, session: &Session, size: u64) -> bool {
        if session.sample == 0 || self.inside.0 != 0 {
            return false;
        }
        let left = self.until_sample.saturating_sub_unsigned(size);
        let is_over = left > 0;
        if is_over {
            self.until_sample = left;
        }
        is_over
    }

    /// Poisson sampling: each byte has the same chance, whatever it is a part of. Distances between samples are
    /// exponential, as in tcmalloc and jemalloc.
    #[inline(always)]
    fn is_sampled(&mut self, session: &Session, address: u64, size: u64) -> bool {
        self.until_sample -= size.min(i64::MAX as u64) as i64;
        if self.until_sample > 0 {
            return false;
        }
        self.take_sample(session, address);
        true
    }

    #[cold]
    #[inline(never)]
    fn take_sample(&mut self, session: &Session, address: u64) {
        self.until_sample = session.next_sample(&mut self.random);
        session.mark_sampled(address);
    }

    /// The rule for a return address that the cache doesn't have at hand.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_rule(&mut self, pc: u64) -> crate::rules::Rule {
        if let Some(rule) = self.rules.get_wide(pc) {
            return rule;
        }
        v8::notice();
        let scratch = self.take_scratch();
        let is_whole = scratch.is_some();
        let rule = modules::rule(pc, scratch.unwrap_or_default(), &mut |found| self.module(found));
        if is_whole {
            self.give_scratch_back();
            if let Some(rule) = rule {
                self.rules.put(pc, rule);
            }
        }
        rule.unwrap_or(crate::rules::Rule::FRAME)
    }

    /// Takes in everything that is mapped now.
    pub(crate) fn scan_modules(&mut self) {
        if let Some(scratch) = self.take_scratch() {
            modules::scan(scratch, &mut |found| self.module(found));
            self.give_scratch_back();
        }
    }

    /// Room for lines of mappings, until it is given back; `None` in a handler that interrupts somebody who has it.
    pub(crate) fn take_scratch(&mut self) -> Option<&'static mut [u8]> {
        if self.is_scratch_taken.swap(1, Ordering::Relaxed) != 0 {
            return None;
        }
        let scratch = (&raw mut self.scratch).cast::<u8>();
        // SAFETY: only this function leads to the room, states are never unmapped, and the mark above keeps others out.
        Some(unsafe { core::slice::from_raw_parts_mut(scratch, SCRATCH) })
    }

    pub(crate) fn give_scratch_back(&mut self) {
        self.is_scratch_taken.store(0, Ordering::Release);
    }

    /// Tells the collector of a module.
    fn module(&mut self, found: &Found<'_>) {
        use record::module;
        let path_words = found.path.len().div_ceil(8);
        let words = module::PATH + path_words;
        let Some(at) = self.reserve(1 + words) else { return };
        // SAFETY: that many words are reserved; a build id has at most 32 bytes.
        unsafe {
            let body = at.add(1);
            body.add(module::BIAS).write(found.bias);
            body.add(module::START).write(found.start);
            body.add(module::END).write(found.end);
            body.add(module::BUILD_ID_LENGTH).write(found.build_id.len() as u64);
            let id = found.build_id;
            core::ptr::copy_nonoverlapping(id.as_ptr(), body.add(module::BUILD_ID).cast(), id.len());
            body.add(module::PATH_LENGTH).write(found.path.len() as u64);
            let path = found.path;
            core::ptr::copy_nonoverlapping(path.as_ptr(), body.add(module::PATH).cast(), path.len());
            publish(at, record::number(record::MODULE, words as u64 * 8));
        }
    }

    /// Tells the collector what the program itself says about its leaks.
    pub(crate) fn suppressions(&mut self, text: &[u8]) {
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line.len() < 2048) {
            if let Some(at) = self.reserve(1 + line.len().div_ceil(8)) {
                // SAFETY: reserved.
                unsafe {
                    core::ptr::copy_nonoverlapping(line.as_ptr(), at.add(1).cast(), line.len());
                    publish(at, record::number(record::SUPPRESS, line.len() as u64));
                }
            }
        }
    }
}

/// What became of a free that was to be told at once.
pub(crate) enum Told {
    Yes,
    /// It takes more.
    No,
    /// It has this position, at which the chunk ends.
    Behind(u64),
}

/// The state of a thread that ended, for a thread with this number. All are asked after, one system call each, so that
/// there are never more states than there were threads at once.
fn reuse(session: &Session, tid: u32) -> Option<(*mut Thread, bool)> {
    /// Behind the state that was found last: those before it are likely in use.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = STATE_COUNT.load(Ordering::Relaxed);
    if count < 4 {
        return None;
    }
    let start = NEXT.load(Ordering::Relaxed) % count;
    for is_second_round in [false, true] {
        let mut state = STATES.load(Ordering::Acquire);
        let mut position = 0;
        // SAFETY: states are never unmapped, and their links don't change.
        while let Some(thread) = unsafe { state.as_ref() } {
            if (position < start) == is_second_round && thread.is_live != 0 {
                // SAFETY: the number may change under us; then the exchange below fails.
                let owner = unsafe { AtomicU32::from_ptr((&raw const thread.tid).cast_mut()) };
                let old = owner.load(Ordering::Relaxed);
                if !sys::is_alive(session.process, old)
                    && owner.compare_exchange(old, tid, Ordering::AcqRel, Ordering::Relaxed).is_ok()
                {
                    NEXT.store(position + 1, Ordering::Relaxed);
                    return Some((state, true));
                }
            }
            state = thread.next_state;
            position += 1;
        }
    }
    None
}
