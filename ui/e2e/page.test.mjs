// The page in Debian's Chromium: its numbers are the command line's, the keyboard reaches everything, strings of a dump
// stay strings, and both themes can be read.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { NAMES, hostileSnapshot } from "./hostile.mjs";
import { growing, writeRecording } from "./recording.mjs";
import { PATIENCE, TRACE, TWINHEAP, browser, cells, cli, count, fixture, newPage, open, shown, size, table, top } from "./lab.mjs";

const A = fixture("node24-a.heapsnapshot.zst");
const B = fixture("node24-b.heapsnapshot.zst");

let server;
let chrome;
let folder;
let page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "twinheap-page-"));
  const hostile = join(folder, "hostile.heapsnapshot");
  const broken = join(folder, "broken.heapsnapshot");
  writeFileSync(hostile, hostileSnapshot());
  writeFileSync(broken, "this is no snapshot");
  [server, chrome] = await Promise.all([open(A, B, hostile, TRACE, broken), browser()]);
  page = await newPage(chrome);
});

after(async () => {
  await chrome?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

/** A test with the page at an address; nothing may have gone wrong in it at the end. */
const at = (name, route, run) =>
  test(name, { timeout: 2 * PATIENCE }, async () => {
    await page.goto(server.address + route);
    await run();
    assert.deepEqual(page.problems, []);
  });

at("Start says what the file is", "?file=1", async () => {
  const summary = cli("summary", B);
  const rows = page.getByRole("table", { name: "Largest classes" }).locator("tbody tr");
  await rows.nth(11).waitFor();
  const text = await page.locator("main").innerText();
  for (const wanted of [size(summary.total_size), count(summary.nodes), count(summary.edges)]) {
    assert.ok(text.includes(wanted), `${wanted} in ${text}`);
  }
  const wanted = summary.classes.slice(0, 12).map((row) => [row.name, count(row.count), size(row.retained_size)]);
  const shown = await rows.evaluateAll((all) =>
    all.map((row) => [row.cells[0].innerText, row.cells[1].innerText, row.cells[3].querySelector(".value").innerText]),
  );
  assert.deepEqual(shown, wanted);
  // The verdict is by both snapshots.
  const verdict = page.getByRole("region", { name: "Verdict" });
  await verdict.locator("strong").waitFor();
  const leaks = await server.get("api/files/1/leaks");
  assert.deepEqual(leaks.files, [0, 1]);
  assert.deepEqual(leaks.total_size, [cli("summary", A).total_size, summary.total_size]);
  assert.ok((await verdict.innerText()).includes(`${size(leaks.total_size[0])} → ${size(leaks.total_size[1])}`));
  // A tile leads into its part of the heap, and back leads out.
  const tile = page.locator(".tile").first();
  await tile.click({ position: { x: 8, y: 8 } });
  await page.waitForURL(/zoom=0/);
  await page.goBack();
  await page.getByRole("button", { name: "by package" }).click();
  await page.getByRole("figure", { name: "Treemap by package" }).waitFor();
});

at("the Summary's numbers are the command line's, in every order", "?file=1&view=summary", async () => {
  const { classes } = cli("summary", B);
  const grid = await table(page, "Classes");
  const rows = async () => {
    const shown = [];
    for (let i = 1; i <= 8; i += 1) shown.push((await cells(grid.getByRole("row").nth(i))).map((text) => text.trim()));
    return shown.map(([name, number, distance, shallow, retained]) => [
      name.split(" ×")[0],
      number,
      distance,
      shallow.split(/\s\s|\n/)[0],
      retained.split(/\s\s|\n/)[0],
    ]);
  };
  const wanted = (order) =>
    [...classes]
      .sort(order)
      .slice(0, 8)
      .map((row) => row.name);
  assert.deepEqual((await rows()).map((row) => row[0].replace("▸", "").trim()), wanted(() => 0));
  assert.deepEqual(
    (await rows()).map((row) => row[1]),
    classes.slice(0, 8).map((row) => count(row.count)),
  );
  assert.ok((await rows())[0][4].startsWith(size(classes[0].retained_size)));
  await grid.getByRole("button", { name: "Count" }).click();
  await page.waitForURL(/sort=count/);
  await table(page, "Classes");
  const byCount = (a, b) => b.count - a.count;
  assert.deepEqual(
    (await rows()).map((row) => row[1]),
    [...classes].sort(byCount).slice(0, 8).map((row) => count(row.count)),
  );
  await page.goBack();
  await page.getByRole("columnheader", { name: "Retained size" }).and(page.locator('[aria-sort="descending"]')).waitFor();
});

at("the keyboard goes from a class to its objects and to who holds them", "?file=1&view=summary&filter=Map", async () => {
  const grid = await table(page, "Classes");
  const map = cli("objects", B, "--class", "Map", "--limit", "1").objects[0];
  const at = await grid.getByRole("row").evaluateAll((rows) => rows.findIndex((row) => /^▸?\s*Map ×/.test(row.innerText)));
  await grid.focus();
  for (let i = 1; i < at; i += 1) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await grid.locator('[aria-level="2"]').first().waitFor();
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(new RegExp(`id=${map.id}\\b`));
  const pane = page.getByRole("region", { name: "Object" });
  await pane.getByText(`${size(map.retained_size)} retained`).waitFor();
  const retainers = await table(page, "Retainers");
  const [holder] = cli("retainers", B, String(map.id)).retainers ?? [];
  if (holder) assert.ok((await cells(retainers.getByRole("row").nth(1)))[0].includes(`@${holder.id}`));
  // Left closes, Ctrl+C copies the row.
  await grid.focus();
  await page.keyboard.press("ControlOrMeta+c");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), new RegExp(`^Map @${map.id}`));
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await grid.locator('[aria-level="2"]').first().waitFor({ state: "detached" });
});

