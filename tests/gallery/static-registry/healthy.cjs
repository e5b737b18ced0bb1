'use strict';
// A closed instance leaves the registry.

const ladder = require('../ladder.cjs');

class Ticker {
  static all = new Set();

  constructor(symbol) {
    this.symbol = symbol;
    this.prices = [101.5, 102.25, 99.75];
    Ticker.all.add(this);
  }

  close() {
    this.symbol = null;
    Ticker.all.delete(this);
  }
}

let tickers = 0;

ladder(step => {
  for (let i = 0; i < 300; i++) new Ticker(`SYM${++tickers}`);
  for (const ticker of Ticker.all) {
    if (Ticker.all.size <= [90, 140, 60, 110][step]) break;
    ticker.close();
  }
});
