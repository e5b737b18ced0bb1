'use strict';
// A thread that comes for one question and goes.

const {parentPort, workerData} = require('node:worker_threads');
const zlib = require('node:zlib');
const {text, sum} = require('./shared.cjs');

const {seed, count, way} = workerData;
const packed = zlib.deflateSync(text(seed, count));
if (zlib.inflateSync(packed).toString() !== text(seed, count)) throw new Error('it came out different');
parentPort.postMessage(String(sum(seed, count)));

/** Whoever terminates a thread does not wait until it has nothing to do. (No compression: Node 18 aborts if a thread is
 * terminated while it makes a stream for that.) */
function work() {
  const kept = [];
  for (;;) {
    kept.push(Buffer.allocUnsafeSlow(1000).fill(1), JSON.parse(JSON.stringify({seed, words: text(seed, 500).split('7')})));
    if (kept.length > 100) kept.length = 0;
  }
}

const ways = {
  return() {},
  exit: () => process.exit(3),
  throw() {
    throw new Error('as agreed');
  },
  terminate: work,
};
ways[way]();
