'use strict';
// Climbs a ladder: work, snapshot, work, snapshot, … in one process, as an engineer on a leak hunt would.
//
//   node PROGRAM FOLDER      writes FOLDER/1.heapsnapshot, 2.heapsnapshot, …

const path = require('node:path');
const v8 = require('node:v8');

const RUNGS = 4;

/** Lets timers that are due, promises and 'close' events run, so that finished work is really finished. */
async function settle() {
  for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve));
}

/** Calls `work(step)` before each snapshot, and ends the process after the last one, whatever still runs. */
module.exports = async function ladder(work) {
  const folder = process.argv[2];
  for (let step = 0; step < RUNGS; step++) {
    await work(step);
    await settle();
    v8.writeHeapSnapshot(path.join(folder, `${step + 1}.heapsnapshot`));
  }
  process.exit(0);
};
