// Whether the page answers as quickly as it should on a large snapshot: `npm run speed`, or `npm run speed -- FILE`.
// It wants a release build (`TWINHEAP_BIN=…/target/release/twinheap`) and a quiet machine. Without a file it makes one.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { browser, newPage, open, table } from "./lab.mjs";
import { writeLarge } from "./large.mjs";
import { measureAll, median, report } from "./measure.mjs";

/** What the median of an interaction may take, and the first table after the load, in milliseconds. */
const MOST = 200;
const MOST_FIRST = 1000;

const folder = mkdtempSync(join(tmpdir(), "twinheap-speed-"));
try {
  const file = process.argv[2] ?? writeLarge(folder, 450e6);
  const server = await open(file);
  const chrome = await browser();
  try {
    const page = await newPage(chrome);
    const began = performance.now();
    await page.goto(`${server.address}?view=summary`);
    await table(page, "Classes");
    const first = performance.now() - began;
    const { files } = await server.get("api/state");
    console.log(`${file}: read in ${files[0].load_seconds.toFixed(1)} s, the first table ${Math.round(first)} ms after the address`);
    const times = await measureAll(page, server, 12);
    for (const line of report(times)) console.log(line);
    assert.ok(first <= MOST_FIRST, `the first table takes more than ${MOST_FIRST} ms`);
    for (const [name, all] of times) assert.ok(median(all) <= MOST, `${name} takes more than ${MOST} ms at the median`);
  } finally {
    await chrome.close();
    server.close();
  }
} finally {
  rmSync(folder, { recursive: true });
}
