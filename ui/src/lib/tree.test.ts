import { expect, test } from "vitest";

import { PAGE, Tree } from "./tree";

/** A tree in which row `a.b` has `sizes[depth]` children. */
async function grown(sizes: number[], opened: string[] = []) {
  const asked: string[] = [];
  const load = async (parent: string | null, offset: number, limit: number) => {
    asked.push(`${parent ?? ""}@${offset}`);
    const depth = parent === null ? 0 : parent.split(".").length;
    const total = sizes[depth] ?? 0;
    const length = Math.max(0, Math.min(limit, total - offset));
    const rows = Array.from({ length }, (_, i) => (parent === null ? `${offset + i}` : `${parent}.${offset + i}`));
    return { total, offset, rows };
  };
  const tree = new Tree<string>(load, (row) => row.split(".").at(-1)!, () => {}, opened);
  await settle();
  return { tree, asked };
}

const settle = () => new Promise((resolve) => setTimeout(resolve));

const shown = (tree: Tree<string>) => Array.from({ length: tree.size }, (_, at) => tree.line(at)?.row ?? "…");

test("open rows push the others down, at every depth", async () => {
  const { tree } = await grown([3, 2, 1]);
  expect(shown(tree)).toEqual(["0", "1", "2"]);
  tree.toggle(1);
  expect(shown(tree)).toEqual(["0", "1", "…", "2"]);
  await settle();
  tree.toggle(3);
  await settle();
  expect(shown(tree)).toEqual(["0", "1", "1.0", "1.1", "1.1.0", "2"]);
  tree.toggle(0);
  await settle();
  expect(shown(tree)).toEqual(["0", "0.0", "0.1", "1", "1.0", "1.1", "1.1.0", "2"]);
  expect(tree.line(6)).toMatchObject({ depth: 2, index: 0, siblings: 1, path: "1/1/0", isOpen: false });
  expect([tree.parentOf(6), tree.parentOf(5), tree.parentOf(3)]).toEqual([5, 3, -1]);
  expect(tree.find("1/1/0")).toBe(6);
  expect(tree.find("9")).toBe(-1);
  tree.toggle(3);
  expect(shown(tree)).toEqual(["0", "0.0", "0.1", "1", "2"]);
  expect(tree.opened.sort()).toEqual(["0", "1/1"]);
});

test("a million rows are counted and not fetched", async () => {
  const { tree, asked } = await grown([1_000_000, 500_000]);
  tree.toggle(10);
  await settle();
  expect(tree.size).toBe(1_500_000);
  expect(tree.line(1_499_999)).toMatchObject({ row: undefined, index: 999_999 });
  tree.show(1_499_990, 1_500_000);
  await settle();
  expect(tree.line(1_499_999)?.row).toBe("999999");
  expect(asked).toEqual(["@0", "10@0", `@${1_000_000 - PAGE}`]);
});

test("what was open in an address is opened again", async () => {
  const { tree } = await grown([2, 2, 1], ["1", "1/0"]);
  await settle();
  await settle();
  expect(shown(tree)).toEqual(["0", "1", "1.0", "1.0.0", "1.1"]);
});

test("a failure is told where its rows would be", async () => {
  let fails = false;
  const load = async (parent: string | null) => {
    if (fails) throw new Error("gone");
    return { total: 1, offset: 0, rows: [`${parent ?? ""}x`] };
  };
  const tree = new Tree<string>(load, (row) => row, () => {});
  await settle();
  fails = true;
  tree.toggle(0);
  await settle();
  expect(tree.size).toBe(2);
  expect(tree.line(1)?.error?.message).toBe("gone");
});

test("what is stopped says nothing more", async () => {
  let changes = 0;
  const tree = new Tree<string>(async () => ({ total: 1, offset: 0, rows: ["x"] }), (row) => row, () => (changes += 1));
  tree.stop();
  await settle();
  expect(changes).toBe(0);
});

test("a row without siblings opens by itself, if it is asked to", async () => {
  const load = async (parent: string | null) => {
    const depth = parent === null ? 0 : parent.length;
    const total = [1, 1, 2, 1][depth] ?? 0;
    return { total, offset: 0, rows: Array.from({ length: total }, (_, i) => `${parent ?? ""}${i}`) };
  };
  const tree = new Tree<string>(load, (row) => row, () => {}, [], () => true);
  for (let i = 0; i < 5; i += 1) await settle();
  expect(shown(tree)).toEqual(["0", "00", "000", "001"]);
});
