'use strict';
// No bug of lru-cache's but the classic misuse: up to version 6 a cache for which nobody set a limit has none.
// expect: {"package": "lru-cache", "file": "index.js", "lines": [1, 340], "detector": "cache"}

const ladder = require('../ladder.cjs');
const load = require(`./${process.argv[3]}/load.cjs`);

class Page {
  constructor(url) {
    this.url = url;
    this.links = [`${url}/next`, `${url}/up`];
  }
}

const ready = load('lru-cache').then(({ default: Cache }) => {
  return new Cache(process.argv[3] === 'faulty' ? {} : { max: 100 });
});

let pages = 0;

ladder(async () => {
  const cache = await ready;
  for (let i = 0; i < 200; i++) {
    const url = `/page/${++pages}`;
    if (!cache.get(url)) cache.set(url, new Page(url));
  }
});
