'use strict';
// Each query listens on the signal of the server's shutdown, and forgets to stop when it has its answer.
// expect: {"detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

// fault {
class Query {
  constructor(sql) {
    this.sql = sql;
    this.rows = [];
  }

  async run(signal) {
    signal.addEventListener('abort', () => this.cancel());
    await null;
    this.rows.push({ first: this.sql }, { second: this.sql });
    return this.rows.length;
  }

  cancel() {
    this.rows = null;
  }
}
// } fault

let queries = 0;

ladder(async () => {
  for (let i = 0; i < 200; i++) await new Query(`select ${++queries} from dual`).run(shutdown.signal);
});
