//! Memory that malloc may have its blocks in, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Anonymous mappings of a process that can be written to, in bytes. V8's heaps are among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapped {
    /// All of them: no block can be elsewhere.
    pub(crate) writable: u64,
    /// What of it was ever touched.
    pub(crate) resident: u64,
}

impl Mapped {
    pub(crate) fn of(pid: u32) -> Result<Mapped> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps"));
        Ok(Mapped::parse(&text.context("cannot read the memory map")?))
    }

    fn parse(smaps: &str) -> Mapped {
        let mut sum = Mapped::default();
        let mut counts = false;
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if !first.ends_with(':') {
                // 7f12-7f34 rw-p 00000000 00:00 0 [heap]
                let is_writable = words.next().is_some_and(|access| access.starts_with("rw"));
                let name = words.nth(3).unwrap_or_default();
                counts = is_writable && (name.is_empty() || name == "[heap]" || name.starts_with("[anon"));
                continue;
            }
            let mut bytes =
                || words.next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10;
            match first {
                "Size:" if counts => sum.writable += bytes(),
                "Rss:" if counts => sum.resident += bytes(),
                _ => {}
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_writable_mappings_are_added_up() {
        let text = "\
5555-6666 r-xp 00000000 08:01 42                         /usr/bin/node
Size:                100 kB
Rss:                  50 kB
6666-7777 rw-p 00001000 08:01 42                         /usr/bin/node
Size:                 10 kB
Rss:                   9 kB
7777-8888 rw-p 00000000 00:00 0                          [heap]
Size:                  8 kB
KernelPageSize:        4 kB
Rss:                   4 kB
9999-aaaa ---p 00000000 00:00 0
Size:            1000000 kB
Rss:                   0 kB
aaaa-bbbb rw-p 00000000 00:00 0
Size:                 32 kB
Rss:                  16 kB
VmFlags: rd wr mr mw me ac sd
bbbb-cccc rw-p 00000000 00:00 0                          [stack]
Size:                132 kB
Rss:                  20 kB
";
        assert_eq!(Mapped::parse(text), Mapped { writable: 40 << 10, resident: 20 << 10 });
    }
}
