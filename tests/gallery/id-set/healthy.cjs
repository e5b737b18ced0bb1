'use strict';
// Two generations of ids: the older one is dropped when the younger is full.

const ladder = require('../ladder.cjs');

const MOST_IDS = 250;

class Deduplicator {
  constructor() {
    this.young = new Set();
    this.old = new Set();
  }

  isNew(id) {
    if (this.young.has(id) || this.old.has(id)) return false;
    this.young.add(id);
    if (this.young.size >= MOST_IDS) {
      this.old = this.young;
      this.young = new Set();
    }
    return true;
  }
}

const deduplicator = new Deduplicator();
let message = 0;

ladder(() => {
  for (let i = 0; i < 610; i++) deduplicator.isNew(`message/${++message}/${i % 16}`);
});
