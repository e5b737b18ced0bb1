'use strict';
// Failures are counted by kind; the last few are kept as examples.

const ladder = require('../ladder.cjs');

const MOST_EXAMPLES = 20;

class FailureReport {
  constructor() {
    this.counts = new Map();
    this.examples = [];
  }

  async attempt(task) {
    try {
      return await task();
    } catch (error) {
      this.counts.set(error.name, (this.counts.get(error.name) ?? 0) + 1);
      this.examples.push(error);
      if (this.examples.length > MOST_EXAMPLES) this.examples.shift();
      return undefined;
    }
  }
}

const report = new FailureReport();
let tasks = 0;

ladder(async () => {
  for (let i = 0; i < 150; i++) {
    const number = ++tasks;
    await report.attempt(() => Promise.reject(new Error(`task ${number} failed`)));
  }
});
