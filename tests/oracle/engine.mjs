// Loads Chrome DevTools' heap snapshot engine, unmodified, from the npm package chrome-devtools-mcp, and opens files
// with it. Runs only inside a worker thread (see devtools.mjs).
//
// The package ships DevTools' heap snapshot worker as one bundle without exports. Its message dispatcher has a request,
// `evaluateForTest`, which DevTools' own tests use; it publishes the engine's classes on globalThis, and that is all we
// ask of it. Everything after that are calls of the same methods which the DevTools front end calls.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);

/** Version of the engine: part of the key under which answers may be cached. */
export const ENGINE_VERSION = require('chrome-devtools-mcp/package.json').version;

const CHUNK = 4 << 20;
const U32 = 2 ** 32;

let engine;
/** What DevTools printed while it worked: reports of unreachable nodes. */
export const warnings = [];

/** The engine's classes. `parent` is the thread that answers the request described above (see `requestClasses`). */
export async function loadEngine() {
  if (engine) return engine;
  console.warn = text => warnings.push(String(text));
  const packageDir = path.dirname(require.resolve('chrome-devtools-mcp/package.json'));
  await import(pathToFileURL(path.join(packageDir, 'build/src/third_party/devtools-heap-snapshot-worker.js')));
  // The bundle decides by `self` whether it is in a browser, so this comes after the import; the dispatcher needs it.
  globalThis.self = globalThis;
  while (!globalThis.HeapSnapshotWorker) await sleep(1);
  const { HeapSnapshot, HeapSnapshotLoader } = globalThis.HeapSnapshotWorker;
  const { NodeFilter, ComparatorConfig } = globalThis.HeapSnapshotModel.HeapSnapshotModel;
  engine = { ...HeapSnapshot, ...HeapSnapshotLoader, NodeFilter, ComparatorConfig };
  return engine;
}

/** The filter of the Summary view with these fields set; none for "All objects". */
export const nodeFilter = (fields = {}) => Object.assign(new engine.NodeFilter(), fields);

/** An order for a grid: by one field and, where equal, by another. */
export const comparator = (field, ascending, then, thenAscending) =>
  new engine.ComparatorConfig(field, ascending, then, thenAscending);

/** The message with which the parent thread makes the engine publish its classes. */
export const requestClasses = { disposition: 'evaluateForTest', callId: 1, source: 'undefined' };

/**
 * Opens a plain .heapsnapshot or .heaptimeline file.
 *
 * `wide` repairs one fault for the sake of comparison: DevTools keeps sizes in 32 bits, so a node of 5 GiB shows as
 * 1 GiB. With `wide` the very same code runs over arrays of doubles.
 */
export async function openSnapshot(file, { wide = false } = {}) {
  const { JSHeapSnapshot, HeapSnapshotLoader, SecondaryInitManager } = await loadEngine();
  const loader = new HeapSnapshotLoader({ sendEvent() {} });
  for await (const chunk of fs.createReadStream(file, { encoding: 'utf8', highWaterMark: CHUNK }))
    loader.write(chunk);
  loader.close();
  await loader.parsingComplete;

  const sizes = readSelfSizes(file);
  const { initialize, startInitStep3InSecondThread } = JSHeapSnapshot.prototype;
  if (wide) {
    JSHeapSnapshot.prototype.initialize = function (secondWorker) {
      const at = this.profile.snapshot.meta.node_fields.indexOf('self_size');
      const fields = this.profile.snapshot.meta.node_fields.length;
      const nodes = new WideArray(this.nodes.length);
      for (let i = 0; i < nodes.length; i++) nodes[i] = this.nodes.getValue(i);
      for (let i = 0; i < sizes.length; i++) nodes[i * fields + at] = sizes[i];
      this.nodes = nodes;
      return initialize.call(this, secondWorker);
    };
    JSHeapSnapshot.prototype.startInitStep3InSecondThread = function (secondWorker) {
      const nodeSelfSizes = new Float64Array(this.nodeCount);
      const node = this.createNode(0);
      for (let i = 0; i < this.nodeCount; i++, node.nodeIndex += this.nodeFieldCount)
        nodeSelfSizes[i] = node.selfSize();
      secondWorker.postMessage({ step: 3, args: { nodeSelfSizes } }, [nodeSelfSizes.buffer]);
    };
  }
  // DevTools computes dominators in a second worker; one thread with a channel to itself gives the same answers.
  const channel = new MessageChannel();
  try {
    new SecondaryInitManager(channel.port2);
    const snapshot = await loader.buildSnapshot(channel.port1);
    return { snapshot, fileSizes: sizes, overflows: sizes.some(size => size >= U32) };
  } finally {
    channel.port1.close();
    channel.port2.close();
    Object.assign(JSHeapSnapshot.prototype, { initialize, startInitStep3InSecondThread });
  }
}

/** The engine's number array with 53 bits instead of 32. */
class WideArray extends Float64Array {
  getValue(index) {
    return this[index];
  }
  setValue(index, value) {
    this[index] = value;
  }
}

/**
 * Runs `answer` while class keys are what DevTools shows instead of what it uses inside.
 *
 * Inside, the key of a class without a source location is the index of its name in the string table. A name that
 * DevTools adds itself ("Function", "(system)", "<div>") has another index than the same name from the file, so one
 * class makes two entries; both get the same public key and the later one replaces the earlier. With public keys from
 * the start the engine's own code counts both as one.
 */
export function withPublicKeys(answer) {
  const prototype = engine.HeapSnapshotNode.prototype;
  const original = prototype.classKeyInternal;
  prototype.classKeyInternal = function () {
    const key = original.call(this);
    return typeof key === 'number' ? ',' + this.className() : key;
  };
  try {
    return answer();
  } finally {
    prototype.classKeyInternal = original;
  }
}

/** Sizes of the nodes as the file has them: DevTools moves sizes to owners and does not keep the original ones. */
function readSelfSizes(file) {
  const fd = fs.openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK);
    let length = fs.readSync(fd, buffer, 0, CHUNK, 0);
    const head = buffer.toString('latin1', 0, Math.min(length, 65536));
    const fields = JSON.parse(/"node_fields"\s*:\s*(\[[^\]]*\])/.exec(head)[1]);
    const wanted = fields.indexOf('self_size');
    const start = /"nodes"\s*:\s*\[/.exec(head);
    const sizes = [];
    let [position, field, value, inNumber] = [start.index + start[0].length, 0, 0, false];
    for (let offset = length; length > 0; position = 0) {
      for (; position < length; position++) {
        const byte = buffer[position];
        if (byte >= 48 && byte <= 57) {
          value = value * 10 + (byte - 48);
          inNumber = true;
          continue;
        }
        if (inNumber) {
          if (field === wanted) sizes.push(value);
          if (++field === fields.length) field = 0;
          value = 0;
          inNumber = false;
        }
        if (byte === 93 /* ] */) return sizes;
      }
      length = fs.readSync(fd, buffer, 0, CHUNK, offset);
      offset += length;
    }
    throw new Error(`${file}: the nodes section has no end`);
  } finally {
    fs.closeSync(fd);
  }
}
