//! `twinheap redact` on real snapshots: what was planted is gone, and every analysis says the same as before.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "snapshots of a few megabytes are read as a whole, and the test crate has no faster hash maps"
)]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Plants secrets of every kind in a main thread and in a worker, and writes a snapshot of each.
/// They are made from a seed, so that none stands in the script itself.
const PLANT: &str = r#"
const { createHash } = require('crypto');
const { writeFileSync } = require('fs');
const { Worker, isMainThread, workerData } = require('worker_threads');
const v8 = require('v8'), vm = require('vm');
const folder = isMainThread ? process.argv[2] : workerData.folder;
const planted = [];
function secret(what) {
  const text = createHash('sha256').update(folder + what + isMainThread).digest('hex').slice(0, 24);
  planted.push(text);
  return text;
}
class Keeper { constructor() { this.named = true; } }
const keeper = globalThis.keeper = new Keeper();
const big = secret('sliced') + ' '.repeat(20) + secret('sliced too');
keeper.plain = 'p' + secret('plain');
keeper.cons = secret('cons a') + secret('cons b');
keeper.deep = ['x', 'y', 'z'].reduce((all, one) => all + secret(one), 'start');
keeper.sliced = big.substring(3, 60);
keeper.template = `a ${secret('template')} b`;
keeper.wide = '\u03a9\u2028"\\' + secret('wide') + '\u{1F600}\ud800';
keeper.tail = secret('latin') + '\u00e9\u00df';
keeper.url = `https://user:${secret('url pw')}@host/?token=${secret('url token')}`;
keeper.map = new Map([[secret('map key'), { a: secret('map value') }], [keeper.url + 'm', 1]]);
keeper.set = new Set([secret('set')]);
keeper.weak = new WeakMap();
keeper.keys = [new Keeper(), new Keeper(), {}, new RegExp(secret('weak regexp'))];
keeper.weak.set(keeper.keys[0], secret('weak string'));
keeper.weak.set(keeper.keys[1], 'x) -> value (' + secret('weak trap') + ' @1) pair in WeakMap (table @3');
keeper.weak.set(keeper.keys[2], 'a\n' + secret('weak line'));
keeper.weak.set(keeper.keys[3], keeper.keys[0]);
keeper.weak.set(keeper.url.length ? keeper : null, secret('weak 1') + secret('weak 2'));
keeper.regexp = new RegExp('^' + secret('regexp') + '$', 'g');
keeper.buffer = Buffer.from(secret('buffer'), 'latin1').toString('latin1');
keeper.error = new Error(secret('error'));
keeper.json = JSON.parse(JSON.stringify({ token: secret('json'), list: [secret('list')] }));
keeper.number = parseInt(secret('number'), 16) / 3;
keeper.smi = 700000000 + (parseInt(secret('smi').slice(0, 6), 16) % 300000000);
keeper.bigint = BigInt('0x' + secret('bigint'));
planted.push(String(keeper.number), String(keeper.smi));
keeper[`https://user:${secret('key pw')}@host/path?token=${secret('key token')}`] = {};
keeper['data:text/plain;base64,' + secret('data')] = {};
keeper.wrapped = new String(secret('wrapped'));
keeper.closure = ((kept) => () => kept)(secret('closure'));
keeper.bound = keeper.closure.bind(secret('this'), secret('argument'));
keeper.promise = Promise.resolve(secret('promise'));
keeper.generator = (function* (kept) { yield kept; })(secret('generator'));
keeper.generator.next();
keeper.twins = [0, 1, 2].map((n) => ['twin', n * 0, secret('twin').toUpperCase()].join('-'));
const built = `https://user:${secret('script pw')}@host/lib/module.js?token=${secret('script token')}`;
// The name of a script in one piece.
const place = Object.keys({ [built]: 1 })[0];
keeper.evaluated = vm.runInThisContext('(function inScript() { return inScript; })', { filename: place });
keeper.data = isMainThread ? null : workerData;
if (!isMainThread) planted.push(workerData.token);
const name = `${folder}/${isMainThread ? 'main' : 'worker'}`;
writeFileSync(`${name}.json`, JSON.stringify(planted));
v8.writeHeapSnapshot(`${name}.heapsnapshot`, { exposeNumericValues: true, exposeInternals: !isMainThread });
if (isMainThread) {
  const token = secret('worker data');
  new Worker(__filename, { workerData: { folder, token } });
}
"#;

