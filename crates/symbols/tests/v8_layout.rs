//! Where V8 keeps what, in real builds of Node.

use std::fs::File;
use std::path::Path;

use twinheap_symbols::v8::Layout;

fn node(major: u32) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../tests/oracle/node_modules/node{major}/bin/node"));
    let mut bytes = Vec::new();
    let mut file =
        File::open(&path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask setup`", path.display()));
    std::io::Read::read_to_end(&mut file, &mut bytes).expect("Node can be read");
    bytes
}

#[track_caller]
fn check(major: u32, version: (u32, u32), function_shared: u32) {
    let layout = Layout::of(&node(major)).unwrap_or_else(|| panic!("Node {major} has a layout"));
    assert_eq!((layout.version, layout.function_shared), (version, function_shared), "Node {major}");
    let is_range = |&(start, end): &(u64, u64)| start != 0 && end > start;
    assert!(is_range(&layout.interpreter), "{:x?}", layout.interpreter);
    assert!(
        !layout.collectors.is_empty() && layout.collectors.iter().all(is_range),
        "{:x?}",
        layout.collectors
    );
    assert_eq!(layout.major_collectors.len(), 1);
    assert!(layout.major_collectors.iter().all(is_range));
}

#[test]
fn every_node_has_one() {
    check(18, (10, 2), 24);
    check(20, (11, 3), 24);
    check(22, (12, 4), 32);
    check(24, (13, 6), 32);
    check(26, (14, 6), 32);
}

#[test]
fn what_is_not_v8_has_none() {
    let mut this = Vec::new();
    let path = std::env::current_exe().expect("a test is a file");
    std::io::Read::read_to_end(&mut File::open(path).expect("it can be opened"), &mut this)
        .expect("and read");
    for bytes in [&this[..], b"", b"\x7fELF", &this[..this.len() / 2], &this[..64]] {
        assert_eq!(Layout::of(bytes), None);
    }
}

#[test]
fn a_damaged_node_is_refused_or_read_in_part() {
    // Cut anywhere, nothing panics; without its tables at the end there is no layout.
    let node = node(22);
    for part in [10, 100, 1000, 99_000] {
        let _: Option<Layout> = Layout::of(&node[..node.len() / 100_000 * part]);
    }
    assert_eq!(Layout::of(&node[..node.len() / 2]), None);
}
