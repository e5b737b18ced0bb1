'use strict';
// The deadline of a finished job still ticks, and holds the job for an hour.
// expect: {"detector": "timers"}

const ladder = require('../ladder.cjs');

// fault {
class RenderJob {
  constructor(document) {
    this.document = document;
    this.pages = [];
  }

  async render() {
    setTimeout(() => this.expire(), 3_600_000);
    await null;
    for (let page = 0; page < 5; page++) this.pages.push(`${this.document}, page ${page}`);
    return this.pages.length;
  }

  expire() {
    this.pages.length = 0;
  }
}
// } fault

let documents = 0;

ladder(async () => {
  for (let i = 0; i < 200; i++) await new RenderJob(`report ${++documents}`).render();
});
