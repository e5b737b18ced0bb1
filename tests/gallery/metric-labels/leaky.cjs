'use strict';
// A counter with the user's id as label: a time series for each user.
// expect: {"detector": "metric-labels"}

const ladder = require('../ladder.cjs');

// fault {
class Counter {
  constructor({ name, labelNames }) {
    this.name = name;
    this.labelNames = labelNames;
    this.hashMap = {};
  }

  inc(labels) {
    const hash = this.labelNames.map(label => `${label}:${labels[label]}`).join(',');
    this.hashMap[hash] ??= { labels, value: 0 };
    this.hashMap[hash].value++;
  }
}
// } fault

class RequestMetrics {
  constructor() {
    this.total = new Counter({ name: 'http_requests_total', labelNames: ['method', 'route', 'user'] });
  }

  observe(method, route, user) {
    this.total.inc({ method, route, user });
  }
}

const metrics = new RequestMetrics();
let users = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) metrics.observe('GET', '/users/:id', `user-${++users}`);
});
