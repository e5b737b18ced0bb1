//! Reading `/proc/self/maps`, and which of its mappings a child needs a copy of.

use std::{fs::File, io::Read, ops::Range};

/// Addresses, end exclusive.
pub(crate) type Addresses = Range<usize>;

/// The anonymous mappings of this process, ascending.
pub(crate) fn anonymous() -> std::io::Result<Vec<Addresses>> {
    let mut text = Vec::with_capacity(1 << 18);
    File::open("/proc/self/maps")?.read_to_end(&mut text)?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(anonymous_line).collect())
}

/// The range of a line, if it is memory that belongs to this process alone and to no file or device.
///
/// `[vdso]` and its like refuse advice, and `anon_inode:[io_uring]` is shared with the kernel.
fn anonymous_line(line: &[u8]) -> Option<Addresses> {
    let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let range = range(fields.next()?)?;
    let (_rights, _offset, _device, inode) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let ours = match fields.next() {
        None | Some(b"[heap]" | b"[stack]") => true,
        Some(name) => name.starts_with(b"[anon:") || name.starts_with(b"[stack:"),
    };
    (ours && inode == b"0").then_some(range)
}

/// Reads `start-end,start-end`, hexadecimal; an empty text has no ranges.
pub(crate) fn ranges(text: &str) -> Result<Vec<Addresses>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| range(part.as_bytes()).ok_or_else(|| format!("`{part}` is no range of addresses")))
        .collect()
}

/// Those of `wanted` that are exactly a mapping of `mappings`, which ascend, or several that follow each other:
/// neighbours with different rights are wanted as one range.
///
/// Anything else may be somebody else's memory by now, and what a fork leaves out there would crash the children
/// that the process starts.
pub(crate) fn unchanged<'a>(
    wanted: &'a [Addresses],
    mappings: &'a [Addresses],
) -> impl Iterator<Item = &'a Addresses> {
    wanted.iter().filter(|range| {
        let first = mappings.partition_point(|mapping| mapping.start < range.start);
        let mut covered = range.start;
        for mapping in &mappings[first..] {
            if mapping.start != covered || covered >= range.end {
                break;
            }
            covered = mapping.end;
        }
        covered == range.end
    })
}

fn range(text: &[u8]) -> Option<Addresses> {
    let (start, end) = std::str::from_utf8(text).ok()?.split_once('-')?;
    let number = |digits: &str| {
        // `from_str_radix` takes a sign.
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        hexadecimal.then(|| usize::from_str_radix(digits, 16).ok()).flatten()
    };
    let range = number(start)?..number(end)?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(line: &str, want: Option<&Addresses>) {
        let got = anonymous_line(line.as_bytes());
        assert_eq!(got.as_ref(), want, "{line}");
    }

    #[test]
    fn memory_without_a_file_is_anonymous() {
        check_line("7f00-8f00 rw-p 00000000 00:00 0 ", Some(&(0x7f00..0x8f00)));
        check_line("7f00-8f00 ---p 00000000 00:00 0", Some(&(0x7f00..0x8f00)));
        check_line("7f00-8f00 rw-p 00000000 00:00 0    [heap]", Some(&(0x7f00..0x8f00)));
        check_line("7f00-8f00 rw-p 00000000 00:00 0    [stack]", Some(&(0x7f00..0x8f00)));
        check_line("7f00-8f00 rw-p 00000000 00:00 0    [anon:v8]", Some(&(0x7f00..0x8f00)));
    }

    #[test]
    fn files_devices_and_the_kernels_pages_are_not_anonymous() {
        check_line("7f00-8f00 r-xp 00001000 fe:00 42   /usr/bin/node", None);
        check_line("7f00-8f00 rw-s 00000000 00:01 7    /dev/zero (deleted)", None);
        check_line("7f00-8f00 rw-s 00000000 00:0e 9    anon_inode:[io_uring]", None);
        check_line("7f00-8f00 r-xp 00000000 00:00 0    [vdso]", None);
        check_line("7f00-8f00 r--p 00000000 00:00 0    [vvar_vclock]", None);
        check_line("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]", None);
    }

    #[test]
    fn a_damaged_line_is_no_mapping() {
        for line in [
            "",
            " ",
            "7f00",
            "7f00-",
            "8f00-7f00 rw-p 0 00:00 0",
            "+7f00-8f00 rw-p 0 00:00 0",
            "7f00-8f00 rw-p",
        ] {
            check_line(line, None);
        }
    }

    #[test]
    fn the_process_itself_has_anonymous_memory_in_ascending_order() {
        let mappings = anonymous().unwrap();
        assert!(mappings.len() > 2);
        assert!(mappings.is_sorted_by(|a, b| a.end <= b.start));
    }

    #[track_caller]
    fn check_ranges(text: &str, want: Result<&[Addresses], &str>) {
        assert_eq!(ranges(text).as_deref().map_err(String::as_str), want);
    }

    #[test]
    fn ranges_are_read_from_hexadecimal_pairs() {
        check_ranges("", Ok(&[]));
        check_ranges("10-20", Ok(std::slice::from_ref(&(0x10..0x20))));
        check_ranges("10-20, A0-ffff,", Ok(&[0x10..0x20, 0xa0..0xffff]));
        check_ranges("10-20,30", Err("`30` is no range of addresses"));
        check_ranges("20-10", Err("`20-10` is no range of addresses"));
        check_ranges("-10-20", Err("`-10-20` is no range of addresses"));
        check_ranges("10-1ffffffffffffffff", Err("`10-1ffffffffffffffff` is no range of addresses"));
    }

    #[test]
    fn only_whole_mappings_are_unchanged() {
        let mappings = [0x10..0x20, 0x20..0x40, 0x50..0x60];
        let wanted = [0x10..0x20, 0x20..0x30, 0x30..0x40, 0x50..0x70, 0x50..0x60, 0x80..0x90];
        assert_eq!(unchanged(&wanted, &mappings).cloned().collect::<Vec<_>>(), [0x10..0x20, 0x50..0x60]);
    }

    #[test]
    fn neighbours_that_are_wanted_as_one_are_unchanged() {
        let mappings = [0x10..0x20, 0x20..0x40, 0x50..0x60];
        let wanted = [0x10..0x40, 0x10..0x30, 0x18..0x40, 0x10..0x60];
        assert_eq!(
            unchanged(&wanted, &mappings).cloned().collect::<Vec<_>>(),
            std::slice::from_ref(&(0x10..0x40))
        );
    }
}
