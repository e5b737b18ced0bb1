'use strict';
// Signals composed of the server's and a request's: with a listener, they stay until one of both is aborted.
// expect: {"detector": "abort-signals"}

const { setMaxListeners } = require('node:events');
const ladder = require('../ladder.cjs');

const server = new AbortController();
setMaxListeners(0, server.signal);

// fault {
class Upload {
  constructor(name) {
    this.name = name;
    this.controller = new AbortController();
    this.parts = [`${name}.1`, `${name}.2`];
  }

  start(parent) {
    this.signal = AbortSignal.any([parent, this.controller.signal]);
    this.signal.addEventListener('abort', () => this.discard());
  }

  discard() {
    this.parts.length = 0;
  }
}
// } fault

let uploads = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) new Upload(`photo-${++uploads}`).start(server.signal);
});
