//! Leaks that somebody has looked at and accepts, and limits that a program may not exceed.

use rustc_hash::FxHashSet;

use crate::leaks::{Confidence, Findings, Suspect, Verdict, trend};

/// Signatures of accepted leaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    signatures: FxHashSet<String>,
}

impl Known {
    /// Reads a list: a signature a line, 16 hexadecimal digits; what follows it on its line, and lines that begin
    /// with `#`, are for people.
    ///
    /// # Errors
    /// The number of the first line, from 1, that does not begin with a signature.
    pub fn parse(text: &str) -> Result<Known, usize> {
        let mut signatures = FxHashSet::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            if word.len() != 16 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(at + 1);
            }
            signatures.insert(word.to_ascii_lowercase());
        }
        Ok(Known { signatures })
    }

    /// True for an accepted leak.
    pub fn has(&self, suspect: &Suspect) -> bool {
        self.signatures.contains(&suspect.signature)
    }
}

impl Findings {
    /// Takes accepted leaks out and judges what is left; those that were taken out, in their order.
    pub fn accept(&mut self, known: &Known) -> Vec<Suspect> {
        let (accepted, left) = std::mem::take(&mut self.suspects).into_iter().partition(|s| known.has(s));
        self.suspects = left;
        let worst = self.suspects.first();
        self.verdict = worst.map_or(Verdict::None, |suspect| suspect.verdict);
        self.confidence = worst.map_or(Confidence::High, |suspect| suspect.confidence);
        accepted
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// Objects.
    Count,
    /// Bytes retained.
    Retained,
}

/// The most that a class may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The class, as `summary` shows it; `None` is the whole heap.
    pub class: Option<String>,
    /// What is counted.
    pub of: LimitOf,
    /// The most it may become more with each dump.
    pub per_step: u64,
}

/// A limit and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitCheck {
    /// The limit.
    pub limit: Limit,
    /// The numbers, one for each dump, oldest first.
    pub series: Vec<u64>,
    /// How much more with each dump: the median of the slopes between all pairs of dumps (Theil and Sen).
    pub per_step: f64,
    /// True if it keeps to the limit.
    pub passed: bool,
}

impl Limit {
    /// Measures a series against the limit.
    pub fn check(self, series: Vec<u64>) -> LimitCheck {
        let per_step = trend(&series).slope;
        LimitCheck { passed: per_step <= self.per_step as f64, limit: self, series, per_step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[&str], usize>) {
        let known = Known::parse(text).map(|known| {
            let mut all: Vec<String> = known.signatures.into_iter().collect();
            all.sort();
            all
        });
        assert_eq!(known, expected.map(|all| all.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn a_list_of_known_leaks_has_a_signature_a_line() {
        check("", Ok(&[]));
        check("# ours\n\n 0123456789abcdef  Session in Store.items\r\n", Ok(&["0123456789abcdef"]));
        check("FEDCBA9876543210\n0123456789abcdef", Ok(&["0123456789abcdef", "fedcba9876543210"]));
        check("0123456789abcdef\n0123", Err(2));
        check("Session in Store.items", Err(1));
    }

    #[test]
    fn limits_are_of_growth() {
        let limit = |per_step| Limit { class: None, of: LimitOf::Count, per_step };
        assert!(limit(0).check(vec![5, 5, 5]).passed);
        assert!(limit(0).check(vec![9, 7, 5]).passed);
        assert!(!limit(0).check(vec![5, 6, 7]).passed);
        assert!(limit(100).check(vec![5, 105, 205]).passed);
        assert!(!limit(99).check(vec![5, 105, 205]).passed);
        // One dump has no growth.
        assert!(limit(0).check(vec![5]).passed);
    }
}
