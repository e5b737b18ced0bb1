'use strict';
// A heap with one of everything that the snapshot format or the analysis treats specially.
//
//   node zoo.cjs OUT_DIR MODE
//
// MODE is what to write:
//   default    zoo.heapsnapshot           what v8.writeHeapSnapshot gives without options
//   internals  zoo-internals.heapsnapshot exposeInternals (Node >= 20)
//   numeric    zoo-numeric.heapsnapshot   exposeInternals and exposeNumericValues (Node >= 20)
//   pair       zoo-a and zoo-b.heapsnapshot, with changes in between, for the comparison
//   small      zoo-small.heapsnapshot     the same animals, fewer of each: small enough for a fixture
//   small-pair zoo-small-a and zoo-small-b.heapsnapshot
//   huge       zoo-huge.heapsnapshot      small, and a buffer whose size needs more than 32 bits
//   timeline   nothing: waits for a debugger, which calls globalThis.zooAllocate() (see timeline.mjs)
//
// It must run on Node 12, which is why it reads like 2019 (no `?.`, no top-level await). Nothing in it is random: two
// runs differ only in what Node itself allocates.

const events = require('events');
const path = require('path');
const v8 = require('v8');
const vm = require('vm');

const [outDir, mode] = process.argv.slice(2);
const SMALL = /^(small|huge|timeline)/.test(mode);
/** How many of something: full size, or for a fixture. */
const many = (full, small) => (SMALL ? small : full);

/** Everything in here is reachable from the global object under one name. */
const zoo = (globalThis.zoo = {});

// ---- class instances: they have a source location, which becomes part of their class key ----
class Animal {
  constructor(name) {
    this.name = name;
    this.parent = null;
  }
}
class Cat extends Animal {}
class Dog extends Animal {}
/** Exists only in the first snapshot of a pair. */
class Doomed extends Animal {}
/** Exists only in the second snapshot of a pair. */
class Late extends Animal {}
const sameName = [1, 2].map(() => class Twin {});

function instances() {
  zoo.cats = [];
  for (let i = 0; i < many(300, 30); i++) zoo.cats.push(new Cat('cat ' + i));
  zoo.dogs = zoo.cats.map((cat, i) => Object.assign(new Dog('dog ' + (i % 7)), { parent: cat }));
  zoo.doomed = zoo.cats.slice(0, 20).map((_, i) => new Doomed('doomed ' + i));
  zoo.twins = sameName.map(Twin => [new Twin(), new Twin()]);
}

// ---- plain objects: DevTools names them after "interfaces" that it infers from how often a shape occurs ----
const LONG_KEY = 'quite_a_long_property_name_'.repeat(4) + 'end';

