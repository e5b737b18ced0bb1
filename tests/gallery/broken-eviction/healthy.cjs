'use strict';
// The eviction finds its keys.

const ladder = require('../ladder.cjs');

class ThumbnailCache {
  constructor(limit) {
    this.limit = limit;
    this.entries = new Map();
    this.oldest = 0;
    this.newest = 0;
  }

  put(thumbnail) {
    this.entries.set(`thumb-${this.newest++}`, thumbnail);
    if (this.entries.size > this.limit) this.entries.delete(`thumb-${this.oldest++}`);
  }
}

const cache = new ThumbnailCache(100);
let pictures = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) cache.put({ of: `picture ${++pictures}`, bytes: new Uint8Array(24) });
});
