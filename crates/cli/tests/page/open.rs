//! `twinheap open` on the real binary: who may ask, what is answered, and that its numbers are the command line's.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use super::lab::{Page, cli, fixture, twinheap};

/// A small heap whose strings would do something in a page that doesn't take them for text.
fn hostile_snapshot() -> String {
    let strings = [
        "",
        "<script>window.hit=1</script>",
        "\\\"><img src=x onerror=window.hit=1>",
        "</script><script>window.hit=1</script>",
        "\\u202ejavascript:window.hit=1",
        "\\ud800lone",
        "{{constructor.constructor('window.hit=1')()}}",
        "a\\nb\\tc\\u0000d",
    ];
    // Root, and an object of each name that it holds by a property of the next one.
    let count = strings.len() - 1;
    let mut nodes = vec![format!("9,0,1,0,{count},0")];
    let mut edges = Vec::new();
    for at in 1..=count {
        let kind = if at % 2 == 0 { 2 } else { 3 };
        nodes.push(format!("{kind},{at},{},{},0,0", 2 * at + 1, 10 * at));
        edges.push(format!("2,{},{}", at % count + 1, 6 * at));
    }
    let list = |texts: &[&str]| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","detachedness"],
        "node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic"],"string","number","number","number","number"],
        "edge_fields":["type","name_or_index","to_node"],
        "edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],
        "trace_function_info_fields":[],"trace_node_fields":[],"sample_fields":[],"location_fields":[]}},
        "node_count":{},"edge_count":{},"trace_function_count":0}},
        "nodes":[{}],"edges":[{}],"trace_function_infos":[],"trace_tree":[],"samples":[],"locations":[],"strings":[{}]}}"#,
        nodes.len(),
        edges.len(),
        nodes.join(","),
        edges.join(","),
        list(&strings)
    )
}

