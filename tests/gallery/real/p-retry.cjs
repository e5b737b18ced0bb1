'use strict';
// What fails is tried again, until the server stops. p-retry left its listener on the signal
// (sindresorhus/p-retry#71, fixed in 6.0.0).
// expect: {"package": "p-retry", "file": "index.js", "lines": [40, 110], "detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

const ready = load('p-retry').then(({ default: pRetry }) => pRetry);

let mails = 0;

ladder(async () => {
  const pRetry = await ready;
  for (let i = 0; i < 200; i++) {
    await pRetry(async () => `mail ${++mails} sent`, { signal: shutdown.signal });
  }
});
