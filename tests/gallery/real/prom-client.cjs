'use strict';
// No bug of prom-client's but the classic misuse: a label with a value for each user is a time series for each user.
// The healthy one labels by what there is little of.
// expect: {"package": "prom-client", "file": "lib/counter.js", "lines": [15, 200], "detector": "metric-labels"}

const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

const ready = load('prom-client').then(({ default: { Counter } }) => {
  return new Counter({ name: 'http_requests_total', help: 'Requests answered', labelNames: ['route', 'who'] });
});

let requests = 0;

ladder(async () => {
  const total = await ready;
  for (let i = 0; i < 200; i++) {
    const user = `user ${++requests}`;
    total.inc({ route: '/orders', who: process.argv[3] === 'faulty' ? user : `class ${requests % 7}` });
  }
});