function plainObjects() {
  const shapes = [];
  const add = (count, make) => {
    for (let i = 0; i < count; i++) shapes.push(make(i));
  };
  const thing = i => ({ n: 'thing ' + i });
  // Overlapping shapes: the best match is the one with the most properties.
  add(40, i => ({ a: thing(i), b: thing(i) }));
  add(20, i => ({ a: thing(i), b: thing(i), c: thing(i) }));
  add(10, i => ({ b: thing(i), c: thing(i) }));
  add(10, i => ({ c: thing(i), b: thing(i) })); // same set, other order: another interface, never the best one
  add(1, i => ({ a: thing(i), c: thing(i), z: thing(i) })); // too rare to be an interface
  add(12, () => ({})); // no properties at all
  add(12, i => ({ x: i, y: i })); // numbers leave no edges without numeric capture
  // Names that have to be quoted in the class name.
  add(12, i => ({ 'a, b': thing(i), "it's": thing(i), 'say "hi"': thing(i), '{': thing(i), '}': thing(i) }));
  add(12, i => ({ 'line\nbreak': thing(i), 'tab\tbed': thing(i), 'back\\slash, too': thing(i) }));
  add(12, i => ({ ключ: thing(i), 鍵: thing(i), café: thing(i) }));
  add(12, i => ({ 'a\u{1F600}': thing(i), 'b\u{10FFFF}': thing(i) }));
  add(12, i => ({ 'nul\0nul': thing(i), 'del\x7f': thing(i), '\x01\x1f': thing(i) }));
  // The same property name twice, by two symbols with one description: a shape is a multiset, not a set.
  add(12, i => ({ [Symbol('twice')]: thing(i), [Symbol('twice')]: thing(i) }));
  add(12, i => ({ [Symbol('twice')]: thing(i), once: thing(i) }));
  add(3, i => ({ [Symbol('twice')]: thing(i), ['rare' + i]: thing(i) }));
  // Cut after 120 characters, but never before the first property.
  add(12, i => ({ [LONG_KEY + LONG_KEY]: thing(i), after: thing(i) }));
  add(12, i => ({ before: thing(i), [LONG_KEY]: thing(i), [LONG_KEY + 2]: thing(i) }));
  add(12, i => ({ ['p'.repeat(119)]: thing(i) }));
  add(12, i => ({ ['p'.repeat(60)]: thing(i), ['q'.repeat(57)]: thing(i), r: thing(i) }));
  add(12, i => ({ ['p'.repeat(61)]: thing(i), ['q'.repeat(57)]: thing(i), r: thing(i) }));
  // Accessors write `name`, `get name` and `set name`.
  add(12, i => ({
    get got() {
      return i;
    },
    set got(v) {},
    'get got': thing(i),
  }));
  // With and without a prototype of their own.
  add(12, i => Object.assign(Object.create(null), { bare: thing(i) }));
  add(12, i => ({ ['__proto__']: thing(i), own: thing(i) }));
  // Integer keys are elements, not properties.
  add(12, i => ({ 0: thing(i), 7: thing(i), seven: thing(i) }));
  // Out-of-object (dictionary) properties.
  add(2, i => {
    const o = {};
    for (let k = 0; k < many(1200, 150); k++) o['key' + k] = k % 9 ? k : thing(k);
    delete o.key3;
    o.extra = thing(i);
    return o;
  });
  zoo.shapes = shapes;
}

// ---- class names that are not what they seem ----
function strangeNames() {
  // Objects whose class NAME is one that DevTools gives to something else: its table of classes loses one of the two.
  zoo.functionsInName = [];
  for (let i = 0; i < 5; i++) zoo.functionsInName.push(Object.create(Function.prototype, { i: { value: 'f' + i } }));
  zoo.regexpsInName = [Object.create(RegExp.prototype), Object.create(RegExp.prototype)];
  const tagged = name => ({ [Symbol.toStringTag]: name });
  zoo.tagged = [
    '(system)',
    '(compiled code)',
    '(string)',
    '(array)',
    '(closure)',
    'Function',
    'Array',
    'Object',
    'constructor',
    '__proto__',
    'toString',
    '',
    ' ',
    ',',
    '1,2,3,Cat',
    '{a, b}',
    '<div class="x" id=y>',
    '<div>',
    '< >',
    '<',
    'Detached <div class="x">',
    'Detached <span>',
    'Detached ',
    'Detached HTMLDivElement',
    'system / NativeContext',
    'system / Context',
    'system / Context / scope @1',
    'line\nbreak',
    'tab\tbed',
    'quote"d',
    '\u{1F600}',
    '\u{1D800}',
    '\u{1D801}',
    '\ud800',
    'nul\0nul',
    'ключ',
  ].map(name => [tagged(name), tagged(name)]);
  // Class names that come from computed names.
  const classes = ['Function', '(system)', 'Object', 'Detached Window', '<b>', 'with space', '\u{20BB7}', 'a\nb'].map(
    name =>
      ({
        [name]: class {
          constructor() {
            this.me = name;
          }
        },
      })[name],
  );
  zoo.classes = classes.map(C => [new C(), new C()]);
  zoo.nullProto = Object.create(null);
}

