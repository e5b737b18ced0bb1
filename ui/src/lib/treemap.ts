/** Where the rectangles of a treemap lie. */
import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";

import type { Tile } from "./api";

export interface Box {
  tile: Tile;
  /** Names from the outermost tile shown to this one. */
  path: number[];
  depth: number;
  x: number;
  y: number;
  width: number;
  height: number;
  /** Which of the outermost tiles it is in: its colour. */
  group: number;
  /** Whether there is room for a name. */
  hasName: boolean;
}

/** Height of the line with a tile's name, in pixels. */
const NAME = 17;
/** What is smaller on a side is not drawn. */
const LEAST = 3;
const LEVELS = 3;

/** Lays out the tiles below `root`. A tile's own bytes are what its children leave of it. */
export function layOut(root: Tile, width: number, height: number): Box[] {
  if (width < 10 || height < 10) return [];
  const tree = hierarchy<Tile>(root, (tile) => tile.children)
    .sum(() => 0)
    .each((node) => {
      // d3 adds up leaves; these sizes are known for each tile, and children may leave some of it.
      (node as { value?: number }).value = node.data.size;
    });
  const boxes = treemap<Tile>().size([width, height]).tile(treemapSquarify.ratio(1.3)).paddingInner(2).paddingOuter(2).paddingTop((node) =>
    node.depth === 0 ? 0 : NAME,
  )(tree);
  const out: Box[] = [];
  const walk = (node: typeof boxes, group: number, path: number[]) => {
    node.children?.forEach((child, at) => {
      const box = {
        tile: child.data,
        path: [...path, at],
        depth: child.depth,
        x: child.x0,
        y: child.y0,
        width: child.x1 - child.x0,
        height: child.y1 - child.y0,
        group: group < 0 ? at : group,
      };
      if (box.width < LEAST || box.height < LEAST) return;
      out.push({ ...box, hasName: box.width > 34 && box.height > NAME - 3 });
      if (child.depth < LEVELS && box.width > 40 && box.height > NAME * 2) walk(child, box.group, box.path);
    });
  };
  walk(boxes, -1, []);
  return out;
}
