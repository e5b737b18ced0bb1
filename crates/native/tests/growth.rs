//! What grows steadily is found by its call site and the script that leads there.

#![expect(
    clippy::unwrap_used,
    reason = "what can't be unwrapped is a failed test, with its place in the message"
)]

use twinheap_native::{Costs, NativeHeap, Suppressions, native_growth};
use twinheap_trace::Parser;

/// `leak` and `cache` are called by a script, `leak` also by another script and by Node's own; each second has one
/// round of calls. Blocks of `leak` stay, and of `cache` every other round frees what the one before allocated.
fn recording() -> NativeHeap {
    let mut text = String::from("v 10400 3\nX node shop.cjs\nI 1000 100\n");
    // 1 module, 2 and 3 functions of C, 4 file of C, 5 script, 6 its functions, 7 and 8 other scripts.
    for word in [
        "/addon.node", "leak", "cache", "/srv/addon.c", "/srv/shop.cjs", "JS:~visit", "/srv/other.cjs", "node:net",
    ] {
        text.push_str(&format!("s {:x} {word}\n", word.len()));
    }
    // Places: leak, cache, and the three scripts.
    text.push_str("i 401000 1 2 4 a\ni 402000 1 3 4 14\ni 7f00 0 6 5 3\ni 7f10 0 6 7 4\ni 7f20 0 6 8 5\n");
    // Nodes: the scripts, then leak below each of them, and cache below the first.
    text.push_str("t 3 0\nt 4 0\nt 5 0\nt 1 1\nt 1 2\nt 1 3\nt 2 1\n");
    // 100 bytes, 16 bytes, 256 bytes and 64 bytes.
    text.push_str("a 64 4\na 10 5\na 100 6\na 40 7\n");
    for round in 0..4 {
        text.push_str(&format!("c {:x}\n+ 0\n+ 1\n+ 2\n", round * 1000));
        text.push_str(if round % 2 == 0 { "+ 3\n+ 3\n" } else { "- 3\n" });
    }
    text.push_str("c fa0\n");
    let mut parser = Parser::new();
    parser.feed(text.as_bytes()).unwrap();
    let parsed = parser.finish().unwrap();
    assert_eq!(parsed.damage, []);
    NativeHeap::new(parsed.trace)
}

fn moments(heap: &NativeHeap, ends: &[u64]) -> Vec<Costs> {
    ends.iter().map(|&end| heap.costs(Some(&(0..end)), &Suppressions::none())).collect()
}

#[test]
fn what_grew_at_each_moment_is_found_by_site_and_script() {
    let heap = recording();
    let growth = native_growth(&heap, &moments(&heap, &[500, 1500, 3500]));
    let rows: Vec<_> = growth.iter().map(|g| (g.alive.clone(), g.allocations, g.has_script)).collect();
    assert_eq!(
        rows,
        [(vec![256, 512, 1024], 4, false), (vec![100, 200, 400], 4, true), (vec![16, 32, 64], 4, true)]
    );
    let first = heap.places(growth[1].stack).flat_map(|ip| heap.frames(ip)).map(|frame| frame.file);
    assert_eq!(first.collect::<Vec<_>>(), [&b"/srv/addon.c"[..], b"/srv/shop.cjs"]);
}

#[test]
fn what_wavers_did_not_grow() {
    let heap = recording();
    // `cache` has 128, 64 and 192 bytes at these moments.
    let growth = native_growth(&heap, &moments(&heap, &[500, 1500, 2500]));
    assert!(growth.iter().all(|g| g.alive[0] != 128), "{growth:?}");
    assert!(native_growth(&heap, &[]).is_empty());
    // One moment is no growth, but all that is alive is more than nothing.
    assert_eq!(native_growth(&heap, &moments(&heap, &[500])).len(), 4);
}
