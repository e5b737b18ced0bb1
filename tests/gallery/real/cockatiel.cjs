'use strict';
// A policy with a timeout around each call, which ends when the server stops. cockatiel's derived controllers
// stayed on the signal (connor4312/cockatiel#81, fixed in 3.1.2).
// expect: {"package": "cockatiel", "file": "dist/common/Event.js", "lines": [1, 200], "detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

const ready = load('cockatiel').then(({ timeout, TimeoutStrategy }) => timeout(60_000, TimeoutStrategy.Cooperative));

let calls = 0;

ladder(async () => {
  const policy = await ready;
  for (let i = 0; i < 200; i++) await policy.execute(async () => `answer ${++calls}`, shutdown.signal);
});
