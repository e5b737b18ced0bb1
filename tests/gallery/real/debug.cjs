'use strict';
// A logger for each connection. debug kept every instance in a list, to switch them on and off
// (debug-js/debug#678, fixed in 4.3.0).
// expect: {"package": "debug", "file": "src/common.js", "lines": [62, 133], "detector": "cache"}

const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const ready = load('debug').then(({ default: debug }) => debug);

class Connection {
  constructor(createDebug, id) {
    this.id = id;
    this.log = createDebug(`server:connection:${id}`);
  }

  close() {
    this.log('closed');
  }
}

let connections = 0;

ladder(async () => {
  const createDebug = await ready;
  for (let i = 0; i < 200; i++) new Connection(createDebug, ++connections).close();
});
