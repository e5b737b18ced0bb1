'use strict';
// A dictionary that starts afresh when it is full: its size swings between nothing and the limit.

const ladder = require('../ladder.cjs');

const MOST_ADDRESSES = 300;

class Geocoder {
  constructor() {
    this.known = {};
    this.size = 0;
  }

  locate(address) {
    const known = this.known[address];
    if (known) return known;
    if (this.size >= MOST_ADDRESSES) {
      this.known = {};
      this.size = 0;
    }
    this.size++;
    return (this.known[address] = { latitude: 52.5 + address.length, longitude: 13.4, label: address.toUpperCase() });
  }
}

const geocoder = new Geocoder();
let house = 0;

ladder(() => {
  for (let i = 0; i < 437; i++) geocoder.locate(`Main Street ${++house}`);
});
