//! A process that is being recorded.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use twinheap_trace::heaptrace::EmbeddedAllocator;
use twinheap_wire::plan::outcome;
use twinheap_wire::request;

use super::answer::answer_plan;
use super::kernel::resident;
use super::looks::Looks;
use super::plain_files::PlainFiles;
use super::process::Recording;
use crate::part_file::PartFile;

/// After so long nothing is left to settle of what a process has done.
const SETTLE: Duration = Duration::from_micros(300);

/// A process that is recorded.
pub(super) struct Active {
    pub(super) pid: u32,
    pub(super) path: PathBuf,
    pub(super) part: PartFile,
    pub(super) handle: File,
    pub(super) recording: Recording<File>,
    pub(super) is_child: bool,
    pub(super) ring_number: u32,
    pub(super) looks: Looks,
    /// Where our own files are that the process maps.
    pub(super) own_folder: String,
    /// Allocators inside of its modules.
    pub(super) allocators: Vec<EmbeddedAllocator>,
    /// Those of the latest plan.
    pub(super) planned: Range<usize>,
}

impl Active {
    /// Notes how much memory the process has, and what it is made of if that is due.
    pub(super) fn sample(&mut self) {
        let rss = resident(self.pid);
        self.recording.sample(rss);
        if let Some(rss) = rss {
            self.looks.look_if_due(rss, || self.recording.look(rss, &self.own_folder));
        }
    }

    /// Looks at the process's memory, whether it is due or not.
    pub(super) fn look(&mut self) {
        if let Some(rss) = resident(self.pid) {
            self.recording.look(rss, &self.own_folder);
        }
    }

    /// Answers what the process asks.
    pub(super) fn answer(&mut self, plain: &mut PlainFiles) {
        if self.recording.ring.plan().outcome.swap(outcome::NONE, Ordering::Acquire) == outcome::LEFT {
            for allocator in self.allocators.get_mut(self.planned.clone()).into_iter().flatten() {
                allocator.hooked.clear();
                allocator.reason.get_or_insert_with(|| {
                    "the process could not change the module's code in time".to_owned()
                });
            }
        }
        if self.recording.ring.asked() == request::LOOK {
            // What the process has done right before it asked.
            thread::sleep(SETTLE);
            self.recording.drain(false);
            self.look();
            self.recording.ring.answer(request::LOOK);
        } else if self.recording.ring.asked() == request::PLAN {
            let found = answer_plan(&self.recording.ring, self.pid, plain);
            self.allocators.retain(|known| found.iter().all(|found| found.module != known.module));
            self.planned = self.allocators.len()..self.allocators.len() + found.len();
            self.allocators.extend(found);
            self.recording.ring.answer(request::PLAN);
        }
    }
}