// ---- strings ----
function strings() {
  const long = 'x'.repeat(1024);
  const flat = s => Object.keys({ [s]: 0 })[0]; // internalised, thus flat
  let deep = 'start';
  for (let i = 0; i < many(3000, 300); i++) deep += ' and on ' + (i % 10);
  let left = 'end of it';
  for (let i = 0; i < 300; i++) left = 'before ' + i + ' ' + left;
  zoo.strings = {
    short: ['dup', 'li', 'cate'].map(s => flat(s)),
    duplicates: [],
    // Equal in the first 1024 units, which is all that a snapshot holds of them.
    sameHead: [flat(long + 'one tail'), flat(long + 'another tail'), flat(long + 'a third tail')],
    exactly1024: [flat(long), flat('y' + long.slice(1)), flat(long.slice(1))],
    deep,
    left,
    flattened: JSON.parse(JSON.stringify('flat ')) + 'after the use as a key',
    sliced: (long + ' the slice of a long parent string').slice(900, 1050),
    loneSurrogates: ['lone\ud800end', '\udc00', 'a\ud800', '\ud800\ud800'],
    supplementary: ['\u{1F600}', '\u{10FFFF}', 'x\u{1D800}y', '\u{1D800}\u{1DC00}', '\u{2F800}'],
    controls: [
      'nul\0nul',
      '\b\f\n\r\t\v',
      '\x01\x1f\x7f\x80\x9f',
      '\u2028\u2029',
      'back\\slash',
      '"quoted"',
      '</script>',
    ],
    empty: '',
    external8: Buffer.alloc(1100000, 'external ').toString('latin1'),
    external16: Buffer.alloc(2200000, 'wide').toString('ucs2'),
    numeric: ['12', '-1', '1e21', 'NaN'],
  };
  for (let i = 0; i < many(60, 12); i++) {
    zoo.strings.duplicates.push(JSON.parse('"a duplicate made by the parser, number ' + (i % 3) + '"'));
  }
  zoo.strings.lookup = { [zoo.strings.flattened]: 1 }; // flattens the cons string: its second half is "" now
  zoo.symbols = [Symbol('described'), Symbol(), Symbol.for('registered'), Symbol('line\nbreak')];
  zoo.withSymbolKeys = {
    [zoo.symbols[0]]: { here: 'a' },
    [zoo.symbols[1]]: { here: 'b' },
    [zoo.symbols[3]]: { here: 'c' },
  };
}

// ---- code ----
function code() {
  const make = () => {
    const captured = { big: new Array(50).fill({}), text: 'captured' };
    let counter = 0;
    return {
      inc: () => ++counter && captured,
      other: () => counter,
      plain() {
        return captured.text;
      },
    };
  };
  zoo.closures = [];
  for (let i = 0; i < many(50, 8); i++) zoo.closures.push(make());
  zoo.bound = [function target() {}.bind({ self: 'this' }, 'arg', { second: 'argument' }), Math.max.bind(null, 1)];
  zoo.evals = [eval('(function evaluated() { return outer; var outer; })'), new Function('a', 'return { a: a }')];
  zoo.regexps = [/plain/, /with (group) and "quotes"/gi, new RegExp('a\nb\u2028'), /(?<named>x)/u];
  zoo.regexps.forEach(r => r.test('x'));
  const generator = function* (a) {
    const local = { inGenerator: a };
    yield local;
    yield a;
  };
  zoo.generators = [
    generator({ g: 1 }),
    generator({ g: 2 }),
    (async function* () {
      yield 1;
    })(),
  ];
  zoo.generators[0].next();
  const never = new Promise(() => {});
  const waiting = async x => {
    const local = { inAsync: x };
    await never;
    return local;
  };
  zoo.promises = [never, Promise.resolve({ done: 1 }), waiting({ a: 1 }), waiting({ a: 2 })];
  zoo.promises.push(
    never.then(() => zoo.closures),
    Promise.all([never, never]),
  );
  zoo.error = new Error('an error with a stack');
  zoo.error.stack; // formatted now
  zoo.proxy = new Proxy({ target: 1 }, { get: (t, k) => t[k] });
  zoo.args = (function () {
    return arguments;
  })(1, { two: 2 }, 'three');
  zoo.date = new Date(0);
}

