'use strict';
// Orders by their number, in an array with more holes than orders.
// expect: {"detector": "sparse-collections"}

const ladder = require('../ladder.cjs');

// fault {
class OrderBook {
  constructor() {
    this.orders = [];
  }

  place(number, item) {
    this.orders[number] = { item, state: 'open', history: [`placed ${item}`] };
  }
}
// } fault

const book = new OrderBook();
let number = 1_000_000;

ladder(() => {
  for (let i = 0; i < 200; i++) book.place((number += 977), `item ${i}`);
});
