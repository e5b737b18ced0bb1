//! Files that lie, break off or are built to hurt: an error or damage with an offset, never a panic, never memory
//! out of proportion.

mod file;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use file::{File, assert_consistent, parse};
use twinheap_snapshot::{
    EdgeIdx, EdgeType, NodeIdx, Options, ParseError, Parsed, Parser, Section, StringId,
    parse_sampling_profile, sequential,
};

/// What is expected of a file.
enum Want {
    /// Damage in these sections, in this order; none for a sound file.
    Damage(&'static [Section]),
    /// An error with these words in it.
    Error(&'static str),
}

use Want::{Damage, Error};

const SOUND: Want = Damage(&[]);

/// Parses `bytes` whole, byte by byte, and through the code for two threads; all must agree and be as wanted.
#[track_caller]
fn check(bytes: impl AsRef<[u8]>, want: &Want) -> Parsed {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(3000)]);
    let whole = parse(bytes, &[bytes.len()], None);
    if bytes.len() < 10_000 {
        assert_eq!(parse(bytes, &[1], None), whole, "byte by byte: {shown}");
    }
    assert_eq!(parse(bytes, &[5, 1, 64], Some(&sequential)), whole, "in pieces: {shown}");
    match (want, whole) {
        (Damage(sections), Ok(parsed)) => {
            assert_consistent(&parsed, bytes.len() as u64);
            let got: Vec<Section> = parsed.damage.iter().map(|damage| damage.section).collect();
            assert_eq!(&got, sections, "{:?} in {shown}", parsed.damage);
            parsed
        }
        (Error(words), Err(error)) => {
            assert!(error.to_string().contains(words), "`{error}` does not say `{words}`: {shown}");
            Parsed::default()
        }
        (Error(words), Ok(parsed)) => panic!("no `{words}` but {:?}: {shown}", parsed.damage),
        (Damage(_), Err(error)) => panic!("{error}: {shown}"),
    }
}

/// [`File::small`] with another value of one section.
fn with(key: &str, value: impl Into<String>) -> String {
    File::small().with(key, value).text()
}

#[test]
fn the_small_file_is_sound() {
    let parsed = check(File::small().text(), &SOUND);
    let s = &parsed.snapshot;
    assert_eq!((s.node_count(), s.edge_count(), s.strings.len()), (4, 5, 5));
    assert_eq!(
        (s.samples.len(), s.trace_functions.len(), s.trace_nodes.len(), s.locations().len()),
        (2, 2, 4, 2)
    );
    assert_eq!((s.self_size(NodeIdx(1)), s.id(NodeIdx(3))), (5_368_709_120, 4_294_967_297));
    assert_eq!(
        (s.trace_node(NodeIdx(0)), s.trace_node(NodeIdx(1)), s.detachedness(NodeIdx(2))),
        (None, Some(2), 2)
    );
    assert_eq!(s.edge_name_or_index(EdgeIdx(3)), 4_294_967_294);
    assert_eq!(s.edge_type(EdgeIdx(4)), EdgeType::Weak);
}

#[test]
fn every_truncation_is_noticed() {
    let old = File::small().text();
    let new = old.replace("\n,", ",").replace("\n]", "]");
    for text in [old, new] {
        let complete = text.trim_end().len();
        for end in 0..=text.len() {
            let bytes = &text.as_bytes()[..end];
            let whole = parse(bytes, &[end.max(1)], None);
            assert_eq!(parse(bytes, &[3], Some(&sequential)), whole, "cut at {end}");
            match whole {
                Ok(parsed) => {
                    assert_consistent(&parsed, end as u64);
                    assert_eq!(
                        parsed.damage.is_empty(),
                        end >= complete,
                        "cut at {end}: {:?}",
                        parsed.damage
                    );
                }
                Err(ParseError::Empty) => assert_eq!(end, 0),
                Err(ParseError::BadHeader { offset, .. }) => assert!(offset <= end as u64, "cut at {end}"),
                Err(other) => panic!("cut at {end}: {other}"),
            }
        }
    }
}

