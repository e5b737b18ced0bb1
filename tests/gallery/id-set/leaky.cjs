'use strict';
// Ids of all messages ever seen, to drop the second copy of one.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class Deduplicator {
  constructor() {
    this.seen = new Set();
  }

  isNew(id) {
    if (this.seen.has(id)) return false;
    this.seen.add(id);
    return true;
  }
}
// } fault

const deduplicator = new Deduplicator();
let message = 0;

ladder(() => {
  for (let i = 0; i < 600; i++) deduplicator.isNew(`message/${++message}/${i % 16}`);
});
