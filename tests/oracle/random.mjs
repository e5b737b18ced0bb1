// Writes heap snapshots of random graphs, full of what the analysis treats specially and Node never writes: DOM trees,
// attached and detached nodes, event listeners, console roots, odd WeakMap edge names, islands that nothing reaches.
//
//   node random.mjs OUT_DIR FIRST_SEED COUNT
//
// For every seed two files: random-SEED.heapsnapshot, and random-SEED-next.heapsnapshot as if the same process had gone
// on for a while, for comparisons. The same seed gives the same files on every machine.

import fs from 'node:fs';
import path from 'node:path';

const TYPES = [
  'hidden',
  'array',
  'string',
  'object',
  'code',
  'closure',
  'regexp',
  'number',
  'native',
  'synthetic',
  'concatenated string',
  'sliced string',
  'symbol',
  'bigint',
  'object shape',
];
const EDGES = ['context', 'element', 'property', 'internal', 'hidden', 'shortcut', 'weak'];

/** Names that mean something to DevTools, per node type. */
const NAMES = {
  hidden: ['system / NativeContext', 'system / Map', 'undefined', '', 'Detached thing'],
  array: ['', '(map descriptors)', '(object properties)', '(object elements)'],
  string: ['text', 'text', 'other', '', 'a\nb', '\ud800', 'x'.repeat(300), 'ключ', '\u{1F600}'],
  object: [
    'Object',
    'Object',
    'Object',
    'Array',
    'Array',
    'Foo',
    'Bar',
    'Function',
    'RegExp',
    '(system)',
    '(string)',
    '{a, b}',
    '<div>',
    '<div class="x y">',
    'Detached <p id="q r">',
    'Detached <p',
    '< >',
    'global',
    'Window / https://example.org',
    'system / Context',
    'system / Context / scope @7',
    'system / NativeContext / tag',
    'constructor',
    '__proto__',
    'Detached Foo',
    '\ud83dx',
    '',
  ],
  code: ['(shared function info)', '', 'system / Code'],
  closure: ['', 'Array', 'Foo', 'handler'],
  regexp: ['a|b', 'RegExp'],
  number: ['heap number', 'int', 'bool', 'smi number'],
  native: [
    'system / JSArrayBufferData',
    'system / ExternalStringData',
    'V8EventListener',
    'HTMLDivElement',
    'Text',
    '<div>',
    '<span class="a b">',
    'Detached Text',
    'InternalNode',
    'Function',
    'system / NativeContext',
    'Node / Environment',
    'true',
    'Foo',
    'Array',
  ],
  synthetic: ['(Global handles)', '(Document DOM trees)', '(Builtins)', 'C++ Persistent roots'],
};
const PROPERTIES = [
  'a',
  'b',
  'c',
  'd',
  '__proto__',
  'with, comma',
  "it's",
  '{',
  'a b',
  'z'.repeat(70),
  'y'.repeat(119),
];
const INTERNALS = ['map', 'map', 'native_context', 'elements', 'code', 'value', 'length', 'sloppy_function_map'];

/** mulberry32: small, and the same everywhere. */
function generator(seed) {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = n => Math.floor(random() * n);
  return { chance: p => random() < p, below, pick: list => list[below(list.length)] };
}

/**
 * A random snapshot; `later` is the one that the same process writes some time after it. WeakMap edges keep the ids of
 * before in their names, which makes them strong: one more case.
 */
