//! The list of mappings that ends the text profiles: a copy of `/proc/PID/maps`.

use super::lines::{hexadecimal, words};
use crate::ids::StringId;
use crate::profile::{Mapping, ProfileBuilder, ProfileFrame};

/// The line before the list.
pub(super) const HEADING: &[u8] = b"MAPPED_LIBRARIES:";

/// Executable mappings, in order of address.
#[derive(Default)]
pub(super) struct Maps {
    mappings: Vec<Mapping>,
}

impl Maps {
    /// Takes a line; one that is no mapping, or one of data, is none.
    pub(super) fn line(&mut self, text: &[u8], builder: &mut ProfileBuilder) {
        if let Some(mapping) = mapping(text, builder) {
            self.mappings.push(mapping);
        }
    }

    /// Ends the list.
    pub(super) fn finish(mut self) -> Self {
        self.mappings.sort_by_key(|mapping| mapping.start);
        self
    }

    /// A frame of a return address: the call is in front of it.
    pub(super) fn frame(&self, return_address: u64, builder: &ProfileBuilder) -> ProfileFrame {
        let address = return_address.saturating_sub(1);
        let after = self.mappings.partition_point(|mapping| mapping.start <= address);
        let mapping = self.mappings[..after].last().filter(|mapping| address < mapping.end);
        let module = mapping.map_or(StringId(0), |mapping| mapping.file);
        let kind = builder.kind(StringId(0), module);
        ProfileFrame { address, module, kind, ..ProfileFrame::default() }
    }

    pub(super) fn into_mappings(self) -> Vec<Mapping> {
        self.mappings
    }
}

/// `START-END PERMISSIONS OFFSET DEVICE INODE FILE`.
fn mapping(text: &[u8], builder: &mut ProfileBuilder) -> Option<Mapping> {
    let mut fields = words(text);
    let range = fields.next()?;
    let dash = memchr::memchr(b'-', range)?;
    let (start, end) = (hexadecimal(&range[..dash])?, hexadecimal(&range[dash + 1..])?);
    let permissions = fields.next()?;
    if !permissions.contains(&b'x') || start >= end {
        return None;
    }
    let offset = hexadecimal(fields.next()?)?;
    let inode = fields.nth(1)?;
    // The name may have spaces.
    let behind = inode.as_ptr().addr() - text.as_ptr().addr() + inode.len();
    let file = builder.string(text[behind..].trim_ascii());
    Some(Mapping { start, end, offset, file, build_id: StringId(0) })
}

/// Bytes and blocks of a sampled stack as they were on the whole: of `blocks` with `bytes` together, each was seen
/// with a probability of `1 - exp(-size / period)`. That is how gperftools' and jemalloc's own tools estimate.
pub(super) fn unsampled(blocks: i64, bytes: i64, period: u64) -> (i64, i64) {
    if period <= 1 || blocks <= 0 || bytes <= 0 {
        return (blocks, bytes);
    }
    let size = bytes as f64 / blocks as f64;
    let scale = 1.0 / (1.0 - (-size / period as f64).exp());
    // Conversion stops at the largest number, also for an infinite scale.
    ((blocks as f64 * scale) as i64, (bytes as f64 * scale) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_the_mapping_around_it() {
        let mut builder = ProfileBuilder::new(&[]);
        let mut maps = Maps::default();
        for line in [
            "7f00-7f80 r-xp 00001000 08:01 131 /lib/my lib.so",
            "400000-401000 r-xp 00000000 08:01 77   /srv/shop",
            "401000-402000 rw-p 00000000 08:01 77   /srv/shop",
            "8000-9000 r-xp 00000000 00:00 0",
            "nonsense",
            "9-8 r-xp 0 00:00 0 /x",
        ] {
            maps.line(line.as_bytes(), &mut builder);
        }
        let maps = maps.finish();
        let module = |address| {
            let frame = maps.frame(address, &builder);
            assert_eq!(frame.address, address - 1);
            String::from_utf8_lossy(builder.profile.strings.get(frame.module)).into_owned()
        };
        assert_eq!(
            [0x7f00, 0x7f01, 0x7f80, 0x7f81, 0x8500, 0x400010, 0x401001].map(module),
            ["", "/lib/my lib.so", "/lib/my lib.so", "", "", "/srv/shop", ""]
        );
    }

    #[test]
    fn small_blocks_stand_for_more_than_large_ones() {
        assert_eq!(unsampled(1, 512, 1), (1, 512));
        assert_eq!(unsampled(1, 524_288, 524_288), (1, 829_411));
        assert_eq!(unsampled(1, 512, 524_288), (1024, 524_544));
        assert_eq!(unsampled(0, 0, 524_288), (0, 0));
        assert_eq!(unsampled(i64::MAX, 1, u64::MAX), (i64::MAX, i64::MAX));
    }
}
