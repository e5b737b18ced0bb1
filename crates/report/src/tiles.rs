//! A whole cut into parts that don't overlap, with names: what a treemap shows.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;
use serde::Serialize;
use twinheap_jsheap::{Heap, dominated_tiles};
use twinheap_native::{FrameView, Side, blame};
use twinheap_trace::FrameKind;

use crate::native::{file_name, frame_words};

/// Longest name of a tile, in characters.
const NAME: usize = 80;

/// A rectangle. Its children add up to its size or less; the rest is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tile {
    /// What it is; texts out of a dump as they are, but cut.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Objects, or blocks.
    pub count: u64,
    /// The number of the class, if it is one.
    pub class: Option<u32>,
    /// What lies in it, largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Tile>,
}

impl Tile {
    /// A tile with nothing in it yet.
    pub fn named(name: &str) -> Tile {
        Tile { name: name.chars().take(NAME).collect(), ..Tile::default() }
    }
}

/// A heap by class: the dominator tree with siblings of one class merged, `depth` levels of it, without what is
/// smaller than `least` bytes.
pub fn class_tiles(heap: &Heap, depth: usize, least: u64) -> Tile {
    let tiles = dominated_tiles(heap, depth, least);
    let mut children: Vec<Vec<Tile>> = tiles.iter().map(|_| Vec::new()).collect();
    let mut whole = Tile::named("all");
    // Children stand behind their parents.
    for (at, tile) in tiles.iter().enumerate().rev() {
        let mut below = std::mem::take(&mut children[at]);
        below.reverse();
        let Some(parent) = tile.parent else {
            whole = Tile { size: tile.retained_size, count: tile.count, children: below, ..whole };
            continue;
        };
        let name = heap.classes().get(tile.class).name().to_string_lossy();
        children[parent].push(Tile {
            size: tile.retained_size,
            count: tile.count,
            class: Some(tile.class.0),
            children: below,
            ..Tile::named(&name)
        });
    }
    let native = heap.extra_native_bytes();
    if native > 0 {
        whole.size = heap.total_size();
        whole.children.push(Tile { size: native, ..Tile::named("native memory of no object") });
    }
    whole
}

/// The bytes alive at the end of a step by whose code allocated them: modules and scripts, and their call sites, as
/// [`blame`] finds them.
pub(crate) fn site_tiles(side: &Side<'_>, full_names: bool, least: u64) -> Tile {
    let mut whole = Tile::named("all");
    let mut owners: FxHashMap<String, (Tile, FxHashMap<String, Tile>)> = FxHashMap::default();
    for stack in &side.costs.stacks {
        let Ok(size @ 1..) = u64::try_from(stack.cost.leaked) else { continue };
        let frame = blame(side.heap, stack.stack).site.map(|site| site.frame);
        let (owner, site) = match &frame {
            Some(frame) => (owner_words(frame), frame_words(frame, full_names)),
            None => ("no stack".to_owned(), "no stack".to_owned()),
        };
        let (tile, sites) =
            owners.entry(owner).or_insert_with_key(|owner| (Tile::named(owner), FxHashMap::default()));
        let site = sites.entry(site).or_insert_with_key(|site| Tile::named(site));
        for tile in [&mut whole, tile, site] {
            tile.size = tile.size.saturating_add(size);
        }
    }
    let large = |tiles: &mut dyn Iterator<Item = Tile>| {
        let mut tiles: Vec<Tile> = tiles.filter(|tile| tile.size >= least).collect();
        tiles.sort_by(|a, b| Reverse(a.size).cmp(&Reverse(b.size)).then_with(|| a.name.cmp(&b.name)));
        tiles
    };
    let filled =
        owners.into_values().map(|(tile, sites)| Tile { children: large(&mut sites.into_values()), ..tile });
    whole.children = large(&mut filled.into_iter());
    whole
}

/// The library, addon or script that a line is in.
fn owner_words(frame: &FrameView<'_>) -> String {
    let is_script = frame.kind == FrameKind::Js || frame.module.is_empty();
    let path = if is_script { frame.file } else { frame.module };
    if path.is_empty() { "unknown code".to_owned() } else { file_name(path) }
}
