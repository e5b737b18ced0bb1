//! Walks a stack from the registers of a hook's caller.

use twinheap_wire::record;

use crate::expression::{UCONTEXT_FRAME_POINTER, UCONTEXT_PC, UCONTEXT_STACK_POINTER};
use crate::maps::Lines;
use crate::rules::{Base, Rule, RuleCache};
use crate::sys;
use crate::thread::Thread;
use crate::trail::{Frame, Led, Retraced, Trail, Walk};
use crate::v8;

/// Registers of a function that just called a hook.
#[derive(Clone, Copy)]
pub struct Registers {
    /// Where the return address lies.
    pub stack_pointer: u64,
    /// The frame pointer register, whatever the function uses it for.
    pub frame_pointer: u64,
}

/// The return address of the call of a hook.
#[inline(always)]
pub(crate) fn return_address(caller: Registers) -> u64 {
    // SAFETY: the hook was called from there, and the stack is still mapped.
    unsafe { read(caller.stack_pointer) }
}

/// Hands on the return addresses of a stack, the innermost first, at most so many.
///
/// Each is followed by the rule for its code: for most programs' code a frame pointer, which is one load; otherwise an
/// offset that the unwind tables tell, from the thread's cache. Memory is read only within the mapping that the
/// stack is in.
#[inline(always)]
pub(crate) fn walk(thread: &mut Thread, caller: Registers, frames: u32, mut visit: impl FnMut(u64)) {
    walk_frames(thread, caller, frames, |frame, _, _| visit(frame.pc));
}

/// As [`walk`], with the registers and the rule of each frame and the end of its stack.
#[inline(always)]
pub(crate) fn walk_frames(
    thread: &mut Thread,
    caller: Registers,
    frames: u32,
    mut visit: impl FnMut(&Frame, Rule, u64),
) {
    let (mut frame, mut high) = first(thread, caller);
    let mut left = frames;
    while frame.pc >= 4096 && left != 0 {
        let rule = rule_of(thread, frame.pc);
        visit(&frame, rule, high);
        left -= 1;
        let goes_on = match step(rule, &mut frame, high) {
            Step::Done => true,
            Step::Ended => false,
            Step::Signal => interrupted(thread, &mut frame, &mut high),
        };
        if !goes_on {
            return;
        }
    }
}

/// The hash of a stack: of its return addresses, and of what tells frames with the same one apart ([`mark`]). Most of it is known from the trail of the
/// thread's last walk.
#[inline(always)]
pub(crate) fn hash(thread: &mut Thread, caller: Registers, frames: u32) -> u64 {
    let (frame, high) = first(thread, caller);
    // SAFETY: the thread's own, and its stack.
    match unsafe { Trail::retrace(&raw mut thread.trail, &raw const thread.rules, &frame, high, frames) } {
        Retraced::Whole(hash) => hash,
        Retraced::To(trail, position) => hash_from(thread, trail, caller, frame, position, frames),
        Retraced::No => hash_beside(thread, caller, frame, high, frames),
    }
}

/// As [`hash`], of a walk that has come so far along the trail.
#[inline(never)]
fn hash_from(
    thread: &mut Thread,
    mut trail: Walk,
    caller: Registers,
    first: Frame,
    position: usize,
    frames: u32,
) -> u64 {
    let mut collects = false;
    let rules = &raw const thread.rules;
    let led = trail.follow(&first, position, &mut collects, rules, |pc| rule_of(thread, pc));
    thread.collects |= collects;
    let hash = match led {
        Led::Out => trail.end(frames),
        led => hash_aside(thread, trail, first, Some(led), frames),
    };
    hash.unwrap_or_else(|| hash_afresh(thread, caller, frames))
}

/// As [`hash`], of a stack whose innermost frame may be another one than before.
#[inline(never)]
fn hash_beside(thread: &mut Thread, caller: Registers, first: Frame, high: u64, frames: u32) -> u64 {
    let Some(mut trail) = Trail::begin(&raw mut thread.trail, high) else {
        return hash_afresh(thread, caller, frames);
    };
    if let Some(position) = trail.find_first(&first) {
        return hash_from(thread, trail, caller, first, position, frames);
    }
    let hash = hash_aside(thread, trail, first, None, frames);
    hash.unwrap_or_else(|| hash_afresh(thread, caller, frames))
}

