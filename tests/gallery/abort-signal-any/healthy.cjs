'use strict';
// An upload aborts its own signal when it is done, which ends the composed one.

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');

const server = new AbortController();
setMaxListeners(0, server.signal);

class Upload {
  constructor(name) {
    this.name = name;
    this.controller = new AbortController();
    this.parts = [`${name}.1`, `${name}.2`];
  }

  start(parent) {
    const forward = () => this.controller.abort(parent.reason);
    parent.addEventListener('abort', forward, { once: true, signal: this.controller.signal });
    this.controller.signal.addEventListener('abort', () => this.discard(), { once: true });
  }

  end() {
    this.controller.abort();
  }

  discard() {
    this.parts.length = 0;
  }
}

let uploads = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) {
    const upload = new Upload(`photo-${++uploads}`);
    upload.start(server.signal);
    upload.end();
  }
});
