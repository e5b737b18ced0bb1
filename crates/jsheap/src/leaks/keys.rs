//! Names that are data: ids, hashes, paths, addresses. They differ from run to run, names of the program don't.

/// True for a property name that looks like a key of a dictionary.
pub(crate) fn is_key(name: &[u8]) -> bool {
    let digits = name.iter().filter(|b| b.is_ascii_digit()).count();
    let is_symbol = name.starts_with(b"<symbol ");
    if is_symbol || name.is_empty() {
        return false;
    }
    // A path, an address, a list of headers, a sentence.
    if name.iter().any(|b| matches!(b, b'/' | b'\\' | b':' | b'@' | b' ' | b',' | b'|' | b'=')) {
        return !name.starts_with(b"get ") && !name.starts_with(b"set ");
    }
    let is_hex = name.len() >= 8 && digits > 0 && name.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    // Short names like `uint8`, `sha256`, `utf8Write` or `md5` have a digit or three, but more letters around them.
    is_hex || (digits >= 2 && digits * 2 >= name.len()) || digits >= 4 || ends_in_number(name)
}

/// `user-17`, `req_4`, `k300`: a word, then a number that is not part of a common name.
fn ends_in_number(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some(&before) = name.get(name.len().wrapping_sub(digits + 1)) else { return digits > 0 };
    digits > 0 && (matches!(before, b'-' | b'_' | b'.' | b'#') || digits >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: bool) {
        for name in names {
            assert_eq!(is_key(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn keys_look_like_data() {
        check(&["user-17", "k300", "3f2a9c0d11", "/srv/app/index.js", "a:b", "12ab34", "req_4"], true);
        check(&["3b241101-e2bb-4255-8caf-4136c566a962", "10.0.0.1", "GET /", "2024-01-02"], true);
    }

    #[test]
    fn names_look_like_names() {
        check(&["items", "_events", "utf8", "uint8", "md5", "sha1", "x1", "base64", "get size"], false);
        check(&["<symbol kEvents>", "", "__proto__", "feedface", "deadbeef"], false);
    }
}
