//! Which allocations a sampled recording tells of, and which frees.

use core::sync::atomic::{AtomicU16, Ordering};

use twinheap_wire::filter_counters;

use super::Session;

impl Session {
    /// Bytes to the next sample: exponential with the mean that the recording has.
    pub(crate) fn next_sample(&self, random: &mut u64) -> i64 {
        // xorshift64*, as in Vigna, "An experimental exploration of Marsaglia's xorshift generators".
        *random ^= *random >> 12;
        *random ^= *random << 25;
        *random ^= *random >> 27;
        let bits = random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let uniform = (bits as f64 + 1.0) / (1u64 << 53) as f64;
        (-logarithm(uniform) * self.sample as f64) as i64 + 1
    }

    /// Notes that a block is sampled, so that its free is recorded.
    pub(crate) fn mark_sampled(&self, address: u64) {
        self.counters(address).for_each(|counter| _ = counter.fetch_add(1, Ordering::Relaxed));
    }

    /// Takes back what [`Session::mark_sampled`] noted.
    #[cold]
    pub(crate) fn unmark_sampled(&self, address: u64) {
        self.counters(address).for_each(|counter| _ = counter.fetch_sub(1, Ordering::Relaxed));
    }

    /// False if the block is surely none whose allocation was recorded.
    #[inline(always)]
    pub(crate) fn follows(&self, address: u64) -> bool {
        self.sample == 0 || self.counters(address).all(|counter| counter.load(Ordering::Relaxed) != 0)
    }

    #[inline(always)]
    fn counters(&self, address: u64) -> impl Iterator<Item = &'static AtomicU16> + use<> {
        let ring = self.ring;
        // SAFETY: counters lie within the ring, and are aligned.
        filter_counters(address).into_iter().map(move |at| unsafe { &*((ring + at) as *const AtomicU16) })
    }
}

/// The natural logarithm of a number from 2^-53 to 1: there is no libm here. The series of artanh, to 1e-6.
fn logarithm(value: f64) -> f64 {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1023 << 52);
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series = 1.0
        + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square * (1.0 / 9.0 + square / 11.0))));
    2.0 * z * series + exponent as f64 * core::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close_enough() {
        for value in [1.0, 0.5, 0.999, 0.37, 1e-3, 1e-9, 2f64.powi(-53)] {
            assert!((logarithm(value) - value.ln()).abs() < 1e-5 * (1.0 + value.ln().abs()), "{value}");
        }
    }
}
