// Whether the page answers as quickly as it should on a large snapshot: `npm run speed`, or `npm run speed -- FILE`.
// It wants a release build (`TWINHEAP_BIN=…/target/release/twinheap`) and a quiet machine. Without a file it makes one.
// With `--write` the figures go into BENCHMARKS.md.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { browser, newPage, open, table } from "./lab.mjs";
import { writeLarge } from "./large.mjs";
import { measureAll, median, report } from "./measure.mjs";

/** What the median of an interaction may take, and the first table after the load, in milliseconds. */
const MOST = 200;
const MOST_FIRST = 1000;

/** What xtask takes over when it writes the rest of the document. */
const HEADING = "## The page\n";

const isWritten = process.argv.includes("--write");
const given = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const folder = mkdtempSync(join(tmpdir(), "twinheap-speed-"));
try {
  const file = given ?? writeLarge(folder, 450e6);
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
    if (isWritten) write(section(file, first, times));
    assert.ok(first <= MOST_FIRST, `the first table takes more than ${MOST_FIRST} ms`);
    for (const [name, all] of times) assert.ok(median(all) <= MOST, `${name} takes more than ${MOST} ms at the median`);
  } finally {
    await chrome.close();
    server.close();
  }
} finally {
  rmSync(folder, { recursive: true });
}

function section(path, first, times) {
  const rows = [...times].map(([name, all]) => {
    const [middle, worst] = [median(all), Math.max(...all)].map(Math.round);
    return `| ${name} | ${middle} ms | ${worst} ms | ${all.length} |`;
  });
  const [processor] = cpus();
  return `${HEADING}
Written by \`npm run speed -- --write\` in \`ui/\` with a release build, in Chromium: from the key or click to the rows on the screen, on a snapshot of ${Math.round(statSync(path).size / 1e6)} MB. A median over ${MOST} ms, or a first table after more than ${MOST_FIRST} ms, fails the command. Processor: ${processor?.model ?? "unknown"}, ${cpus().length} cores; load average ${loadavg().map((load) => load.toFixed(1)).join(" ")}.

| | median | worst | times |
| --- | ---: | ---: | ---: |
| the first table, once the file is read | ${Math.round(first)} ms | | 1 |
${rows.join("\n")}
`;
}

/** Puts the section in the place of the former one, or at the document's end. */
function write(text) {
  const path = fileURLToPath(new URL("../../BENCHMARKS.md", import.meta.url));
  const document = readFileSync(path, "utf8");
  const start = document.indexOf(HEADING);
  const end = start < 0 ? -1 : document.indexOf("\n## ", start);
  const before = start < 0 ? document : document.slice(0, start);
  writeFileSync(path, `${before.trimEnd()}\n\n${text}${end < 0 ? "" : document.slice(end)}`);
}
