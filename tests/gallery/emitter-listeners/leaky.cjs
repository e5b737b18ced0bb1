'use strict';
// Each request subscribes to changes of the configuration, and none unsubscribes.
// expect: {"detector": "event-listeners"}

const { EventEmitter } = require('node:events');
const ladder = require('../ladder.cjs');

const config = new EventEmitter();
config.setMaxListeners(0);

// fault {
class OrderRequest {
  constructor(id, settings) {
    this.id = `order-${id}`;
    this.lines = new Array(8).fill(this.id);
    settings.on('change', () => this.reload());
  }

  reload() {
    this.lines.length = 0;
  }
}
// } fault

function handle(id) {
  return new OrderRequest(id, config).lines.length;
}

let orders = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) handle(++orders);
});
