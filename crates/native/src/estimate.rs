//! What a sample tells of the whole.
//!
//! A sampled recording has each block of `s` bytes with the probability `p = 1 - exp(-s / interval)`, whatever else it
//! has. So a block that it has stands for `w = 1 / p` of its kind (Horvitz and Thompson, "A Generalization of Sampling
//! Without Replacement From a Finite Universe", 1952). The sum of what they stand for is an estimate without bias, and
//! the sum of `w (w - 1) x²` over what was drawn is one of its variance, where `x` is 1 for calls and the block's size
//! for bytes. Of a full recording both `w` is 1 and the variance is 0.

use std::ops::AddAssign;

use twinheap_trace::{InfoIdx, Trace};

/// The square of an estimate's standard deviation, in the square of its unit; 0 of what was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Variance(pub(crate) f64);

/// It is a sum of squares, and so never NaN.
impl Eq for Variance {}

impl AddAssign for Variance {
    fn add_assign(&mut self, other: Variance) {
        self.0 += other.0;
    }
}

/// Standard deviations that a normal distribution's middle 95 % reach from its mean.
const DEVIATIONS: f64 = 1.96;

impl Variance {
    /// The error: the truth is no further away from the estimate in 95 of 100 recordings, as long as the estimate is
    /// made of dozens of blocks. Of a few blocks it is a rough one, and of none there is nothing to tell.
    pub fn error(self) -> u64 {
        (DEVIATIONS * self.0.sqrt()).ceil() as u64
    }

    /// The variance of the sum or the difference of two independent estimates.
    #[must_use]
    pub fn and(self, other: Variance) -> Variance {
        Variance(self.0 + other.0)
    }
}

/// Variances of the numbers of a [`crate::Cost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variances {
    /// Of the calls.
    pub allocations: Variance,
    /// Of the bytes allocated.
    pub bytes: Variance,
    /// Of the bytes not freed. In a stretch of time it is an upper bound: which of several equal blocks was freed is
    /// not told, and the oldest is taken.
    pub leaked: Variance,
    /// Of the bytes alive at the peak, in a stretch of time as for `leaked`. That the moment is where the estimate is
    /// largest, and not the truth, makes the estimate a little too large and is not in it.
    pub peak: Variance,
}

impl AddAssign for Variances {
    fn add_assign(&mut self, other: Variances) {
        self.allocations += other.allocations;
        self.bytes += other.bytes;
        self.leaked += other.leaked;
        self.peak += other.peak;
    }
}

/// What the blocks of each info stand for.
#[derive(Debug)]
pub(crate) struct Scale {
    /// By info.
    weights: Vec<f64>,
    /// Bytes that a block stands for, by info; rounded, so that sums are the same in any order.
    bytes: Vec<u64>,
}

impl Scale {
    /// `None` for a full recording.
    pub(crate) fn of(trace: &Trace) -> Option<Scale> {
        trace.sample_bytes.filter(|&bytes| bytes > 0)?;
        let weights: Vec<f64> = trace.infos.sizes().iter().map(|&size| trace.sample_weight(size)).collect();
        let scaled = |(&size, weight): (&u64, &f64)| ((size as f64 * weight).round() as u64).min(MOST);
        let bytes = trace.infos.sizes().iter().zip(&weights).map(scaled).collect();
        Some(Scale { weights, bytes })
    }

    /// Blocks that one of these stands for.
    #[inline]
    pub(crate) fn weight(&self, info: InfoIdx) -> f64 {
        self.weights[info.index()]
    }

    pub(crate) fn bytes(&self) -> &[u64] {
        &self.bytes
    }

    /// The variance that `blocks` of an info bring into a number of blocks.
    #[inline]
    pub(crate) fn calls(&self, info: InfoIdx, blocks: u64) -> Variance {
        let weight = self.weight(info);
        Variance(weight * (weight - 1.0) * blocks as f64)
    }

    /// The same for a number of bytes. `w (w - 1) s²`, with `w s` being the bytes that a block stands for.
    #[inline]
    pub(crate) fn spread(&self, info: InfoIdx, blocks: u64) -> Variance {
        let (weight, bytes) = (self.weight(info), self.bytes[info.index()] as f64);
        Variance(bytes * bytes * (1.0 - 1.0 / weight) * blocks as f64)
    }
}

/// Sizes are added up as signed numbers.
const MOST: u64 = i64::MAX as u64;

/// Rounds the parts of a sum so that the sum is right. Parts rounded one by one are all wrong to the same side: 1.4
/// calls of each of a thousand stacks are not a thousand calls.
#[derive(Default)]
pub(crate) struct Rounding {
    rest: f64,
}

impl Rounding {
    /// The next part.
    pub(crate) fn count(&mut self, part: f64) -> u64 {
        let exact = part + self.rest;
        let whole = exact.round().max(0.0);
        self.rest = exact - whole;
        whole as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: u64, interval: u64, expected: f64) {
        let trace = Trace { sample_bytes: Some(interval), ..Trace::default() };
        let weight = trace.sample_weight(size);
        assert!((weight / expected - 1.0).abs() < 1e-9, "{weight}");
    }

    #[test]
    fn small_blocks_stand_for_many() {
        check(1, 1 << 40, (1_u64 << 40) as f64 + 0.5);
        check(512, 512, 1.581_976_706_869_326_4);
        check(1 << 20, 1 << 10, 1.0);
        check(u64::MAX, 1, 1.0);
    }

    #[test]
    fn parts_add_up() {
        let mut rounding = Rounding::default();
        assert_eq!((0..1000).map(|_| rounding.count(1.4)).sum::<u64>(), 1400);
        assert_eq!(Rounding::default().count(1e18), 1_000_000_000_000_000_000);
    }

    #[test]
    fn errors_are_two_deviations() {
        assert_eq!(Variance::default().error(), 0);
        assert_eq!(Variance(100.0).error(), 20);
        assert_eq!(Variance(75.0).and(Variance(25.0)).error(), 20);
        assert_eq!(Variance(f64::INFINITY).error(), u64::MAX);
    }
}