/// Pieces of secrets that are looked for.
const PIECE: usize = 8;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redact").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("cannot empty the folder of an earlier run");
    }
    fs::create_dir_all(&folder).expect("cannot create a folder in target");
    folder
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinheap")).args(arguments).output().expect("twinheap runs")
}

#[track_caller]
fn answer(arguments: &[&str]) -> Vec<u8> {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&answer(arguments)).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// Lets a Node version write its snapshots, redacts them and compares.
#[track_caller]
fn check_node(name: &str) {
    let folder = folder(name);
    let script = folder.join("plant.cjs");
    fs::write(&script, PLANT).expect("a new file");
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/node_modules");
    let node = modules.join(name).join("bin/node");
    assert!(node.is_file(), "{} is missing: run `cargo xtask setup`", node.display());
    let status = Command::new(node).arg(&script).arg(&folder).status().expect("node runs");
    assert!(status.success());
    for thread in ["main", "worker"] {
        let before = folder.join(format!("{thread}.heapsnapshot"));
        let after = redacted(&before);
        let secrets = fs::read(folder.join(format!("{thread}.json"))).expect("the list of secrets");
        let secrets: Vec<String> = serde_json::from_slice(&secrets).expect("a list");
        check_gone(&secrets, &before, &after);
        check_same_analysis(&before, &after);
        check_same_places(&before, &after);
    }
    fs::remove_dir_all(folder).expect("cannot remove the test's folder");
}

#[track_caller]
fn redacted(before: &Path) -> PathBuf {
    let (after, again) = (before.with_extension("redacted"), before.with_extension("again"));
    for target in [&after, &again] {
        answer(&["redact", text(before), text(target), "--salt", "a salt", "--quiet"]);
    }
    assert!(fs::read(&after).expect("the file") == fs::read(again).expect("the file"), "the same salt");
    after
}

/// No piece of a secret may be in the file any more.
#[track_caller]
fn check_gone(secrets: &[String], before: &Path, after: &Path) {
    let pieces: HashSet<&[u8]> = secrets.iter().flat_map(|secret| secret.as_bytes().windows(PIECE)).collect();
    let found = |file: &Path| -> HashSet<Vec<u8>> {
        let bytes = fs::read(file).expect("the snapshot");
        bytes.windows(PIECE).filter(|window| pieces.contains(window)).map(<[u8]>::to_vec).collect()
    };
    let planted = found(before).len();
    // Numbers are there only if Node can be asked for them, and BigInts never.
    assert!(planted * 10 > pieces.len() * 8, "{planted} of {} pieces were planted", pieces.len());
    let left = found(after);
    let shown: Vec<_> = left.iter().map(|piece| String::from_utf8_lossy(piece)).collect();
    let kinds: Vec<_> = secrets
        .iter()
        .enumerate()
        .filter(|(_, secret)| secret.as_bytes().windows(PIECE).any(|piece| left.contains(piece)))
        .collect();
    assert!(left.is_empty(), "{} is left: {shown:?} of {kinds:?}", after.display());
}

