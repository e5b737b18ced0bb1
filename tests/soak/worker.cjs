'use strict';
// A worker thread: it makes garbage all the time, holds a little that stays, and answers sums.

const {parentPort, workerData} = require('node:worker_threads');
const {sum} = require('./shared.cjs');

class WorkerEntry {
  constructor(number) {
    this.number = number;
    this.tags = [`${workerData.name}-${number}`, {number}];
  }
}

const kept = new Map();
for (let i = 0; i < workerData.entries; i++) kept.set(i, new WorkerEntry(i));

const ring = new Array(32);
let turn = 0;
const TICK = 10;
let last = performance.now();
let worst = 0;
setInterval(() => {
  const now = performance.now();
  worst = Math.max(worst, now - last - TICK);
  last = now;
  const garbage = [];
  for (let i = 0; i < 400; i++) garbage.push({i, text: `${turn} ${i}`, list: [i, {i}]});
  ring[turn++ % ring.length] = garbage;
}, TICK);

parentPort.on('message', ({id, kind, seed, count}) => {
  if (kind === 'sum') {
    parentPort.postMessage({id, answer: sum(seed, count) + kept.get(seed % 1000).number});
  } else {
    // After the next tick, which sees a stop that is just over.
    setTimeout(() => {
      parentPort.postMessage({id, answer: worst});
      worst = 0;
    }, 2 * TICK);
  }
});
