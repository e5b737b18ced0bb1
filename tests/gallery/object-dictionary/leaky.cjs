'use strict';
// A plain object as dictionary: every address ever looked up stays.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class Geocoder {
  constructor() {
    this.known = {};
  }

  locate(address) {
    const known = this.known[address];
    if (known) return known;
    return (this.known[address] = { latitude: 52.5 + address.length, longitude: 13.4, label: address.toUpperCase() });
  }
}
// } fault

const geocoder = new Geocoder();
let house = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) geocoder.locate(`Main Street ${++house}`);
});
