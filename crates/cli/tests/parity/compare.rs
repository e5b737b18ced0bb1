//! Compares twinheap's answers with DevTools', and collects what differs.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Lines},
    path::Path,
};

use serde_json::Value;

/// What a row of the Summary tells, but for its key.
const CLASS_FIELDS: &[&str] = &["name", "count", "shallow_size", "retained_size", "distance"];

/// How many examples of one kind of difference are shown.
const EXAMPLES: usize = 4;

/// What differs, by file and kind.
#[derive(Default)]
pub(crate) struct Differences {
    found: BTreeMap<String, (usize, Vec<String>)>,
    /// How many values were compared: a test that compared none proves nothing.
    compared: usize,
}

impl Differences {
    /// Compares two values; `example` says which they are.
    fn check<T: Copy + PartialEq + std::fmt::Debug>(
        &mut self,
        kind: &str,
        ours: T,
        devtools: T,
        example: impl FnOnce() -> String,
    ) {
        self.compared += 1;
        if ours != devtools {
            self.add(kind, || format!("{}: twinheap {ours:?}, DevTools {devtools:?}", example()));
        }
    }

    fn add(&mut self, kind: &str, example: impl FnOnce() -> String) {
        let (count, examples) = self.found.entry(kind.to_owned()).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    /// Fails if anything differs, or if nothing was compared.
    #[track_caller]
    pub(crate) fn assert_none(&self) {
        assert!(self.compared > 0, "nothing was compared");
        if self.found.is_empty() {
            return;
        }
        let mut message = String::from("twinheap and DevTools differ:\n");
        for (kind, (count, examples)) in &self.found {
            message += &format!("  {kind}: {count} times, such as\n");
            for example in examples {
                message += &format!("    {example}\n");
            }
        }
        panic!("{message}");
    }

    /// `summary --json` against the oracle's summary.
    pub(crate) fn summary(&mut self, file: &str, ours: &Value, devtools: &Value) {
        for field in ["nodes", "edges", "total_size", "extra_native_bytes"] {
            self.check(&format!("{file} {field}"), &ours[field], &devtools[field], || field.to_owned());
        }
        let statistics = devtools["statistics"].as_object().expect("statistics");
        for (slice, value) in statistics {
            self.check(&format!("{file} statistics"), &ours["statistics"][slice], value, || slice.clone());
        }
        self.rows(&format!("{file} classes"), &ours["classes"], &repaired_rows(devtools), CLASS_FIELDS);
        self.ordered(&format!("{file} class order"), &ours["classes"], "retained_size");
    }

    /// `diff --json` against the oracle's comparison.
    pub(crate) fn comparison(&mut self, file: &str, ours: &Value, devtools: &Value) {
        self.rows(
            &format!("{file} comparison"),
            &ours["classes"],
            &repaired_rows(devtools),
            &["name", "added", "removed", "delta", "allocated_size", "freed_size", "size_delta"],
        );
    }

    /// `summary --filter --json` against what the Summary view shows with that filter.
    pub(crate) fn filtered(&mut self, kind: &str, ours: &Value, devtools: &Value) {
        self.rows(kind, &ours["classes"], &repaired_rows(devtools), CLASS_FIELDS);
    }

    /// `strings --json` against DevTools' list of duplicates, as sets of (text, how often, bytes).
    pub(crate) fn duplicates(&mut self, file: &str, ours: &Value, devtools: &Value) {
        let groups = |list: &Value, text: &str| {
            let group = |g: &Value| format!("{:?} × {}, {} bytes", g[text], g["count"], g["shallow_size"]);
            list.as_array().into_iter().flatten().map(group).collect()
        };
        self.same_things(
            &format!("{file} duplicate strings"),
            groups(ours, "text"),
            groups(devtools, "value"),
        );
    }

    /// A node's retainers or children as sets of (edge type, edge name, node).
    pub(crate) fn neighbours(&mut self, kind: &str, ours: &Value, devtools: &Value) {
        let ours = ours.as_array().into_iter().flatten();
        let ours =
            ours.map(|n| format!("{} {} @{}", n["edge"]["type"], n["edge"]["name"], n["id"])).collect();
        let theirs = devtools.as_array().into_iter().flatten();
        let theirs = theirs.map(|n| format!("{} {} @{}", n["edge_type"], n["edge"], n["id"])).collect();
        self.same_things(kind, ours, theirs);
    }

    fn same_things(&mut self, kind: &str, mut ours: Vec<String>, mut devtools: Vec<String>) {
        self.compared += 1;
        ours.sort_unstable();
        devtools.sort_unstable();
        for extra in ours.iter().filter(|thing| devtools.binary_search(thing).is_err()) {
            self.add(&format!("{kind}: extra"), || extra.clone());
        }
        for missing in devtools.iter().filter(|thing| ours.binary_search(thing).is_err()) {
            self.add(&format!("{kind}: missing"), || missing.clone());
        }
        self.check(&format!("{kind}: number"), ours.len(), devtools.len(), || "all".to_owned());
    }

    fn rows(&mut self, kind: &str, ours: &Value, expected: &[Value], fields: &[&str]) {
        let ours = by_key(ours.as_array().map_or(&[], Vec::as_slice));
        let mut expected = by_key(expected);
        for (key, rows) in ours {
            let theirs = expected.remove(&key).unwrap_or_default();
            for row in rows.iter().skip(theirs.len()) {
                self.add(&format!("{kind}: extra"), || row.to_string());
            }
            for row in theirs.iter().skip(rows.len()) {
                self.add(&format!("{kind}: missing"), || row.to_string());
            }
            for (row, theirs) in rows.iter().zip(theirs) {
                for field in fields {
                    self.check(&format!("{kind}: {field}"), &row[field], &theirs[field], || {
                        format!("{key:?}")
                    });
                }
            }
        }
        for row in expected.values().flatten() {
            self.add(&format!("{kind}: missing"), || row.to_string());
        }
    }

    fn ordered(&mut self, kind: &str, rows: &Value, field: &str) {
        let values: Vec<_> = rows.as_array().into_iter().flatten().map(|row| row[field].as_u64()).collect();
        self.check(kind, values.is_sorted_by(|a, b| a >= b), true, || format!("sorted by {field}"));
    }

    /// `export --nodes` against the oracle's table: every value of every node.
    #[track_caller]
    pub(crate) fn nodes(&mut self, file: &str, ours: &Path, devtools: &Path) {
        let (mut ours, mut devtools) = (lines(ours), lines(devtools));
        let header = devtools.next().expect("a header").expect("readable");
        let our_header = ours.next().and_then(Result::ok).unwrap_or_default();
        self.check(&format!("{file} header"), our_header.as_str(), &header, || "columns".to_owned());
        let columns: Vec<_> = header.split('\t').collect();
        loop {
            match (ours.next(), devtools.next()) {
                (None, None) => return,
                (Some(ours), Some(devtools)) => {
                    self.node(file, &columns, &ours.expect("UTF-8"), &devtools.expect("UTF-8"));
                }
                (ours, _) => {
                    let who = if ours.is_some() { "more" } else { "fewer" };
                    self.add(&format!("{file} node count"), || format!("twinheap has {who} rows"));
                    return;
                }
            }
        }
    }

    fn node(&mut self, file: &str, columns: &[&str], ours: &str, devtools: &str) {
        self.compared += 1;
        if ours == devtools {
            return;
        }
        let mut our_values = ours.split('\t');
        for (column, theirs) in columns.iter().zip(devtools.split('\t')) {
            let our_value = our_values.next().unwrap_or_default();
            // JSON allows several spellings of one string.
            let equal = our_value == theirs || theirs.starts_with('"') && text(our_value) == text(theirs);
            if !equal {
                self.add(&format!("{file} node {column}"), || {
                    format!("twinheap {our_value}, DevTools {theirs} in DevTools' row {devtools}")
                });
            }
        }
    }
}

/// DevTools' rows as they should be: without the rows that a fault spoils, with those that should be there instead.
fn repaired_rows(devtools: &Value) -> Vec<Value> {
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut repaired = rows(&devtools["classes"]);
    // In this order: the names are repaired in what remains after the collisions.
    for fault in ["collisions", "names"] {
        let fault = &devtools["faults"][fault];
        for wrong in rows(&fault["wrong"]) {
            let at = repaired.iter().position(|row| *row == wrong).expect("a fault is about a row");
            repaired.swap_remove(at);
        }
        repaired.extend(rows(&fault["right"]));
    }
    repaired
}

/// Rows by class key. Several classes can have one key in here, since unpaired surrogates are no text.
fn by_key(rows: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut sorted = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        sorted.entry(key_of(row)).or_default().push(row);
    }
    for rows in sorted.values_mut() {
        rows.sort_by_cached_key(|row| {
            ["retained_size", "shallow_size", "count", "added", "removed", "allocated_size"]
                .map(|field| row[field].as_u64())
        });
    }
    sorted
}

/// A row's class key.
pub(crate) fn key_of(row: &Value) -> String {
    row["key"].as_str().expect("a key").to_owned()
}

fn lines(path: &Path) -> Lines<BufReader<File>> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    BufReader::with_capacity(1 << 20, file).lines()
}

fn text(json: &str) -> String {
    serde_json::from_str(&without_unpaired_surrogates(json.as_bytes())).unwrap_or_default()
}

/// JSON text with U+FFFD for every escape of half a surrogate pair.
pub(crate) fn without_unpaired_surrogates(json: &[u8]) -> String {
    let json = std::str::from_utf8(json).expect("JSON is UTF-8");
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(High), Some(Low)) => 12,
            (Some(_), _) => {
                clean.push('\u{FFFD}');
                rest = &rest[6..];
                continue;
            }
            (None, _) => 2,
        };
        clean.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    clean + rest
}

enum Half {
    High,
    Low,
}
use Half::{High, Low};

/// Which half of a surrogate pair the text begins with, as a JSON escape.
fn surrogate(text: &str) -> Option<Half> {
    match u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()? {
        0xD800..=0xDBFF => Some(High),
        0xDC00..=0xDFFF => Some(Low),
        _ => None,
    }
}
