'use strict';
// Labels with few values: method, route and status.

const ladder = require('../ladder.cjs');

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

class RequestMetrics {
  constructor() {
    this.total = new Counter({ name: 'http_requests_total', labelNames: ['method', 'route', 'status'] });
  }

  observe(method, route, status) {
    this.total.inc({ method, route, status });
  }
}

const metrics = new RequestMetrics();
let users = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) {
    users++;
    metrics.observe(users % 3 ? 'GET' : 'POST', `/routes/${users % 40}`, users % 7 ? '200' : '500');
  }
});