#[test]
fn sections_come_in_any_order() {
    let file = File::small();
    let want = check(file.text(), &SOUND);
    let mut order: Vec<usize> = (0..file.sections.len()).collect();
    let mut orders = 0;
    permute(&mut order, 0, &mut |order| {
        let moved = File { sections: order.iter().map(|&at| file.sections[at].clone()).collect() };
        let text = moved.text();
        assert_eq!(parse(text.as_bytes(), &[text.len()], None).as_ref(), Ok(&want), "{order:?}");
        orders += 1;
    });
    assert_eq!(orders, 40_320);
}

#[test]
fn a_bad_byte_in_numbers_costs_no_more_than_the_rest_of_its_section() {
    // A section, what of it stands in front of the bad byte, and the records that makes.
    let cases = [
        ("nodes", "[9,0,1,0,2,0,0\n,", 1),
        ("edges", "[5,1,7\n,", 1),
        ("trace_function_infos", "[0,0,0,0,0,0\n,", 1),
        ("trace_tree", "[1,0,0,0,[2,1,3,40,[", 2),
        ("samples", "[100,3,", 1),
        ("locations", "[7,5,16,2\n,", 1),
    ];
    // Brackets and quotes must not make anybody lose count, wherever they stand.
    let bad = [
        ("x", 0),
        ("null,", 0),
        ("1.5,", 1),
        ("1e5,", 1),
        ("--1,", 1),
        ("\"]},\\\"[\",", 0),
        ("{\"a\":[\"]\"]},", 0),
        ("\u{FFFD}", 0),
    ];
    let want = check(File::small().text(), &SOUND).snapshot;
    for (key, before, records) in cases {
        for (bad, at) in bad {
            // The tree does not know the sign at all.
            let at = if key == "trace_tree" && bad.starts_with('-') { 0 } else { at };
            for header_last in [false, true] {
                let mut file = File::small();
                let section = file.sections.iter_mut().find(|s| s.0 == key).unwrap();
                section.1 = section.1.replacen(before, &format!("{before}{bad}"), 1);
                if header_last {
                    file.sections.rotate_left(1);
                }
                let text = file.text();
                let parsed = parse(text.as_bytes(), &[text.len()], None).unwrap();
                assert_eq!(parse(text.as_bytes(), &[1], None).as_ref(), Ok(&parsed), "{text}");
                assert_eq!(parse(text.as_bytes(), &[5, 1, 64], Some(&sequential)).as_ref(), Ok(&parsed));
                assert_consistent(&parsed, text.len() as u64);
                let damage = &parsed.damage[0];
                let offset = text.find(&format!("{before}{bad}")).unwrap() + before.len() + at;
                assert_eq!((damage.section.name(), damage.offset), (key, offset as u64), "{text}");
                assert!(damage.what.ends_with("the rest of the section is left out"), "{damage}");
                // Nodes and edges that go missing are missed where they are announced; nothing else is wrong.
                let others = parsed.damage[1..].iter().all(|damage| damage.section == Section::Edges);
                let announced = matches!(key, "nodes" | "edges");
                assert!(others && (parsed.damage.len() > 1) == announced, "{:?}", parsed.damage);
                let s = &parsed.snapshot;
                assert_eq!(s.strings, want.strings, "{text}");
                let got = |section: &str, whole: usize| if section == key { records } else { whole };
                assert_eq!(s.node_count(), got("nodes", 4));
                assert_eq!(s.samples, want.samples[..got("samples", 2)]);
                assert_eq!(s.trace_functions, want.trace_functions[..got("trace_function_infos", 2)]);
                assert_eq!(s.trace_nodes, want.trace_nodes[..got("trace_tree", 4)]);
                if key != "nodes" {
                    assert_eq!(s.edge_count(), got("edges", 5));
                    assert_eq!(s.locations(), &want.locations()[..got("locations", 2)]);
                }
            }
        }
    }
}

#[test]
fn nothing_is_read_behind_a_break() {
    // Unlike in an array of numbers, nobody knows where the strings end.
    let mut file = File::small().with("strings", "[\"a\",7,\"],\"]");
    file.sections.rotate_right(1);
    let parsed = check(file.text(), &Error("the file has none"));
    assert_eq!(parsed, Parsed::default());
    let mut file = File::small().with("samples", "{}");
    let samples = file.sections.remove(5);
    file.sections.insert(3, samples);
    let parsed = check(file.text(), &Damage(&[Section::Samples]));
    let s = &parsed.snapshot;
    assert_eq!((s.node_count(), s.edge_count(), s.trace_nodes.len(), s.strings.len()), (4, 5, 0, 0));
}