at("what an address says is what is shown", "?file=1&view=summary", async () => {
  const grid = await table(page, "Classes");
  const first = grid.getByRole("row").nth(1);
  await first.click();
  await page.keyboard.press("ArrowRight");
  await grid.locator('[aria-level="2"]').first().click();
  await page.waitForURL(/id=\d+/);
  await page.waitForURL(/open=/);
  const url = page.url();
  const other = await newPage(chrome, { colorScheme: "dark" });
  await other.goto(url);
  const again = await table(other, "Classes");
  await again.locator('[aria-level="2"][aria-selected="true"]').waitFor();
  assert.equal(await again.locator('[aria-selected="true"]').innerText(), await grid.locator('[aria-selected="true"]').innerText());
  assert.deepEqual(other.problems, []);
  await other.context().close();
});

at("search finds texts, classes and ids", "?file=1", async () => {
  const wanted = cli("objects", B, "--search", "internal/timers", "--limit", "3");
  await page.keyboard.press("/");
  await page.keyboard.type("internal/timers");
  await page.keyboard.press("Enter");
  const grid = await table(page, "Search results");
  await page.getByText(`${count(wanted.total_count)} objects for`).waitFor();
  assert.ok((await cells(grid.getByRole("row").nth(1)))[0].includes(`@${wanted.objects[0].id}`));
  await page.getByRole("searchbox", { name: "Search text" }).fill(`@${wanted.objects[1].id}`);
  await page.keyboard.press("Enter");
  await page.getByText("1 object for").waitFor();
  await page.goBack();
  await page.getByText(`${count(wanted.total_count)} objects for`).waitFor();
});

at("the path to an object, and a way around", "?file=1&view=summary", async () => {
  const map = cli("objects", B, "--class", "Map", "--limit", "1").objects[0];
  await page.goto(`${server.address}?file=1&view=summary&id=${map.id}&pane=path`);
  const list = page.getByRole("list", { name: "Path from the root" });
  await list.getByRole("listitem").first().waitFor();
  const ids = await list.locator(".id").allInnerTexts();
  assert.deepEqual(
    ids.map((text) => Number(text.trim().slice(1))),
    cli("path", B, String(map.id)).nodes.map((node) => node.id),
  );
});

at("dominators are the command line's, as a tree and as an icicle", "?file=1&view=dominators", async () => {
  const { children } = cli("dominators", B, "--limit", "5");
  const grid = await table(page, "Dominator tree");
  if (children) {
    for (const [i, node] of children.slice(0, 5).entries()) {
      assert.ok((await cells(grid.getByRole("row").nth(i + 1)))[0].includes(`@${node.id}`), JSON.stringify(node));
    }
  }
  await page.getByRole("button", { name: "icicle" }).click();
  await page.getByRole("figure", { name: "Dominators as an icicle" }).locator(".tile").nth(3).waitFor();
});

