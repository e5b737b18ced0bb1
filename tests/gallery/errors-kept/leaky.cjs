'use strict';
// Every failure is kept with its stack, "for the report".
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class FailureReport {
  constructor() {
    this.failures = [];
  }

  async attempt(task) {
    try {
      return await task();
    } catch (error) {
      this.failures.push(error);
      return undefined;
    }
  }
}
// } fault

const report = new FailureReport();
let tasks = 0;

ladder(async () => {
  for (let i = 0; i < 150; i++) {
    const number = ++tasks;
    await report.attempt(() => Promise.reject(new Error(`task ${number} failed`)));
  }
});