/// Calls `visit` with every order of what follows `fixed` places.
fn permute(order: &mut [usize], fixed: usize, visit: &mut dyn FnMut(&[usize])) {
    if fixed == order.len() {
        return visit(order);
    }
    for at in fixed..order.len() {
        order.swap(fixed, at);
        permute(order, fixed + 1, visit);
        order.swap(fixed, at);
    }
}

#[test]
fn missing_sections_are_noticed() {
    let cases: [(&str, Want); 8] = [
        ("snapshot", Error("the file has none")),
        ("nodes", Error("no node")),
        // The nodes announce edges that are not there, and there is no section of them.
        ("edges", Damage(&[Section::Edges, Section::Edges])),
        ("trace_function_infos", SOUND),
        ("trace_tree", SOUND),
        ("samples", SOUND),
        ("locations", SOUND),
        ("strings", Damage(&[Section::Strings])),
    ];
    for (key, want) in cases {
        let mut file = File::small();
        file.sections.retain(|s| s.0 != key);
        check(file.text(), &want);
    }
}

#[test]
fn only_the_first_section_of_a_name_is_read() {
    let file = File::small();
    let want = check(file.text(), &SOUND).snapshot;
    for at in 0..file.sections.len() {
        for value in [file.sections[at].1.as_str(), "[]", "{}", "[1,[2,\"]\"]]"] {
            if value.starts_with('{') != (file.sections[at].0 == "snapshot") {
                continue;
            }
            let mut twice = file.clone();
            twice.sections.push((file.sections[at].0, value.to_owned()));
            let text = twice.text();
            let parsed = parse(text.as_bytes(), &[text.len()], None).unwrap();
            assert_eq!(parsed.damage.len(), 1, "{text}");
            assert!(parsed.damage[0].what.contains("more than once"));
            assert_eq!(parsed.snapshot, want, "{text}");
        }
    }
}

