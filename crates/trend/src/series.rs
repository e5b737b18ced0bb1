//! Whether a series of numbers grows: a slope that outliers can't bend, and a test that needs no distribution.

use crate::{Confidence, Pattern};

/// What a series does from dump to dump.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// How it goes; `None` if it does not grow.
    pub pattern: Option<Pattern>,
    /// The median of the slopes between all pairs of values, per step (Theil and Sen).
    pub slope: f64,
    /// How sure the pattern is.
    pub confidence: Confidence,
}

/// Judges `series`, oldest first.
///
/// - *Steady*: every step is upwards, or all but the first (warm-up) or a few are, and Mann and Kendall's test agrees.
///   The last step must be upwards and not much smaller than the others: what has stopped is no leak.
/// - *Step*: upwards at some steps and flat otherwise, flat at last.
/// - *Noisy*: upwards on the whole, but with steps downwards.
///
/// "Roughly the same size but not exactly" is no growth: a change of less than one in a hundred of the value, or a
/// smaller one than the series' own ups and downs, does not count.
pub fn trend(series: &[u64]) -> Trend {
    let flat = Trend { pattern: None, slope: 0.0, confidence: Confidence::High };
    let (Some(&first), Some(&last)) = (series.first(), series.last()) else { return flat };
    if series.len() < 2 || last <= first {
        return flat;
    }
    let slope = theil_sen(series);
    let steps: Vec<f64> = series.windows(2).map(|pair| pair[1] as f64 - pair[0] as f64).collect();
    let tolerance = series.iter().copied().max().unwrap_or(0) as f64 / 100.0;
    let is_up = |step: f64| step > 0.0 && step >= tolerance;
    let is_down = |step: f64| step < 0.0;
    let ups = steps.iter().filter(|&&step| is_up(step)).count();
    let downs = steps.iter().filter(|&&step| is_down(step)).count();
    let rise = last as f64 - first as f64;
    if ups == 0 {
        // Creeps: no step counts, but all of them together may.
        let creeps = downs == 0 && rise >= 3.0 * tolerance && steps.iter().all(|&step| step > 0.0);
        let pattern = creeps.then_some(Pattern::Noisy);
        return Trend { pattern, slope, confidence: Confidence::Low };
    }
    // How far it falls back: the ups and downs of a working set.
    let fallback: f64 = steps.iter().filter(|&&step| is_down(step)).map(|step| -step).sum();
    if fallback > 0.0 && (rise < 2.0 * fallback || slope <= 0.0) {
        return Trend { pattern: None, slope, confidence: Confidence::Medium };
    }
    let last_step = steps[steps.len() - 1];
    let typical = median(&mut steps.iter().copied().filter(|&step| is_up(step)).collect::<Vec<_>>());
    if downs == 0 && ups == steps.len() && last_step * 10.0 >= typical {
        let confidence = match steps.len() {
            1 => Confidence::Medium,
            // Each step much smaller than the one before: it may come to rest.
            _ if is_settling(&steps) => Confidence::Low,
            _ => Confidence::High,
        };
        let pattern = if confidence == Confidence::Low { Pattern::Step } else { Pattern::Steady };
        return Trend { pattern: Some(pattern), slope, confidence };
    }
    if !is_up(last_step) && downs == 0 {
        // It has stopped.
        return Trend { pattern: Some(Pattern::Step), slope, confidence: Confidence::Medium };
    }
    if downs == 0 {
        // Flat in between, as under a load with pauses. From four dumps on the test has a say.
        let sure = series.len() >= 4 && mann_kendall(series) >= SURE && 2 * ups >= steps.len();
        return if sure {
            Trend { pattern: Some(Pattern::Steady), slope, confidence: Confidence::Medium }
        } else {
            Trend { pattern: Some(Pattern::Step), slope, confidence: Confidence::Low }
        };
    }
    if series.len() >= 5 && mann_kendall(series) >= SURE && fallback * 4.0 <= rise {
        return Trend { pattern: Some(Pattern::Steady), slope, confidence: Confidence::Medium };
    }
    Trend { pattern: Some(Pattern::Noisy), slope, confidence: Confidence::Low }
}

