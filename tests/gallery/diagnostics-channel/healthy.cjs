'use strict';
// A tenant that goes unsubscribes.

const diagnostics = require('node:diagnostics_channel');
const ladder = require('../ladder.cjs');

class TenantTracer {
  constructor(tenant) {
    this.tenant = tenant;
    this.spans = [`start of ${tenant}`];
    this.listener = message => this.trace(message);
  }

  start() {
    diagnostics.subscribe('http.server.request', this.listener);
  }

  stop() {
    diagnostics.unsubscribe('http.server.request', this.listener);
  }

  trace(message) {
    this.spans.push(message.url);
  }
}

let setups = 0;
const active = [];

ladder(() => {
  for (let i = 0; i < 150; i++) {
    const tracer = new TenantTracer(`tenant ${++setups}`);
    tracer.start();
    active.push(tracer);
    if (active.length > 25) active.shift().stop();
  }
});
