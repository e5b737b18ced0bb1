'use strict';
// A class knows all its instances, and close() does not tell it.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class Ticker {
  static all = new Set();

  constructor(symbol) {
    this.symbol = symbol;
    this.prices = [101.5, 102.25, 99.75];
    Ticker.all.add(this);
  }

  close() {
    this.symbol = null;
  }
}
// } fault

let tickers = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) new Ticker(`SYM${++tickers}`).close();
});