function randomSnapshot(seed, later) {
  const { chance, below, pick } = generator(seed);
  const strings = ['<dummy>'];
  const indexOf = new Map([['<dummy>', 0]]);
  const intern = text => {
    if (!indexOf.has(text)) indexOf.set(text, strings.push(text) - 1);
    return indexOf.get(text);
  };

  const withDetachedness = chance(0.7);
  const withUserRoots = chance(0.7);
  const count = 20 + below(chance(0.2) ? 2500 : 300);
  const nodes = [{ type: 'synthetic', name: '', id: 1, size: 0, edges: [], detached: 0 }];
  let odd = 3;
  let even = 2;
  // Few types and names in some graphs, so that long chains of one kind come up.
  const types = chance(0.5) ? TYPES : Array.from({ length: 4 }, () => pick(TYPES)).concat('object', 'native');
  for (let i = 1; i < count; i++) {
    const type = i < 4 ? 'synthetic' : pick(types);
    const embedder = type === 'native' && chance(0.8);
    const id = embedder ? (even += 2) : (odd += 2 + 2 * below(3));
    const name = pick(NAMES[type] ?? [type]);
    const detached = embedder && chance(0.15) ? 1 + below(2) : 0;
    nodes.push({ type, name, id, size: chance(0.2) ? 0 : 8 * below(60), edges: [], detached });
  }
  const edge = (from, type, name, to) => from.edges.push([type, name, to]);
  const anyNode = () => 1 + below(count - 1);

  // The root: synthetic roots, user roots, sometimes a DOM forest or a user root by element.
  for (let i = 1; i < 4; i++) edge(nodes[0], 'element', i, i);
  for (let i = withUserRoots ? 1 + below(3) : 0; i > 0; i--)
    edge(nodes[0], pick(['shortcut', 'element']), i, anyNode());
  for (let i = 1; i < 4; i++) {
    for (let k = below(count / 10 + 2); k > 0; k--) {
      const name = chance(0.2) ? `${k} / DevTools console` : `${k} / handle`;
      edge(nodes[i], pick(['internal', 'internal', 'element', 'weak']), name, anyNode());
    }
  }
  const nearby = i => (chance(0.6) ? Math.max(1, Math.min(count - 1, i + below(14) - 4)) : anyNode());
  for (let i = 4; i < count; i++) {
    for (let k = below(chance(0.1) ? 12 : 4); k > 0; k--) {
      const type = pick([
        'context',
        'element',
        'property',
        'property',
        'property',
        'internal',
        'internal',
        'hidden',
        'shortcut',
        'weak',
      ]);
      const name =
        type === 'property' ? pick(PROPERTIES) : type === 'internal' ? pick(INTERNALS) : pick(['v', 'w', '1', '12']);
      edge(nodes[i], type, name, nearby(i));
    }
  }
  // Cons strings, whose name DevTools puts together from their parts. A part of them is not empty, and none contains
  // itself, of which DevTools would never come back; what cannot be a cons string becomes another kind of string.
  for (let i = count - 1; i > 0; i--) {
    const node = nodes[i];
    if (node.type !== 'concatenated string') continue;
    const parts = [1, 2].map(() => nodes.findIndex((n, to) => to > i + below(8) && /string/.test(n.type)));
    if (parts.includes(-1) || parts.every(to => nodes[to].name === '')) {
      node.type = 'sliced string';
      continue;
    }
    edge(node, 'internal', 'first', parts[0]);
    edge(node, 'internal', 'second', parts[1]);
  }
  // Plain objects of a few shapes, often enough for interfaces.
  const shapes = Array.from({ length: 4 }, () => Array.from({ length: below(5) }, () => pick(PROPERTIES)));
  for (const node of nodes) {
    if (node.name === 'Object' && chance(0.8)) for (const p of pick(shapes)) edge(node, 'property', p, anyNode());
  }
  // WeakMap entries: an edge from the key and one from the table, sometimes broken in one of the known ways.
  for (let k = below(count / 8); k > 0; k--) {
    const [key, table, value] = [anyNode(), anyNode(), anyNode()];
    const inside = text => text + (chance(0.1) ? pick(['\n', '\r', '\u2028', ') -> value (', '']) : '');
    const tail =
      ` / part of key (${inside(nodes[key].name)} @${nodes[key].id}) -> value (${inside(nodes[value].name)} ` +
      `@${nodes[value].id}) pair in WeakMap (table @${chance(0.1) ? 999999 : nodes[table].id})`;
    const type = chance(0.95) ? 'internal' : 'property';
    if (chance(0.95)) edge(nodes[key], type, 10 + below(50) + tail, value);
    if (chance(0.95)) edge(nodes[table], type, 60 + below(50) + tail + (chance(0.05) ? ' ' : ''), value);
    if (chance(0.1)) edge(nodes[anyNode()], type, 'x' + tail, value);
  }
  // Listeners: `1` leads to the callback, `code` tells what can be called.
  for (const node of nodes) {
    if (node.name === 'V8EventListener') edge(node, 'internal', '1', anyNode());
    if (node.type === 'closure' && chance(0.8)) edge(node, 'internal', 'code', anyNode());
  }

  if (later) {
    for (const node of nodes.slice(4)) {
      // Gone, with something of the same kind in its place; or grown, shrunk, renamed, with another property.
      if (chance(0.12)) node.id = node.id % 2 ? (odd += 2) : (even += 2);
      else if (chance(0.1)) node.size = 8 * below(60);
      else if (chance(0.03)) node.name = pick(NAMES[node.type] ?? [node.type]);
      if (chance(0.05)) edge(node, 'property', pick(PROPERTIES), anyNode());
    }
  }

  const fields = [
    'type',
    'name',
    'id',
    'self_size',
    'edge_count',
    ...(withDetachedness ? ['trace_node_id', 'detachedness'] : []),
  ];
  const width = fields.length;
  const flatEdges = [];
  const flatNodes = nodes.flatMap(node => {
    for (const [type, name, to] of node.edges) {
      // Elements and hidden edges have a number; the names of the others are strings.
      const numbered = type === 'element' || type === 'hidden';
      const number = Number.isInteger(Number(name)) ? Number(name) : below(40);
      flatEdges.push(EDGES.indexOf(type), numbered ? number : intern(String(name)), to * width);
    }
    const record = [TYPES.indexOf(node.type), intern(node.name), node.id, node.size, node.edges.length];
    return withDetachedness ? [...record, 0, node.detached] : record;
  });
  const fiveFields = chance(0.3);
  const locations = [];
  nodes.forEach((node, i) => {
    if ((node.type !== 'object' && node.type !== 'closure') || chance(0.6)) return;
    const place = [1 + below(3), below(3), below(2)];
    locations.push(i * width, ...(fiveFields ? [0] : []), ...place);
  });
  return {
    snapshot: {
      meta: {
        node_fields: fields,
        node_types: [TYPES, ...fields.slice(1).map(f => (f === 'name' ? 'string' : 'number'))],
        edge_fields: ['type', 'name_or_index', 'to_node'],
        edge_types: [EDGES, 'string_or_number', 'node'],
        trace_function_info_fields: ['function_id', 'name', 'script_name', 'script_id', 'line', 'column'],
        trace_node_fields: ['id', 'function_info_index', 'count', 'size', 'children'],
        sample_fields: ['timestamp_us', 'last_assigned_id'],
        location_fields: [
          'object_index',
          ...(fiveFields ? ['script_object_index'] : []),
          'script_id',
          'line',
          'column',
        ],
      },
      node_count: nodes.length,
      edge_count: flatEdges.length / 3,
      trace_function_count: 0,
      ...(chance(0.5) ? { extra_native_bytes: below(1000) } : {}),
    },
    nodes: flatNodes,
    edges: flatEdges,
    trace_function_infos: [],
    trace_tree: [],
    samples: chance(0.5) ? [0, 1 + below(odd), 50000, odd] : [],
    locations,
    strings,
  };
}

const [outDir, first, count] = process.argv.slice(2);
if (!count) {
  process.stderr.write('usage: node random.mjs OUT_DIR FIRST_SEED COUNT\n');
  process.exit(2);
}
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  for (const later of [false, true]) {
    const text = JSON.stringify(randomSnapshot(seed, later));
    // V8 writes ASCII only; other producers write UTF-8.
    const ascii = text.replace(/[\u0080-\uffff]/g, c => {
      return '\\u' + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    });
    const file = path.join(outDir, `random-${seed}${later ? '-next' : ''}.heapsnapshot`);
    fs.writeFileSync(file, seed % 2 ? ascii : text);
  }
}
