// How long the page takes to answer on a large snapshot, measured in the browser: `npm run speed -- FILE`.
// From the key or click to the rows on the screen; medians and the worst, in milliseconds.
import assert from "node:assert/strict";

import { browser, newPage, open, table } from "./lab.mjs";

const [file] = process.argv.slice(2);
assert.ok(file, "which snapshot?");
/** What the median of an interaction may take. */
const MOST = 200;

const server = await open(file);
const state = await server.get("api/state");
console.log(`${file}: read in ${state.files[0].load_seconds.toFixed(1)} s`);
const chrome = await browser();
const page = await newPage(chrome);
const times = new Map();

/** Does something in the page, and waits until what it leads to is drawn. */
async function measure(name, act, isDone) {
  // Ready first, so that the time begins with the act.
  const took = await page.evaluate(
    ([actText, doneText]) =>
      new Promise((resolve, reject) => {
        const isDone = new Function(`return (${doneText})()`);
        const start = performance.now();
        new Function(actText)();
        const look = () => {
          if (isDone()) requestAnimationFrame(() => resolve(performance.now() - start));
          else if (performance.now() - start > 60_000) reject(new Error(`nothing came of ${actText}`));
          else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      }),
    [act, String(isDone)],
  );
  if (!times.has(name)) times.set(name, []);
  times.get(name).push(took);
}

const began = performance.now();
await page.goto(`${server.address}?view=summary`);
await table(page, "Classes");
console.log(`first table ${Math.round(performance.now() - began)} ms after the address`);
// What is worked out behind the first table must not be part of what comes first.
await server.get("api/files/0/tiles?by=package");

const press = (key) =>
  `document.querySelector('[role=treegrid]').dispatchEvent(new KeyboardEvent('keydown', { key: '${key}', bubbles: true }))`;
const quiet = () =>
  !document.querySelector('[aria-busy="true"], .waiting, .busy') && document.querySelector('[role=treegrid] [role=row]:nth-child(1)');
const settle = () => page.waitForFunction(quiet);

// Classes open into their objects.
for (let i = 0; i < 12; i += 1) {
  await page.goto(`${server.address}?view=summary`);
  await table(page, "Classes");
  for (let down = 0; down < i; down += 1) await page.evaluate(press("ArrowDown"));
  await settle();
  await measure("open a class", press("ArrowRight"), () => document.querySelector('[aria-level="2"] .id'));
  await page.evaluate(press("ArrowRight"));
  await settle();
  await measure("open an object", press("ArrowRight"), () =>
    !document.querySelector(".waiting") && document.querySelector('[aria-level="3"], [aria-level="2"] .twisty.none'),
  );
}
// Orders of the classes, with the largest class open, so that its objects are sorted too.
await page.goto(`${server.address}?view=summary`);
await table(page, "Classes");
const { rows } = await server.get("api/files/0/classes?sort=count&limit=5");
await page.goto(`${server.address}?view=summary&open=${rows.map((row) => row.class_id).join("+")}`);
await table(page, "Classes");
await settle();
for (const title of ["Count", "Shallow size", "Distance", "Retained size", "Class", "Shallow size", "Distance"]) {
  await measure(
    "sort",
    `for (const th of document.querySelectorAll('[role=columnheader] button')) if (th.textContent.startsWith('${title}')) th.click()`,
    quiet,
  );
  await settle();
}
// Texts of every kind; the first of each is not known to the server yet.
for (const text of ["socket", "onOddities", "node:internal/timers", "0x", "Buffer", "attestation", "zzzzz", "http", "peer", "prototype"]) {
  await page.goto(`${server.address}?view=summary`);
  await table(page, "Classes");
  await measure(
    "search",
    `const box = document.querySelector('form input'); box.value = '${text}'; box.form.requestSubmit()`,
    () => /objects for/.test(document.querySelector("main [role=status]")?.textContent ?? "") && !document.querySelector('[aria-busy="true"]'),
  );
}
// Who holds an object.
for (const row of rows) {
  const list = await server.get(`api/files/0/list?of=instances&class_id=${row.class_id}&limit=3`);
  for (const node of list.rows) {
    await page.goto(`${server.address}?view=summary`);
    await table(page, "Classes");
    await measure(
      "retainers",
      `history.pushState(null, '', '?view=summary&id=${node.id}'); dispatchEvent(new PopStateEvent('popstate'))`,
      () => document.querySelector('.pane [role=treegrid][aria-busy="false"]'),
    );
  }
}
let isSlow = false;
for (const [name, all] of times) {
  all.sort((a, b) => a - b);
  const median = all[Math.floor(all.length / 2)];
  console.log(`${name.padEnd(16)} median ${Math.round(median)} ms, worst ${Math.round(all.at(-1))} ms of ${all.length}`);
  isSlow ||= median > MOST;
}
await chrome.close();
server.close();
assert.ok(!isSlow, `a median is above ${MOST} ms`);
