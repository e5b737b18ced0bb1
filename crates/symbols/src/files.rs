//! Where bytes come from, and where they stay.

use std::cell::OnceCell;
use std::path::Path;

/// The bytes of one file, mapped or read.
pub type Bytes = Box<dyn AsRef<[u8]>>;

/// Opens files for a [`Symbolizer`](crate::Symbolizer). A closure will do.
pub trait Files {
    /// The bytes of the file at `path`; `None` if it isn't there or can't be read. Most paths that are asked for
    /// don't exist: a debug file may have a dozen places.
    fn open(&self, path: &Path) -> Option<Bytes>;
}

impl<F: Fn(&Path) -> Option<Bytes>> Files for F {
    fn open(&self, path: &Path) -> Option<Bytes> {
        self(path)
    }
}

/// Keeps the bytes of all files that a [`Symbolizer`](crate::Symbolizer) uses, so that what it knows may point into
/// them. It lives longer than the symbolizer, and only grows.
#[derive(Default)]
pub struct Store {
    // A chain instead of a vector: what was handed out must not move.
    first: OnceCell<Box<Kept>>,
}

struct Kept {
    bytes: Bytes,
    next: OnceCell<Box<Kept>>,
}

impl Store {
    /// An empty one.
    pub fn new() -> Store {
        Store::default()
    }

    pub(crate) fn keep(&self, bytes: Bytes) -> &[u8] {
        let mut end = &self.first;
        while let Some(kept) = end.get() {
            end = &kept.next;
        }
        let kept = end.get_or_init(|| Box::new(Kept { bytes, next: OnceCell::new() }));
        (*kept.bytes).as_ref()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // One after the other; the default would go down the chain by recursion.
        let mut next = self.first.take();
        while let Some(mut kept) = next {
            next = kept.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_where_it_is() {
        let store = Store::new();
        let kept: Vec<&[u8]> = (0..100_u8).map(|byte| store.keep(Box::new(vec![byte; 3]))).collect();
        assert!(kept.iter().zip(0..).all(|(bytes, byte)| **bytes == [byte; 3]));
    }
}
