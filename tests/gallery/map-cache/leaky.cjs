'use strict';
// Prices are cached under a key that never comes again.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class QuoteService {
  constructor() {
    this.quotes = new Map();
  }

  quote(symbol, requestId) {
    const key = `${symbol}:${requestId}`;
    let quote = this.quotes.get(key);
    if (!quote) {
      quote = { symbol, bid: 100.25 + symbol.length, source: `feed of ${symbol}` };
      this.quotes.set(key, quote);
    }
    return quote;
  }
}
// } fault

const service = new QuoteService();
let requests = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) service.quote('ACME', ++requests);
});
