//! What redaction keeps, what it replaces, and that cuts and damage change nothing about it.

use proptest::prelude::*;
use twinheap_snapshot::{Options, Parser, RedactError, RedactStats, Redactor, Section, Snapshot};

const META: &str = r#"{"node_fields":["type","name","id","self_size","edge_count","detachedness"],"node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string","sliced string","symbol","bigint","object shape"],"string"],"edge_fields":["type","name_or_index","to_node"],"edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],"trace_function_info_fields":["function_id","name","script_name","script_id","line","column"],"trace_node_fields":["id","function_info_index","count","size","children"],"sample_fields":["timestamp_us","last_assigned_id"],"location_fields":["object_index","script_id","line","column"]}"#;

/// A snapshot of these sections, in V8's order.
fn file(nodes: &str, edges: &str, functions: &str, strings: &str) -> String {
    format!(
        "{{\"snapshot\":{{\"meta\":{META},\"node_count\":0,\"edge_count\":0,\"trace_function_count\":0}},\n\
         \"nodes\":[{nodes}],\n\"edges\":[{edges}],\n\"trace_function_infos\":[{functions}],\n\
         \"trace_tree\":[1,0,0,0,[2,0,1,8,[]]],\n\"samples\":[1,2],\n\"locations\":[0,1,2,3],\n\
         \"strings\":[{strings}]}}"
    )
}

/// All that matters in a small file: a root, an object, strings of every kind, numbers, a WeakMap's entry.
fn zoo() -> String {
    let nodes = "9,1,1,0,4,0\n,3,2,3,24,3,0\n,2,3,5,16,0,0,10,5,7,32,0,0,11,6,9,32,0,0,6,7,11,56,0,0,\
                 2,8,13,0,0,0,4,9,15,8,1,0,2,9,17,24,0,0,13,12,19,16,0,0,2,1,21,16,0,0";
    let edges = "1,1,6,1,-2,12,2,3,18,4,7,24,3,4,12\n,2,10,30,3,11,12,3,13,48";
    let functions = "0,14,9,0,0,0";
    let strings = r#""<dummy>","","Thing","pass\"w\u00f6rd","2 / part of key (Thing @3) -> value (pass\"w\u00f6rd @5) pair in WeakMap (table @9)",
"(concatenated string)","a sliced text","secret.*","3.25","/srv/app.js","https://me:pw@host/?q=1","plain","12345678901234567890","name","main""#;
    file(nodes, edges, functions, strings)
}

fn redact(bytes: &[u8], salt: &str, cuts: &[usize]) -> Result<(Vec<u8>, RedactStats), RedactError> {
    let mut redactor = Redactor::new(salt.as_bytes());
    let (mut out, mut at) = (Vec::new(), 0);
    let mut cuts = cuts.iter().cycle();
    while at < bytes.len() {
        let len = cuts.next().map_or(bytes.len(), |&cut| cut.max(1)).min(bytes.len() - at);
        redactor.feed(&bytes[at..at + len], &mut out)?;
        at += len;
    }
    let stats = redactor.finish(&mut out)?;
    Ok((out, stats))
}

#[track_caller]
fn redacted(file: &str) -> Snapshot {
    let (out, _) = redact(file.as_bytes(), "salt", &[file.len()]).expect("a sound file");
    parsed(&out)
}

#[track_caller]
fn parsed(bytes: &[u8]) -> Snapshot {
    let mut parser = Parser::new(Options::default());
    parser.feed(bytes).expect("a snapshot");
    let parsed = parser.finish().expect("a snapshot");
    assert_eq!(parsed.damage, []);
    parsed.snapshot
}

fn node_names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.nodes().map(|node| snapshot.raw_name_text(node).to_string_lossy().into_owned()).collect()
}

fn edge_names(snapshot: &Snapshot) -> Vec<String> {
    let edges = snapshot.nodes().flat_map(|node| snapshot.edges(node));
    edges
        .map(|edge| match snapshot.edge_name(edge) {
            Some(name) => snapshot.strings.get(name).to_string_lossy().into_owned(),
            None => snapshot.edge_name_or_index(edge).to_string(),
        })
        .collect()
}

#[test]
fn values_go_and_names_stay() {
    let (before, after) = (parsed(zoo().as_bytes()), redacted(&zoo()));
    let (old, new) = (node_names(&before), node_names(&after));
    assert_eq!(old.len(), new.len());
    // The root, an object, V8's own word, a script and its name, an empty string.
    for kept in [0, 1, 3, 7, 8, 10] {
        assert_eq!(old[kept], new[kept]);
    }
    for replaced in [2, 4, 5, 6, 9] {
        assert_ne!(old[replaced], new[replaced]);
        assert_eq!(old[replaced].chars().count(), new[replaced].len());
    }
    assert!(new[6].bytes().all(|b| b.is_ascii_digit()), "a number: {}", new[6]);
    for node in before.nodes() {
        assert_eq!(before.id(node), after.id(node));
        assert_eq!(before.node_type(node), after.node_type(node));
    }
    let (old, new) = (edge_names(&before), edge_names(&after));
    for (at, (old, new)) in old.iter().zip(&new).enumerate() {
        assert_eq!(old != new, [4, 5].contains(&at), "{old} {new}");
    }
    let value = &node_names(&after)[2];
    let want = format!("2 / part of key (Thing @3) -> value ({value} @5) pair in WeakMap (table @9)");
    assert_eq!(new[4], want);
    assert!(new[5].starts_with("https://") && new[5].contains("@host/?") && !new[5].contains("me:pw"));
}