#[track_caller]
fn check_same_analysis(before: &Path, after: &Path) {
    // Not as JSON: names of real classes hold half a surrogate pair, which serde refuses.
    let summary = |file: &Path| {
        let summary = String::from_utf8(answer(&["summary", text(file), "--json"])).expect("UTF-8");
        summary.replace(file.file_name().and_then(|name| name.to_str()).expect("a name"), "")
    };
    let (old, new) = (summary(before), summary(after));
    assert!(old.len() > 10_000);
    old.split("},{").zip(new.split("},{")).for_each(|(old, new)| assert_eq!(old, new));
    assert_eq!(old.len(), new.len());

    let columns = |file: &Path| -> Vec<Vec<u8>> {
        let table = answer(&["export", text(file), "--nodes", "-"]);
        let without_name = |row: &[u8]| {
            row.split(|&b| b == b'\t')
                .enumerate()
                .filter(|(at, _)| *at != 1)
                .map(|(_, cell)| cell)
                .collect::<Vec<_>>()
                .join(&b' ')
        };
        table.split(|&b| b == b'\n').map(without_name).collect()
    };
    let (old, new) = (columns(before), columns(after));
    assert_eq!(old.len(), new.len());
    assert!(old.len() > 1000);
    let different = old.iter().zip(&new).filter(|(old, new)| old != new);
    different.for_each(|(old, new)| {
        panic!("{:?} {:?}", String::from_utf8_lossy(old), String::from_utf8_lossy(new))
    });

    check_same_texts(before, after);
}

/// Flat strings with equal texts have equal texts again, and different ones different texts: nodes stay in their order.
/// Short texts have few replacements, so that two may get the same.
#[track_caller]
fn check_same_texts(before: &Path, after: &Path) {
    let texts = |file: &Path| -> Vec<Vec<u8>> {
        let table = answer(&["export", text(file), "--nodes", "-"]);
        let text_of = |row: &[u8]| {
            let cells: Vec<&[u8]> = row.split(|&b| b == b'\t').collect();
            (cells.get(7) == Some(&&b"string"[..])).then(|| cells[1].to_vec())
        };
        table.split(|&b| b == b'\n').filter_map(text_of).collect()
    };
    let (old, new) = (texts(before), texts(after));
    assert_eq!(old.len(), new.len());
    let (mut there, mut back) = (HashMap::new(), HashMap::new());
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(*there.entry(old).or_insert(new), new);
        if new.len() > 12 {
            assert_eq!(*back.entry(new).or_insert(old), old);
        }
    }
    assert!(back.len() > 1000);
}

/// Paths to some objects, and where in the source functions stand.
#[track_caller]
fn check_same_places(before: &Path, after: &Path) {
    let functions = |file: &Path| {
        let mut list = json(&["objects", text(file), "--class", "Function", "--limit", "100000", "--json"]);
        list["file"] = Value::Null;
        list
    };
    let (mut old, mut new) = (functions(before), functions(after));
    let of_planted = |list: &Value| {
        let objects = list["objects"].as_array().expect("a list");
        objects.iter().find(|object| object["name"] == "inScript").cloned()
    };
    if let (Some(old), Some(new)) = (of_planted(&old), of_planted(&new)) {
        let (old, new) = (&old["location"]["script"], &new["location"]["script"]);
        if let (Some(old), Some(new)) = (old.as_str(), new.as_str()) {
            assert_eq!(old.len(), new.len());
            assert!(new.contains("@host/lib/module.js?"), "{new}");
        }
    }
    let without_planted = |list: &mut Value| {
        let objects = list["objects"].as_array_mut().expect("a list");
        objects.retain(|object| object["name"] != "inScript");
        std::mem::take(objects)
    };
    let (old, new) = (without_planted(&mut old), without_planted(&mut new));
    assert_eq!(old.len(), new.len());
    old.iter().zip(&new).for_each(|(old, new)| assert_eq!(old, new));
    let scripts = old.iter().filter(|object| object["location"]["script"].is_string()).count();
    assert!(scripts > 0, "no function has a script");

    for object in old.iter().step_by(old.len() / 6 + 1) {
        let id = object["id"].to_string();
        let path = |file: &Path| {
            let mut path = json(&["path", text(file), &id, "--json"]);
            path["file"] = Value::Null;
            for node in path["nodes"].as_array_mut().into_iter().flatten() {
                if node["type"].as_str().is_some_and(|kind| kind.contains("string") || kind == "regexp") {
                    node["name"] = Value::Null;
                }
                if node["edge"]["name"].as_str().is_some_and(|name| name.contains("WeakMap")) {
                    node["edge"]["name"] = Value::Null;
                }
            }
            path
        };
        assert_eq!(path(before), path(after));
    }
}