// ---- collections ----
function collections() {
  zoo.map = new Map();
  zoo.set = new Set();
  for (let i = 0; i < many(500, 40); i++) {
    zoo.map.set({ key: i }, { value: i });
    zoo.set.add('member ' + i);
  }
  zoo.map.set(zoo.map, zoo.set);
  const wm = (zoo.weakMap = new WeakMap());
  const other = (zoo.otherWeakMap = new WeakMap());
  zoo.weakKeys = [];
  const values = [
    { v: 'object' },
    'short',
    'line\nbreak',
    'carriage\rreturn',
    'para\u2029graph',
    'x'.repeat(700),
    'y'.repeat(5000),
    'looks / part of key (k @1) -> value (v @3) pair in WeakMap (table @5)',
    '%s %d',
    'ключ',
    '\u{1F600}',
    '',
    7,
    null,
    Symbol('in a weak map'),
    [1, { deep: 'er' }],
    () => zoo,
    new Cat('in a weak map'),
  ];
  for (const value of values) {
    const key = { k: zoo.weakKeys.length };
    zoo.weakKeys.push(key);
    wm.set(key, value);
    if (zoo.weakKeys.length % 2) other.set(key, [value]);
  }
  // Keys with strange names of their own.
  const named = [
    { [Symbol.toStringTag]: 'a\nb' },
    /regexp key/,
    function keyFunction() {},
    new Cat('key'),
    [1],
    zoo.map,
  ];
  named.forEach((key, i) => wm.set(key, { forNamedKey: i }));
  zoo.weakKeys.push(named);
  // Keys that nothing else holds, a chain where each value is the next key, a value that is its own key.
  for (let i = 0; i < 20; i++) wm.set({ lost: i }, { lostValue: i });
  let link = (zoo.chainStart = { chain: 0 });
  for (let i = 1; i < 20; i++) {
    const next = { chain: i };
    wm.set(link, next);
    link = next;
  }
  const selfish = (zoo.selfish = { selfish: true });
  wm.set(selfish, selfish);
  // The table is held only by its own value.
  const inner = new WeakMap();
  inner.set(zoo.chainStart, { holds: inner });
  zoo.weakSet = new WeakSet([zoo.selfish, zoo.chainStart, { lost: 'in a set' }]);
  if (typeof WeakRef === 'function') {
    zoo.weakRefs = [new WeakRef(zoo.selfish), new WeakRef({ only: 'weak' })];
    zoo.registry = new FinalizationRegistry(() => {});
    zoo.registry.register(zoo.selfish, { held: 'value' }, zoo.chainStart);
    zoo.registry.register({ lost: 'registered' }, { held: 'too' });
  }
}

