//! Which children there are, and how they ended.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{codes, sys};

/// Children that are remembered. A child's end that nobody asks for is forgotten when the place is needed.
const PLACES: usize = 64;

/// How a child ended: one of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

impl End {
    /// Reads what `wait` says. A child that its own timer ended is one whose time was up.
    pub(crate) fn of(status: i32) -> End {
        match libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)) {
            Some(libc::SIGALRM) => End::Code(codes::TIMEOUT),
            Some(signal) => End::Signal(signal),
            None => End::Code(libc::WEXITSTATUS(status)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Child {
    /// 0 for a free place.
    pid: i32,
    /// The read end of its pipe, kept open for whoever opens it by its number; -1 when it is closed.
    output: i32,
    end: Option<End>,
    /// Counts up, so that the oldest is known.
    number: u64,
}

const NOBODY: Child = Child { pid: 0, output: -1, end: None, number: 0 };

#[derive(Debug)]
struct Table {
    children: [Child; PLACES],
    count: u64,
}

static TABLE: Mutex<Table> = Mutex::new(Table { children: [NOBODY; PLACES], count: 0 });
/// A pipe was closed.
static CLOSED: Condvar = Condvar::new();

/// Whether another child can be remembered. Only many at once fill the table.
pub(crate) fn has_room() -> bool {
    table().place().is_some()
}

/// Remembers a child that runs.
pub(crate) fn add(pid: i32, output: i32) {
    table().add(pid, output);
}

/// Closes this process's end of a child's pipe; whether there is such a child.
pub(crate) fn close_output(pid: i32) -> bool {
    let known = table().child(pid).map(Child::close).is_some();
    CLOSED.notify_all();
    known
}

/// Waits until a child's pipe was closed here by somebody, or until `deadline`, and closes it then.
pub(crate) fn wait_for_close(pid: i32, output: i32, deadline: Instant) {
    let mut table = table();
    while table.child(pid).is_some_and(|child| child.output == output) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            table.child(pid).map(Child::close);
            return;
        }
        table = CLOSED.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Remembers how a child ended.
pub(crate) fn ended(pid: i32, end: End) {
    if let Some(child) = table().child(pid) {
        child.end = Some(end);
    }
}

/// How a child ended, once: it is forgotten then. `Some(None)` while it runs, `None` when it is unknown.
pub(crate) fn take_end(pid: i32) -> Option<Option<End>> {
    let end = table().take_end(pid);
    CLOSED.notify_all();
    end
}

/// Forgets a child without closing its pipe.
pub(crate) fn forget(pid: i32) {
    if let Some(child) = table().child(pid) {
        *child = NOBODY;
    }
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Child {
    fn close(&mut self) {
        if self.output >= 0 {
            sys::close(self.output);
            self.output = -1;
        }
    }
}

impl Table {
    fn child(&mut self, pid: i32) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.pid == pid && pid > 0)
    }

    /// A free place, or the one of the child that ended first of those that nobody asked for.
    fn place(&self) -> Option<usize> {
        let usable = |at: &usize| self.children[*at].pid == 0 || self.children[*at].end.is_some();
        (0..PLACES).filter(usable).min_by_key(|&at| {
            let child = &self.children[at];
            (child.pid != 0, child.number)
        })
    }

    fn add(&mut self, pid: i32, output: i32) {
        // The kernel gives a number again after some time; the child that had it before is long gone.
        if let Some(former) = self.child(pid) {
            former.close();
            *former = NOBODY;
        }
        let Some(place) = self.place() else { return };
        self.count += 1;
        self.children[place].close();
        self.children[place] = Child { pid, output, end: None, number: self.count };
    }

    fn take_end(&mut self, pid: i32) -> Option<Option<End>> {
        let child = self.child(pid)?;
        let end = child.end;
        if end.is_some() {
            child.close();
            *child = NOBODY;
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to a table.
    enum Step {
        Add(i32),
        End(i32, End),
        Take(i32, Option<Option<End>>),
    }
    use Step::{Add, End as Ends, Take};

    #[track_caller]
    fn check(steps: impl IntoIterator<Item = Step>) {
        let mut table = Table { children: [NOBODY; PLACES], count: 0 };
        for step in steps {
            match step {
                Add(pid) => table.add(pid, -1),
                Ends(pid, end) => table.child(pid).unwrap().end = Some(end),
                Take(pid, want) => assert_eq!(table.take_end(pid), want, "of {pid}"),
            }
        }
    }

    #[test]
    fn an_end_is_told_once() {
        let end = End::Code(0);
        check([
            Take(5, None),
            Take(0, None),
            Add(5),
            Take(5, Some(None)),
            Ends(5, end),
            Take(5, Some(Some(end))),
            Take(5, None),
        ]);
    }

    #[test]
    fn a_number_that_comes_again_is_another_child() {
        check([Add(5), Ends(5, End::Code(1)), Add(5), Take(5, Some(None))]);
    }

    #[test]
    fn the_oldest_end_that_nobody_asked_for_makes_room_and_no_running_child_does() {
        let end = End::Signal(11);
        let all = 1..=PLACES as i32;
        let added = all.clone().map(Add);
        check(added.chain([
            Ends(9, end),
            Ends(7, end),
            Add(100),
            Take(7, None),
            Take(9, Some(Some(end))),
            Take(1, Some(None)),
        ]));
        check(all.map(Add).chain([Add(100), Take(100, None)]));
    }

    #[test]
    fn statuses_are_codes_or_signals_and_the_timers_signal_is_a_code() {
        for (status, want) in [
            (0, End::Code(0)),
            (81 << 8, End::Code(81)),
            (9, End::Signal(9)),
            (11 | 0x80, End::Signal(11)),
            (libc::SIGALRM, End::Code(codes::TIMEOUT)),
        ] {
            assert_eq!(End::of(status), want);
        }
    }
}