/// Mann and Kendall's Z from which a trend is taken for real: one-sided, 5 %.
const SURE: f64 = 1.645;

/// True if each step is at most half of the one before: what fills up, not what leaks.
fn is_settling(steps: &[f64]) -> bool {
    steps.windows(2).all(|pair| pair[1] * 2.0 <= pair[0])
}

/// The median of the slopes between all pairs of values.
fn theil_sen(series: &[u64]) -> f64 {
    let mut slopes = Vec::with_capacity(series.len() * (series.len() - 1) / 2);
    for (i, &a) in series.iter().enumerate() {
        for (j, &b) in series.iter().enumerate().skip(i + 1) {
            slopes.push((b as f64 - a as f64) / (j - i) as f64);
        }
    }
    median(&mut slopes)
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// Z of Mann and Kendall's test for a monotone trend, with the correction for ties.
fn mann_kendall(series: &[u64]) -> f64 {
    let n = series.len() as f64;
    let mut s = 0i64;
    for (i, a) in series.iter().enumerate() {
        for b in &series[i + 1..] {
            s += b.cmp(a) as i64;
        }
    }
    let mut sorted = series.to_vec();
    sorted.sort_unstable();
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|group| group.len() as f64)
        .map(|t| t * (t - 1.0) * (2.0 * t + 5.0))
        .sum();
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - ties) / 18.0;
    if variance <= 0.0 || s == 0 {
        return 0.0;
    }
    (s - s.signum()) as f64 / variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(series: &[u64], pattern: Option<Pattern>) {
        assert_eq!(trend(series).pattern, pattern, "{series:?}: {:?}", trend(series));
    }

    #[test]
    fn what_grows_with_each_dump_is_steady() {
        check(&[100, 200], Some(Pattern::Steady));
        check(&[0, 100, 200], Some(Pattern::Steady));
        check(&[1000, 2000, 3000, 4000], Some(Pattern::Steady));
        check(&[1000, 1900, 3100, 3900, 5000], Some(Pattern::Steady));
        // A pause, and a small relapse, among many steps.
        check(&[100, 200, 200, 300, 400, 500], Some(Pattern::Steady));
        check(&[100, 200, 300, 290, 400, 500, 600, 700], Some(Pattern::Steady));
    }

    #[test]
    fn a_working_set_is_no_leak() {
        // "Roughly the same size but not exactly."
        check(&[10_000, 10_012, 10_031], None);
        check(&[400, 380, 402], None);
        check(&[398, 221, 344, 400], None);
        check(&[5000, 4000, 5200, 4100, 5100], None);
        // A saw: filled and emptied.
        check(&[100, 900, 200, 1000, 150], None);
        check(&[100, 500, 900, 120, 540, 930, 110], None);
    }

    #[test]
    fn warm_up_is_a_step() {
        check(&[100, 500, 500], Some(Pattern::Step));
        check(&[100, 480, 500, 500], Some(Pattern::Step));
        check(&[0, 1000, 1400, 1550], Some(Pattern::Step));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        check(&[], None);
        check(&[7], None);
        check(&[7, 7, 7], None);
        check(&[9, 8, 7], None);
    }

    #[test]
    fn the_slope_is_the_median_of_all_slopes() {
        assert_eq!(trend(&[0, 100, 200]).slope, 100.0);
        assert_eq!(trend(&[0, 100, 200, 300, 9000]).slope, 100.0);
    }

    #[test]
    fn mann_and_kendall_count_pairs() {
        // By the formula: S = 6, variance 4·3·13/18.
        let z = mann_kendall(&[1, 2, 3, 4]);
        assert!((z - 5.0 / (156.0f64 / 18.0).sqrt()).abs() < 1e-12, "{z}");
        assert_eq!(mann_kendall(&[1, 1, 1, 1]), 0.0);
        assert!(mann_kendall(&[4, 3, 2, 1]) < -SURE);
    }
}
