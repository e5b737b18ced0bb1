// The page on a snapshot of 450 MB: every view comes up, a list of a million rows is scrolled from end to end, and what
// clicks take is printed.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PATIENCE, browser, cells, cli, count, newPage, open, shown, size, table } from "./lab.mjs";
import { writeLarge } from "./large.mjs";
import { measureAll, report } from "./measure.mjs";

const BYTES = 450e6;
/** A file of this size takes its time on a busy machine. */
const LONG = { timeout: 10 * PATIENCE };

let folder;
let file;
let server;
let chrome;
let page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "twinheap-large-"));
  file = writeLarge(folder, BYTES);
  [server, chrome] = await Promise.all([open(file), browser()]);
  page = await newPage(chrome);
}, LONG);

after(async () => {
  await chrome?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

test("every view of 450 MB comes up, with the command line's numbers", LONG, async (context) => {
  const summary = cli("summary", file);
  const [largest] = summary.classes;
  const began = performance.now();
  await page.goto(`${server.address}?view=summary`);
  const grid = await table(page, "Classes");
  context.diagnostic(`first table ${Math.round(performance.now() - began)} ms after the address`);
  const [name, number] = await cells(grid.getByRole("row").nth(1));
  assert.ok(name.includes(largest.name), name);
  assert.equal(number, count(largest.count));
  const { rows } = await server.get("api/files/0/classes?filter=session&limit=1");
  for (const view of [
    "start",
    "start&by=package",
    "containment",
    "dominators",
    "dominators&as=icicle",
    "statistics",
    "strings",
    `paths&class=${rows[0].class_id}`,
    "search&q=session",
    `summary&id=${(await server.get("api/files/0/info")).root_id}&pane=path`,
  ]) {
    await page.goto(`${server.address}?view=${view}`);
    await shown(page);
    assert.equal(await page.getByRole("alert").count(), 0, view);
    if (view === "start") assert.ok((await page.locator("main").innerText()).includes(size(summary.total_size)));
  }
  assert.deepEqual(page.problems, []);
});

test("a list of a million rows is scrolled from end to end, by the pointer and by keys", LONG, async () => {
  const text = "e";
  const rowAt = (index) => server.get(`api/files/0/list?of=search&text=${text}&limit=1&offset=${index}`);
  const { total } = await rowAt(0);
  assert.ok(total >= 1_000_000, `only ${total}`);
  await page.goto(`${server.address}?view=search&q=${text}`);
  const grid = await table(page, "Search results");
  await page.getByText(`${count(total)} objects`).waitFor();
  /** The row at a position is there, whole within the table's view, and the object that it should be. */
  const seen = async (index) => {
    const row = grid.locator(`[aria-rowindex="${index + 2}"]`);
    const { rows } = await rowAt(index);
    await row.locator(".id", { hasText: new RegExp(`^ ?@${rows[0].id}$`) }).waitFor();
    const [box, view] = [await row.boundingBox(), await grid.boundingBox()];
    // The headings are in front of the first rows; half a pixel is nobody's fault.
    const isWhole = box.y >= view.y + 25.5 && box.y + box.height <= view.y + view.height + 0.5;
    assert.ok(isWhole, `${index}: ${JSON.stringify([box, view])}`);
    return row;
  };
  const chosen = async (index) => (await seen(index)).and(page.locator('[aria-selected="true"]')).waitFor();
  await grid.focus();
  await seen(0);
  await page.keyboard.press("End");
  await chosen(total - 1);
  for (let up = 1; up <= 8; up += 1) {
    await page.keyboard.press("ArrowUp");
    // Each is there before the next one is asked for.
    await chosen(total - 1 - up);
  }
  await page.keyboard.press("Home");
  await chosen(0);
  await page.keyboard.press("PageDown");
  await page.keyboard.press("ArrowDown");
  const chosenRow = await grid.locator('[aria-selected="true"]').getAttribute("aria-rowindex");
  const below = Number(chosenRow) - 2;
  assert.ok(below > 1);
  await chosen(below);
  // The bar of the list, dragged to its middle and to its end.
  const first = async () => {
    await page.waitForFunction(() => !document.querySelector(".waiting"));
    return grid.evaluate((element) => {
      const top = element.getBoundingClientRect().top + 26;
      const rows = [...element.querySelectorAll("[role=row][aria-level]")];
      return Number(rows.find((row) => row.getBoundingClientRect().top >= top - 1).getAttribute("aria-rowindex")) - 2;
    });
  };
  await grid.evaluate((element) => element.scrollTo(0, (element.scrollHeight - element.clientHeight) / 2));
  const middle = await first();
  assert.ok(Math.abs(middle / total - 0.5) < 0.001, `${middle} of ${total}`);
  await seen(middle);
  // A key goes on from where the choice is, and brings it into view.
  await page.keyboard.press("ArrowUp");
  await chosen(below - 1);
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await seen(total - 1);
  assert.deepEqual(page.problems, []);
});

test("how long clicks take on 450 MB", LONG, async (context) => {
  const times = await measureAll(page, server, 4, 5);
  assert.deepEqual([...times.keys()], ["open a class", "open an object", "sort", "search", "retainers"]);
  for (const line of report(times)) context.diagnostic(line);
  assert.deepEqual(page.problems, []);
});
