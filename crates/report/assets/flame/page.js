// Draws the flame graph of `graph.js`. Boxes are made when they are about to be seen.

// ---- What is shown, as the address has it.

const state = { by: 0, bottomUp: false, collapse: false, min: 0, query: "", path: [] };

const costNumber = (key) => Math.max(0, data.costs.findIndex((cost) => cost.key === key));

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const min = parseFloat(parts.get("min") ?? data.min_percent);
  state.by = costNumber(parts.get("by") ?? data.by);
  state.bottomUp = (parts.get("view") ?? (data.bottom_up ? "bottom-up" : "top-down")) === "bottom-up";
  state.collapse = parts.get("collapse") === "1";
  state.min = min >= 0 && min <= 100 ? min : 0;
  state.query = parts.get("q") ?? "";
  state.path = (parts.get("at") ?? "").split(".").filter(Boolean).map(Number);
}

function address() {
  const parts = new URLSearchParams();
  parts.set("by", data.costs[state.by].key);
  parts.set("view", state.bottomUp ? "bottom-up" : "top-down");
  if (state.collapse) parts.set("collapse", "1");
  if (state.min !== data.min_percent) parts.set("min", String(state.min));
  if (state.query !== "") parts.set("q", state.query);
  if (state.path.length > 0) parts.set("at", state.path.join("."));
  return "#" + parts.toString();
}

// What a person would want to undo becomes a step of the history; typing does not.
function go(change, isStep = true) {
  Object.assign(state, change);
  const hash = address();
  if (hash !== location.hash) {
    if (isStep) location.hash = hash;
    else location.replace(hash);
  }
  show();
}

// ---- Boxes. Top-down a box stands for nodes; bottom-up for pairs of a node that allocates and one of its callers.

function makeBox(above, number) {
  return { above, symbol: number, total: 0, nodes: [], leaves: [], below: null };
}

let root = null;
let rootOf = "";

function rootBox() {
  const key = [state.by, state.bottomUp, state.collapse].join();
  if (key === rootOf) return root;
  rootOf = key;
  root = makeBox(null, NONE);
  root.total = totals[state.by][ALL];
  if (!state.bottomUp) root.nodes.push(ALL);
  return root;
}

function open(box) {
  if (box.below !== null) return box.below;
  const known = new Map();
  const add = (node, cost, leaf) => {
    let below = known.get(symbol[node]);
    if (below === undefined) {
      below = makeBox(box, symbol[node]);
      known.set(symbol[node], below);
    }
    below.total += cost;
    below.nodes.push(node);
    if (leaf !== NONE) below.leaves.push(leaf);
  };
  if (state.bottomUp) openCallers(box, add);
  else openCallees(box, add);
  box.below = Array.from(known.values()).sort((a, b) => b.total - a.total || a.symbol - b.symbol);
  return box.below;
}

function openCallees(box, add) {
  const total = totals[state.by];
  const waiting = box.nodes.slice();
  while (waiting.length > 0) {
    for (let node = firstChild[waiting.pop()]; node !== NONE; node = sibling[node]) {
      if (!(total[node] > 0)) continue;
      if (state.collapse && symbol[node] === box.symbol) waiting.push(node);
      else add(node, total[node], NONE);
    }
  }
}

function openCallers(box, add) {
  const cost = own[state.by];
  if (box.above === null) {
    for (let node = 0; node < count; node++) if (cost[node] > 0) add(node, cost[node], node);
    return;
  }
  for (let at = 0; at < box.nodes.length; at++) {
    let node = parent[box.nodes[at]];
    while (state.collapse && node !== NONE && symbol[node] === box.symbol) node = parent[node];
    if (node !== NONE) add(node, cost[box.leaves[at]], box.leaves[at]);
  }
}

function boxAt(path) {
  let box = rootBox();
  for (const number of path) {
    const below = open(box).find((other) => other.symbol === number);
    if (below === undefined) break;
    box = below;
  }
  return box;
}

function pathOf(box) {
  const path = [];
  for (; box.above !== null; box = box.above) path.push(box.symbol);
  return path.reverse();
}

// ---- Words.

const isBytes = () => data.costs[state.by].is_bytes;

