//! The treemap of the first page, as a tree with names.

use rustc_hash::FxHashMap;
use twinheap_jsheap::leaks::{Origin, package_of};
use twinheap_jsheap::{ClassId, script_shares};
use twinheap_report::{Tile, class_tiles};

use crate::heap_view::HeapView;

/// Levels below the root.
const DEPTH: usize = 5;
/// What is smaller than this part of the whole can't be seen.
const LEAST: u64 = 1500;

/// By class: who dominates whom.
pub(crate) fn by_class(view: &HeapView) -> Tile {
    class_tiles(&view.heap, DEPTH, view.heap.total_size() / LEAST)
}

/// A package and a script.
type Place = (String, String);
/// A class with its count and bytes in one place.
type Part = (ClassId, u64, u64);

/// By package: whose code holds it.
pub(crate) fn by_package(view: &HeapView) -> Tile {
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
    let mut packages: FxHashMap<String, Tile> = FxHashMap::default();
    for ((package, script), classes) in groups {
        let (count, size) = classes.iter().fold((0, 0), |(c, s), &(_, count, size)| (c + count, s + size));
        let classes = classes.into_iter().filter(|&(_, _, size)| size >= least);
        let children = classes.map(|(class, count, size)| {
            let name = view.heap.classes().get(class).name().to_string_lossy();
            Tile { size, count, class: Some(class.0), ..Tile::named(&name) }
        });
        let group = packages.entry(package).or_insert_with_key(|package| Tile::named(package));
        group.size += size;
        group.count += count;
        if size >= least {
            let children = children.collect();
            group.children.push(Tile { size, count, children, ..Tile::named(&script) });
        }
    }
    let mut children: Vec<Tile> = packages.into_values().filter(|tile| tile.size >= least).collect();
    sort(&mut children);
    children.iter_mut().for_each(|tile| sort(&mut tile.children));
    let count = children.iter().map(|tile| tile.count).sum();
    Tile { size: whole, count, children, ..Tile::named("all") }
}

fn sort(tiles: &mut [Tile]) {
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
    (package, name)
}
