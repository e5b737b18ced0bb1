//! Which TCP sockets a process listens on, and who listens on a port.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustc_hash::FxHashSet;

use crate::process::Proc;

/// State of a listening socket in `/proc/PID/net/tcp`.
const LISTENING: &str = "0A";

/// A socket of a network that is listening.
struct Listener {
    address: SocketAddr,
    inode: u64,
}

/// The addresses on which a process listens, ascending.
pub(super) fn listening(proc: &Proc, pid: u32) -> io::Result<Vec<SocketAddr>> {
    let own = inodes(proc, pid)?;
    let mut addresses: Vec<SocketAddr> = listeners(proc, pid)?
        .into_iter()
        .filter(|listener| own.contains(&listener.inode))
        .map(|listener| listener.address)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Who listens on a port that Node's inspector would want, in the network of process `near`.
/// `None`: nobody; `Some(None)`: somebody whose sockets we may not see.
pub(super) fn holder(proc: &Proc, near: u32, port: u16) -> Option<Option<u32>> {
    let inodes_there: Vec<u64> = listeners(proc, near)
        .ok()?
        .into_iter()
        // A listener on another address of the machine doesn't disturb one on loopback.
        .filter(|listener| {
            let ip = listener.address.ip();
            listener.address.port() == port && (ip.is_loopback() || ip.is_unspecified())
        })
        .map(|listener| listener.inode)
        .collect();
    if inodes_there.is_empty() {
        return None;
    }
    let holds =
        |pid: &u32| inodes(proc, *pid).is_ok_and(|own| inodes_there.iter().any(|inode| own.contains(inode)));
    Some(proc.pids().ok()?.into_iter().find(holds))
}

/// The sockets that a process has open, by inode.
fn inodes(proc: &Proc, pid: u32) -> io::Result<FxHashSet<u64>> {
    let entries = fs::read_dir(proc.path(pid, "fd"))?;
    let inode = |entry: io::Result<fs::DirEntry>| {
        let link = fs::read_link(entry.ok()?.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Ok(entries.filter_map(inode).collect())
}

/// All that listens in the network of a process.
fn listeners(proc: &Proc, pid: u32) -> io::Result<Vec<Listener>> {
    let mut all = parse(&proc.text(pid, "net/tcp")?);
    // Without IPv6 in the kernel there is no such file.
    all.extend(parse(&proc.text(pid, "net/tcp6").unwrap_or_default()));
    Ok(all)
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`, after a line of titles.
fn parse(table: &str) -> Vec<Listener> {
    let listener = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let is_listening = fields.nth(1)? == LISTENING;
        let inode = fields.nth(5)?.parse().ok()?;
        is_listening.then_some(Listener { address: address(local)?, inode })
    };
    table.lines().skip(1).filter_map(listener).collect()
}

/// `0100007F:240D`: an address as words of 32 bits in the machine's order, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at * 8)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, u64)>) {
        let found = parse(&format!("  sl  local_address rem_address   st\n{line}\n"));
        let found: Vec<(String, u64)> = found.iter().map(|l| (l.address.to_string(), l.inode)).collect();
        let expected: Vec<(String, u64)> = expected.iter().map(|&(a, inode)| (a.to_owned(), inode)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_listening_sockets_count() {
        let rest = "00000000:00000000 00:00000000 00000000     0        0";
        let any = "00000000000000000000000000000000:0000";
        check(
            &format!("   0: 0100007F:240D 00000000:0000 0A {rest} 4711 1 0"),
            Some(("127.0.0.1:9229", 4711)),
        );
        check(&format!("   1: 0100007F:240D 0100007F:8000 01 {rest} 4712 1 0"), None);
        check(
            &format!("   0: 00000000000000000000000001000000:0050 {any} 0A {rest} 5 1 0"),
            Some(("[::1]:80", 5)),
        );
        check("garbage", None);
        check("   0: zz:240D 00000000:0000 0A a b c d e f", None);
    }
}
