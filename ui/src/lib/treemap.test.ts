import { expect, test } from "vitest";

import type { Tile } from "./api";
import { layOut, layOutIcicle } from "./treemap";

const tile = (name: string, size: number, children: Tile[] = []): Tile => ({ name, size, count: 1, class: 1, children });

test("areas are in proportion, and tiles lie inside of each other", () => {
  const root = tile("all", 100, [tile("a", 60, [tile("b", 30)]), tile("c", 40)]);
  const boxes = layOut(root, 1000, 500, 17);
  const of = (name: string) => boxes.find((box) => box.tile.name === name)!;
  const area = (name: string) => of(name).width * of(name).height;
  expect(area("a") / area("c")).toBeCloseTo(1.5, 1);
  expect(of("b").x).toBeGreaterThanOrEqual(of("a").x);
  expect(of("b").y + of("b").height).toBeLessThanOrEqual(of("a").y + of("a").height);
  expect(of("b").group).toBe(of("a").group);
  // Half of `a` is its own.
  expect(area("b")).toBeLessThan(area("a") * 0.55);
  expect(of("b").path).toEqual([0, 0]);
});

test("what can't be seen is not drawn", () => {
  expect(layOut(tile("all", 1000, [tile("a", 999.9), tile("b", 0.1)]), 200, 100, 17).map((box) => box.tile.name)).toEqual(["a"]);
  expect(layOut(tile("all", 0), 0, 0, 17)).toEqual([]);
});

test("in an icicle the parts lie under the whole, as wide as they are large", () => {
  const boxes = layOutIcicle(tile("all", 100, [tile("a", 60, [tile("b", 30)]), tile("c", 40)]), 1000, 300, 17);
  const of = (name: string) => boxes.find((box) => box.tile.name === name)!;
  expect([of("all"), of("a"), of("b"), of("c")].map((box) => [Math.round(box.x), Math.round(box.y), Math.round(box.width + 1)])).toEqual([
    [0, 0, 1000],
    [0, 100, 600],
    [0, 200, 300],
    [600, 100, 400],
  ]);
});
