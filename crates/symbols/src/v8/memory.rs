//! Reading the memory of a process.

/// The memory of a process that may run on. A closure will do.
pub trait Memory {
    /// Reads bytes at an address; false if not all of them are there.
    fn read(&self, address: u64, into: &mut [u8]) -> bool;
}

impl<F: Fn(u64, &mut [u8]) -> bool> Memory for F {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        self(address, into)
    }
}
