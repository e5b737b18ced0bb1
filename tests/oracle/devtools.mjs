// What Chrome DevTools says about a heap snapshot, in twinheap's own output formats.
//
//   node devtools.mjs analyse OUT_DIR FILE...           OUT_DIR/NAME.nodes.tsv and OUT_DIR/NAME.summary.json
//   node devtools.mjs query OUT_DIR FILE...             OUT_DIR/NAME.queries.json
//   node devtools.mjs diff OUT_DIR BASE NEW [BASE NEW]… OUT_DIR/BASE..NEW.diff.json
//
// Needs Node >= 22. The numbers are DevTools' own, with its faults. Where it is known to be wrong the answer has the
// right value as well, under `faults`, computed by the same engine with that one fault repaired (see engine.mjs):
//   faults.wrapped     sizes of 2^32 and more are cut to 32 bits; then the whole answer is repeated in full width
//   faults.collisions  classes that vanish because another class has the same public key
//   faults.names       (diff) a class that only the base has, shown under its name from the base's own inferred
//                      interfaces although it was compared under the new snapshot's
// The last two are lists of rows: take the `wrong` ones out, put the `right` ones in, in this order of faults.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ENGINE_VERSION, loadEngine, openSnapshot, requestClasses, warnings, withPublicKeys } from './engine.mjs';
import { answerQueries } from './queries.mjs';
import { classTable, repair } from './rows.mjs';

/** How many nodes `query` answers about. */
const SAMPLED_NODES = 150;