#[test]
fn nothing_of_a_value_is_left_in_the_bytes() {
    let (out, stats) = redact(zoo().as_bytes(), "salt", &[7]).unwrap();
    let out = String::from_utf8(out).unwrap();
    for secret in ["sliced text", "secret", "3.25", "me:pw", "q=1", "1234567890"] {
        assert!(zoo().contains(secret), "{secret}");
        assert!(!out.contains(secret), "{secret}");
    }
    // The password is a property's name as well, and those stay.
    assert_eq!(out.matches("pass").count(), 1);
    assert_eq!((stats.nodes, stats.strings, stats.values_replaced), (11, 15, 5));
    assert_eq!((stats.script_names_kept, stats.labels_masked), (1, 2));
    assert_eq!(stats.bytes_read, zoo().len() as u64);
}

#[test]
fn the_salt_decides() {
    let with = |salt| redact(zoo().as_bytes(), salt, &[zoo().len()]).unwrap().0;
    assert_eq!(with("a"), with("a"));
    assert_ne!(with("a"), with("b"));
}

#[test]
fn every_cut_gives_the_same_bytes() {
    let whole = redact(zoo().as_bytes(), "salt", &[zoo().len()]).unwrap();
    for len in 1..200 {
        assert_eq!(redact(zoo().as_bytes(), "salt", &[len]).unwrap(), whole, "{len}");
    }
}

#[test]
fn a_file_cut_short_is_refused() {
    let zoo = zoo();
    for len in 0..zoo.len() {
        let error = redact(&zoo.as_bytes()[..len], "salt", &[64]).unwrap_err();
        match error {
            RedactError::Empty => assert_eq!(len, 0),
            RedactError::Truncated { offset, .. } => assert_eq!(offset, len as u64),
            other => panic!("{len}: {other}"),
        }
    }
}

/// Big enough for the fast path, and with everything in it that it has to leave to the slow one.
fn large(newlines: bool) -> String {
    let end = if newlines { "\n," } else { "," };
    let record = |i: u64| {
        let kind = [2, 3, 6, 4, 10, 13][i as usize % 6];
        let id = if i.is_multiple_of(97) { 123_456_789_012 + i } else { 2 * i + 1 };
        format!("{kind},{},{id},{},1,0", 1 + i * 7 % 1200, i % 5 * 100)
    };
    let nodes: Vec<String> = (0..5000).map(record).collect();
    let edge = |i: u64| {
        let kind = [0, 1, 2, 3, 4, 5, 6][i as usize % 7];
        let name = if kind == 1 && i.is_multiple_of(50) { -2 } else { (1 + i * 11 % 1200) as i64 };
        format!("{kind},{name},{}", i * 13 % 5000 * 6)
    };
    let edges: Vec<String> = (0..5000).map(edge).collect();
    let strings: Vec<String> = (0..=1200)
        .map(|i| match i % 3 {
            0 => format!("\"{i} / part of key (K @{i}) -> value (secret @3) pair in WeakMap (table @5)\""),
            1 => format!("\"text number {i} \\u00e4\\n\""),
            _ => format!("\"{i}\""),
        })
        .collect();
    file(&nodes.join(end), &edges.join(end), "", &strings.join(if newlines { ",\n" } else { "," }))
}

#[test]
fn the_fast_path_gives_what_the_slow_one_gives() {
    for newlines in [false, true] {
        let file = large(newlines);
        let whole = redact(file.as_bytes(), "salt", &[file.len()]).unwrap();
        for cuts in [&[1][..], &[100], &[1500], &[4096, 3, 70_000], &[65_536]] {
            assert!(redact(file.as_bytes(), "salt", cuts).unwrap() == whole, "{cuts:?}");
        }
        let (before, after) = (parsed(file.as_bytes()), parsed(&whole.0));
        let ids =
            |s: &Snapshot| s.nodes().map(|n| (s.id(n), s.node_type(n), s.self_size(n))).collect::<Vec<_>>();
        assert_eq!(ids(&before), ids(&after));
        let targets = |s: &Snapshot| {
            let edges = s.nodes().flat_map(|n| s.edges(n));
            edges.map(|e| (s.edge_to(e), s.edge_type(e))).collect::<Vec<_>>()
        };
        assert_eq!(targets(&before), targets(&after));
        for (old, new) in edge_names(&before).iter().zip(edge_names(&after)) {
            if !old.contains("WeakMap") {
                assert_eq!(*old, new);
            }
        }
    }
}

