'use strict';
// Promise.race leaves its reactions on the promise that has not settled: the one of the shutdown never does.
// expect: {"detector": "pending-promises"}

const ladder = require('../ladder.cjs');

// fault {
class Consumer {
  constructor() {
    this.stopped = new Promise(resolve => {
      this.stop = resolve;
    });
  }

  fetchBatch(offset) {
    return Promise.resolve([`message ${offset}`, `message ${offset + 1}`]);
  }

  async poll(offset) {
    const batch = await Promise.race([this.stopped, this.fetchBatch(offset)]);
    return batch.length;
  }
}
// } fault

const consumer = new Consumer();
let offset = 0;

ladder(async () => {
  for (let i = 0; i < 300; i++) await consumer.poll(++offset);
});
