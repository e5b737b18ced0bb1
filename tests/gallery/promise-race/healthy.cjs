'use strict';
// One reaction for the whole life: the shutdown sets a flag that each turn asks.

const ladder = require('../ladder.cjs');

class Consumer {
  constructor() {
    this.isStopped = false;
    this.stopped = new Promise(resolve => {
      this.stop = resolve;
    }).then(() => {
      this.isStopped = true;
    });
  }

  fetchBatch(offset) {
    return Promise.resolve([`message ${offset}`, `message ${offset + 1}`]);
  }

  async poll(offset) {
    if (this.isStopped) return 0;
    const batch = await this.fetchBatch(offset);
    return batch.length;
  }
}

const consumer = new Consumer();
let offset = 0;

ladder(async () => {
  for (let i = 0; i < 300; i++) await consumer.poll(++offset);
});
