'use strict';
// The registry holds what is needed to clean up, and not the handle.

const ladder = require('../ladder.cjs');

class HandlePool {
  constructor() {
    this.released = 0;
    this.registry = new FinalizationRegistry(path => {
      if (path) this.released++;
    });
  }

  open(path) {
    const handle = { path, pages: [`${path}#1`, `${path}#2`] };
    this.registry.register(handle, path);
    return handle;
  }
}

const pool = new HandlePool();
let files = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) pool.open(`/var/data/file-${++files}`);
});
