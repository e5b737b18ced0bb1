'use strict';
// The deadline ends with the job.

const ladder = require('../ladder.cjs');

class RenderJob {
  constructor(document) {
    this.document = document;
    this.pages = [];
  }

  async render() {
    const deadline = setTimeout(() => this.expire(), 3_600_000);
    try {
      await null;
      for (let page = 0; page < 5; page++) this.pages.push(`${this.document}, page ${page}`);
      return this.pages.length;
    } finally {
      clearTimeout(deadline);
    }
  }

  expire() {
    this.pages.length = 0;
  }
}

let documents = 0;

ladder(async () => {
  for (let i = 0; i < 200; i++) await new RenderJob(`report ${++documents}`).render();
});
