//! The names by which a server on loopback may be called.

use std::net::IpAddr;

/// Whether a header `Host` means us, on loopback; `own` is the address we listen on. Any other name is one that
/// somebody else's DNS leads here: a web page under such a name could read our answers.
pub fn is_own_host(host: &str, own: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside of brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare == own
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_host(host: &str, expected: bool) {
        assert_eq!(is_own_host(host, "127.0.0.1"), expected, "{host}");
    }

    #[test]
    fn only_names_of_loopback_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9597",
            "127.0.0.1",
            "127.0.0.1:9597",
            "127.1.2.3:1",
            "[::1]:9597",
            "[::1]",
        ] {
            check_host(host, true);
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9597",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9597",
            "10.0.0.1:9597",
            "0.0.0.0",
            "[::2]:9597",
            "localhost:9597.evil.example",
        ] {
            check_host(host, false);
        }
    }
}
