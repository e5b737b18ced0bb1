'use strict';
// libp2p's dialer made one signal of several. any-signal left its listeners on those that live on
// (libp2p/js-libp2p#900; since 4.0.0 the composed signal can be cleared).
// expect: {"package": "any-signal", "file": "index.js", "lines": [7, 31], "detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const shutdown = new AbortController();
setMaxListeners(0, shutdown.signal);

const ready = load('any-signal').then(({ anySignal }) => anySignal);

let dials = 0;

ladder(async () => {
  const anySignal = await ready;
  for (let i = 0; i < 200; i++) {
    const hangUp = new AbortController();
    const signal = anySignal([shutdown.signal, hangUp.signal]);
    await Promise.resolve(`dial ${++dials}`);
    signal.clear?.();
  }
});
