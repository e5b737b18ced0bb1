'use strict';
// A big table that is loaded at the start and never changes.

const ladder = require('../ladder.cjs');

class PostalCodes {
  constructor() {
    this.towns = new Map();
    for (let code = 10_000; code < 16_000; code++) this.towns.set(String(code), { name: `Town ${code}`, region: 'north' });
  }

  lookUp(code) {
    return this.towns.get(code)?.name;
  }
}

const codes = new PostalCodes();
let asked = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) codes.lookUp(String(10_000 + (asked++ % 6_000)));
});
