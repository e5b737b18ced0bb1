//! The binary `twinheap`.
fn main() {}
