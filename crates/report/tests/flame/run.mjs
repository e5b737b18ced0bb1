// Runs the script of a flame graph's page without a browser: `node run.mjs PAGE HASH`. Prints the names that it draws,
// row by row, and what its search says.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const [page, hash] = process.argv.slice(2);
const html = readFileSync(page, "utf8");
const between = (start, end) => html.slice(html.indexOf(start) + start.length, html.indexOf(end, html.indexOf(start)));
const json = between('<script type="application/json" id="data">', "</script>");
const script = between("<script>", "</script>");

const texts = [];
const context = {
  measureText: () => ({ width: 7 }),
  fillText: (text, x, y) => texts.push({ text, x, y }),
  setTransform() {}, clearRect() {}, fillRect() {}, strokeRect() {},
};

// As much of an element as the script uses; what it asks for beyond that is an error.
class Element {
  style = {};
  classList = { add() {}, remove() {}, toggle() {} };
  textContent = "";
  value = "";
  hidden = false;
  checked = false;
  scrollTop = 0;
  clientWidth = 1228;
  clientHeight = 700;
  children = [];
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  addEventListener() {}
  getContext() { return context; }
  getBoundingClientRect() { return { left: 0, top: 0, width: 1200, height: 700 }; }
}

const elements = new Map([["data", Object.assign(new Element(), { textContent: json })]]);
const wanted = new Set(Array.from(html.matchAll(/ id="([a-z]+)"/g), (match) => match[1]));
const frames = [];
vm.runInNewContext(script, {
  document: {
    activeElement: null,
    addEventListener() {},
    createElement: () => new Element(),
    getElementById(id) {
      if (!wanted.has(id)) throw new Error(`the page has no element ${id}`);
      if (!elements.has(id)) elements.set(id, new Element());
      return elements.get(id);
    },
  },
  location: { hash },
  matchMedia: () => ({ matches: false, addEventListener() {} }),
  ResizeObserver: class { observe() {} },
  addEventListener() {},
  requestAnimationFrame: (draw) => frames.push(draw),
  devicePixelRatio: 1,
  innerWidth: 1228,
  innerHeight: 800,
  URLSearchParams,
});
frames.forEach((draw) => draw());

const rows = [];
for (const { text, y } of texts) (rows[Math.floor(y / 19)] ??= []).push(text);
process.stdout.write(
  JSON.stringify({ rows: rows.map((names) => names.join(" | ")), found: elements.get("found").textContent }),
);
