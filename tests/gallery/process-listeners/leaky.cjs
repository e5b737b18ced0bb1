'use strict';
// Each job wants to clean up when the process ends.
// expect: {"detector": "event-listeners"}

const ladder = require('../ladder.cjs');

process.setMaxListeners(0);

// fault {
class TemporaryFile {
  constructor(name) {
    this.name = name;
    this.chunks = [`${name}.0`, `${name}.1`];
    process.on('beforeExit', () => this.remove());
  }

  remove() {
    this.chunks = [];
  }
}
// } fault

let files = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) new TemporaryFile(`/tmp/upload-${++files}`).remove();
});
