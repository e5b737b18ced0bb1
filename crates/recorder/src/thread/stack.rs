//! The numbers of a thread's stacks, and how new ones are told of.

use core::sync::atomic::Ordering;

use twinheap_wire::record;

use super::Thread;
use super::room::publish;
use crate::modules;
use crate::session::Session;
use crate::v8;
use crate::walk::{self, Registers};

/// The number of a handler's stack that comes while one with a number of its own is written.
const OF_HANDLERS: u32 = 1 << 15;

impl Thread {
    /// The number of the caller's stack.
    #[inline(always)]
    pub(super) fn stack(&mut self, session: &Session, caller: Registers) -> u32 {
        if self.generation != modules::generation() {
            self.generation = modules::generation();
            self.forget_stacks();
        }
        let mut hash = walk::hash(self, caller, session.frames);
        if self.collects | self.has_collected {
            self.after_collection(session);
        }
        // The sum's upper bits are the better ones.
        hash = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match self.stacks.get(hash) {
            Some(number) => number,
            None => self.new_stack(session, caller, hash),
        }
    }

    /// When V8 has collected old objects, addresses of bytecode may be those of other functions than before.
    #[cold]
    #[inline(never)]
    fn after_collection(&mut self, session: &Session) {
        let is_over = !self.collects;
        if !is_over && !self.has_collected && session.sample == 0 {
            // It has just begun, and functions that were told of may be among what it frees.
            v8::wait_for_reader(session, 50);
        }
        self.has_collected = self.collects;
        self.collects = false;
        if is_over {
            self.javascript.forget();
            self.forget_numbers();
        }
    }

    pub(super) fn forget_numbers(&mut self) {
        self.stacks.clear();
        if self.is_numbering.load(Ordering::Relaxed) == 0 {
            self.numbers.reset();
        }
    }

    /// Writes the stack's frames and gives it a number.
    #[cold]
    #[inline(never)]
    fn new_stack(&mut self, session: &Session, caller: Registers, hash: u64) -> u32 {
        v8::notice();
        let frames = session.frames;
        let mut count = 0usize;
        walk::walk(self, caller, frames, |_| count += 1);
        let is_ours = self.is_numbering.swap(1, Ordering::Relaxed) == 0;
        let number = if is_ours { self.numbers.take() } else { OF_HANDLERS };
        let has_javascript = self.javascript_frames(session, caller, number);
        let Some(at) = self.reserve(1 + count) else {
            if is_ours {
                self.numbers.give_back(number);
                self.is_numbering.store(0, Ordering::Relaxed);
            }
            return 0;
        };
        let mut written = 0usize;
        walk::walk(self, caller, frames, |pc| {
            if written < count {
                written += 1;
                // SAFETY: within what was reserved.
                unsafe { at.add(written).write(pc) };
            }
        });
        // SAFETY: reserved. A walk that came out shorter, since a module was unloaded meanwhile, leaves zeros.
        unsafe { publish(at, record::number(record::STACK, (count as u64) << 32 | u64::from(number))) };
        if is_ours {
            // Between two samples V8 may have collected garbage without our noticing.
            let is_remembered = session.sample == 0 || !has_javascript;
            let unused = if is_remembered { self.stacks.put(hash, number) } else { number };
            self.numbers.give_back(unused);
            self.is_numbering.store(0, Ordering::Relaxed);
        }
        number
    }

    /// Tells of the JavaScript frames of a stack that will be written; whether there are any.
    fn javascript_frames(&mut self, session: &Session, caller: Registers, number: u32) -> bool {
        let Some(function_shared) = v8::function_shared() else { return false };
        let room = &raw mut self.javascript;
        // SAFETY: the thread's own; nothing that is called here leads to it but through this pointer.
        let room = unsafe { &mut *room };
        if !room.take() {
            return false;
        }
        let mut position = 0;
        walk::walk_frames(self, caller, session.frames, |frame, rule, high| {
            room.visit(position, frame.sp, frame.fp, high, rule);
            position += 1;
        });
        room.look(session.process, function_shared);
        let mut number_of_frame = 0;
        while let Some(frame) = room.frame(number_of_frame) {
            use record::js;
            number_of_frame += 1;
            let Some(at) = self.reserve(1 + js::WORDS) else { break };
            // SAFETY: reserved.
            unsafe {
                let body = at.add(1);
                body.add(js::FUNCTION).write(frame.function);
                body.add(js::BYTECODES).write(frame.bytecodes);
                body.add(js::OFFSET).write(frame.offset);
                body.add(js::SHARED).write(frame.shared);
                let mut kind = u64::from(frame.kind);
                if number_of_frame == 1 {
                    kind |= js::IS_FIRST;
                }
                if room.is_new(frame.shared) {
                    kind |= js::IS_NEW;
                    v8::count_function();
                }
                let which = kind << 48 | u64::from(frame.position) << 32 | u64::from(number);
                publish(at, record::number(record::JS, which));
            }
        }
        let has_some = number_of_frame != 0;
        room.give_back();
        has_some
    }
}