at("the comparison's numbers are the command line's", "?file=1&view=comparison&base=0", async () => {
  const { classes } = cli("diff", A, B);
  const grid = await table(page, "Comparison");
  const first = [...classes].sort((a, b) => b.size_delta - a.size_delta)[0];
  const [name, added, removed] = await cells(grid.getByRole("row").nth(1));
  assert.deepEqual([name, added, removed], [first.name, count(first.added), count(first.removed)]);
  await page.getByText(`${count(classes.length)} classes`).waitFor();
});

for (const [view, name] of [
  ["containment", "Containment"],
  ["strings", "Duplicate strings"],
]) {
  at(`${name} opens`, `?file=1&view=${view}`, async () => {
    const grid = await table(page, name);
    await grid.getByRole("row").nth(1).click();
    await page.keyboard.press("ArrowRight");
    await grid.locator('[aria-level="2"]').first().waitFor();
  });
}

at("statistics are the command line's", "?file=1&view=statistics", async () => {
  const { statistics } = cli("summary", B);
  await page.locator("tr[data-kind]").first().waitFor();
  const shown = await page
    .locator("tr[data-kind]")
    .evaluateAll((rows) => rows.map((row) => [row.dataset.kind, Number(row.querySelector("[data-bytes]").dataset.bytes)]));
  assert.deepEqual(Object.fromEntries(shown), statistics);
});

at("paths of a class are merged", "?file=1&view=paths", async () => {
  await page.getByRole("searchbox", { name: "Find a class" }).fill("Map");
  await page.getByRole("button", { name: "Map", exact: true }).click();
  const grid = await table(page, "Merged paths");
  const { total_count: total } = cli("objects", B, "--class", "Map", "--limit", "1");
  await page.getByText(`${count(total)} objects by their shortest paths`).waitFor();
  assert.ok((await grid.getByRole("row").count()) > 1);
});

at("strings of a dump stay strings, wherever they are shown", "?file=2", async () => {
  const told = [];
  for (const route of [
    "?file=2",
    "?file=2&by=package",
    "?file=2&view=summary&open=0 1 2 3 4 5 6 7",
    "?file=2&view=containment",
    "?file=2&view=dominators",
    "?file=2&view=dominators&as=icicle",
    "?file=2&view=search&q=hit",
    "?file=2&view=strings",
    "?file=2&view=paths&class=1",
    ...NAMES.map((_, at) => `?file=2&view=summary&id=${2 * at + 3}&pane=${["", "refers", "path", "text"][at % 4]}`),
    `?file=2&view=summary&filter=${encodeURIComponent(NAMES[0])}&id=${encodeURIComponent(NAMES[1])}&view=summary`,
  ]) {
    await page.goto(server.address + route);
    await shown(page);
    told.push(await page.locator("body").innerText());
    assert.equal(await page.evaluate("window.hit"), undefined, route);
    assert.equal(await page.locator("main script, main img, main svg[onload]").count(), 0, route);
  }
  for (const name of NAMES.slice(0, 4)) assert.ok(told.some((text) => text.includes(name)), name);
  assert.ok(told.some((text) => text.includes("\\u{202e}javascript:")));
  // The last address asks for an object by something that is no id, and is told so.
  page.problems = page.problems.filter((problem) => !problem.includes("status of 400"));
});

at("a file that can't be read says why and what to do", "?file=4", async () => {
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /can't read[\s\S]+heap snapshots come from/);
});

at("a native trace in numbers", "?file=3&view=native", async () => {
  const summary = cli("summary", TRACE);
  await page.getByText("Most expensive stacks").waitFor();
  const cards = await page.locator(".card").allInnerTexts();
  for (const [name, wanted] of [
    ["Peak", size(summary.peak_bytes)],
    ["Leaked", size(summary.leaked_bytes)],
    ["Allocations", count(summary.allocations)],
    ["Temporary", count(summary.temporary)],
  ]) {
    assert.ok(cards.some((text) => text.startsWith(name) && text.includes(wanted)), `${name} ${wanted}: ${cards}`);
  }
});