/// As [`hash`], of a walk that the trail led to a frame, if anywhere.
#[inline(never)]
fn hash_aside(
    thread: &mut Thread,
    mut trail: Walk,
    first: Frame,
    led: Option<Led>,
    frames: u32,
) -> Option<u64> {
    let mut collects = false;
    let rules = &raw const thread.rules;
    let is_whole = along(&mut trail, first, led, &mut collects, rules, |pc| rule_of(thread, pc));
    thread.collects |= collects;
    if is_whole {
        return trail.end_of_new(frames);
    }
    trail.give_up();
    None
}

/// As [`hash`], step by step, of a stack that no trail is kept of: it is too deep, goes through a signal's handler, or
/// this is such a handler.
#[cold]
#[inline(never)]
fn hash_afresh(thread: &mut Thread, caller: Registers, frames: u32) -> u64 {
    // Two halves in turn, since each multiplication waits for the one before.
    let (mut even, mut odd) = (0x9E37_79B9_7F4A_7C15u64, 0);
    let mut collects = false;
    walk_frames(thread, caller, frames, |frame, rule, high| {
        collects |= rule == Rule::MAJOR_COLLECTOR;
        let mark = mark(rule, frame, high);
        (even, odd) = (odd, (even ^ frame.pc ^ mark).wrapping_mul(0xff51_afd7_ed55_8ccd));
    });
    thread.collects |= collects;
    even ^ odd.rotate_left(32)
}

/// Walks a stack along the trail of the last walk, from where that has led; false if it can't be kept.
#[inline(always)]
fn along(
    trail: &mut Walk,
    first: Frame,
    mut led: Option<Led>,
    collects: &mut bool,
    rules: *const RuleCache,
    mut rule_of: impl FnMut(u64) -> Rule,
) -> bool {
    let high = trail.high();
    let mut frame = first;
    let mut is_behind_gap = false;
    while frame.pc >= 4096 {
        let mut rule = rule_of(frame.pc);
        if led.is_none() {
            let mark = mark(rule, &frame, high);
            if trail.find(&frame, mark, is_behind_gap) {
                let next = trail.position() + 1;
                led = Some(trail.follow(&frame, next, collects, rules, &mut rule_of));
            } else {
                if !trail.push(&frame, mark, rule, is_behind_gap) {
                    return false;
                }
                *collects |= rule == Rule::MAJOR_COLLECTOR;
            }
        }
        match led.take() {
            Some(Led::Out) => return true,
            Some(Led::To(last)) => {
                frame = last;
                rule = rule_of(frame.pc);
            }
            None => {}
        }
        is_behind_gap = false;
        let is_pointed = rule.keeps_frame_pointer();
        if (is_pointed || rule.reads_frame_pointer()) && frame.loaded_from == 0 {
            trail.need_frame_pointer(frame.fp);
        }
        if is_pointed {
            if !by_frame_pointer(&mut frame, high) {
                trail.ended_at(None);
                return true;
            }
            continue;
        }
        is_behind_gap = rule.base() == Base::AtFramePointer;
        match step(rule, &mut frame, high) {
            Step::Done => {}
            Step::Ended => {
                trail.ended_at(None);
                // Where more than registers led to the end, it may be elsewhere the next time.
                return !is_behind_gap;
            }
            Step::Signal => return false,
        }
    }
    trail.ended_at(Some((frame.sp.wrapping_sub(8), frame.pc)));
    true
}

/// What tells a frame from others with its return address: 0 for most, see [`v8::mark`].
#[inline(always)]
fn mark(rule: Rule, frame: &Frame, high: u64) -> u64 {
    if rule == Rule::INTERPRETED { v8::mark(frame.sp, frame.fp, high) } else { 0 }
}

/// Goes on to the caller of code that keeps a frame pointer; false where the stack ends.
#[inline(always)]
fn by_frame_pointer(frame: &mut Frame, high: u64) -> bool {
    let Frame { sp, fp, .. } = *frame;
    if fp < sp || fp > high.wrapping_sub(16) || fp & 7 != 0 {
        return false;
    }
    // SAFETY: within the stack's mapping.
    *frame = unsafe { Frame { sp: fp + 16, fp: read(fp), pc: read(fp + 8), loaded_from: fp } };
    true
}

/// What became of a step.
enum Step {
    /// This is the caller's frame.
    Done,
    /// There is none: the stack ends here.
    Ended,
    /// The caller was interrupted by a signal, see [`interrupted`].
    Signal,
}

#[inline(always)]
fn first(thread: &mut Thread, caller: Registers) -> (Frame, u64) {
    let Registers { stack_pointer: sp, frame_pointer: fp } = caller;
    let high = thread.stack.end_of(sp).unwrap_or_else(|| find_stack(thread, sp));
    let pc = return_address(caller);
    (Frame { sp: sp + 8, fp, pc, loaded_from: 0 }, high)
}