#[test]
fn node_18() {
    check_node("node18");
}

#[test]
fn node_20() {
    check_node("node20");
}

#[test]
fn node_22() {
    check_node("node22");
}

#[test]
fn node_24() {
    check_node("node24");
}

#[test]
fn node_26() {
    check_node("node26");
}

#[test]
fn fixtures_say_the_same_before_and_after() {
    let folder = folder("fixtures");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut checked = 0;
    for entry in fs::read_dir(fixtures).expect("the fixtures").flatten() {
        let packed = entry.path();
        if packed.extension().is_none_or(|ending| ending != "zst") {
            continue;
        }
        let plain = folder.join(packed.file_stem().expect("a name"));
        let source = File::open(&packed).expect("a fixture");
        zstd::stream::copy_decode(source, File::create(&plain).expect("a new file")).expect("a whole file");
        let after = redacted(&plain);
        check_same_analysis(&plain, &after);
        // Compressed or not, the same comes out.
        let twice = folder.join("packed.heapsnapshot.zst");
        answer(&["redact", text(&packed), text(&twice), "--salt", "a salt"]);
        let unpacked = zstd::stream::decode_all(File::open(&twice).expect("the file")).expect("a whole file");
        assert!(unpacked == fs::read(after).expect("the file"));
        checked += 1;
    }
    assert!(checked >= 7);
    fs::remove_dir_all(folder).expect("cannot remove the test's folder");
}

#[test]
fn bad_input_leaves_no_file() {
    let folder = folder("bad");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let packed = fs::read(fixtures.join("node12.heapsnapshot.zst")).expect("a fixture");
    let plain = zstd::stream::decode_all(&packed[..]).expect("a whole file");
    let out = folder.join("out.heapsnapshot");
    let cases: [(&str, &[u8], &str); 4] = [
        ("cut", &plain[..plain.len() / 2], "ends too early"),
        ("cut.zst", &packed[..packed.len() / 2], "broken or cut short"),
        ("profile", b"{\"head\":{}}", "sampling heap profile"),
        ("empty", b"", "empty"),
    ];
    for (name, bytes, words) in cases {
        let file = folder.join(name);
        fs::write(&file, bytes).expect("a new file");
        let output = run(&["redact", text(&file), text(&out)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        assert!(said.contains("hint: "), "{name}: {said}");
        assert!(!out.exists() && !folder.join("out.heapsnapshot.part").exists(), "{name}");
    }
    fs::remove_dir_all(folder).expect("cannot remove the test's folder");
}

#[test]
fn the_file_is_private_and_two_runs_differ_unless_salted() {
    let folder = folder("salt");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node12.heapsnapshot.zst");
    let (one, two, packed) = (folder.join("one"), folder.join("two"), folder.join("three.gz"));
    let said = run(&["redact", text(&fixture), text(&one)]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("--salt"));
    answer(&["redact", text(&fixture), text(&two)]);
    let (first, second) = (fs::read(&one).expect("the file"), fs::read(&two).expect("the file"));
    assert!(first.len() == second.len() && first != second);
    answer(&["redact", text(&one), text(&packed), "--salt", "x"]);
    let piped = answer(&["redact", text(&packed), "-", "--salt", "x", "--quiet"]);
    assert!(piped.starts_with(b"{\"snapshot\":"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&one).expect("the file").permissions().mode() & 0o777, 0o600);
    }
    fs::remove_dir_all(folder).expect("cannot remove the test's folder");
}
