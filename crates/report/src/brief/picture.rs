//! Pictures in a report, as SVG that needs no script: a series as a line, a whole as rectangles.

use super::BriefNumber;
use crate::Style;
use crate::html::text;
use crate::names::clean;
use crate::tiles::Tile;

/// Size of a line's picture.
const LINE: (f64, f64) = (160.0, 36.0);
/// Room around the line, for its points.
const MARGIN: f64 = 3.0;
/// Steps with a point each; more would touch each other.
const MOST_POINTS: usize = 24;

/// A series as a line from zero up.
pub(super) fn sparkline(number: &BriefNumber) -> String {
    let steps = number.series.len();
    if steps < 2 {
        return String::new();
    }
    let most = number.series.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (width, height) = (LINE.0 - 2.0 * MARGIN, LINE.1 - 2.0 * MARGIN);
    let place = |(at, &value): (usize, &u64)| {
        let x = MARGIN + width * at as f64 / (steps - 1) as f64;
        (x, MARGIN + height * (1.0 - value as f64 / most))
    };
    let places: Vec<(f64, f64)> = number.series.iter().enumerate().map(place).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let line = line.join(" ");
    let ground = LINE.1 - MARGIN;
    let mut out = format!(
        "<svg class=\"line\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n\
         <polygon points=\"{MARGIN},{ground} {line} {},{ground}\"/><polyline points=\"{line}\"/>",
        LINE.0,
        LINE.1,
        text(&clean(&number.course.join(", "), 500)),
        LINE.0 - MARGIN,
    );
    if steps <= MOST_POINTS {
        for (x, y) in &places {
            out.push_str(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>"));
        }
    }
    out + "\n</svg>\n"
}

/// Size of the treemap; it is scaled to the page.
const MAP: (f64, f64) = (1080.0, 480.0);
/// The line with a tile's name, if others lie in it.
const NAME_HEIGHT: f64 = 16.0;
/// Between a tile and what lies in it.
const GAP: f64 = 2.0;
/// What is smaller on a side is not drawn.
const LEAST: f64 = 3.0;
/// Levels that are drawn in colour.
const LEVELS: usize = 3;
/// Width of a letter, a little more than most fonts have.
const LETTER: f64 = 6.2;
/// Colours.
const HUES: usize = 8;
/// If one tile is nearly all there is, its parts are what is worth telling apart.
const NEARLY_ALL: f64 = 0.6;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Where a tile is drawn, and how.
#[derive(Clone, Copy)]
struct Drawn {
    area: Area,
    /// Levels in colour, this one included.
    level: usize,
    /// The colour; `None` until the tiles are reached that are told apart by colour.
    hue: Option<usize>,
}

/// A tree of sizes as rectangles in rectangles.
pub(super) fn treemap(whole: &Tile, label: &str, style: &Style) -> String {
    let (width, height) = MAP;
    let mut out = format!(
        "<svg class=\"map\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n",
        text(&clean(label, 500))
    );
    let area = Area { x: 0.0, y: 0.0, width, height };
    draw_below(whole, Drawn { area, level: 0, hue: None }, whole.size, style, &mut out);
    out + "</svg>\n"
}

fn draw_below(tile: &Tile, drawn: Drawn, whole: u64, style: &Style, out: &mut String) {
    let is_one =
        tile.children.first().is_some_and(|first| first.size as f64 >= NEARLY_ALL * tile.size as f64);
    let areas = squarified(&tile.children, tile.size, drawn.area);
    for (number, (child, area)) in tile.children.iter().zip(areas).enumerate() {
        if area.width < LEAST || area.height < LEAST {
            continue;
        }
        // The one that is nearly all leaves the colours to its parts.
        let leaves = is_one && number == 0 && !child.children.is_empty();
        let hue = drawn.hue.or((!leaves).then_some(number % HUES));
        let level = drawn.level + usize::from(hue.is_some());
        draw(child, Drawn { area, level, hue }, whole, style, out);
    }
}

fn draw(tile: &Tile, drawn: Drawn, whole: u64, style: &Style, out: &mut String) {
    let Area { x, y, width, height } = drawn.area;
    let (hue, level) = (drawn.hue.map_or("none".to_owned(), |hue| hue.to_string()), drawn.level);
    let name = clean(&tile.name, 80);
    let name = if name.is_empty() { "(no name)".to_owned() } else { name };
    let size = style.size(tile.size);
    let count = if tile.count > 1 { format!(", {} objects", style.count(tile.count)) } else { String::new() };
    // What lies in a picture of its own is cut at its edges.
    out.push_str(&format!(
        "<svg x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"hue-{hue} level-{level}\">\
         <title>{}: {size}, {}{count}</title><rect width=\"100%\" height=\"100%\"/>",
        text(&name),
        style.percent(tile.size, whole),
    ));
    let letters = ((width - 8.0) / LETTER) as usize;
    let has_name = height >= NAME_HEIGHT && letters >= 4;
    if has_name {
        let words = format!("{name} {size}");
        let words = if words.chars().count() < letters { words } else { clean(&name, letters) };
        out.push_str(&format!("<text x=\"4\" y=\"12\">{}</text>", text(&words)));
    }
    out.push_str("</svg>\n");
    let head = if has_name { NAME_HEIGHT } else { GAP };
    let inner = Area { x: x + GAP, y: y + head, width: width - 2.0 * GAP, height: height - head - GAP };
    if has_name && drawn.level < LEVELS && inner.width > 4.0 * LEAST && inner.height > 4.0 * LEAST {
        draw_below(tile, Drawn { area: inner, ..drawn }, whole, style, out);
    }
}

/// Lays tiles, largest first, into an area that is as large as `whole`, as near to squares as they go: lines along the
/// shorter side, each as long as that makes its tiles no flatter (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).
fn squarified(tiles: &[Tile], whole: u64, area: Area) -> Vec<Area> {
    let scale = area.width * area.height / (whole as f64).max(1.0);
    let size = |tile: &Tile| tile.size as f64 * scale;
    let mut areas = Vec::with_capacity(tiles.len());
    let (mut rest, mut left) = (area, tiles);
    while !left.is_empty() {
        let side = rest.width.min(rest.height).max(f64::MIN_POSITIVE);
        let (mut taken, mut sum, mut flat) = (0, 0.0, f64::INFINITY);
        for tile in left {
            let sum_with = sum + size(tile);
            let depth = sum_with / side;
            // The largest and the smallest of a line are its flattest.
            let flat_with = [&left[0], tile]
                .map(|tile| size(tile) / depth / depth)
                .iter()
                .fold(1.0_f64, |worst, ratio| worst.max(*ratio).max(1.0 / ratio));
            if taken > 0 && flat_with > flat {
                break;
            }
            (taken, sum, flat) = (taken + 1, sum_with, flat_with);
        }
        let (line, behind) = left.split_at(taken.max(1));
        let depth = sum / side;
        let mut along = 0.0;
        for tile in line {
            let length = if depth > 0.0 { size(tile) / depth } else { 0.0 };
            areas.push(if rest.width >= rest.height {
                Area { x: rest.x, y: rest.y + along, width: depth, height: length }
            } else {
                Area { x: rest.x + along, y: rest.y, width: length, height: depth }
            });
            along += length;
        }
        if rest.width >= rest.height {
            rest = Area { x: rest.x + depth, width: (rest.width - depth).max(0.0), ..rest };
        } else {
            rest = Area { y: rest.y + depth, height: (rest.height - depth).max(0.0), ..rest };
        }
        left = behind;
    }
    // Lines of neighbours with something between them.
    areas
        .into_iter()
        .map(|area| Area { width: (area.width - 1.0).max(0.0), height: (area.height - 1.0).max(0.0), ..area })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(size: u64) -> Tile {
        Tile { size, ..Tile::default() }
    }

    #[test]
    fn tiles_have_their_share_of_the_area_and_do_not_overlap() {
        let sizes = [6, 6, 4, 3, 2, 2, 1, 0];
        let tiles: Vec<Tile> = sizes.iter().map(|&size| tile(size * 100)).collect();
        let area = Area { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };
        let areas = squarified(&tiles, 2400, area);
        assert_eq!(areas.len(), sizes.len());
        for (one, size) in areas.iter().zip(sizes) {
            let wanted = 240_000.0 * size as f64 / 24.0;
            let got = (one.width + 1.0) * (one.height + 1.0);
            assert!((got - wanted).abs() < 1.0 + wanted / 50.0 || size == 0, "{one:?} for {size}");
            assert!(one.x >= 10.0 && one.x + one.width <= 610.0, "{one:?}");
            assert!(one.y >= 20.0 && one.y + one.height <= 420.0, "{one:?}");
            let ratio = one.width / one.height;
            assert!(size == 0 || (0.25..4.0).contains(&ratio), "{one:?}");
        }
        for (at, a) in areas.iter().enumerate() {
            for b in &areas[..at] {
                let apart = a.x >= b.x + b.width
                    || b.x >= a.x + a.width
                    || a.y >= b.y + b.height
                    || b.y >= a.y + a.height;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn odd_sizes_make_no_odd_numbers() {
        let style = Style::default();
        for (children, whole) in [(vec![0, 0], 0), (vec![u64::MAX, 1], u64::MAX), (vec![5], 1), (vec![], 3)] {
            let children = children.into_iter().map(tile).collect();
            let map = treemap(&Tile { size: whole, children, ..Tile::default() }, "", &style);
            assert!(!map.contains("NaN") && !map.contains("inf"), "{map}");
        }
        let number = |series: &[u64]| BriefNumber::new("", series, &|value| value.to_string());
        for series in [&[0, 0][..], &[u64::MAX, 0], &[1; 100]] {
            let line = sparkline(&number(series));
            assert!(line.starts_with("<svg") && !line.contains("NaN") && !line.contains("inf"), "{line}");
        }
        assert_eq!(sparkline(&number(&[7])), "");
    }
}