/** Writes big outputs piece by piece: a TSV of a million nodes does not fit into one string's limits comfortably. */
class Lines {
  #fd;
  #buffered = '';
  constructor(file) {
    this.#fd = fs.openSync(file, 'w');
  }
  add(line) {
    this.#buffered += line + '\n';
    if (this.#buffered.length > 1 << 16) this.#flush();
  }
  #flush() {
    fs.writeSync(this.#fd, this.#buffered);
    this.#buffered = '';
  }
  close() {
    this.#flush();
    fs.closeSync(this.#fd);
  }
}

function writeNodes(file, { snapshot, fileSizes }) {
  const out = new Lines(file);
  out.add('id\tname\tself_size\tshallow_size\tretained_size\tdistance\tdominator_id\ttype\tclass');
  const node = snapshot.createNode(0);
  const dominator = snapshot.createNode(0);
  for (let i = 0; i < snapshot.nodeCount; i++, node.nodeIndex = node.nextNodeIndex()) {
    dominator.nodeIndex = node.dominatorIndex();
    out.add(
      `${node.id()}\t${JSON.stringify(node.name())}\t${fileSizes[i]}\t${node.selfSize()}\t${node.retainedSize()}\t` +
        `${node.distance()}\t${dominator.id()}\t${node.type()}\t${JSON.stringify(node.className())}`,
    );
  }
  out.close();
}

function summarise({ snapshot }) {
  const s = snapshot.getStatistics();
  const v8 = s.v8heap;
  return {
    nodes: snapshot.nodeCount,
    edges: snapshot.containmentEdges.length / snapshot.edgeFieldsCount,
    total_size: snapshot.totalSize,
    extra_native_bytes: snapshot.profile.snapshot.extra_native_bytes ?? 0,
    statistics: {
      total: s.total,
      code: v8.code,
      strings: v8.strings,
      js_arrays: v8.jsArrays,
      typed_arrays: s.native.typedArrays,
      system: v8.system,
      other_js: v8.total - v8.code - v8.strings - v8.jsArrays - v8.system,
      other_native: s.native.total - s.native.typedArrays,
    },
    ...classTable(snapshot),
    warnings: [...warnings],
  };
}

const nameOf = file => path.basename(file).replace(/\.heap(snapshot|timeline)$/, '');

function writeJson(file, value) {
  // V8's mangled names have unpaired surrogates. JSON can write those, but strict parsers refuse to read them.
  const text = (_, v) => (typeof v === 'string' ? v.toWellFormed() : v);
  fs.writeFileSync(file, JSON.stringify({ oracle: ENGINE_VERSION, ...value }, text, 1));
}

async function analyse(outDir, file) {
  const base = path.join(outDir, nameOf(file));
  let opened = await openSnapshot(file);
  const answer = summarise(opened);
  writeNodes(`${base}.nodes.tsv`, opened);
  if (opened.overflows) {
    opened = await openSnapshot(file, { wide: true });
    answer.faults.wrapped = summarise(opened);
    writeNodes(`${base}.wide.nodes.tsv`, opened);
  }
  writeJson(`${base}.summary.json`, answer);
}

async function query(outDir, file) {
  const { snapshot } = await openSnapshot(file);
  writeJson(path.join(outDir, `${nameOf(file)}.queries.json`), answerQueries(snapshot, SAMPLED_NODES));
}

const diffRow = (key, d) => ({
  name: d.name,
  key,
  added: d.addedCount,
  removed: d.removedCount,
  delta: d.countDelta,
  allocated_size: d.addedSize,
  freed_size: d.removedSize,
  size_delta: d.sizeDelta,
});

/** The Comparison view: what its grid shows for `next` compared with `base`. */
function compare(base, next, definitions, comparisonId) {
  const aggregates = base.aggregatesForDiff(definitions);
  return Object.entries(next.calculateSnapshotDiff(comparisonId, aggregates))
    .map(([key, d]) => diffRow(key, d))
    .sort((a, b) => b.allocated_size - a.allocated_size || (a.key < b.key ? -1 : 1));
}

/** The class name inside a class key "script,line,column,NAME" or ",NAME". */
const nameInKey = key => key.replace(/^(\d+,\d+,\d+)?,/, '');

async function diff(outDir, baseFile, nextFile) {
  const base = await openSnapshot(baseFile);
  const next = await openSnapshot(nextFile);
  const definitions = next.snapshot.interfaceDefinitions();
  const classes = compare(base.snapshot, next.snapshot, definitions, 'shown');
  const right = withPublicKeys(() => {
    // Both sides cache their aggregates: applying the definitions again and another text for them make them forget.
    next.snapshot.applyInterfaceDefinitions(JSON.parse(definitions));
    return compare(base.snapshot, next.snapshot, definitions + ' ', 'repaired');
  });
  const named = right.map(row => (row.added === 0 ? { ...row, name: nameInKey(row.key) } : row));
  writeJson(path.join(outDir, `${nameOf(baseFile)}..${nameOf(nextFile)}.diff.json`), {
    classes,
    faults: { collisions: repair(classes, right), names: repair(right, named) },
  });
}

/** What every command takes: how many files an answer is about, and the answer. */
const COMMANDS = { analyse: [1, analyse], query: [1, query], diff: [2, diff] };

if (isMainThread) {
  const [command, outDir, ...files] = process.argv.slice(2);
  const [arity] = COMMANDS[command] ?? [NaN];
  if (files.length === 0 || files.length % arity !== 0) {
    process.stderr.write(
      'usage: node devtools.mjs analyse OUT_DIR FILE...\n' +
        '       node devtools.mjs query OUT_DIR FILE...\n' +
        '       node devtools.mjs diff OUT_DIR BASE NEW [BASE NEW]...\n',
    );
    process.exit(2);
  }
  const worker = new Worker(fileURLToPath(import.meta.url), {
    workerData: { command, outDir, files },
    resourceLimits: { maxOldGenerationSizeMb: 8192, stackSizeMb: 64 },
  });
  worker.on('message', message => {
    if (message === 'workerReady') worker.postMessage(requestClasses);
    if (message === 'done') worker.terminate();
  });
  worker.on('error', error => {
    process.stderr.write(`${error.stack ?? error}\n`);
    process.exit(1);
  });
} else {
  await loadEngine();
  const [arity, run] = COMMANDS[workerData.command];
  for (let i = 0; i < workerData.files.length; i += arity) {
    warnings.length = 0;
    await run(workerData.outDir, ...workerData.files.slice(i, i + arity));
  }
  parentPort.postMessage('done');
}
