'use strict';
// The listener goes with the answer.

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

class Query {
  constructor(sql) {
    this.sql = sql;
    this.rows = [];
  }

  async run(signal) {
    const cancel = () => this.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      await null;
      this.rows.push({ first: this.sql }, { second: this.sql });
      return this.rows.length;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  cancel() {
    this.rows = null;
  }
}

let queries = 0;

ladder(async () => {
  for (let i = 0; i < 200; i++) await new Query(`select ${++queries} from dual`).run(shutdown.signal);
});
