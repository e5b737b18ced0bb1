//! Lists that were worked out once and are wanted again: the next page, the same order, the way back.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

/// Keeps what was used last, up to a size.
pub(crate) struct Cache<K, V> {
    inner: Mutex<Inner<K, V>>,
    /// Everything together may be so large, in whatever unit `insert` is told.
    most: usize,
}

struct Inner<K, V> {
    entries: FxHashMap<K, Entry<V>>,
    size: usize,
    clock: u64,
}

struct Entry<V> {
    value: Arc<V>,
    size: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Cache { inner: Mutex::new(Inner { entries: FxHashMap::default(), size: 0, clock: 0 }), most }
    }

    /// What is kept under `key`, or what `make` makes. It runs without the lock, so two who ask for the same at once
    /// both work: nobody waits for somebody else's long list.
    pub(crate) fn get<E>(
        &self,
        key: &K,
        size: impl FnOnce(&V) -> usize,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        if let Some(value) = self.find(key) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        let size = size(&value);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let entry = Entry { value: Arc::clone(&value), size, used: inner.clock };
        inner.size += size;
        if let Some(old) = inner.entries.insert(key.clone(), entry) {
            inner.size -= old.size;
        }
        // The newest stays, however large it is.
        while inner.size > self.most && inner.entries.len() > 1 {
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(gone) = oldest.and_then(|key| inner.entries.remove(&key)) else { break };
            inner.size -= gone.size;
        }
        Ok(value)
    }

    fn find(&self, key: &K) -> Option<Arc<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.entries.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_long_goes_first() {
        let cache: Cache<u32, u32> = Cache::new(10);
        let get = |key: u32| *cache.get(&key, |_| 4, || Ok::<_, ()>(key * 100)).unwrap();
        let is_there = |key: u32| cache.find(&key).is_some();
        assert_eq!((get(1), get(2), get(1)), (100, 200, 100));
        get(3);
        assert!(is_there(1) && !is_there(2) && is_there(3));
        assert_eq!(cache.get(&9, |_| 99, || Ok::<_, ()>(9)).as_deref(), Ok(&9));
        assert!(is_there(9) && !is_there(1));
        assert_eq!(cache.get(&5, |_| 1, || Err("no")), Err("no"));
    }
}
