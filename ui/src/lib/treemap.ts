/** Where the rectangles of a treemap lie. */
import { type HierarchyRectangularNode, hierarchy, partition, treemap, treemapSquarify } from "d3-hierarchy";

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

/** What is smaller on a side is not drawn. */
const LEAST = 3;
const LEVELS = 3;

/** If one tile is nearly all there is, its parts are what is worth telling apart. */
const NEARLY_ALL = 0.6;

/** Lays out the tiles below `root`. A tile's own bytes are what its children leave of it; `nameHeight` is in pixels. */
export function layOut(root: Tile, width: number, height: number, nameHeight: number): Box[] {
  if (width < 10 || height < 10) return [];
  const boxes = treemap<Tile>()
    .size([width, height])
    .tile(treemapSquarify.ratio(1.3))
    .paddingInner(2)
    .paddingOuter(2)
    .paddingTop((node) => (node.depth === 0 ? 0 : nameHeight))(sized(root));
  return boxesOf(boxes, LEVELS, nameHeight);
}

/** Lays them out as an icicle: each level is a line, and what is below a tile lies under it. */
export function layOutIcicle(root: Tile, width: number, height: number, nameHeight: number): Box[] {
  if (width < 10 || height < 10) return [];
  const levels = Math.max(2, Math.floor(height / (nameHeight * 2)));
  const tree = sized(root);
  const depth = Math.min(levels, tree.height + 1);
  const boxes = partition<Tile>().size([width, (height / depth) * (tree.height + 1)])(tree);
  return boxesOf(boxes, depth - 1, nameHeight, true);
}

/** d3 adds up leaves; these sizes are known for each tile, and children may leave some of it. */
function sized(root: Tile) {
  return hierarchy<Tile>(root, (tile) => tile.children)
    .sum(() => 0)
    .each((node) => {
      (node as { value?: number }).value = node.data.size;
    });
}

function boxesOf(root: HierarchyRectangularNode<Tile>, levels: number, nameHeight: number, isIcicle = false): Box[] {
  const out: Box[] = [];
  const add = (node: HierarchyRectangularNode<Tile>, group: number, path: number[]): Box | undefined => {
    const gap = isIcicle ? 1 : 0;
    const box = {
      tile: node.data,
      path,
      depth: node.depth,
      x: node.x0,
      y: node.y0,
      width: node.x1 - node.x0 - gap,
      height: node.y1 - node.y0 - gap,
      group,
    };
    if (box.width < LEAST || box.height < LEAST) return undefined;
    const shown = { ...box, hasName: box.width > 34 && box.height > nameHeight - 3 };
    out.push(shown);
    return shown;
  };
  const walk = (node: HierarchyRectangularNode<Tile>, group: number, path: number[]) => {
    node.children?.forEach((child, at) => {
      const box = add(child, group < 0 ? at : group, [...path, at]);
      if (!box) return;
      const isNearlyAll = child.depth === 1 && child.data.size > root.data.size * NEARLY_ALL;
      const hasRoom = isIcicle || (box.width > 40 && box.height > nameHeight * 2);
      if (child.depth < levels && hasRoom) walk(child, isNearlyAll ? -1 : box.group, box.path);
    });
  };
  if (isIcicle) add(root, 0, []);
  walk(root, -1, []);
  return out;
}