#[test]
fn only_who_knows_the_address_is_answered() {
    let page = Page::open(&[&fixture("node24-a.heapsnapshot.zst")]);
    let (host, token) = (&page.host, &page.token);
    #[track_caller]
    fn check(page: &Page, method: &str, path: &str, head: &str, status: u16) {
        let response = page.ask(method, path, head);
        assert_eq!(response.status, status, "{method} {path} {head}: {}", response.head);
        let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';";
        assert!(response.head.contains(policy), "{}", response.head);
        for wanted in
            ["cache-control: no-store", "referrer-policy: no-referrer", "x-content-type-options: nosniff"]
        {
            assert!(response.head.contains(wanted), "{wanted}: {}", response.head);
        }
        if status == 403 {
            let told = response.json();
            assert!(told["error"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(told["hint"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }
    let own = format!("Host: {host}\r\n");
    let state = format!("/{token}/api/state");
    check(&page, "GET", &state, &own, 200);
    check(&page, "GET", &format!("/{token}/"), &own, 200);
    check(&page, "GET", &format!("/{token}"), &own, 308);
    check(&page, "GET", &format!("/{token}/nothing"), &own, 404);
    check(&page, "GET", &format!("/{token}/api/nothing"), &own, 404);
    // No token, half of one, another one.
    check(&page, "GET", "/", &own, 403);
    check(&page, "GET", "/api/state", &own, 403);
    check(&page, "GET", &format!("/{}/api/state", &token[..32]), &own, 403);
    check(&page, "GET", &format!("/{}/api/state", "0".repeat(64)), &own, 403);
    check(&page, "GET", &format!("//{token}/api/state"), &own, 403);
    // A name that somebody's DNS leads here.
    check(&page, "GET", &state, "Host: evil.example\r\n", 403);
    check(&page, "GET", &state, "", 403);
    let port = host.rsplit(':').next().unwrap();
    check(&page, "GET", &state, &format!("Host: localhost:{port}\r\n"), 200);
    // Another page behind the request; over a tunnel the port is another one, for both.
    check(&page, "GET", &state, &format!("{own}Origin: http://{host}\r\n"), 200);
    check(&page, "GET", &state, "Host: localhost:9\r\nOrigin: http://localhost:9\r\n", 200);
    check(&page, "GET", &state, &format!("{own}Origin: https://evil.example\r\n"), 403);
    check(&page, "GET", &state, &format!("{own}Origin: null\r\n"), 403);
    check(&page, "GET", &state, &format!("{own}Origin: http://localhost:1\r\n"), 403);
    check(&page, "GET", &state, &format!("{own}Sec-Fetch-Site: cross-site\r\n"), 403);
    check(&page, "GET", &state, &format!("{own}Sec-Fetch-Site: same-origin\r\n"), 200);
    // Nothing changes anything.
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        check(&page, method, &state, &format!("{own}Content-Length: 0\r\n"), 405);
    }
}

#[test]
fn the_rows_are_those_of_the_command_line() {
    let file = fixture("node24-b.heapsnapshot.zst");
    let page = Page::open(&[&fixture("node24-a.heapsnapshot.zst"), &file]);
    page.wait();
    let name = file.to_str().unwrap();
    let summary = cli(&["summary", name]);
    let info = page.get("api/files/1/info").json();
    for key in ["nodes", "edges", "total_size", "extra_native_bytes", "statistics"] {
        assert_eq!(info[key], summary[key], "{key}");
    }
    let wanted = summary["classes"].as_array().unwrap();
    let rows = page.rows("api/files/1/classes?", 97);
    assert_eq!(rows.len(), wanted.len());
    for (row, wanted) in rows.iter().zip(wanted) {
        for key in ["key", "count", "shallow_size", "retained_size", "distance"] {
            assert_eq!(row[key], wanted[key], "{wanted}");
        }
    }
    // Objects of a class, in each order that both have.
    let class = rows.iter().find(|row| row["name"] == "Map").unwrap();
    for order in ["retained", "shallow", "distance", "id"] {
        let objects = cli(&["objects", name, "--class", "Map", "--sort", order, "--limit", "1000000"]);
        let ascending = order == "distance" || order == "id";
        let path = format!(
            "api/files/1/list?of=instances&class_id={}&sort={order}&ascending={ascending}",
            class["class_id"]
        );
        let ids: Vec<&Value> = objects["objects"].as_array().unwrap().iter().map(|o| &o["id"]).collect();
        let rows = page.rows(&path, 1000);
        assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ids, "{order}");
        let sizes = |list: &[Value]| list.iter().map(|o| o["retained_size"].clone()).collect::<Vec<_>>();
        assert_eq!(sizes(&rows), sizes(objects["objects"].as_array().unwrap()));
    }
    // One object: what it refers to, who holds it, how it is reached, what it dominates.
    let id =
        page.rows(&format!("api/files/1/list?of=instances&class_id={}", class["class_id"]), 1000)[0]["id"]
            .clone();
    let id = id.to_string();
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    let object = cli(&["object", name, &id]);
    let children = page.rows(&format!("api/files/1/list?of=children&id={id}"), 1000);
    assert_eq!(ids(&children), ids(object["edges"].as_array().unwrap()));
    assert_eq!(page.get(&format!("api/files/1/object?id=@{id}")).json()["self_size"], object["self_size"]);
    let path = cli(&["path", name, &id]);
    let steps = page.get(&format!("api/files/1/path?id={id}")).json();
    assert_eq!(ids(steps["steps"].as_array().unwrap()), ids(path["nodes"].as_array().unwrap()));
    let search = cli(&["objects", name, "--search", "node:internal/timers", "--limit", "1000000"]);
    let found = page.rows("api/files/1/list?of=search&text=node:internal/timers", 1000);
    assert_eq!(ids(&found), ids(search["objects"].as_array().unwrap()));
    assert!(!found.is_empty());
    // The comparison.
    let before = fixture("node24-a.heapsnapshot.zst");
    let diff = cli(&["diff", before.to_str().unwrap(), name]);
    let rows = page.rows("api/diff?base=0&new=1", 100);
    let wanted = diff["classes"].as_array().unwrap();
    assert_eq!(rows.len(), wanted.len());
    for (row, wanted) in rows.iter().zip(wanted) {
        for key in ["key", "added", "removed", "delta", "allocated_size", "freed_size", "size_delta"] {
            assert_eq!(row[key], wanted[key], "{wanted}");
        }
    }
    let strings = cli(&["strings", name, "--limit", "1000000"]);
    let rows = page.rows("api/files/1/strings?", 1000);
    assert_eq!(rows.len(), strings["duplicates"].as_array().map_or(0, Vec::len));
}

#[test]
fn an_order_is_one_order_however_it_is_cut_into_pages() {
    let page = Page::open(&[&fixture("node24-b.heapsnapshot.zst")]);
    page.wait();
    #[track_caller]
    fn check(page: &Page, path: &str, key: &str, ascending: bool) {
        let path = format!("{path}&ascending={ascending}");
        let rows = page.rows(&path, 1000);
        assert_eq!(page.rows(&path, 333), rows, "{path}");
        let numbers: Vec<i64> = rows.iter().map(|row| row[key].as_i64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| if ascending { a <= b } else { a >= b }), "{path}");
        assert!(rows.len() > 10, "{path}");
    }
    for ascending in [true, false] {
        for (sort, key) in [("count", "count"), ("shallow", "shallow_size"), ("retained", "retained_size")] {
            check(&page, &format!("api/files/0/classes?sort={sort}"), key, ascending);
        }
        for (sort, key) in [("shallow", "shallow_size"), ("retained", "retained_size"), ("id", "id")] {
            check(&page, &format!("api/files/0/list?of=search&text=timers&sort={sort}"), key, ascending);
        }
        check(&page, "api/files/0/strings?sort=count", "count", ascending);
    }
    // The two treemaps: what lies in a tile is not more than the tile.
    #[track_caller]
    fn fits(tile: &Value) {
        let children = tile["children"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sum: u64 = children.iter().map(|child| child["size"].as_u64().unwrap()).sum();
        assert!(sum <= tile["size"].as_u64().unwrap(), "{}: {sum}", tile["name"]);
        children.iter().for_each(fits);
    }
    for by in ["class", "package"] {
        let tiles = page.get(&format!("api/files/0/tiles?by={by}")).json();
        fits(&tiles);
        assert!(tiles["children"].as_array().unwrap().len() >= 2, "{tiles}");
    }
}

#[test]
fn strings_of_a_dump_stay_strings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.heapsnapshot");
    std::fs::write(&path, hostile_snapshot()).unwrap();
    let page = Page::open(&[&path]);
    let state = page.wait();
    assert_eq!(state["files"][0]["status"], "ready", "{state}");
    let rows = page.rows("api/files/0/list?of=children&id=1", 1000);
    let names: BTreeSet<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in [
        "<script>window.hit=1</script>",
        "\"><img src=x onerror=window.hit=1>",
        "</script><script>window.hit=1</script>",
        "\u{202e}javascript:window.hit=1",
        "\u{fffd}lone",
        "a\nb\tc\0d",
    ] {
        assert!(names.contains(name), "{name:?} {names:?}");
    }
    for path in
        ["api/state", "api/files/0/list?of=children&id=1", "api/files/0/list?of=search&text=%3Cscript"]
    {
        assert!(page.get(path).head.contains("content-type: application/json"), "{path}");
    }
}

#[test]
fn what_makes_no_sense_is_answered_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.heapsnapshot");
    std::fs::write(&broken, "this is no snapshot").unwrap();
    let page = Page::open(&[&fixture("node24-a.heapsnapshot.zst"), &broken]);
    let state = page.wait();
    assert_eq!(state["files"][1]["status"], "failed");
    assert!(state["files"][1]["problem"]["error"].as_str().unwrap().contains("can't read"), "{state}");
    for (path, status) in [
        ("api/files/0/list?of=children&id=99999999999", 404),
        ("api/files/0/list?of=children&id=x", 400),
        ("api/files/0/list?of=instances&class_id=4294967295", 404),
        ("api/files/0/list?of=instances&class_id=-1", 400),
        ("api/files/0/list?of=nonsense", 400),
        ("api/files/0/list", 400),
        ("api/files/0/list?of=search&text=%20", 400),
        ("api/files/0/list?of=children&id=1&sort=nonsense", 400),
        ("api/files/0/classes?sort=nonsense", 400),
        ("api/files/0/classes?only=nonsense", 400),
        ("api/files/0/classes?offset=-1", 400),
        ("api/files/0/classes?limit=99999999999999999999999", 400),
        ("api/files/0/merged?class_id=1&step=99999999", 404),
        ("api/files/0/path?id=1&ignore=2,x", 400),
        ("api/files/0/native/summary", 400),
        ("api/files/1/info", 400),
        ("api/files/7/info", 404),
        ("api/files/x/info", 404),
        ("api/diff?base=0&new=1", 400),
        ("api/diff?base=0", 400),
    ] {
        let response = page.get(path);
        assert_eq!(response.status, status, "{path}: {}", String::from_utf8_lossy(&response.body));
        let told = response.json();
        for key in ["error", "hint"] {
            assert!(told[key].as_str().is_some_and(|text| !text.is_empty()), "{path}: {told}");
        }
    }
    // Far behind the end is the end.
    let end = page.get("api/files/0/classes?offset=18446744073709551615").json();
    assert_eq!(end["rows"].as_array().unwrap().len(), 0);
}

#[test]
fn it_does_not_start_where_it_must_not() {
    #[track_caller]
    fn check(args: &[&str], code: i32, words: &str) {
        let output = twinheap().arg("open").args(args).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(words) && told.contains("hint: "), "{told}");
        assert!(output.stdout.is_empty());
    }
    let file = fixture("node24-a.heapsnapshot.zst");
    let file = file.to_str().unwrap();
    check(&[file, "--listen", "0.0.0.0:0"], 2, "can be reached from other machines");
    check(&["/nonexistent.heapsnapshot"], 2, "can't open");
    check(&["/"], 2, "it is a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    check(&[file, "--listen", &taken.local_addr().unwrap().to_string()], 2, "can't listen");
}
