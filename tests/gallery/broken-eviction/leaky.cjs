'use strict';
// The eviction asks for a number where the keys are texts, and removes nothing.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class ThumbnailCache {
  constructor(limit) {
    this.limit = limit;
    this.entries = new Map();
    this.oldest = 0;
    this.newest = 0;
  }

  put(thumbnail) {
    this.entries.set(`thumb-${this.newest++}`, thumbnail);
    if (this.entries.size > this.limit) this.entries.delete(this.oldest++);
  }
}
// } fault

const cache = new ThumbnailCache(100);
let pictures = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) cache.put({ of: `picture ${++pictures}`, bytes: new Uint8Array(24) });
});