#[inline(always)]
fn rule_of(thread: &mut Thread, pc: u64) -> Rule {
    match thread.rules.get(pc) {
        Some(rule) => rule,
        None => thread.find_rule(pc),
    }
}

/// Goes on to the caller's frame by the rule of its code.
#[inline(always)]
fn step(rule: Rule, frame: &mut Frame, high: u64) -> Step {
    let Frame { sp, fp, .. } = *frame;
    let cfa = match rule.base() {
        Base::Frame | Base::Interpreted | Base::Compiled | Base::Collector | Base::MajorCollector => {
            return if by_frame_pointer(frame, high) { Step::Done } else { Step::Ended };
        }
        Base::StackPointer => sp.wrapping_add_signed(rule.offset()),
        Base::FramePointer => fp.wrapping_add_signed(rule.offset()),
        Base::AtFramePointer => {
            let at = fp.wrapping_add_signed(rule.offset());
            if at < sp || at > high.wrapping_sub(8) || at & 7 != 0 {
                return Step::Ended;
            }
            // SAFETY: within the stack's mapping.
            unsafe { read(at) }
        }
        Base::Signal => return Step::Signal,
        Base::End => return Step::Ended,
    };
    // The stack grows down: the caller's frame is above.
    if cfa < sp + 8 || cfa > high || cfa & 7 != 0 {
        return Step::Ended;
    }
    let saved = rule.saved();
    frame.loaded_from = 0;
    if saved != 0 {
        let at = cfa.wrapping_add_signed(saved);
        if at < sp.wrapping_sub(8) || at > high.wrapping_sub(8) {
            return Step::Ended;
        }
        frame.loaded_from = at;
        // SAFETY: within the stack's mapping.
        frame.fp = unsafe { read(at) };
    }
    // SAFETY: within the stack's mapping.
    frame.pc = unsafe { read(cfa - 8) };
    frame.sp = cfa;
    Step::Done
}

/// Goes on from a signal handler's first frame to what it interrupted; false where that can't be followed.
#[cold]
fn interrupted(thread: &mut Thread, frame: &mut Frame, high: &mut u64) -> bool {
    let sp = frame.sp;
    if sp > high.wrapping_sub(UCONTEXT_PC + 8) {
        return false;
    }
    // SAFETY: within the stack's mapping.
    *frame = unsafe {
        Frame {
            // The interrupted instruction; the walk takes addresses behind calls.
            pc: read(sp + UCONTEXT_PC).wrapping_add(1),
            fp: read(sp + UCONTEXT_FRAME_POINTER),
            sp: read(sp + UCONTEXT_STACK_POINTER),
            loaded_from: 0,
        }
    };
    // The handler may have had a stack of its own.
    if frame.sp < sp || frame.sp >= *high {
        *high = thread.stack.end_of(frame.sp).unwrap_or_else(|| find_stack(thread, frame.sp));
        return frame.sp < *high;
    }
    true
}

/// # Safety
/// Eight bytes at the address are readable.
#[inline(always)]
unsafe fn read(address: u64) -> u64 {
    // SAFETY: by the contract.
    unsafe { (address as *const u64).read_unaligned() }
}

