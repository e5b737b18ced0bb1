'use strict';
// One listener for all files, which know when they are gone.

const ladder = require('../ladder.cjs');

process.setMaxListeners(0);

const existing = new Set();
process.on('beforeExit', () => existing.forEach(file => file.remove()));

class TemporaryFile {
  constructor(name) {
    this.name = name;
    this.chunks = [`${name}.0`, `${name}.1`];
    existing.add(this);
  }

  remove() {
    this.chunks = [];
    existing.delete(this);
  }
}

let files = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) new TemporaryFile(`/tmp/upload-${++files}`).remove();
});