// ---- arrays, numbers, buffers ----
function arraysAndBuffers() {
  const sparse = [];
  sparse[0] = { at: 'zero' };
  sparse[2 ** 29 + 5] = { at: 'beyond 2^29' };
  sparse[2 ** 32 - 2] = { at: 'the last index' };
  zoo.arrays = {
    sparse,
    holey: [, { h: 1 }, , { h: 2 }],
    doubles: [0.5, 1.5, 2.5, NaN],
    smis: Array.from({ length: 100 }, (_, i) => i),
    mixed: [1, 'two', { three: 3 }, 4.5, 5n, null, undefined, true],
    sharedElements: [[1, { s: 1 }, 3]],
    frozen: Object.freeze([{ f: 1 }]),
    withProps: Object.assign([1, 2, 3], { extra: 'property' }),
    subclass: new (class Stack extends Array {})(3).fill({}),
    // A literal's boilerplate shares its elements with the copies until one is written to.
    copyOnWrite: [1, 2, 3].map(() => [10, 20, 30]),
  };
  zoo.numbers = {
    heap: 1.25,
    negative: -0.5,
    nan: NaN,
    max: Number.MAX_VALUE,
    boxed: Object(1.5),
    smi: 7,
    minusZero: -0,
  };
  zoo.heapNumbers = Array.from({ length: 20 }, (_, i) => ({ value: i + 0.5, other: i }));
  zoo.bigints = [0n, 1n, -(2n ** 64n), 2n ** 4000n, Object(5n)];
  const buffer = new ArrayBuffer(4096);
  zoo.buffers = {
    buffer,
    views: [new Uint8Array(buffer), new Float64Array(buffer, 8, 16), new DataView(buffer, 100, 20)],
    onHeap: new Uint8Array(64),
    offHeap: new Uint8Array(65),
    bigInts: new BigInt64Array(10),
    empty: new ArrayBuffer(0),
    shared: new SharedArrayBuffer(8192),
    pooled: Array.from({ length: many(30, 5) }, (_, i) => Buffer.from('pooled ' + i)),
    own: Buffer.alloc(10000, 1),
    sliced: Buffer.alloc(20000).slice(5, 500),
  };
  zoo.sharedView = new Int32Array(zoo.buffers.shared);
  if (mode === 'huge') zoo.hugeBuffer = new ArrayBuffer(5 * 2 ** 30); // calloc: address space, not memory
}

// ---- structure ----
function structure() {
  // Not plain objects: so many of them would make every other shape too rare to be an interface.
  class Link {
    constructor(next) {
      this.next = next;
    }
  }
  let head = null;
  for (let i = 0; i < many(200000, 300); i++) head = new Link(head);
  zoo.list = head;
  // A ring, a diamond, a node that holds itself, two owners.
  const ring = Array.from({ length: 10 }, (_, i) => ({ ring: i }));
  ring.forEach((o, i) => (o.following = ring[(i + 1) % ring.length]));
  zoo.ring = ring[0];
  const bottom = { bottom: new Array(100).fill(0).map((_, i) => 'held by both ' + i) };
  zoo.diamond = { left: { bottom }, right: { bottom } };
  zoo.diamond.self = zoo.diamond;
  const tree = depth => (depth ? { l: tree(depth - 1), r: tree(depth - 1) } : { leaf: 'leaf' });
  zoo.tree = tree(many(10, 4));
  // A cycle that only weak references reach.
  zoo.contexts = [1, 2].map(i => {
    const context = vm.createContext({ host: zoo.ring, i });
    vm.runInContext(
      'class Inside { constructor() { this.host = host; } }\n' +
        'globalThis.things = [new Inside(), { a: new Inside(), b: new Inside() }, /re/, () => host, new Map([[1, {}]])];',
      context,
      { filename: 'inside-' + i + '.js' },
    );
    return context;
  });
  const emitter = (zoo.emitter = new events.EventEmitter());
  for (let i = 0; i < 8; i++) emitter.on('event ' + (i % 3), () => zoo.cats[i]);
  zoo.timers = [setTimeout(() => zoo, 1e8), setInterval(() => zoo, 1e8), setImmediate(() => {})];
  zoo.timers.slice(0, 2).forEach(t => t.unref());
  // Nothing of a console, a page or a listener exists in Node; these only have the names.
  zoo.listeners = [{ [Symbol.toStringTag]: 'V8EventListener', 1: () => zoo.cats }];
}

