//! What stacks cost, in columns of which a profile has some.

use crate::ids::StackId;

/// A kind of cost: a column of [`Samples`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CostType {
    /// Calls that allocate.
    Allocations,
    /// Bytes that they asked for.
    AllocatedBytes,
    /// Blocks not freed at the end.
    LiveBlocks,
    /// Bytes not freed at the end.
    LiveBytes,
    /// Blocks alive when all stacks together had the most bytes.
    PeakBlocks,
    /// Bytes alive at that moment.
    PeakBytes,
    /// Calls whose block was freed at once, as heaptrack counts them.
    Temporary,
    /// Blocks alive when this stack alone had the most bytes.
    OwnPeakBlocks,
    /// Bytes alive at that moment.
    OwnPeakBytes,
    /// How long its blocks lived, all together, in units of [`ProfileClock::unit`](super::ProfileClock::unit).
    Lifetime,
    /// A number that the file does not explain.
    Weight,
}

impl CostType {
    /// All of them, in their order.
    pub const ALL: [CostType; 11] = [
        CostType::Allocations,
        CostType::AllocatedBytes,
        CostType::LiveBlocks,
        CostType::LiveBytes,
        CostType::PeakBlocks,
        CostType::PeakBytes,
        CostType::Temporary,
        CostType::OwnPeakBlocks,
        CostType::OwnPeakBytes,
        CostType::Lifetime,
        CostType::Weight,
    ];

    /// What it is called on the command line and in notes.
    pub fn word(self) -> &'static str {
        match self {
            CostType::Allocations => "allocations",
            CostType::AllocatedBytes => "allocated bytes",
            CostType::LiveBlocks => "leaked blocks",
            CostType::LiveBytes => "leaked bytes",
            CostType::PeakBlocks => "blocks at the peak",
            CostType::PeakBytes => "bytes at the peak",
            CostType::Temporary => "temporary allocations",
            CostType::OwnPeakBlocks => "blocks at each stack's own peak",
            CostType::OwnPeakBytes => "bytes at each stack's own peak",
            CostType::Lifetime => "lifetimes",
            CostType::Weight => "weights",
        }
    }

    /// True if it is a number of bytes.
    pub fn is_bytes(self) -> bool {
        matches!(
            self,
            CostType::AllocatedBytes | CostType::LiveBytes | CostType::PeakBytes | CostType::OwnPeakBytes
        )
    }
}

/// Stacks with their costs, as columns. A stack may be there more than once, with blocks of different sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    stack: Vec<StackId>,
    /// Bytes of each block; 0 if unknown or not all the same. No column if that is so everywhere.
    block_size: Vec<u64>,
    columns: [Option<Vec<i64>>; CostType::ALL.len()],
}

impl Samples {
    /// Samples with these columns, and none else.
    pub(super) fn new(costs: &[CostType]) -> Self {
        let mut samples = Samples::default();
        for &cost in costs {
            samples.columns[cost as usize] = Some(Vec::new());
        }
        samples
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.stack.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// The stack of each sample.
    pub fn stacks(&self) -> &[StackId] {
        &self.stack
    }

    /// Bytes of each block of a sample; `None` if unknown or not all the same.
    pub fn block_size(&self, sample: usize) -> Option<u64> {
        self.block_size.get(sample).copied().filter(|&size| size > 0)
    }

    /// A cost of each sample; `None` if the profiler did not count it. Negative where a stretch of time frees what
    /// was allocated before it.
    pub fn column(&self, cost: CostType) -> Option<&[i64]> {
        self.columns[cost as usize].as_deref()
    }

    /// The costs that were counted.
    pub fn costs(&self) -> impl Iterator<Item = CostType> + '_ {
        CostType::ALL.into_iter().filter(|&cost| self.columns[cost as usize].is_some())
    }

    /// The sum of a column; it stops at the largest number.
    pub fn total(&self, cost: CostType) -> Option<i64> {
        Some(self.column(cost)?.iter().fold(0, |sum: i64, &value| sum.saturating_add(value)))
    }

    /// Adds a sample; `values` are those of the columns in their order, 0 where there are too few.
    pub(super) fn push(&mut self, stack: StackId, block_size: u64, values: &[i64]) {
        if block_size > 0 && self.block_size.is_empty() {
            self.block_size.resize(self.stack.len(), 0);
        }
        if block_size > 0 || !self.block_size.is_empty() {
            self.block_size.push(block_size);
        }
        self.stack.push(stack);
        let mut values = values.iter();
        for column in self.columns.iter_mut().flatten() {
            column.push(values.next().copied().unwrap_or(0));
        }
    }
}