const amount = (value) => (isBytes() ? size(value) : grouped(value));
const nameOf = (box) => (box.above === null ? "all" : data.shorts[box.symbol] || data.names[box.symbol]);
// Lines for the tooltip: class and text.
function words(box) {
  const whole = rootBox().total;
  const label = data.costs[state.by].label;
  if (box.above === null) return [["name", "all"], ["cost", `${amount(whole)} ${label}`]];
  const node = box.nodes[0];
  const lines = [["name", data.names[box.symbol]]];
  const place = [];
  if (data.module[box.symbol] > 0) place.push(data.modules[data.module[box.symbol]]);
  if (data.file[node] > 0) {
    const line = data.line[node] > 0 ? `:${data.line[node]}` : "";
    place.push(`${data.files[data.file[node]]}${line}${box.nodes.length > 1 ? " and other places" : ""}`);
  }
  if (box.nodes.every((other) => isInlined[other])) place.push("inlined");
  if (place.length > 0) lines.push(["place", place.join(" · ")]);
  let cost = `${amount(box.total)} ${label}, ${percent(box.total, whole)} of all`;
  if (focus.above !== null && isWithin(box, focus)) cost += `, ${percent(box.total, focus.total)} of the zoomed`;
  lines.push(["cost", cost]);
  if (!state.bottomUp) {
    const itself = open(box).reduce((rest, below) => rest - below.total, box.total);
    const share = itself > 0 ? `${amount(itself)} of it by itself, ${percent(itself, whole)} of all` : "none of it by itself";
    lines.push(["cost", share]);
  }
  return lines;
}

function isWithin(box, other) {
  for (; box !== null; box = box.above) if (box === other) return true;
  return false;
}

// ---- Search.

let isMatch = new Uint8Array(0);
let matchedFor = null;

function search() {
  $("query").classList.remove("wrong");
  if (matchedFor !== state.query) {
    matchedFor = state.query;
    isMatch = new Uint8Array(data.names.length);
    const matches = matcher(state.query);
    if (matches !== null) {
      data.names.forEach((name, at) => (isMatch[at] = matches(name) || matches(data.modules[data.module[at]]) ? 1 : 0));
    }
  }
  if (state.query === "") {
    $("found").textContent = "";
    return;
  }
  if (matcher(state.query) === null) {
    $("query").classList.add("wrong");
    $("found").textContent = "no regular expression";
    return;
  }
  // Stacks with a match in them count once.
  const isFound = new Uint8Array(count);
  let sum = 0;
  for (let node = 0; node < count; node++) {
    isFound[node] = isMatch[symbol[node]] || (parent[node] !== NONE && isFound[parent[node]]) ? 1 : 0;
    if (isFound[node]) sum += own[state.by][node];
  }
  const whole = rootBox().total;
  $("found").textContent = `${percent(sum, whole)} matched, ${amount(sum)}`;
}

// ---- Layout and drawing.

const ROW = 19;
const GREY = 999;
const canvas = $("canvas");
const context = canvas.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
let focus = null;
// By row: boxes from left to right, with their places in CSS pixels.
let rows = [];
let width = 0;
let hovered = null;
let selected = null;

function layOut() {
  focus = boxAt(state.path);
  width = Math.max(100, $("scroll").clientWidth - 28);
  rows = [];
  const put = (row, box, x, wide) => (rows[row] ??= []).push({ box, x, wide });
  const above = [];
  for (let box = focus.above; box !== null; box = box.above) above.push(box);
  above.reverse().forEach((box, row) => put(row, box, 0, width));
  if (!(focus.total > 0)) return;
  const scale = width / focus.total;
  const least = Math.max(0.5, (rootBox().total * state.min * scale) / 100);
  let level = [{ box: focus, x: 0, wide: width }];
  for (let row = above.length; level.length > 0; row++) {
    rows[row] = level;
    const next = [];
    for (const { box, x } of level) {
      let from = x;
      for (const below of open(box)) {
        const wide = below.total * scale;
        // The rest is smaller still.
        if (wide < least) break;
        next.push({ box: below, x: from, wide });
        from += wide;
      }
    }
    level = next;
  }
}

// Four shades of a hue, by name, so that neighbours differ.
const colors = new Map();
function color(number) {
  const isDark = dark.matches;
  const hue = [data.hues[data.module[number]], 45, 285, GREY][data.kind[number]];
  let hash = 0;
  const name = data.names[number];
  for (let at = 0; at < name.length; at++) hash = (hash * 31 + name.charCodeAt(at)) | 0;
  const shade = (hash >>> 8) & 3;
  const key = (hue * 4 + shade) * 2 + (isDark ? 1 : 0);
  let found = colors.get(key);
  if (found === undefined) {
    const saturation = hue === GREY ? 0 : isDark ? 38 : 64;
    found = `hsl(${hue % 360} ${saturation}% ${isDark ? 30 + 3 * shade : 70 + 3.5 * shade}%)`;
    colors.set(key, found);
  }
  return found;
}

// Once a frame, however many events ask for it.
let isWaiting = false;
function draw() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    paint();
  });
}

