// What a page knows: the graph in columns, and words that depend on nothing else. `page.js` follows in the same
// function.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

// ---- The graph: columns by node. Node `count` stands for all, and is nobody's caller in the data.

const count = data.parent.length;
const ALL = count;
const NONE = -1;
const parent = Int32Array.from(data.parent, (number) => number - 1);
const symbol = data.symbol;
const isInlined = new Uint8Array(count);
for (const node of data.inlined) isInlined[node] = 1;
const own = data.costs.map(() => new Float64Array(count + 1));
for (let at = 0; at < data.own.length; at += own.length + 1) {
  own.forEach((column, cost) => (column[data.own[at]] = data.own[at + 1 + cost]));
}
// A parent stands before its children, so that one pass from behind adds up.
const totals = own.map((column) => {
  const total = column.slice();
  for (let node = count - 1; node >= 0; node--) {
    total[parent[node] === NONE ? ALL : parent[node]] += total[node];
  }
  return total;
});
const firstChild = new Int32Array(count + 1).fill(NONE);
const sibling = new Int32Array(count).fill(NONE);
for (let node = count - 1; node >= 0; node--) {
  const above = parent[node] === NONE ? ALL : parent[node];
  sibling[node] = firstChild[above];
  firstChild[above] = node;
}

// ---- Words.

function size(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 99.95 ? 0 : 1)} ${units[unit]}`;
}

const grouped = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");
const percent = (part, whole) => `${whole > 0 ? ((part * 100) / whole).toFixed(2) : "0.00"} %`;
const fileName = (path) => path.slice(path.lastIndexOf("/") + 1);

// As much of a name as there is room for: outer namespaces go first, they are the same all around.
function fitting(name, room) {
  let rest = name;
  while (rest.length + (rest === name ? 0 : 1) > room) {
    const at = rest.indexOf("::", 1);
    if (at < 0) break;
    rest = rest.slice(at + 2);
  }
  if (rest !== name) rest = "…" + rest;
  return rest.length <= room ? rest : rest.slice(0, room - 1) + "…";
}

// Text in upper or lower case, or a regular expression between slashes; null if it is none.
function matcher(text) {
  if (text === "") return () => false;
  const regular = /^\/(.+)\/(i?)$/.exec(text);
  if (regular === null) {
    const wanted = text.toLowerCase();
    return (name) => name.toLowerCase().includes(wanted);
  }
  try {
    const expression = new RegExp(regular[1], regular[2]);
    return (name) => expression.test(name);
  } catch {
    return null;
  }
}