/** What happens between the two snapshots of a pair. */
function change() {
  zoo.doomed = null;
  zoo.late = Array.from({ length: 15 }, (_, i) => new Late('late ' + i));
  zoo.cats.splice(0, 10);
  for (let i = 0; i < 25; i++) zoo.cats.push(new Cat('new cat ' + i));
  zoo.dogs.forEach((dog, i) => i % 3 || (dog.tag = { added: i })); // grows in place: unchanged in a comparison
  zoo.shapes.forEach((o, i) => i < 5 && (o.c = { n: 'moves to the other interface' }));
  zoo.strings.duplicates.length = 3;
  zoo.strings.added = Array.from({ length: 12 }, (_, i) => JSON.parse('"added later ' + i + '"'));
  zoo.map.clear();
  zoo.heapNumbers.push(...Array.from({ length: 50 }, (_, i) => ({ value: i + 0.25 })));
  zoo.buffers.added = [new ArrayBuffer(30000), Buffer.alloc(70)];
  zoo.functionsInName.push(Object.create(Function.prototype), Object.create(Function.prototype));
  zoo.functionsInName.shift();
  zoo.closures.push(() => change);
  zoo.bigints.pop();
  // A definition that no object of the second snapshot has as its best one, but objects of the first do: the class
  // exists only in the base under a name that only the new snapshot knows (see faults.names in devtools.mjs).
  zoo.lateShapes = [];
  const t = () => ({ n: 't' });
  for (let i = 0; i < 12; i++) {
    zoo.lateShapes.push({ ga: t(), gb: t(), [LONG_KEY + LONG_KEY]: t(), gx: t(), gy: t(), gz: t() });
    zoo.lateShapes.push({ gx: t(), gy: t(), gz: t() });
  }
  zoo.ghosts = null;
}

function ghosts() {
  // Built step by step: V8 keeps a template object of a literal, which would survive into the second snapshot.
  zoo.ghosts = Array.from({ length: 12 }, () => {
    const ghost = {};
    for (const key of ['ga', 'gb', 'gc']) ghost[key] = { n: 't' };
    return ghost;
  });
}

function write(name, options) {
  const file = path.join(outDir, name + '.heapsnapshot');
  // Node 18 and older take the file name alone.
  return options ? v8.writeHeapSnapshot(file, options) : v8.writeHeapSnapshot(file);
}

instances();
plainObjects();
strangeNames();
strings();
code();
collections();
arraysAndBuffers();
structure();
ghosts();

switch (mode) {
  case 'default':
    write('zoo');
    break;
  case 'internals':
    write('zoo-internals', { exposeInternals: true });
    break;
  case 'numeric':
    write('zoo-numeric', { exposeInternals: true, exposeNumericValues: true });
    break;
  case 'pair':
  case 'small-pair':
    write(mode === 'pair' ? 'zoo-a' : 'zoo-small-a');
    change();
    write(mode === 'pair' ? 'zoo-b' : 'zoo-small-b');
    break;
  case 'small':
    write('zoo-small');
    break;
  case 'huge':
    write('zoo-huge');
    break;
  case 'timeline': {
    // One step allocates what stays, what dies at once, and recursion, so that the tree of allocation sites is deep.
    const kept = (zoo.kept = []);
    const recurse = n => (n ? recurse(n - 1) : kept.push({ atDepth: new Cat('deep') }));
    globalThis.zooAllocate = function zooAllocate(step) {
      for (let i = 0; i < 200; i++) kept.push(new Cat('step ' + step + ' ' + i), { step, i: { i } });
      for (let i = 0; i < 200; i++) new Dog('dies ' + i);
      recurse(step * 7);
      kept.push(Buffer.alloc(5000), 'cons ' + step + ' string'.repeat(step));
    };
    setInterval(() => {}, 1000);
    break;
  }
  default:
    process.stderr.write(
      'usage: node zoo.cjs OUT_DIR default|internals|numeric|pair|small|small-pair|huge|timeline\n',
    );
    process.exit(2);
}
if (mode !== 'timeline') process.exit(0);
