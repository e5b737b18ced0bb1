//! Trails against walks that know nothing.

use super::*;

const WORDS: usize = 16 << 10;
const SITES: u64 = 4;

const KINDS: u64 = 8;
const FUNCTIONS: u64 = KINDS * 5;

/// What a function does with the stack, by its number. Each has a few words of its own; most frames are of one size,
/// so that one comes to lie where another was.
fn rule_of_function(function: u64) -> (Rule, usize) {
    let saved = match function % KINDS {
        3 => 0,
        7 => 2,
        _ => 1,
    };
    let words = 8 - saved + (function / KINDS).saturating_sub(2) as usize;
    let bytes = |more: usize| 8 * (words + more) as i64;
    let rule = match function % KINDS {
        0 | 1 => Rule::FRAME,
        2 => Rule::INTERPRETED,
        3 => Rule::new(Base::StackPointer, bytes(1), 0),
        4 => Rule::new(Base::StackPointer, bytes(2), -16),
        5 => Rule::new(Base::FramePointer, 16, -16),
        6 => Rule::new(Base::AtFramePointer, -8, -16),
        // The frame pointer is not the first register that it keeps.
        _ => Rule::new(Base::StackPointer, bytes(3), -24),
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
    /// The frame pointer that each call found the last time.
    pointers: Vec<u64>,
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
        let (memory, pointers) = (&mut self.memory, &mut self.pointers);
        pointers.resize(self.calls.len(), 0);
        let mut push = |sp: &mut u64, word: u64| {
            *sp -= 8;
            memory[((*sp - base) / 8) as usize] = word;
        };
        // Nothing called the first function.
        push(&mut sp, 7);
        for (&Call { function, site, kept }, before) in self.calls.iter().zip(pointers) {
            let (rule, words) = rule_of_function(function);
            let is_aligned = rule.base() == Base::AtFramePointer;
            // What a function skips to align its frame keeps what was there before.
            let (cfa, skipped) = (sp + 8, if is_aligned { kept as usize } else { 0 });
            // Another register may hold any word, and so the frame pointer of the last time.
            if rule.saved() == -24 {
                push(&mut sp, *before);
            }
            *before = fp;
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
    let mut stack = Stack { memory: vec![0; WORDS], calls: Vec::new(), pointers: Vec::new(), random: seed };
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
        assert_eq!(hash_along(&mut new_trail(), frame, high, most), expected, "seed {seed}, round {round}");
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
    let mut stack = Stack { memory: vec![0; WORDS], calls: Vec::new(), pointers: Vec::new(), random: 1 };
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
