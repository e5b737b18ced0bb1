'use strict';
// A query has its time, and ends when the server stops. p-timeout left its listener on the signal
// (sindresorhus/p-timeout#42, fixed in 6.1.3).
// expect: {"package": "p-timeout", "file": "index.js", "lines": [31, 110], "detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

const ready = load('p-timeout').then(({ default: pTimeout }) => pTimeout);

let queries = 0;

ladder(async () => {
  const pTimeout = await ready;
  for (let i = 0; i < 200; i++) {
    await pTimeout(Promise.resolve(`rows of ${++queries}`), { milliseconds: 60_000, signal: shutdown.signal });
  }
});
