//! Each form of heaptrack's files, as small as it can be, and what comes of it.

use twinheap_trace::{
    Frame, FrameKind, IpId, Matching, ParseError, Parsed, Parser, StringId, Trace, TraceId,
};

fn parse(text: &str) -> Result<Parsed, ParseError> {
    let mut parser = Parser::new();
    parser.feed(text.as_bytes())?;
    parser.finish()
}

/// Reads a file without damage.
#[track_caller]
fn sound(text: &str) -> Trace {
    let parsed = parse(text).expect("a file that can be read");
    assert_eq!(parsed.damage, [], "{text}");
    parsed.trace
}

/// Events as `Debug` writes them: `+1` allocates info 1, `-1` frees it, `-1!` frees the latest block.
#[track_caller]
fn check_events(text: &str, expected: &str) -> Trace {
    let trace = sound(text);
    assert_eq!(format!("{:?}", trace.events), expected);
    trace
}

#[test]
fn an_interpreted_file_of_version_3_fills_every_column() {
    let trace = check_events(
        "v 10400 3\nX ./shop --port 80\nI 1000 5e2990\nA\nS leak:pool\nS a leak:arena\n\
         s 9 /srv/shop\ns 6 make x\ns 6 shop.c\ns 4 main\n\
         i 401000 1 2 3 a 4 3 14\ni 402000 1 4\ni 7f00 0\nt 2 0\nt 1 1\nt 3 2\na 40 3\n+ 0\nc 5\n- 0\nR 10\nc 1f\n\
         # strings: 4\n# ips: 3\n\n",
        "[+0, -0]",
    );
    assert_eq!((trace.heaptrack_version, trace.file_version, trace.is_raw), (0x10400, 3, false));
    assert_eq!(trace.matching, Matching::ByInfo);
    assert_eq!(trace.command, b"./shop --port 80");
    assert_eq!(
        (trace.page_size, trace.physical_pages, trace.is_attached),
        (Some(4096), Some(0x5e2990), true)
    );
    let suppressions: Vec<_> = trace.suppressions.iter().map(|s| (&s.text[..], s.is_sized)).collect();
    assert_eq!(suppressions, [(&b"leak:pool"[..], false), (b"leak:arena", true)]);

    assert_eq!(trace.strings.get(StringId(2)), b"make x");
    assert_eq!(trace.strings.get(StringId(0)), b"");
    let frame = |function, file, line| Frame {
        function: StringId(function),
        file: StringId(file),
        line,
        column: 0,
        kind: FrameKind::Native,
    };
    assert_eq!(trace.ips.frames(IpId(1)), [frame(2, 3, 10), frame(4, 3, 20)]);
    assert_eq!(trace.ips.frames(IpId(2)), [frame(4, 0, 0)]);
    assert_eq!(trace.ips.frames(IpId(3)), []);
    assert_eq!((trace.ips.address(IpId(3)), trace.ips.module(IpId(3))), (0x7f00, StringId(0)));
    assert_eq!((trace.tree.ip(TraceId(3)), trace.tree.parent(TraceId(3))), (IpId(3), TraceId(2)));
    assert_eq!((trace.infos.sizes(), trace.infos.trace(twinheap_trace::InfoIdx(0))), (&[64][..], TraceId(3)));
    assert_eq!((trace.clock.at(0), trace.clock.at(1), trace.clock.runtime_ms()), (0, 5, 32));
    assert_eq!((trace.rss[0].ms, trace.rss[0].pages), (5, 16));
}

#[test]
fn strings_before_version_3_are_the_rest_of_the_line() {
    let trace = check_events("v 10100 2\ns a b c\ni 1 1 1\nt 1 0\na 8 1\n+ 0\n", "[+0]");
    assert_eq!(trace.strings.get(StringId(1)), b"a b c");
}

#[test]
fn the_heaptrack_that_called_itself_1_2_0_wrote_version_1() {
    let trace = check_events("v 10200\ns a\ni 1 1\nt 1 0\na 8 1\n+ 0\n- 0\n", "[+0, -0]");
    assert_eq!((trace.file_version, trace.matching), (1, Matching::ByInfo));
}

