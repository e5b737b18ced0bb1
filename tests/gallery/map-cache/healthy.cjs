'use strict';
// The same cache with a limit: the oldest entry goes when a new one comes.

const ladder = require('../ladder.cjs');

const MOST_QUOTES = 600;

class QuoteService {
  constructor() {
    this.quotes = new Map();
  }

  quote(symbol, requestId) {
    const key = `${symbol}:${requestId}`;
    let quote = this.quotes.get(key);
    if (!quote) {
      quote = { symbol, bid: 100.25 + symbol.length, source: `feed of ${symbol}` };
      if (this.quotes.size >= MOST_QUOTES) this.quotes.delete(this.quotes.keys().next().value);
      this.quotes.set(key, quote);
    }
    return quote;
  }
}

const service = new QuoteService();
let requests = 0;

ladder(() => {
  for (let i = 0; i < 400; i++) service.quote('ACME', ++requests);
});