function paint() {
  const scroll = $("scroll");
  const ratio = devicePixelRatio || 1;
  const height = Math.max(ROW, Math.min(scroll.clientHeight, rows.length * ROW));
  $("space").style.height = `${rows.length * ROW}px`;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const [pixels, lines] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels || canvas.height !== lines) [canvas.width, canvas.height] = [pixels, lines];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
  context.textBaseline = "middle";
  const character = context.measureText("M").width;
  const top = scroll.scrollTop;
  const isDark = dark.matches;
  const isSearch = state.query !== "";
  for (let row = Math.floor(top / ROW); row < rows.length && row * ROW < top + height; row++) {
    const y = row * ROW - top;
    for (const { box, x, wide } of rows[row]) {
      const isAbove = box !== focus && row < focusRow();
      const matches = box.symbol !== NONE && isSearch && isMatch[box.symbol] === 1;
      context.globalAlpha = isAbove ? 0.55 : isSearch && !matches ? 0.4 : 1;
      context.fillStyle =
        box.symbol === NONE ? (isDark ? "#3a404b" : "#d9dce2") : matches ? (isDark ? "#d6156f" : "#ff4fa0") : color(box.symbol);
      // A line of paper between boxes, as far as there is room for it.
      context.fillRect(x, y, wide > 3 ? wide - 0.8 : wide, ROW - 1);
      if (box === selected || box === hovered) {
        context.globalAlpha = 1;
        context.strokeStyle = isDark ? "#fff" : "#000";
        context.lineWidth = box === selected ? 2 : 1;
        context.strokeRect(x + 0.5, y + 0.5, Math.max(1, wide - 1.8), ROW - 2);
      }
      const room = Math.floor((wide - 7) / character);
      if (room >= 3) {
        context.globalAlpha = isAbove ? 0.8 : isSearch && !matches ? 0.75 : 1;
        context.fillStyle = isDark ? "#f2f3f5" : "#111";
        const name = box.above === null ? `all: ${amount(box.total)} ${data.costs[state.by].label}` : nameOf(box);
        context.fillText(fitting(name, room), x + 4, y + ROW / 2);
      }
    }
  }
  context.globalAlpha = 1;
}

const focusRow = () => state.path.length;

// The box at a place of the canvas.
function boxUnder(event) {
  const place = canvas.getBoundingClientRect();
  const x = event.clientX - place.left;
  const row = rows[Math.floor((event.clientY - place.top + $("scroll").scrollTop) / ROW)] ?? [];
  let [low, high] = [0, row.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (row[middle].x + row[middle].wide <= x) low = middle + 1;
    else high = middle;
  }
  return low < row.length && row[low].x <= x ? row[low].box : null;
}

function findPlace(box) {
  for (let row = 0; row < rows.length; row++) {
    const at = rows[row].findIndex((other) => other.box === box);
    if (at >= 0) return { row, at, ...rows[row][at] };
  }
  return null;
}

// ---- The parts of the page.

const element = (tag, text, name) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name !== undefined) made.className = name;
  return made;
};

function tell(box, x, y) {
  const tip = $("tip");
  tip.hidden = box === null;
  if (box === null) return;
  tip.replaceChildren(...words(box).map(([name, text]) => element("div", text, name)));
  const { width: wide, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - wide - 8))}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
}

function showPath() {
  const chain = [];
  for (let box = focus; box !== null; box = box.above) chain.unshift(box);
  const shown = chain.length > 8 ? [chain[0], null, ...chain.slice(-6)] : chain;
  const parts = [];
  shown.forEach((box, at) => {
    if (at > 0) parts.push(element("span", " › "));
    if (box === null) {
      parts.push(element("span", "…"));
      return;
    }
    const name = nameOf(box);
    const button = element("button", name.length > 60 ? name.slice(0, 59) + "…" : name);
    button.type = "button";
    button.addEventListener("click", () => go({ path: pathOf(box) }));
    parts.push(button);
  });
  if (focus.above !== null) parts.push(element("span", `  ${amount(focus.total)}, ${percent(focus.total, rootBox().total)}`));
  $("path").replaceChildren(...parts);
}

function showEmpty() {
  const isEmpty = !(rootBox().total > 0);
  $("empty").hidden = !isEmpty;
  $("space").hidden = isEmpty;
  $("empty").textContent =
    count === 0 ? "There are no allocations to draw." : `Nothing to draw: 0 ${data.costs[state.by].label}.`;
}

function show() {
  layOut();
  // A path that another view does not have ends where it does.
  state.path = pathOf(focus);
  hovered = null;
  if (selected !== null && !isWithin(selected, rootBox())) selected = null;
  tell(null);
  $("by").value = data.costs[state.by].key;
  $("view").value = state.bottomUp ? "bottom-up" : "top-down";
  $("collapse").checked = state.collapse;
  if (document.activeElement !== $("min")) $("min").value = String(state.min);
  if (document.activeElement !== $("query")) $("query").value = state.query;
  search();
  showEmpty();
  showPath();
  showNotes();
  draw();
}

