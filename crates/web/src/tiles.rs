//! The treemap of the first page, as a tree with names.

use rustc_hash::FxHashMap;
use serde::Serialize;
use twinheap_jsheap::leaks::{Origin, package_of};
use twinheap_jsheap::{ClassId, dominated_tiles, script_shares};

use crate::heap_view::HeapView;
use crate::rows::cut;

/// Levels below the root.
const DEPTH: usize = 5;
/// What is smaller than this part of the whole can't be seen.
const LEAST: u64 = 1500;
/// Longest name of a tile, in characters.
const NAME: usize = 80;

/// A rectangle. Its children add up to its size or less; the rest is its own.
#[derive(Debug, Serialize)]
pub(crate) struct TileJson {
    name: String,
    /// Bytes.
    size: u64,
    count: u64,
    /// The class to look at, if it is one.
    class: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<TileJson>,
}

/// By class: who dominates whom.
pub(crate) fn by_class(view: &HeapView) -> TileJson {
    let heap = &view.heap;
    let least = heap.total_size() / LEAST;
    let tiles = dominated_tiles(heap, DEPTH, least);
    let mut children: Vec<Vec<TileJson>> = tiles.iter().map(|_| Vec::new()).collect();
    let mut whole = None;
    // Children stand behind their parents.
    for (at, tile) in tiles.iter().enumerate().rev() {
        let mut below = std::mem::take(&mut children[at]);
        below.reverse();
        let json = TileJson {
            name: view.class_label(tile.class, NAME),
            size: tile.retained_size,
            count: tile.count,
            class: Some(tile.class.0),
            children: below,
        };
        match tile.parent {
            Some(parent) => children[parent].push(json),
            None => whole = Some(json),
        }
    }
    let mut whole = whole.unwrap_or(TileJson {
        name: String::new(),
        size: 0,
        count: 0,
        class: None,
        children: Vec::new(),
    });
    "all".clone_into(&mut whole.name);
    whole.class = None;
    let native = heap.extra_native_bytes();
    if native > 0 {
        whole.size = heap.total_size();
        whole.children.push(TileJson {
            name: "native memory of no object".to_owned(),
            size: native,
            count: 0,
            class: None,
            children: Vec::new(),
        });
    }
    whole
}

/// A package and a script.
type Place = (String, String);
/// A class with its count and bytes in one place.
type Part = (ClassId, u64, u64);

/// By package: whose code holds it.
pub(crate) fn by_package(view: &HeapView) -> TileJson {
    let mut groups: FxHashMap<Place, Vec<Part>> = FxHashMap::default();
    let mut whole = 0;
    for share in script_shares(&view.heap) {
        whole += share.shallow_size;
        groups.entry(place(view, share.script_id)).or_default().push((
            share.class,
            share.count,
            share.shallow_size,
        ));
    }
    let least = whole / LEAST;
    let mut packages: FxHashMap<String, TileJson> = FxHashMap::default();
    for ((package, script), classes) in groups {
        let (count, size) = classes.iter().fold((0, 0), |(c, s), &(_, count, size)| (c + count, s + size));
        let classes = classes.into_iter().filter(|&(_, _, size)| size >= least);
        let children = classes.map(|(class, count, size)| TileJson {
            name: view.class_label(class, NAME),
            size,
            count,
            class: Some(class.0),
            children: Vec::new(),
        });
        let tile = TileJson { name: script, size, count, class: None, children: children.collect() };
        let empty =
            || TileJson { name: package.clone(), size: 0, count: 0, class: None, children: Vec::new() };
        let group = packages.entry(package.clone()).or_insert_with(empty);
        group.size += size;
        group.count += count;
        if size >= least {
            group.children.push(tile);
        }
    }
    let mut children: Vec<TileJson> = packages.into_values().filter(|tile| tile.size >= least).collect();
    sort(&mut children);
    children.iter_mut().for_each(|tile| sort(&mut tile.children));
    let count = children.iter().map(|tile| tile.count).sum();
    TileJson { name: "all".to_owned(), size: whole, count, class: None, children }
}

fn sort(tiles: &mut [TileJson]) {
    tiles.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
}

/// Whose a script is, and its name.
fn place(view: &HeapView, script_id: Option<u32>) -> Place {
    let Some(id) = script_id else { return ("no code holds it".to_owned(), "no code holds it".to_owned()) };
    let Some(name) = view.script_name(id) else {
        return ("unnamed scripts".to_owned(), format!("script {id}"));
    };
    let package = match Origin::of(&name) {
        Origin::Runtime => "Node.js itself".to_owned(),
        Origin::Package => package_of(&name).unwrap_or_default(),
        Origin::Program => "the application".to_owned(),
    };
    (package, cut(&name, NAME).0)
}
