//! Columns of numbers that nearly always fit 32 bits.

use std::collections::BTreeMap;

/// A column of `u64` stored as `u32`, with the few values that don't fit in a sorted side table.
///
/// V8's sizes exceed 32 bits only for giant ArrayBuffers (five nodes of 2.6 million had 64 KiB or more in a
/// real heap), so this halves the column without losing a bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WideColumn {
    low: Vec<u32>,
    /// Index to value, one entry for every `u32::MAX` in `low`.
    wide: BTreeMap<u32, u64>,
}

impl WideColumn {
    /// A column of `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        WideColumn { low: vec![0; len], wide: BTreeMap::new() }
    }

    /// Number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.low.len()
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// The value at `index`.
    ///
    /// # Panics
    /// If `index` is out of range, as a slice does.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        match self.low[index] {
            u32::MAX => self.get_wide(index),
            low => u64::from(low),
        }
    }

    #[cold]
    fn get_wide(&self, index: usize) -> u64 {
        self.wide.get(&(index as u32)).copied().unwrap_or(u64::from(u32::MAX))
    }

    /// Replaces the value at `index`. Slow only for values of 32 bits and more.
    pub fn set(&mut self, index: usize, value: u64) {
        let was_wide = self.low[index] == u32::MAX;
        match u32::try_from(value) {
            Ok(low) if low != u32::MAX => {
                self.low[index] = low;
                if was_wide {
                    self.wide.remove(&(index as u32));
                }
            }
            _ => {
                self.low[index] = u32::MAX;
                self.wide.insert(index as u32, value);
            }
        }
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The 32-bit halves, for a pass that handles [`u32::MAX`] itself through [`WideColumn::get`].
    #[inline]
    pub fn low(&self) -> &[u32] {
        &self.low
    }

    pub(crate) fn low_mut(&mut self) -> &mut [u32] {
        &mut self.low
    }

    /// Adds entries written by a [`WideWriter`].
    pub(crate) fn append_wide(&mut self, more: Vec<(u32, u64)>) {
        self.wide.extend(more);
    }

    pub(crate) fn resize(&mut self, len: usize) {
        self.low.resize(len, 0);
    }

    /// Cuts the column to its final length and gives back the room behind it.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.low.truncate(len);
        self.low.shrink_to_fit();
        self.wide.retain(|&i, _| (i as usize) < len);
    }
}

/// Writes a stretch of a [`WideColumn`] front to back, possibly beside another thread that writes another stretch.
#[derive(Debug)]
pub struct WideWriter<'a> {
    low: &'a mut [u32],
    /// Index of `low[0]` in the whole column.
    base: usize,
    wide: Vec<(u32, u64)>,
}

impl<'a> WideWriter<'a> {
    /// A writer for `low`, which begins at `base` of the whole column.
    pub fn new(low: &'a mut [u32], base: usize) -> Self {
        WideWriter { low, base, wide: Vec::new() }
    }

    /// Writes at `at`, counted from the start of the stretch. Positions must ascend.
    #[inline]
    pub fn set(&mut self, at: usize, value: u64) {
        if value < u64::from(u32::MAX) {
            self.low[at] = value as u32;
        } else {
            self.low[at] = u32::MAX;
            self.wide.push(((self.base + at) as u32, value));
        }
    }

    /// What did not fit.
    pub fn into_wide(self) -> Vec<(u32, u64)> {
        self.wide
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_wide_values_is_emptied_in_no_time() {
        // Moving the rest of a list for each value would take minutes.
        let mut column = WideColumn::zeroed(1_000_000);
        let mut writer = WideWriter::new(column.low_mut(), 0);
        (0..1_000_000).for_each(|i| writer.set(i, 1 << 40));
        let wide = writer.into_wide();
        column.append_wide(wide);
        (0..1_000_000).for_each(|i| column.set(i, 0));
        assert_eq!(column, WideColumn::zeroed(1_000_000));
    }

    #[test]
    fn wide_values_survive_among_narrow_ones() {
        let mut column = WideColumn::zeroed(5);
        column.set(3, 5_368_709_120);
        column.set(1, u64::from(u32::MAX));
        column.set(0, u64::from(u32::MAX) - 1);
        column.set(4, 7);
        assert_eq!(
            column.iter().collect::<Vec<_>>(),
            [u64::from(u32::MAX) - 1, u64::from(u32::MAX), 0, 5_368_709_120, 7]
        );
        column.set(3, 9);
        column.set(1, 1 << 40);
        assert_eq!(column.iter().collect::<Vec<_>>(), [u64::from(u32::MAX) - 1, 1 << 40, 0, 9, 7]);
    }
}