#[test]
fn unknown_sections_are_skipped() {
    let want = check(File::small().text(), &SOUND);
    let values = [
        "null",
        "true",
        "-1.5e+3",
        "0",
        r#""""#,
        r#""t\"]},{\\""#,
        "[]",
        "{}",
        r#"[[1],["]"],-1]"#,
        r#"{"a":[1,{"b":"]\\\"}"}],"nodes":[1]}"#,
        "\"raw é\u{2028}\"",
        " [ ] ",
    ];
    let keys = ["scopes", "", r#"a\"b\\"#, r"\\", "clé", "nodes2"];
    for at in 0..=8 {
        for (i, value) in values.iter().enumerate() {
            let mut file = File::small();
            file.sections.insert(at, (keys[i % keys.len()], (*value).to_owned()));
            assert_eq!(check(file.text(), &SOUND), want);
        }
    }
}

#[test]
fn numbers_that_are_none_of_v8s() {
    use Section::{Edges, Locations, Nodes, Samples, TraceFunctionInfos, TraceTree};
    // One node announces two edges of the five, and four of them lead to nodes that are not there.
    let cases = [
        (
            "nodes",
            "[9,0,1,0,0,0,0,1111111111222222222233333,0,0,0,0,0,0]",
            Damage(&[Nodes, Nodes, Edges, Edges]),
        ),
        ("nodes", "[9,0,1,1111111111222222222233333,2,0,0]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,99999999999,0,0]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,-5,2,0,0]", Damage(&[Edges, Edges])),
        ("nodes", "[9,0,1,-2147483649,2,0,0]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,5-,2,0,0]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,--5,2,0,0]", Error("found `-`")),
        ("nodes", "[9,0,1,0,2,0,0,-5]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,2,0,0,1.5]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,2,0,0,1e5]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,2,0,0,null]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,2,0,0,[1]]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[9,0,1,0,0,0,0,5,5]", Damage(&[Nodes, Edges, Edges])),
        ("nodes", "[]", Error("no node")),
        ("nodes", "[5]", Error("not one node")),
        ("nodes", "{}", Error("not one node")),
        ("nodes", "[99,0,1,0,5,0,0]", Damage(&[Nodes, Edges])),
        ("edges", "[5,1,7,5,1,8,5,1,14,5,1,21,5,1,21]", Damage(&[Edges])),
        ("edges", "[5,1,7,5,1,28,5,1,14,5,1,21,5,1,99999999999999]", Damage(&[Edges])),
        ("edges", "[5,1,7,5,1,7,5,1,14,7,1,21,9,1,21]", Damage(&[Edges])),
        ("edges", "[5,1,7,5,1,14]", Damage(&[Edges])),
        ("edges", "[5,1,7,1,1,14,2,2,14,1,9,21,6,3,21,2,4294967296,14]", Damage(&[Edges])),
        ("edges", "[5,,1,7,1,1,14,2,2,14,1,9,21,6,3,21]", Damage(&[Edges])),
        ("locations", "[0,5,99999999999,2,7777777777777,1,1,1]", SOUND),
        ("locations", "[0,5,-1,2]", SOUND),
        ("locations", "[0,5,-1.5,2]", Damage(&[Locations])),
        ("samples", "[1,2,3]", Damage(&[Samples])),
        ("trace_function_infos", "[1,99999999999,0,0,0,\"\"]", Damage(&[TraceFunctionInfos])),
        ("trace_tree", "[1,0,0,0,[[]]]", Damage(&[TraceTree])),
    ];
    for (key, value, want) in &cases {
        check(with(key, *value), want);
    }
}

#[test]
fn indices_that_v8_printed_through_a_signed_number() {
    let want = check(File::small().text(), &SOUND).snapshot;
    let edges = |index: &str| File::small().sections[2].1.replace("4294967294", index);
    let s = check(with("edges", edges("-2")), &SOUND).snapshot;
    assert_eq!(s.edge_name_or_index(EdgeIdx(3)), 4_294_967_294);
    assert_eq!(s, want);
    for (printed, index) in [("-1", u32::MAX), ("-2147483648", 1 << 31), ("2147483647", (1 << 31) - 1)] {
        let s = check(with("edges", edges(printed)), &SOUND).snapshot;
        assert_eq!(s.edge_name_or_index(EdgeIdx(3)), u64::from(index), "{printed}");
    }
    for none in ["-0", "-2147483649", "-99999999999999999999999"] {
        check(with("edges", edges(none)), &Damage(&[Section::Edges]));
    }
}

#[test]
fn names_that_are_not_among_the_strings() {
    let parsed = check(with("strings", "[\"a\",\"b\"]"), &Damage(&[Section::Nodes]));
    assert_eq!(parsed.damage[0].what, "2 nodes have a name that is not among the strings");
    assert_eq!(parsed.snapshot.raw_name_text(NodeIdx(3)).to_string_lossy(), "(missing string)");
    // Strings in front of the nodes, and no strings at all.
    let mut file = File::small().with("strings", "[\"a\",\"b\",\"c\"]");
    file.sections.rotate_right(1);
    check(file.text(), &Damage(&[Section::Nodes]));
    check(with("strings", "[]"), &SOUND);
}

#[test]
fn strings_of_every_kind() {
    // Every node has the first name, so that the number of strings does not matter.
    let file = File::small().with("nodes", "[9,0,1,0,5,0,0,3,0,3,8,0,0,0,3,0,5,8,0,0,0,3,0,7,8,0,0,0]");
    let with = |key: &str, value: &str| file.clone().with(key, value).text();
    let strings = [
        (
            r#"["\u0000\u001F\u007f\/","\uD83D\uDE00","\uDE00\uD83D","\uD83D","x"]"#,
            "\"\\u0000\\u001f\u{7f}/\"",
            SOUND,
        ),
        ("[\"é\u{1F600}\u{2028}\",\"\"]", "\"é\u{1F600}\u{2028}\"", SOUND),
        (r#"["\q\u12G\uZ","",""]"#, "\"\\\\q\u{FFFD}G\u{FFFD}Z\"", Damage(&[Section::Strings])),
        (r#"["a""b"]"#, "\"a\"", Damage(&[Section::Strings])),
        (r#"["a",7]"#, "\"a\"", Damage(&[Section::Strings])),
        (r#"["a",null]"#, "\"a\"", Damage(&[Section::Strings])),
        ("[\"line\nbreak\u{0}\"]", "\"line\\nbreak\\u0000\"", SOUND),
        ("[]", "\"(missing string)\"", SOUND),
    ];
    for (value, first, want) in &strings {
        let parsed = check(with("strings", value), want);
        assert_eq!(parsed.snapshot.strings.get(StringId(0)).to_json(), *first);
    }
    let text = with("strings", "[\"@\"]");
    for (raw, first) in [(&b"\xFF\xC0\x80"[..], "\u{FFFD}\u{FFFD}\u{FFFD}"), (b"\xED\xA0\x80", "\u{FFFD}")] {
        let at = text.find('@').unwrap();
        let bytes = [&text.as_bytes()[..at], raw, &text.as_bytes()[at + 1..]].concat();
        assert_eq!(check(bytes, &SOUND).snapshot.strings.get(StringId(0)).to_string_lossy(), first);
    }
}

#[test]
fn what_surrounds_the_object() {
    let text = File::small().text();
    let cases: [(Vec<u8>, Want); 13] = [
        (Vec::new(), Error("0 bytes")),
        (b" \n\t".to_vec(), Error("the file has none")),
        (b"{}".to_vec(), Error("the file has none")),
        (b"[]".to_vec(), Error("found `[`")),
        (b"null".to_vec(), Error("found `n`")),
        (b"{7:8}".to_vec(), Error("found `7`")),
        (b"{\"snapshot\" {}}".to_vec(), Error("a colon was expected")),
        (format!("{{\"{}\":1}}", "k".repeat(2000)).into_bytes(), Error("a key does not end")),
        (b"\x1F\x8B\x08\x00".to_vec(), Error("byte 0x1F")),
        (format!("\u{FEFF}{text}").into_bytes(), SOUND),
        (format!(" \r\n{text}\n ").into_bytes(), SOUND),
        (format!("{text}x").into_bytes(), Damage(&[Section::Top])),
        (format!("{text}{text}").into_bytes(), Damage(&[Section::Top])),
    ];
    for (bytes, want) in &cases {
        check(bytes, want);
    }
    let profile =
        "\u{FEFF}{\"head\":{\"callFrame\":{\"functionName\":\"f\"},\"selfSize\":1,\"children\":[]}}";
    assert_eq!(parse_sampling_profile(profile.as_bytes()).unwrap().nodes.len(), 1);
}

#[test]
fn headers_that_make_no_sense() {
    let header = |from: &str, to: &str| {
        let file = File::small();
        let changed = file.sections[0].1.replace(from, to);
        assert_ne!(changed, file.sections[0].1, "{from}");
        file.with("snapshot", changed).text()
    };
    let cases: [(&str, &str, Want); 14] = [
        ("\"type\",", "", Error("`node_fields` has no field `type`")),
        ("\"to_node\"", "\"target\"", Error("`edge_fields` has no field `to_node`")),
        ("\"detachedness\"]", &format!("{}\"f\"]", "\"f\",".repeat(40)), Error("no V8 has more")),
        ("\"location_fields\":[\"object_index\"", "\"location_fields\":[\"other\"", SOUND),
        ("\"sample_fields\":[\"timestamp_us\",", "\"sample_fields\":[", SOUND),
        ("\"function_info_index\"", "\"other\"", SOUND),
        ("[[\"hidden\"", "[7,[\"hidden\"", Error("did not match")),
        ("[[\"hidden\"", "[\"no list\",[\"hidden\"", Error("`node_types` has no list")),
        (
            "\"hidden\",\"array\"",
            &format!("{}\"array\"", (0..17).map(|i| format!("\"t{i}\",")).collect::<String>()),
            Error("more than 16 types"),
        ),
        ("\"node_count\":4", "\"title\":\"\\ud800\",\"uid\":{\"x\":[[]]},\"node_count\":4", SOUND),
        ("\"node_count\":4", "\"root_index\":18446744073709551615", SOUND),
        ("\"node_count\":4", "\"root_index\":15", SOUND),
        ("\"meta\"", "\"beta\"", Error("missing field `meta`")),
        ("{\"meta\"", &format!("{{\"deep\":{},\"meta\"", "[".repeat(500)), Error("can't be used")),
    ];
    for (from, to, want) in &cases {
        check(header(from, to), want);
    }
    let parsed = check(header("\"node_count\":4", "\"root_index\":15"), &SOUND);
    assert_eq!(parsed.snapshot.root(), NodeIdx(2));
    // Records of other shapes than V8's: more fields, another order.
    let mut file = File::small();
    let fields = r#"["x","edge_count","self_size","id","name","type"]"#;
    let start = file.sections[0].1.find("[\"type\"").unwrap();
    let end = file.sections[0].1.find("],\n\"node_types\":[").unwrap();
    file.sections[0].1.replace_range(start..=end, fields);
    let types = r#""node_types":["","","","","",["object"]],"old":["#;
    file.sections[0].1 = file.sections[0].1.replace("\"node_types\":[", types);
    let parsed = check(
        file.with("nodes", "[8,5,7,1,0,0,8,0,9,3,1,0]")
            .with("edges", "[1,1,0,1,1,6,1,1,6,1,1,6,1,1,0]")
            .text(),
        &SOUND,
    );
    assert_eq!((parsed.snapshot.self_size(NodeIdx(1)), parsed.snapshot.id(NodeIdx(1))), (9, 3));
    assert_eq!(parsed.snapshot.edges(NodeIdx(0)).len(), 5);
}

#[test]
fn counts_that_make_no_sense_are_taken_as_absent() {
    let file = File::small();
    let want = check(file.text(), &SOUND).snapshot;
    let long = "9".repeat(400);
    let values = [
        "-4",
        "-4.5",
        "4.0",
        "1e400",
        "-1e-400",
        "1111111111222222222233333",
        &long,
        "null",
        "\"4\"",
        "\"\\ud800\"",
        "[4]",
        "{\"a\":4}",
    ];
    for key in ["\"node_count\":4", "\"edge_count\":5", "\"extra_native_bytes\":7", "\"root_index\":7"] {
        let (name, _) = key.split_once(':').unwrap();
        for value in values {
            let header = file.sections[0].1.replace("\"node_count\":4", "\"node_count\":4,\"root_index\":7");
            let s = check(with("snapshot", header.replace(key, &format!("{name}:{value}"))), &SOUND).snapshot;
            let is_native = name.contains("native");
            assert_eq!(s.extra_native_bytes, (!is_native).then_some(7), "{name}:{value}");
            assert_eq!(s.root(), NodeIdx(u32::from(!name.contains("root"))), "{name}:{value}");
            assert_eq!((s.edge_offsets(), &s.strings), (want.edge_offsets(), &want.strings));
        }
    }
}

#[test]
fn nodes_and_edges_that_disagree() {
    // One edge more than the nodes announce: it has no source, so it can't stay.
    let more = "[5,1,7,1,1,14,2,2,14,1,4294967294,21,6,3,21,2,4294967294,7]";
    let parsed = check(with("edges", more), &Damage(&[Section::Edges]));
    assert_eq!(parsed.snapshot.edge_count(), 5);
    // Edges in front of the nodes are checked when the nodes are known.
    let mut file = File::small().with("edges", "[5,1,7,1,1,14,2,2,28,1,4294967294,2800,6,3,21]");
    file.sections.swap(1, 2);
    let parsed = check(file.text(), &Damage(&[Section::Edges]));
    let invisible = |edge| parsed.snapshot.edge_type(EdgeIdx(edge)) == EdgeType::Invisible;
    assert_eq!([0, 1, 2, 3, 4].map(invisible), [false, false, true, true, false]);
    // A sum of edge counts beyond 32 bits.
    let nodes = "9,0,1,0,4294967295,0,0,".repeat(3);
    let parsed = check(
        with("nodes", format!("[{}]", &nodes[..nodes.len() - 1])),
        &Damage(&[Section::Edges, Section::Edges]),
    );
    assert_eq!(parsed.snapshot.edge_offsets(), [0, 5, 5, 5]);
}

#[test]
fn values_at_the_bounds_of_the_columns() {
    let names = [(1 << 29) - 2, (1 << 29) - 1, 1 << 29, (1 << 32) - 2, (1u64 << 32) - 1, 1 << 32, u64::MAX];
    for name in names {
        for (kind, name_of) in [(1, None), (2, Some(StringId(u32::try_from(name).unwrap_or(u32::MAX))))] {
            let edges = format!("[{kind},{name},7,1,1,14,2,2,14,{kind},{name},21,6,3,21]");
            let s = check(with("edges", edges), &SOUND).snapshot;
            for edge in [EdgeIdx(0), EdgeIdx(3)] {
                assert_eq!((s.edge_name_or_index(edge), s.edge_name(edge)), (name, name_of));
            }
        }
    }
    for value in [u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let nodes =
            format!("[9,0,{value},{value},5,0,0,9,0,3,8,0,0,0,9,0,{value},{value},0,0,0,9,0,5,5,0,0,0]");
        let s = check(with("nodes", nodes), &SOUND).snapshot;
        let got = [0, 1, 2].map(|i| (s.id(NodeIdx(i)), s.self_size(NodeIdx(i))));
        assert_eq!(got, [(value, value), (3, 8), (value, value)]);
    }
}

#[test]
fn deep_nesting_does_not_recurse() {
    let deep = format!("{}1{}", "[{\"a\":".repeat(1_000_000), "}]".repeat(1_000_000));
    let mut file = File::small();
    file.sections.insert(3, ("scopes", deep.clone()));
    check(file.text(), &SOUND);
    check(
        with("trace_tree", format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))),
        &Damage(&[Section::TraceTree]),
    );
    let stacks = format!("[{}{}]", "7,1,2,3,[".repeat(1_000_000), "]".repeat(1_000_000));
    let s = check(with("trace_tree", stacks), &SOUND).snapshot;
    assert_eq!(s.trace_nodes.last().and_then(|node| node.parent), Some(999_998));
    check(with("snapshot", deep), &Error("found `[`"));
    check(with("snapshot", format!("{{\"a\":{}", "[".repeat(1_000_000))), &Error("the file has none"));
}

#[test]
fn a_chain_of_a_million_nodes() {
    const COUNT: u32 = 1_000_000;
    let mut nodes = String::from("[");
    let mut edges = String::from("[");
    for i in 0..COUNT {
        nodes.push_str(&format!("3,1,{},16,1,0,0,", 2 * i + 1));
        edges.push_str(&format!("2,1,{},", 7 * ((i + 1) % COUNT)));
    }
    nodes.pop();
    edges.pop();
    let text = File::small().with("nodes", nodes + "]").with("edges", edges + "]").text();
    let parsed = parse(text.as_bytes(), &[1 << 20], None).unwrap();
    assert_consistent(&parsed, text.len() as u64);
    assert_eq!(parsed.damage, []);
    assert!((0..COUNT).all(|i| parsed.snapshot.edge_targets()[i as usize] == (i + 1) % COUNT));
}

#[test]
fn more_locations_than_a_javascript_map_holds() {
    const COUNT: u32 = 17_000_000;
    let text = File::small().with("edges", "[]").text();
    let mut parts = text.split("[9,0,1,0,2");
    let mut parser = Parser::new(Options::default());
    let mut feed = |bytes: &[u8]| parser.feed(bytes).unwrap();
    feed(parts.next().unwrap().as_bytes());
    feed(b"[9,0,1,0,0,0,0");
    let block = ",3,1,5,8,0,0,0".repeat(8000);
    for _ in 0..COUNT / 8000 {
        feed(block.as_bytes());
    }
    let (before, after) = parts.next().unwrap().split_once("\"locations\":[").unwrap();
    let (_, nodes_end) = before.split_once("\n]").unwrap();
    feed(format!("]{nodes_end}\"locations\":[0,9,9,9").as_bytes());
    let mut piece = Vec::with_capacity(1 << 20);
    for node in 1..=COUNT {
        piece.push(b',');
        push_number(&mut piece, node * 7);
        piece.extend_from_slice(b",5,6,7");
        if piece.len() > (1 << 20) - 32 {
            feed(&piece);
            piece.clear();
        }
    }
    feed(&piece);
    feed(&after.as_bytes()[after.find(']').unwrap()..]);
    let parsed = parser.finish().unwrap();
    assert_eq!(parsed.damage, []);
    assert_eq!(parsed.snapshot.locations().len(), COUNT as usize + 1);
    assert_eq!(parsed.snapshot.location(NodeIdx(COUNT)).map(|l| l.line), Some(6));
}

/// Decimal digits, faster than `write!` in a test build.
fn push_number(out: &mut Vec<u8>, mut number: u32) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Counts the bytes that this thread has allocated, and the most it ever had.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    NOW.set(NOW.get() + bytes);
    MOST.set(MOST.get().max(NOW.get()));
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing, since the cells are
// initialised at compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks exist while the content moves.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes allocated at once while `bytes` are parsed in one piece.
fn peak(bytes: &[u8], size_hint: Option<u64>) -> usize {
    let before = NOW.get();
    MOST.set(before);
    let mut parser = Parser::new(Options { join: None, size_hint });
    let fed = parser.feed(bytes);
    let result = fed.and_then(|()| parser.finish());
    let most = MOST.get() - before;
    drop(result);
    most as usize
}

#[test]
fn memory_follows_the_file_and_not_its_claims() {
    let small = File::small().text();
    let lying = |nodes: &str, edges: &str| {
        small.replace("\"node_count\":4", nodes).replace("\"edge_count\":5", edges).into_bytes()
    };
    let repeated = |part: &str| {
        format!("{},{}", small.trim_end().trim_end_matches('}'), part.repeat(200_000)).into_bytes()
    };
    let unended = format!("{{\"snapshot\":{{\"a\":\"{}", "x".repeat(64 << 20)).into_bytes();
    // Bytes, constant part and bytes for each byte of the file that are allowed.
    let cases = [
        ("the small file", small.clone().into_bytes(), 128 << 10, 16),
        (
            "huge counts",
            lying("\"node_count\":4000000000", "\"edge_count\":18446744073709551615"),
            128 << 10,
            32,
        ),
        ("no counts", lying("\"x\":0", "\"y\":0"), 256 << 10, 16),
        ("a header that never ends", unended, 40 << 20, 0),
        ("a section often", repeated("\"nodes\":[],"), 128 << 10, 1),
        ("unknown sections", repeated("\"x\":[],"), 128 << 10, 1),
        (
            "a key that never ends",
            repeated("\"x").into_iter().chain(vec![b'k'; 1 << 20]).collect(),
            128 << 10,
            1,
        ),
    ];
    for (what, bytes, constant, each) in &cases {
        let hint = Some(bytes.len() as u64);
        let most = peak(bytes, hint);
        assert!(most <= constant + each * bytes.len(), "{what}: {most} bytes for a file of {}", bytes.len());
        // Without a hint a million records are reserved blindly, on pages that nobody touches.
        let most = peak(bytes, None);
        assert!(most <= (40 << 20) + each * bytes.len(), "{what}, no hint: {most} bytes for {}", bytes.len());
    }
}

/// The bytes that stay allocated for what `bytes` give.
fn kept(bytes: &[u8]) -> isize {
    let before = NOW.get();
    let mut parser = Parser::new(Options { join: None, size_hint: Some(bytes.len() as u64) });
    parser.feed(bytes).expect("a sound file");
    let parsed = parser.finish().expect("a sound file");
    assert_eq!(parsed.damage, []);
    NOW.get() - before
}

#[test]
fn a_snapshot_keeps_no_more_than_it_needs_whatever_the_header_promised() {
    const COUNT: usize = 5000;
    let nodes = vec!["3,1,5,16,1,2,0"; COUNT].join(",");
    let edges = vec!["2,1,7"; COUNT].join(",");
    let file = File::small().with("nodes", format!("[{nodes}]")).with("edges", format!("[{edges}]"));
    let claiming = |count: usize| {
        let header = file.sections[0].1.replace("\"node_count\":4", &format!("\"node_count\":{count}"));
        let header = header.replace("\"edge_count\":5", &format!("\"edge_count\":{count}"));
        file.clone().with("snapshot", header).text().into_bytes()
    };
    let want = kept(&claiming(COUNT));
    for claim in [0, 1, COUNT - 1, COUNT + 1, 2 * COUNT, 1 << 40] {
        assert_eq!(kept(&claiming(claim)), want, "{claim}");
    }
    // A byte and five times four for a node, twice four for an edge, and the small rest.
    assert!((29 * COUNT..30 * COUNT).contains(&(want as usize)), "{want}");
}
