'use strict';
// Each request unsubscribes when it is done; some are in flight at any time.

const { EventEmitter } = require('node:events');
const ladder = require('../ladder.cjs');

const config = new EventEmitter();
config.setMaxListeners(0);

class OrderRequest {
  constructor(id, settings) {
    this.id = `order-${id}`;
    this.lines = new Array(8).fill(this.id);
    this.settings = settings;
    this.onChange = () => this.reload();
    settings.on('change', this.onChange);
  }

  reload() {
    this.lines.length = 0;
  }

  end() {
    this.settings.off('change', this.onChange);
  }
}

const inFlight = [];

function handle(id, most) {
  inFlight.push(new OrderRequest(id, config));
  while (inFlight.length > most) inFlight.shift().end();
}

let orders = 0;

ladder(step => {
  for (let i = 0; i < 200; i++) handle(++orders, [30, 55, 20, 45][step]);
});
