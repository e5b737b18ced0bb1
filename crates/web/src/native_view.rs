//! A native trace with the answers that were given.

use std::ops::Range;
use std::sync::Arc;

use twinheap_native::{Costs, FrameView, Lost, NativeHeap, SiteName, Suppressions, lost};
use twinheap_report::NativeSource;

use crate::answer::Failure;
use crate::cache::Cache;

/// Costs of stretches of time that are kept: each has a few numbers a stack.
const MOST_COSTS: usize = 8;
/// Bytes of all kept answers together.
const MOST_BYTES: usize = 64 << 20;

/// Which part of a recording counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stretch {
    /// Milliseconds since the recording began, if not all of it.
    pub(crate) ms: Option<Range<u64>>,
    /// A part of a function's name that stacks have to pass through.
    pub(crate) function: Option<String>,
    /// The call site that stacks have to be put down to.
    pub(crate) site: Option<SiteName>,
    /// Count what suppressions would leave out.
    pub(crate) unsuppressed: bool,
}

/// Who owns a module or script, if it is an npm package.
pub(crate) type PackageOf = fn(&FrameView<'_>) -> Option<String>;

pub(crate) struct NativeView {
    pub(crate) heap: NativeHeap,
    pub(crate) package_of: PackageOf,
    costs: Cache<Stretch, Costs>,
    answers: Cache<String, Vec<u8>>,
}

impl NativeView {
    pub(crate) fn new(heap: NativeHeap, package_of: PackageOf) -> NativeView {
        NativeView { heap, package_of, costs: Cache::new(MOST_COSTS), answers: Cache::new(MOST_BYTES) }
    }

    /// Works out what somebody will ask for soon.
    pub(crate) fn warm(&self) {
        // It can't fail without a stretch, and if it does the request will say so.
        let _: Result<Arc<Costs>, Failure> = self.costs(&Stretch::default());
    }

    /// The costs, with the suppressions of the command line.
    pub(crate) fn costs(&self, stretch: &Stretch) -> Result<Arc<Costs>, Failure> {
        self.costs.get(
            stretch,
            |_| 1,
            || {
                let mut costs = self.heap.costs(stretch.ms.as_ref(), &self.rules(stretch));
                if let Some(part) = &stretch.function {
                    self.heap.keep_function(&mut costs, part.as_bytes());
                }
                if let Some(site) = &stretch.site {
                    self.heap.keep_site(&mut costs, site);
                }
                Ok(costs)
            },
        )
    }

    /// The costs from the beginning until a moment, in milliseconds. They are not kept: who asks wants many.
    pub(crate) fn costs_until(&self, stretch: &Stretch, ms: u64) -> Costs {
        let mut costs = self.heap.costs(Some(&(0..ms)), &self.rules(stretch));
        if let Some(part) = &stretch.function {
            self.heap.keep_function(&mut costs, part.as_bytes());
        }
        costs
    }

    fn rules(&self, stretch: &Stretch) -> Suppressions {
        if stretch.unsuppressed {
            Suppressions::none()
        } else {
            Suppressions::built_in().embedded(&self.heap.trace, false)
        }
    }

    /// The blocks that nothing pointed to at the exit, if somebody looked: whenever they were allocated, so that there
    /// are none of a stretch of time.
    pub(crate) fn lost(&self, stretch: &Stretch, costs: &Costs) -> Option<Lost> {
        if stretch.ms.is_some() {
            return None;
        }
        lost(&self.heap, costs, &self.rules(stretch))
    }

    /// An answer, worked out once for each question.
    pub(crate) fn answer(
        &self,
        question: &str,
        make: impl FnOnce() -> Result<Vec<u8>, Failure>,
    ) -> Result<Arc<Vec<u8>>, Failure> {
        self.answers.get(&question.to_owned(), Vec::len, make)
    }

    /// What a report has to know.
    pub(crate) fn source<'a>(
        &'a self,
        costs: &'a Costs,
        stretch: &'a Stretch,
        file: &'a str,
        warnings: &'a [String],
    ) -> NativeSource<'a> {
        NativeSource {
            heap: &self.heap,
            costs,
            file,
            warnings,
            ms: stretch.ms.as_ref(),
            function: stretch.function.as_deref(),
            full_names: false,
        }
    }
}
