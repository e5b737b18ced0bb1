// How long the page takes to answer on a snapshot: from the key or click to the rows on the screen, in the browser.
import { table } from "./lab.mjs";

/** The texts that are searched for: of classes, of scripts, of values, and one that is nowhere. */
const TEXTS = ["socket", "onOddities", "node:internal/timers", "0x", "Buffer", "attestation", "zzzzz", "http", "peer", "prototype"];
const ORDERS = ["Count", "Shallow size", "Distance", "Retained size", "Class", "Shallow size", "Distance"];

/**
 * Opens classes and objects, sorts, searches and asks who holds an object, on the first file of a server; milliseconds by
 * the name of what was done. `classes` is how many of the largest ones are opened, `texts` how many are searched for.
 */
export async function measureAll(page, server, classes, texts = TEXTS.length) {
  const times = new Map();
  const summary = `${server.address}?file=0&view=summary`;
  const goTo = async (address) => {
    await page.goto(address);
    await table(page, "Classes");
    await page.waitForFunction(isQuiet);
  };
  const measure = async (name, act, isDone, argument) => {
    if (!times.has(name)) times.set(name, []);
    times.get(name).push(await timed(page, act, isDone, argument));
    await page.waitForFunction(isQuiet);
  };
  // What is worked out behind the first table must not be part of what comes first.
  await server.get("api/files/0/tiles?by=package");

  for (let at = 0; at < classes; at += 1) {
    await goTo(summary);
    for (let down = 0; down < at; down += 1) await page.evaluate(press, "ArrowDown");
    await measure("open a class", press, () => document.querySelector('[aria-level="2"] .id'), "ArrowRight");
    await page.evaluate(press, "ArrowRight");
    await page.waitForFunction(isQuiet);
    const opens = await page.evaluate(() => {
      const row = document.getElementById(document.querySelector("[role=treegrid]").getAttribute("aria-activedescendant"));
      return row?.getAttribute("aria-level") === "2" && row.hasAttribute("aria-expanded");
    });
    if (opens) await measure("open an object", press, () => document.querySelector('[aria-level="3"] .id'), "ArrowRight");
  }
  // Orders of the classes while the most numerous ones are open, so that their objects are sorted too.
  const { rows } = await server.get("api/files/0/classes?sort=count&limit=5");
  await goTo(`${summary}&open=${rows.map((row) => row.class_id).join("+")}`);
  for (const title of ORDERS) {
    const click = (wanted) => {
      for (const head of document.querySelectorAll("[role=columnheader] button")) if (head.textContent.startsWith(wanted)) head.click();
    };
    await measure("sort", click, isQuiet, title);
  }
  for (const text of TEXTS.slice(0, texts)) {
    await goTo(summary);
    const search = (wanted) => {
      const box = document.querySelector("form input");
      box.value = wanted;
      box.form.requestSubmit();
    };
    const isFound = () =>
      /objects for/.test(document.querySelector("main [role=status]")?.textContent ?? "") &&
      !document.querySelector('[aria-busy="true"], .waiting');
    await measure("search", search, isFound, text);
  }
  for (const row of rows) {
    const { rows: nodes } = await server.get(`api/files/0/list?of=instances&class_id=${row.class_id}&limit=2`);
    for (const node of nodes) {
      await goTo(summary);
      const choose = (id) => {
        history.pushState(null, "", `?file=0&view=summary&id=${id}`);
        dispatchEvent(new PopStateEvent("popstate"));
      };
      await measure("retainers", choose, () => document.querySelector('.pane [role=treegrid][aria-busy="false"]'), node.id);
    }
  }
  return times;
}

/** Does something in the page, and waits until what it leads to is drawn; milliseconds. */
function timed(page, act, isDone, argument) {
  return page.evaluate(
    ([actText, doneText, given]) =>
      new Promise((resolve, reject) => {
        const done = new Function(`return (${doneText})()`);
        const run = new Function("given", `return (${actText})(given)`);
        const start = performance.now();
        run(given);
        const look = () => {
          if (done()) requestAnimationFrame(() => resolve(performance.now() - start));
          else if (performance.now() - start > 60_000) reject(new Error(`nothing came of ${actText}`));
          else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      }),
    [String(act), String(isDone), argument],
  );
}

function press(key) {
  document.querySelector("[role=treegrid]").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}

function isQuiet() {
  return !document.querySelector('[aria-busy="true"], .waiting, .busy') && document.querySelector("[role=treegrid] [role=row]") !== null;
}

export function median(all) {
  return [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
}

/** A line for each kind of interaction. */
export function* report(times) {
  for (const [name, all] of times) {
    yield `${name.padEnd(16)} median ${Math.round(median(all))} ms, worst ${Math.round(Math.max(...all))} ms of ${all.length}`;
  }
}
