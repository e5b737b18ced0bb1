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
  const { rows } = await server.get("api/files/0/classes?sort=count&limit=1");
  const [most] = rows;
  assert.ok(most.count >= 1_000_000, `${most.name}: ${most.count}`);
  await page.goto(`${server.address}?view=summary&sort=count&open=${most.class_id}`);
  const grid = await table(page, "Classes");
  const list = `api/files/0/list?of=instances&class_id=${most.class_id}&limit=1`;
  const idAt = async (index) => (await server.get(`${list}&offset=${index}`)).rows[0].id;
  /** The object at a position of the class, when its row is there and within the table's view. */
  const seen = async (index) => {
    const row = grid.locator(`[aria-level="2"][aria-posinset="${index + 1}"]`);
    await row.locator(".id", { hasText: `@${await idAt(index)}` }).waitFor();
    const [box, view] = [await row.boundingBox(), await grid.boundingBox()];
    // The headings are in front of the first rows.
    assert.ok(box.y >= view.y + 25 && box.y + box.height <= view.y + view.height + 1, `${index}: ${JSON.stringify([box, view])}`);
    return row;
  };
  await grid.focus();
  await seen(0);
  // All classes stand behind the objects of the first one; its last object is above them.
  const classes = Number(await grid.getAttribute("aria-rowcount")) - 1 - most.count;
  await page.keyboard.press("End");
  await grid.locator(`[aria-rowindex="${most.count + classes + 1}"]`).waitFor();
  for (let up = 1; up < classes; up += 1) await page.keyboard.press("ArrowUp");
  for (let up = 0; up < 3; up += 1) {
    const row = await seen(most.count - 1 - up);
    await row.and(page.locator(".focus, .selected")).or(row.locator("xpath=self::*[@aria-selected='true']")).first().waitFor();
    await page.keyboard.press("ArrowUp");
  }
  await page.keyboard.press("Home");
  await grid.locator('[aria-rowindex="2"]').waitFor();
  // The bar of the list, dragged to its middle and to its end.
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
  const middle = grid.locator(`[aria-level="2"][aria-posinset="${Math.round(most.count / 2)}"]`);
  const near = await grid.evaluate(() => Number(document.querySelector('[aria-level="2"]')?.getAttribute("aria-posinset")));
  assert.ok(Math.abs(near - most.count / 2) < classes + 100, `${near} of ${most.count} ${await middle.count()}`);
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await grid.locator(`[aria-rowindex="${most.count + classes + 1}"]`).waitFor();
  assert.deepEqual(page.problems, []);
});

test("how long clicks take on 450 MB", LONG, async (context) => {
  const times = await measureAll(page, server, 4);
  assert.deepEqual([...times.keys()], ["open a class", "open an object", "sort", "search", "retainers"]);
  for (const line of report(times)) context.diagnostic(line);
  assert.deepEqual(page.problems, []);
});
