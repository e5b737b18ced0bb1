'use strict';
// Each tenant subscribes to the channel again when it is set up, also for the second time.
// expect: {"detector": "event-listeners"}

const diagnostics = require('node:diagnostics_channel');
const ladder = require('../ladder.cjs');

// fault {
class TenantTracer {
  constructor(tenant) {
    this.tenant = tenant;
    this.spans = [`start of ${tenant}`];
  }

  start() {
    diagnostics.subscribe('http.server.request', message => this.trace(message));
  }

  trace(message) {
    this.spans.push(message.url);
  }
}
// } fault

let setups = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) new TenantTracer(`tenant ${++setups}`).start();
});
