'use strict';
// Pages of a list are fetched together, until the server stops. p-map left its listener on the signal
// (sindresorhus/p-map#75, fixed in 7.0.3).
// expect: {"package": "p-map", "file": "index.js", "lines": [1, 200], "detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

const ready = load('p-map').then(({ default: pMap }) => pMap);

let pages = 0;

ladder(async () => {
  const pMap = await ready;
  for (let i = 0; i < 200; i++) {
    await pMap([++pages, ++pages], async page => `page ${page}`, { signal: shutdown.signal });
  }
});