#[test]
fn version_0_has_pointers() {
    for version in ["", "v 10100\n"] {
        let trace = check_events(
            &format!("{version}s a\ni 1 1\nt 1 0\n+ 8 1 a0\n+ 8 1 b0\n- a0\n+ 9 1 a0\n- ff\n- a0\n- b0\n"),
            "[+0, +0, -0, +1, -1!, -0]",
        );
        assert_eq!((trace.file_version, trace.matching), (0, Matching::ByPointerInterpreted));
    }
}

#[test]
fn a_raw_file_finds_modules_and_pairs_pointers() {
    let trace = check_events(
        "v 10400 3\nx 9 /srv/shop\nX ./shop\nI 1000 1\nm 1 -\nm 1 x 400000 0 1000 2000 1000\n\
         m 9 /lib/my c 7f0000 0 100\nt 400010 0\nt 402fff 1\nt 401800 2\nt 7f0001 2\n+ 8 3 a0\n- a0\n+ 8 4 b0\n\
         m 1 -\nm 1 x 7f0000 0 1000\nt 7f0001 2\n+ 8 5 c0\n- ff\n- c0\n- b0\nc 1\n",
        "[+0, -0!, +1, +2, -2, -1]",
    );
    assert!(trace.is_raw);
    let module = |node| trace.strings.get(trace.ips.module(trace.tree.ip(TraceId(node))));
    assert_eq!(
        [1, 2, 3, 4, 5].map(module),
        [&b"/srv/shop"[..], b"/srv/shop", b"", b"/lib/my c", b"/srv/shop"]
    );
}

#[test]
fn a_raw_file_before_version_3_ends_names_at_a_space() {
    let trace = check_events(
        "v 10100 2\nx /srv/a shop\nm -\nm x 1000 0 10\nm /lib 2000 0 10\nt 2001 0\n+ 8 1 a0\n",
        "[+0]",
    );
    assert_eq!(trace.strings.get(StringId(1)), b"/srv/a shop");
    assert_eq!(trace.strings.get(trace.ips.module(IpId(1))), b"/lib");
}

/// Reads a file whose damage begins with these words at this line, and still gives these events.
#[track_caller]
fn check_damage(text: &str, line: u64, count: u64, what: &str, events: &str) {
    let parsed = parse(text).expect("a file that can be read in part");
    let [damage] = &parsed.damage[..] else { panic!("{:?}", parsed.damage) };
    assert!(damage.what.contains(what), "{damage}");
    assert_eq!((damage.line, damage.count), (line, count), "{damage}");
    let before: usize = text.split_inclusive('\n').take(line as usize - 1).map(str::len).sum();
    assert_eq!(damage.offset, before as u64);
    assert_eq!(format!("{:?}", parsed.trace.events), events);
}

#[test]
fn damage_has_a_line_and_leaves_the_rest() {
    let head = "v 10400 3\ns 1 a\ni 1 1 1\nt 1 0\na 8 1\n";
    let check = |tail: &str, line, count, what, events| {
        check_damage(&format!("{head}{tail}"), line, count, what, events);
    };
    check("+ 0\n+ 1", 7, 1, "within a line", "[+0]");
    check("+ 1\n+ 0\n- 2\n", 6, 2, "has not defined", "[+0]");
    check("+ 0\n+ x\n+\n+ 0\n", 7, 2, "lacks a field", "[+0, +0]");
    check("? what\n+ 0\n", 6, 1, "no record", "[+0]");
    check("t 5 0\n+ 0\n", 6, 1, "instruction pointer", "[+0]");
    check("t 1 2\n+ 0\n", 6, 1, "parent", "[+0]");
    check("a 8 9\n+ 1\n", 6, 1, "stack", "[+1]");
    check("i 1 7\n", 6, 1, "string", "[]");
    check("i 1 1 1 1\n", 6, 1, "lacks a field", "[]");
    check("s 9 short\ns 1 b\ni 1 3\n", 6, 1, "shorter than", "[]");
    check("c 5\nc 4\nc 5\n", 7, 1, "backwards", "[]");
    check("X a\nX b\n", 7, 1, "twice", "[]");
    check("v 10400 3\n+ 0\n", 6, 1, "twice", "[+0]");
}

#[test]
fn what_is_no_trace_is_refused_with_a_sentence() {
    assert_eq!(parse(""), Err(ParseError::Empty));
    assert_eq!(parse("{\"snapshot\":\n{\n"), Err(ParseError::NotATrace { lines: 2 }));
    assert_eq!(parse("v 20000 4\n"), Err(ParseError::TooNew { version: 4, line: 1, offset: 0 }));
}