#[test]
fn a_long_text_is_replaced_without_being_kept() {
    let text = "é\\n😀\\\\x".repeat(400_000);
    let file = file("9,1,1,0,0,0,2,2,3,8,0,0", "", "", &format!("\"<dummy>\",\"\",\"{text}\""));
    let whole = redact(file.as_bytes(), "salt", &[file.len()]).unwrap();
    assert!(redact(file.as_bytes(), "salt", &[1000, 77_777]).unwrap() == whole);
    let name = &node_names(&parsed(&whole.0))[1];
    assert_eq!(name.len(), 400_000 * 6);
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()));
}

#[track_caller]
fn check_refused(file: &str, section: Section, words: &str) {
    let error = redact(file.as_bytes(), "salt", &[3]).expect_err("refused");
    assert!(error.to_string().contains(words), "{error}");
    let (RedactError::Order { section: at, offset, .. } | RedactError::Damaged { section: at, offset, .. }) =
        error
    else {
        panic!("{error}");
    };
    assert_eq!(at, section, "{error}");
    assert!(offset <= file.len() as u64);
}

#[test]
fn what_one_pass_can_not_do_is_refused() {
    let header = format!("{{\"snapshot\":{{\"meta\":{META}}},");
    let with = |rest: &str| format!("{header}{rest}}}");
    check_refused(
        &with(r#""strings":["a"],"nodes":[],"edges":[]"#),
        Section::Strings,
        "strings stand in front",
    );
    check_refused(
        &with(r#""nodes":[],"strings":["a"],"edges":[]"#),
        Section::Strings,
        "strings stand in front",
    );
    check_refused(
        &with(r#""edges":[],"nodes":[],"strings":["a"]"#),
        Section::Edges,
        "nodes have to come first",
    );
    check_refused(&with(r#""nodes":[],"edges":[],"notes":["x"],"strings":[]"#), Section::Unknown, "`notes`");
    check_refused(&with(r#""nodes":[],"nodes":[]"#), Section::Nodes, "twice");
    check_refused(&with(r#""nodes":[],"edges":[]"#), Section::Strings, "missing");
    check_refused(&format!("{{\"nodes\":[],\"snapshot\":{{\"meta\":{META}}}}}"), Section::Nodes, "header");
    let empty = with(r#""nodes":[],"edges":[],"notes":[],"strings":[]"#);
    assert!(redact(empty.as_bytes(), "salt", &[1]).is_ok());
}

#[test]
fn damage_is_refused_with_its_place() {
    let check = |nodes, edges, strings, section, words| {
        check_refused(&file(nodes, edges, "", strings), section, words);
    };
    check("9,1,1,0,0", "", "\"\"", Section::Nodes, "incomplete");
    check("9,1,1,0,0,0,", "", "\"\"", Section::Nodes, "a number was expected");
    check("9,1,1,0 0,0,0", "", "\"\"", Section::Nodes, "a number was expected");
    check("9,-1,1,0,0,0", "", "\"\"", Section::Nodes, "a number was expected");
    check("99,1,1,0,0,0", "", "\"\"", Section::Nodes, "no type 99");
    check("9,4294967295,1,0,0,0", "", "\"\"", Section::Nodes, "number of a string");
    check("9,2000000000,1,0,0,0", "", "\"\"", Section::Nodes, "number of a string");
    check("9,7,1,0,0,0", "", "\"a\",\"b\"", Section::Strings, "refers to string 7");
    check("9,0,1,0,0,0", "", "\"a\" \"b\"", Section::Strings, "a comma was expected");
    check("9,0,1,0,0,0", "", "\"a\",", Section::Strings, "a string was expected");
    check("9,0,1,0,0,0", "2,true,0", "\"a\"", Section::Edges, "a number was expected");
}

#[test]
fn other_files_are_named() {
    let check = |text: &str, want: &str| {
        let error = redact(text.as_bytes(), "salt", &[1]).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    };
    check("{\"head\":{\"callFrame\"", "sampling heap profile");
    check("{\"samples\":[{", "sampling heap profile");
    check("GIF89a", "not a V8 heap snapshot");
    check("{}", "not a V8 heap snapshot");
    check("{\"snapshot\":{}}", "header");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damaged_bytes_do_not_panic_and_cuts_agree(
        changes in prop::collection::vec((0.0..1.0f64, prop::sample::select(b",,,0129[]{}\":\\ \n-.eu\xFF\xE2".to_vec())), 1..6),
        cuts in prop::collection::vec(1usize..300, 1..5),
    ) {
        let mut bytes = zoo().into_bytes();
        for (place, byte) in changes {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        let whole = redact(&bytes, "salt", &[bytes.len()]);
        prop_assert_eq!(redact(&bytes, "salt", &cuts), whole);
    }
}
