'use strict';
// A registry's callback data refer to the handle they should outlive: nothing is ever finalised.
// expect: {"detector": "weak-references"}

const ladder = require('../ladder.cjs');

// fault {
class HandlePool {
  constructor() {
    this.registry = new FinalizationRegistry(handle => handle.release());
  }

  open(path) {
    const handle = {
      path,
      pages: [`${path}#1`, `${path}#2`],
      release() {
        this.pages = [];
      },
    };
    this.registry.register(handle, { release: () => handle.release() });
    return handle;
  }
}
// } fault

const pool = new HandlePool();
let files = 0;

ladder(() => {
  for (let i = 0; i < 150; i++) pool.open(`/var/data/file-${++files}`);
});
