'use strict';
// A fixed number of places that are used again.

const ladder = require('../ladder.cjs');

const PLACES = 128;

class OrderBook {
  constructor() {
    this.orders = new Array(PLACES).fill(null);
  }

  place(number, item) {
    this.orders[number % PLACES] = { item, state: 'open', history: [`placed ${item}`] };
  }
}

const book = new OrderBook();
let number = 1_000_000;

ladder(() => {
  for (let i = 0; i < 200; i++) book.place((number += 977), `item ${i}`);
});
