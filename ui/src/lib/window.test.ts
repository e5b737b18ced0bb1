import { expect, test } from "vitest";

import { type Extent, MOST_PIXELS, bodyHeight, offsetAt, offsetToReveal, rowsInView, scrollTopFor } from "./window";

const extent = (rows: number): Extent => ({ rows, rowHeight: 24, viewHeight: 626, headHeight: 26 });
/** As far as a browser lets the page be scrolled. */
const end = (list: Extent) => bodyHeight(list) + list.headHeight - list.viewHeight;

test("a short list is scrolled pixel by pixel", () => {
  const list = extent(1000);
  expect(bodyHeight(list)).toBe(24_000);
  expect(offsetAt(240, list)).toBe(240);
  expect(rowsInView(240, list)).toEqual([2, 45]);
  expect(offsetAt(end(list), list)).toBe(24_000 - 600);
});

test("a list that fits is not scrolled", () => {
  expect(offsetAt(0, extent(3))).toBe(0);
  expect(rowsInView(0, extent(3))).toEqual([0, 3]);
  expect(rowsInView(0, extent(0))).toEqual([0, 0]);
  expect(offsetToReveal(2, 0, extent(3))).toBe(0);
});

test.each([1_000_000, 20_000_000, 400_000_000])("of %i rows the first and the last can be reached", (rows) => {
  const list = extent(rows);
  expect(bodyHeight(list)).toBe(MOST_PIXELS);
  expect(offsetAt(0, list)).toBe(0);
  expect(offsetAt(end(list), list)).toBe(rows * 24 - 600);
  expect(rowsInView(offsetAt(end(list), list), list)[1]).toBe(rows);
  expect(offsetToReveal(rows - 1, 0, list)).toBe(rows * 24 - 600);
  expect(scrollTopFor(rows * 24 - 600, list)).toBeCloseTo(end(list));
});

test.each([1000, 1_000_000])("of %i rows each is seen whole when it is asked for, and only as far as needed", (rows) => {
  const list = extent(rows);
  const at = 500 * 24;
  // 25 rows fit.
  expect(offsetToReveal(500, at, list)).toBe(at);
  expect(offsetToReveal(524, at, list)).toBe(at);
  expect(offsetToReveal(525, at, list)).toBe(at + 24);
  expect(offsetToReveal(499, at, list)).toBe(at - 24);
  expect(offsetToReveal(700, at, list, true)).toBe(700 * 24 - 288);
  expect(offsetToReveal(0, at, list, true)).toBe(0);
});