at("trees of a native trace, and a stretch of time that filters them", "?file=3&view=bottom-up", async () => {
  const tree = cli("tree", TRACE, "--min-percent", "0.1", "--depth", "64");
  let grid = await table(page, "Bottom-up");
  const first = async () => (await cells(grid.getByRole("row").nth(1)))[1].split("\n")[0].trim();
  const whole = await first();
  assert.ok(whole.startsWith(size(tree.nodes[0].peak)), whole);
  const chart = page.getByRole("slider", { name: "Stretch of time" });
  const box = await chart.boundingBox();
  await page.mouse.move(box.x + box.width * 0.65, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.93, box.y + 20, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  const route = new URL(page.url()).searchParams;
  const part = cli("tree", TRACE, "--min-percent", "0.1", "--depth", "64", "--from", route.get("from"), "--to", route.get("to"));
  grid = await table(page, "Bottom-up");
  await page.getByText("Whole recording").waitFor();
  assert.ok((await first()).startsWith(size(part.nodes[0].peak)), await first());
  await page.getByRole("link", { name: "Top-down" }).click();
  await table(page, "Top-down");
});

at("callers, sizes and the flame graph of a native trace", "?file=3&view=callers", async () => {
  const grid = await table(page, "Functions");
  await grid.getByRole("row").nth(2).click();
  await page.waitForURL(/function=/);
  await page.goto(`${server.address}?file=3&view=sizes`);
  await page.getByRole("table", { name: "Sizes of blocks" }).getByRole("row").nth(2).waitFor();
  await page.goto(`${server.address}?file=3&view=flame`);
  await page.frameLocator("iframe").getByText("Collapse recursion").waitFor();
});

test("what grows natively: the numbers of leaks, and the way to its stacks", { timeout: 2 * PATIENCE }, async () => {
  const recording = (name, from) => writeRecording(join(folder, name), "./app --port 1", growing(from));
  const [a, b] = [recording("a.trace", 0), recording("b.trace", 700)];
  const other = await open(a, b);
  for (const colorScheme of ["light", "dark"]) {
    const fresh = await newPage(chrome, { colorScheme });
    const verdict = fresh.getByRole("region", { name: "Verdict" });
    // Words and numbers: in the Summary and in a view of its own.
    const check = async (leaks, words) => {
      await verdict.locator("strong").waitFor();
      const text = (await verdict.innerText()).replace(/\s+/g, " ");
      const [suspect] = leaks.suspects;
      assert.equal(leaks.verdict, "leak");
      assert.match(text, /^Leak: remember app\.c:10 keeps [\d.]+ kB more with each step \(\w+ confidence\)/);
      assert.ok(text.includes(`alive, all together: ${leaks.steps.map((one) => size(one.live_bytes)).join(" → ")} (${words})`), text);
      assert.ok(text.includes(`leaks: ${suspect.bytes.map(size).join(" → ")} in ${suspect.blocks.map(count).join(" → ")} blocks`), text);
      assert.ok(text.includes(suspect.advice), text);
    };
    const [ladder, moments] = [cli("leaks", a, b), cli("leaks", b)];
    await fresh.goto(`${other.address}?file=1&view=native`);
    await check(ladder, "2 recordings");
    await fresh.getByRole("link", { name: "Verdict", exact: true }).click();
    await fresh.waitForURL(/view=native-verdict/);
    await check(ladder, "2 recordings");
    assert.match(await verdict.innerText(), /allocated by one stack/);
    await fresh.getByRole("button", { name: "by moments of this one" }).click();
    await fresh.waitForURL(/ladder=moments/);
    await verdict.getByText(`${moments.steps.length} moments from`).waitFor();
    await check(moments, `${moments.steps.length} moments from ${time(moments.steps[0].time)} to ${time(moments.steps.at(-1).time)}`);
    assert.deepEqual(await fresh.evaluate(faint), []);
    assert.deepEqual(await fresh.evaluate(nameless), []);
    const wide = await fresh.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${wide} pixels too wide`);
    // The keyboard leads to the stacks behind the number, which have its bytes, and to nothing else.
    await verdict.getByRole("link", { name: /^remember/ }).focus();
    await fresh.keyboard.press("Enter");
    await fresh.waitForURL(/view=bottom-up/);
    const grid = await table(fresh, "Bottom-up");
    const leaked = async () => (await cells(grid.getByRole("row").nth(1)))[2].split("\n")[0].trim();
    assert.ok((await leaked()).startsWith(size(moments.suspects[0].bytes.at(-1))), await leaked());
    assert.equal(await grid.getByRole("row").count(), 2);
    await fresh.getByText("only remember app.c:10").waitFor();
    await fresh.getByRole("button", { name: "All call sites" }).click();
    await fresh.waitForURL((url) => !url.searchParams.has("site"));
    await fresh.goBack();
    await fresh.goBack();
    await verdict.getByRole("link", { name: "flame graph" }).click();
    await fresh.frameLocator("iframe").getByText("Collapse recursion").waitFor();
    assert.deepEqual(fresh.problems, []);
    await fresh.context().close();
  }
  other.close();
});

const time = (seconds) => `${seconds.toFixed(1)} s`;

test("places in the source of a compiled script", { timeout: 2 * PATIENCE }, async () => {
  // The program runs elsewhere; here is its checkout.
  const typescript = join(top, "tests/gallery/typescript");
  const dist = join(folder, "srv/dist");
  mkdirSync(dist, { recursive: true });
  for (const file of ["server.js", "server.js.map"]) copyFileSync(join(typescript, "dist", file), join(dist, file));
  execFileSync(process.execPath, [join(typescript, "main.cjs"), folder, join(dist, "server.js")]);
  rmSync(join(folder, "srv"), { recursive: true });
  const dumps = [1, 2, 3, 4].map((rung) => join(folder, `${rung}.heapsnapshot`));
  const root = ["--source-root", typescript];
  const { location } = cli("leaks", ...root, ...dumps).suspects[0];
  const object = cli("objects", dumps[3], ...root, "--class", "SessionStore").objects[0];
  const words = ({ script, line, column, compiled }) =>
    `${script}:${line}:${column} it ran as ${compiled.script}:${compiled.line}:${compiled.column}`;
  const other = await open(...dumps, ...root);
  const fresh = await newPage(chrome);
  await fresh.goto(`${other.address}?file=3`);
  const verdict = fresh.getByRole("region", { name: "Verdict" });
  await verdict.getByText(words(location)).first().waitFor();
  const ran = verdict.locator(".compiled").first();
  const color = (locator) => locator.evaluate((element) => getComputedStyle(element).color);
  assert.equal(await color(ran), await color(verdict.locator(".dim").first()));
  await fresh.goto(`${other.address}?file=3&view=summary&id=${object.id}&pane=text`);
  await fresh.locator(".facts").getByText(words(object.location)).waitFor();
  assert.deepEqual(fresh.problems, []);
  await fresh.context().close();
  other.close();
});

test("lost blocks and known leaks of a native trace", { timeout: 2 * PATIENCE }, async () => {
  const source = join(folder, "lost.c");
  writeFileSync(source, "#include <stdlib.h>\nint main(void) { for (int i = 0; i < 7; i++) *(volatile char *)malloc(1000) = 1; return 0; }\n");
  execFileSync("cc", ["-O0", "-g", "-o", join(folder, "lost"), source]);
  const trace = join(folder, "lost.heaptrace");
  execFileSync(TWINHEAP, ["record", "--leak-check", "-q", "-o", trace, "--", join(folder, "lost")]);
  const summary = cli("summary", trace);
  assert.ok(summary.lost_bytes >= 6000, JSON.stringify(summary.lost));
  const other = await open(trace);
  const fresh = await newPage(chrome);
  await fresh.goto(other.address);
  const lost = fresh.getByRole("region", { name: "Lost blocks" });
  await lost.getByText(`Nothing pointed to ${count(summary.lost.direct_blocks)} blocks`).waitFor();
  assert.ok((await lost.getByRole("listitem").first().innerText()).includes("main"));
  assert.ok((await fresh.locator(".card").allInnerTexts()).some((text) => text.startsWith("Lost") && text.includes(size(summary.lost_bytes))));
  // The checkbox counts what rules leave out, in every view.
  await fresh.getByRole("checkbox", { name: "with known leaks" }).check();
  await fresh.waitForURL(/known=1/);
  const all = cli("summary", trace, "--no-embedded-suppressions", "--no-builtin-suppressions");
  await fresh.locator(".card", { hasText: "Leaked" }).filter({ hasText: size(all.leaked_bytes) }).waitFor();
  assert.deepEqual(fresh.problems, []);
  await fresh.context().close();
  other.close();
});

test("the navigation leads from one heap to the other", { timeout: 2 * PATIENCE }, async () => {
  await page.goto(`${server.address}?file=0&view=summary`);
  await table(page, "Classes");
  await page.getByRole("link", { name: "Flame graph" }).click();
  await page.waitForURL(/file=3.*view=flame/);
  await page.getByRole("link", { name: "Duplicate strings" }).click();
  // The newest snapshot that can be read.
  await page.waitForURL(/file=2.*view=strings/);
});

test("a report opens from the disk, with the numbers of its JSON, and nothing in it runs", { timeout: 2 * PATIENCE }, async () => {
  const hostile = join(folder, "hostile.heapsnapshot");
  for (const [name, files] of [
    ["js", [A, B]],
    ["native", [TRACE]],
    ["hostile", [hostile]],
  ]) {
    const path = join(folder, `${name}.html`);
    execFileSync(TWINHEAP, ["report", ...files, "-q", "-o", path]);
    assert.ok(statSync(path).size < 5e6);
    const known = cli("report", ...files, "-o", "-", "--format", "json");
    for (const colorScheme of ["light", "dark"]) {
      const fresh = await newPage(chrome, { colorScheme });
      const asked = [];
      fresh.on("request", (request) => asked.push(request.url()));
      await fresh.goto(`file://${path}`);
      assert.deepEqual(asked, [`file://${path}`]);
      assert.equal(await fresh.locator("h1").textContent(), known.headline);
      const shown = await fresh.locator(".card").evaluateAll((cards) =>
        cards.map((card) => [...card.querySelectorAll(".course data")].map((data) => Number(data.value))),
      );
      const courses = known.numbers.map((number) => (number.series.length > 1 ? number.series : []));
      assert.deepEqual(shown, courses);
      assert.deepEqual(await fresh.evaluate(faint), [], name);
      assert.equal(await fresh.evaluate("window.hit"), undefined);
      const wide = await fresh.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
      assert.deepEqual(fresh.problems, []);
      await fresh.context().close();
    }
  }
});