function showNotes() {
  const { below_zero: belowZero } = data.costs[state.by];
  const notes = data.notes.slice();
  if (belowZero > 0) notes.push(`Stacks that shrank, by ${amount(belowZero)} together, are not shown.`);
  $("notes").replaceChildren(...notes.map((note) => element("div", note)));
}

function showLegend() {
  const entry = (hue, text, query) => {
    const swatch = element("span", "", "swatch");
    swatch.style.background = hue === GREY ? "#999" : `hsl(${hue} 60% ${dark.matches ? 45 : 72}%)`;
    const made = query === "" ? element("span", "") : element("button", "");
    if (query !== "") {
      made.type = "button";
      made.title = `Search ${query}`;
      made.addEventListener("click", () => {
        $("query").value = query;
        go({ query });
      });
    }
    made.append(swatch, text);
    return made;
  };
  const entries = data.legend.slice(0, 8).map((module) => {
    const name = fileName(data.modules[module]);
    return entry(data.hues[module], name, name);
  });
  if (data.legend.length > 8) entries.push(element("span", `and ${data.legend.length - 8} more modules`));
  if (data.kind.includes(1)) entries.unshift(entry(45, "JavaScript", ""));
  if (data.kind.includes(2)) entries.push(entry(285, "V8 builtins", "Builtin"));
  if (data.kind.includes(3)) entries.push(entry(GREY, "unknown", "(unknown"));
  $("legend").replaceChildren(...entries);
}

// ---- What the user does.

function select(box) {
  selected = box;
  const place = findPlace(box);
  if (place === null) return;
  const scroll = $("scroll");
  const y = place.row * ROW;
  if (y < scroll.scrollTop) scroll.scrollTop = y;
  if (y + 2 * ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y + 2 * ROW - scroll.clientHeight;
  draw();
  const corner = canvas.getBoundingClientRect();
  tell(box, corner.left + place.x, corner.top + y - scroll.scrollTop + ROW - 18);
  $("said").textContent = words(box).map((line) => line[1]).join(", ");
}

function move(key) {
  const place = selected === null ? null : findPlace(selected);
  if (place === null) {
    select(focus);
    return;
  }
  const next = {
    ArrowUp: () => selected.above,
    ArrowDown: () => rows[place.row + 1]?.find((other) => other.box.above === selected)?.box,
    ArrowLeft: () => rows[place.row][place.at - 1]?.box,
    ArrowRight: () => rows[place.row][place.at + 1]?.box,
  }[key]();
  if (next) select(next);
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.startsWith("Arrow")) move(event.key);
  else if (event.key === "Enter" && selected !== null) go({ path: pathOf(selected) });
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (document.activeElement === $("query")) canvas.focus();
    else go({ path: state.path.slice(0, -1) });
    return;
  }
  if (event.target.matches("input, select")) return;
  const number = "12345".indexOf(event.key);
  if (event.key === "/") $("query").focus();
  else if (event.key === "Home") go({ path: [] });
  else if (event.key === "b") go({ bottomUp: !state.bottomUp, path: [] });
  else if (event.key === "r") go({ collapse: !state.collapse });
  else if (number >= 0) go({ by: number });
  else return;
  event.preventDefault();
});
canvas.addEventListener("click", (event) => {
  const box = boxUnder(event);
  if (box !== null) go({ path: pathOf(box) });
});
canvas.addEventListener("mousemove", (event) => {
  const box = boxUnder(event);
  tell(box, event.clientX, event.clientY);
  if (box !== hovered) {
    hovered = box;
    draw();
  }
});
canvas.addEventListener("mouseleave", () => {
  hovered = null;
  tell(null);
  draw();
});
canvas.addEventListener("blur", () => tell(null));
$("scroll").addEventListener("scroll", () => {
  tell(null);
  draw();
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("by").addEventListener("change", () => go({ by: costNumber($("by").value) }));
$("view").addEventListener("change", () => go({ bottomUp: $("view").value === "bottom-up", path: [] }));
$("collapse").addEventListener("change", () => go({ collapse: $("collapse").checked }));
$("min").addEventListener("input", () => go({ min: Math.min(100, Math.max(0, parseFloat($("min").value) || 0)) }, false));
$("query").addEventListener("input", () => go({ query: $("query").value }, false));
addEventListener("hashchange", () => {
  if (location.hash === address()) return;
  readAddress();
  show();
});
new ResizeObserver(show).observe($("scroll"));
dark.addEventListener("change", () => {
  showLegend();
  draw();
});

$("title").textContent = data.title;
$("by").replaceChildren(
  ...data.costs.map((cost, at) => {
    const option = element("option", cost.is_bytes ? `Bytes ${cost.label}` : cost.label[0].toUpperCase() + cost.label.slice(1));
    option.value = cost.key;
    option.title = `Key ${at + 1}`;
    return option;
  }),
);
readAddress();
showLegend();
show();
