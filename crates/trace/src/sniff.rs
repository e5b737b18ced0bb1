//! Whether a file is heaptrack's, from its first bytes.

/// Tells a heaptrack data file by its first line, `v 10400 3` or like it. `prefix` is the start of the uncompressed
/// file, twenty bytes of it or more.
///
/// Files from before 2017 may lack that line; they begin with the executable or with the command.
pub fn is_heaptrack(prefix: &[u8]) -> bool {
    let line = prefix.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match line {
        [b'v', b' ', numbers @ ..] => {
            let mut fields = numbers.split(|&byte| byte == b' ');
            let is_number =
                |field: &[u8]| (1..=8).contains(&field.len()) && field.iter().all(u8::is_ascii_hexdigit);
            let is_first = fields.next().is_some_and(is_number);
            is_first && fields.next().is_none_or(is_number) && fields.next().is_none()
        }
        [b'x' | b'X', b' ', b'/' | b'.', ..] => prefix.contains(&b'\n'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, expected: bool) {
        assert_eq!(is_heaptrack(prefix.as_bytes()), expected, "{prefix:?}");
    }

    #[test]
    fn the_first_line_tells() {
        check("v 10400 3\nX ./server\n", true);
        check("v 10200\ns libc\n", true);
        check("v 10400 3", true);
        check("x /usr/bin/server\nm -\n", true);
        check("X ./server\ns libc\n", true);
        check("v 10400 3 4\n", false);
        check("v \n", false);
        check("verbose\n", false);
        check("{\"snapshot\":{", false);
        check("X /a single line", false);
        check("", false);
    }
}