for (const colorScheme of ["light", "dark"]) {
  test(`texts can be read in the ${colorScheme} theme, and at every width`, { timeout: 2 * PATIENCE }, async () => {
    for (const viewport of [
      { width: 1280, height: 800 },
      { width: 3840, height: 2160 },
    ]) {
      const other = await newPage(chrome, { colorScheme, viewport });
      for (const route of [
        "?file=1",
        "?file=1&view=summary",
        "?file=1&view=comparison",
        "?file=1&view=dominators&as=icicle",
        "?file=1&view=statistics",
        "?file=1&view=strings",
        "?file=3&view=native",
        "?file=3&view=native-verdict",
        "?file=3&view=bottom-up",
        "?file=3&view=callers",
        "?file=3&view=sizes",
        "?file=4",
      ]) {
        await other.goto(server.address + route);
        await shown(other);
        assert.deepEqual(await other.evaluate(faint), [], `${route} ${viewport.width}`);
        const wide = await other.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${route} is ${wide} pixels too wide`);
        assert.deepEqual(await other.evaluate(nameless), [], route);
      }
      await other.context().close();
    }
  });
}

/** Texts with less contrast than 4.5:1 against what is behind them. */
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const line = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * line(r) + 0.7152 * line(g) + 0.0722 * line(b);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("svg, option, .busy, [disabled]")) continue;
    if (element.getClientRects().length === 0 || getComputedStyle(element).opacity === "0") continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add(`${contrast.toFixed(2)} ${element.className} ${element.textContent.slice(0, 40)}`);
  }
  return [...found];
}

/** Things to use without a name to call them by. */
function nameless() {
  return [...document.querySelectorAll("button, a, input, select, iframe, [tabindex], [role=button], [role=treegrid]")]
    .filter((element) => {
      const name = element.getAttribute("aria-label") || element.textContent.trim() || element.title || element.labels?.[0]?.textContent;
      return !name && element.getClientRects().length > 0;
    })
    .map((element) => element.outerHTML.slice(0, 120));
}
