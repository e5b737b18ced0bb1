//! Snapshots of a program that was compiled from TypeScript: the page shows where the source is, and what ran.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::lab::{Page, cli};

#[test]
fn places_are_those_in_the_source_and_in_what_ran() {
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/gallery/typescript");
    let gallery = gallery.canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // As on a server, of which nothing is left here but the snapshots.
    let dist = folder.path().join("srv/dist");
    fs::create_dir_all(&dist).unwrap();
    for file in ["server.js", "server.js.map"] {
        fs::copy(gallery.join("dist").join(file), dist.join(file)).unwrap();
    }
    let mut node = Command::new("node");
    node.arg(gallery.join("main.cjs")).arg(folder.path()).arg(dist.join("server.js"));
    assert!(node.status().unwrap().success());
    fs::remove_dir_all(folder.path().join("srv")).unwrap();
    let dumps: Vec<PathBuf> =
        (1..=4).map(|rung| folder.path().join(format!("{rung}.heapsnapshot"))).collect();
    let dumps: Vec<&Path> = dumps.iter().map(PathBuf::as_path).collect();

    let root = ["--source-root", gallery.to_str().unwrap()];
    let page = Page::with(&dumps, &root);
    page.wait();
    let names: Vec<&str> = dumps.iter().map(|path| path.to_str().unwrap()).collect();
    let known = cli(&[&["leaks"], &root[..], &names].concat());
    let place = &page.get("api/files/3/leaks").json()["suspects"][0]["location"];
    check(place, &gallery);
    assert_eq!(*place, known["suspects"][0]["location"]);

    let list = ["objects", "--class", "SessionStore", names[3]];
    let object = &cli(&[&list, &root[..]].concat())["objects"][0];
    let shown = page.get(&format!("api/files/3/object?id={}", object["id"])).json();
    check(&shown["object"]["location"], &gallery);
    assert_eq!(shown["object"]["location"], object["location"]);
    let classes = page.get("api/files/3/classes?filter=SessionStore").json();
    check(&classes["rows"][0]["location"], &gallery);

    // Without the checkout there is only what ran.
    let page = Page::open(&dumps[3..]);
    page.wait();
    let shown = page.get(&format!("api/files/0/object?id={}", object["id"])).json();
    let place = &shown["object"]["location"];
    assert_eq!(place["script"], object["location"]["compiled"]["script"], "{shown}");
    assert!(place.get("compiled").is_none(), "{shown}");
}

#[track_caller]
fn check(place: &Value, gallery: &Path) {
    assert_eq!(place["script"], gallery.join("src/server.ts").to_str().unwrap(), "{place}");
    assert!(place["compiled"]["script"].as_str().unwrap().ends_with("srv/dist/server.js"), "{place}");
    assert_ne!(place["compiled"]["line"], place["line"]);
}