/// Finds the mapping that a stack pointer is in, and where it ends: the thread's own stack, one for signal handlers,
/// or another that the program made.
#[cold]
#[inline(never)]
fn find_stack(thread: &mut Thread, sp: u64) -> u64 {
    if let Some(high) = thread.stack.come_home(sp) {
        return high;
    }
    let alternate = sys::alternate_stack().filter(|(low, high)| (*low..*high).contains(&sp));
    if let Some((low, high)) = alternate {
        thread.stack.set(low, high);
        return high;
    }
    let (mut low, mut high) = (sp, sp + 8);
    let mut is_main = false;
    // Without room for lines this walk ends at its first frame, and the next one looks again.
    if let Some(scratch) = thread.take_scratch() {
        if let Some(mut lines) = Lines::open(scratch) {
            while let Some(mapping) = lines.next() {
                if (mapping.start..mapping.end).contains(&sp) {
                    (low, high) = (mapping.start, mapping.end);
                    is_main = mapping.path == b"[stack]";
                    break;
                }
            }
        }
        thread.give_scratch_back();
    }
    // glibc keeps a thread's control block at the end of its stack; what the kernel joined to the mapping behind it is
    // somebody else's.
    let block = sys::thread_pointer();
    let is_threads = sp < block && block < high;
    if is_threads {
        high = block;
    }
    if is_main || is_threads {
        thread.stack.set_home(low, high);
    }
    thread.stack.set(low, high);
    if is_threads {
        thread.note(low, high - low, record::STACK_FLAG);
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: usize = 16 << 10;
    const SITES: u64 = 4;

    const FUNCTIONS: u64 = 7 * 5;

    /// What a function does with the stack, by its number. Each has a few words of its own; most frames are of one size,
    /// so that one comes to lie where another was.
    fn rule_of_function(function: u64) -> (Rule, usize) {
        let saved = usize::from(function % 7 != 3);
        let words = 8 - saved + (function / 7).saturating_sub(2) as usize;
        let bytes = |more: usize| 8 * (words + more) as i64;
        let rule = match function % 7 {
            0 | 1 => Rule::FRAME,
            2 => Rule::INTERPRETED,
            3 => Rule::new(Base::StackPointer, bytes(1), 0),
            4 => Rule::new(Base::StackPointer, bytes(2), -16),
            5 => Rule::new(Base::FramePointer, 16, -16),
            _ => Rule::new(Base::AtFramePointer, -8, -16),
        };
        (rule, words)
    }

    fn rule(pc: u64) -> Rule {
        rule_of_function((pc - 4096) / SITES).0
    }

    /// A call: the function that makes it, from where in it, and what it keeps on the stack.
    #[derive(Clone, Copy, Debug)]
    struct Call {
        function: u64,
        site: u64,
        kept: u64,
    }

    struct Stack {
        memory: Vec<u64>,
        calls: Vec<Call>,
        random: u64,
    }

    impl Stack {
        fn random(&mut self, below: u64) -> u64 {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.random >> 33) % below
        }

        fn call(&mut self) -> Call {
            Call { function: self.random(FUNCTIONS), site: self.random(SITES), kept: self.random(3) }
        }

        /// Does as a program might: returns from a few functions and calls others.
        fn change(&mut self, deepest: usize) {
            let most = self.random(8) + 1;
            let returns = self.random(most) as usize;
            self.calls.truncate(self.calls.len().saturating_sub(returns));
            if self.random(3) == 0 && !self.calls.is_empty() {
                // The same functions from another place further out, and so at the same addresses.
                let at = self.random(self.calls.len() as u64) as usize;
                let other = self.call();
                self.calls[at].site = other.site;
                self.calls[at].kept = other.kept;
                if self.random(2) == 0 {
                    self.calls[at].function = other.function;
                }
            }
            let calls = self.random(most) as usize + usize::from(self.calls.is_empty());
            for _ in 0..calls {
                if self.calls.len() < deepest {
                    let call = self.call();
                    self.calls.push(call);
                }
            }
        }

        /// Runs the calls, the outermost first; the registers in the innermost function's hook, and the stack's end.
        fn run(&mut self) -> (Registers, u64) {
            let high = self.memory.as_ptr() as u64 + 8 * WORDS as u64;
            let (mut sp, mut fp) = (high, 0u64);
            let base = self.memory.as_ptr() as u64;
            let memory = &mut self.memory;
            let mut push = |sp: &mut u64, word: u64| {
                *sp -= 8;
                memory[((*sp - base) / 8) as usize] = word;
            };
            // Nothing called the first function.
            push(&mut sp, 7);
            for &Call { function, site, kept } in &self.calls {
                let (rule, words) = rule_of_function(function);
                let is_aligned = rule.base() == Base::AtFramePointer;
                // What a function skips to align its frame keeps what was there before.
                let (cfa, skipped) = (sp + 8, if is_aligned { kept as usize } else { 0 });
                if rule.base() != Base::StackPointer || rule.saved() != 0 {
                    push(&mut sp, fp);
                    sp -= 8 * skipped as u64;
                    fp = if rule.base() == Base::StackPointer { kept } else { sp };
                }
                // Those with a frame pointer may take more or less.
                let less = if rule == Rule::FRAME { kept } else { 0 };
                for at in 0..words as u64 - less {
                    push(&mut sp, if at == 0 && is_aligned { cfa } else { kept + at });
                }
                push(&mut sp, 4096 + function * SITES + site);
            }
            (Registers { stack_pointer: sp, frame_pointer: fp }, high)
        }

        fn first(&mut self) -> (Frame, u64) {
            let (Registers { stack_pointer: sp, frame_pointer: fp }, high) = self.run();
            // SAFETY: within the memory.
            (Frame { sp: sp + 8, fp, pc: unsafe { read(sp) }, loaded_from: 0 }, high)
        }
    }

    /// Return addresses and marks, step by step.
    fn frames(mut frame: Frame, high: u64) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        while frame.pc >= 4096 {
            all.push((frame.pc, mark(rule(frame.pc), &frame, high)));
            if !matches!(step(rule(frame.pc), &mut frame, high), Step::Done) {
                break;
            }
        }
        all
    }

    fn new_trail() -> Box<Trail> {
        // SAFETY: zeros are a trail without frames.
        unsafe { Box::<Trail>::new_zeroed().assume_init() }
    }

    fn hash_along(trail: &mut Trail, frame: Frame, high: u64, most: u32) -> Option<u64> {
        // SAFETY: zeros are a cache without rules.
        let mut rules = unsafe { Box::<RuleCache>::new_zeroed().assume_init() };
        // Not all: what is not in the cache is looked at.
        (4096..4096 + FUNCTIONS * SITES).filter(|pc| pc % 11 != 0).for_each(|pc| rules.put(pc, rule(pc)));
        // SAFETY: the trail of this stack.
        let retraced = unsafe { Trail::retrace(&raw mut *trail, &raw const *rules, &frame, high, most) };
        let (mut walk, position) = match retraced {
            Retraced::Whole(hash) => return Some(hash),
            Retraced::To(walk, position) => (walk, Some(position)),
            Retraced::No => {
                let mut walk = Trail::begin(&raw mut *trail, high)?;
                let position = walk.find_first(&frame);
                (walk, position)
            }
        };
        assert!(Trail::begin(&raw mut *trail, high).is_none(), "a handler's walk has to do without");
        let led = position.map(|position| walk.follow(&frame, position, &mut false, &raw const *rules, rule));
        if led == Some(Led::Out) {
            return walk.end(most);
        }
        if along(&mut walk, frame, led, &mut false, &raw const *rules, rule) {
            return walk.end_of_new(most);
        }
        walk.give_up();
        None
    }

    /// A trail along a stack that changes gives the hash of a walk that knows nothing, and that of the frames.
    #[track_caller]
    fn check(seed: u64, deepest: usize, most: u32, rounds: usize) -> usize {
        let mut stack = Stack { memory: vec![0; WORDS], calls: Vec::new(), random: seed };
        let mut trail = new_trail();
        let mut found = 0;
        for round in 0..rounds {
            stack.change(deepest);
            let (frame, high) = stack.first();
            let frames = frames(frame, high);
            let pcs: Vec<u64> = frames.iter().map(|&(pc, _)| pc).collect();
            let calls = stack.calls.iter().rev();
            let expected: Vec<u64> = calls.map(|call| 4096 + call.function * SITES + call.site).collect();
            assert_eq!(pcs, expected, "seed {seed}, round {round}: steps");
            let expected = (frames.len() <= most as usize).then(|| crate::trail::hash_of(&frames));
            assert_eq!(
                hash_along(&mut new_trail(), frame, high, most),
                expected,
                "seed {seed}, round {round}"
            );
            let hash = hash_along(&mut trail, frame, high, most);
            // After a stack that can't be kept, a few are not tried.
            if hash.is_some() {
                assert_eq!(hash, expected, "seed {seed}, round {round}: {:?}", stack.calls);
                found += 1;
            }
        }
        found
    }

    #[test]
    fn a_trail_finds_what_steps_find() {
        for seed in 1..40 {
            assert_eq!(check(seed, 40, 1024, 2_000), 2_000);
        }
        for seed in 1..10 {
            assert_eq!(check(seed, 250, 256, 2_000), 2_000);
        }
    }

    #[test]
    fn a_frame_that_a_word_on_the_stack_led_to_is_stepped_to() {
        let call = |function, site, kept| Call { function, site, kept };
        let mut stack = Stack { memory: vec![0; WORDS], calls: Vec::new(), random: 1 };
        let mut trail = new_trail();
        // The second time the return address is elsewhere, and where it was lies the old one still.
        for (site, kept) in [(1, 0), (2, 2)] {
            stack.calls = vec![call(0, site, kept), call(6, 1, kept), call(3, 1, 0)];
            let (frame, high) = stack.first();
            let expected = crate::trail::hash_of(&frames(frame, high));
            assert_eq!(hash_along(&mut trail, frame, high, 1024), Some(expected));
        }
    }

    #[test]
    fn a_stack_that_is_too_deep_is_not_kept() {
        let found = check(1, 60, 30, 5_000);
        assert!((100..4_000).contains(&found), "{found}");
    }
}
