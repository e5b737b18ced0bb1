'use strict';
// Callbacks are dropped when they were called.

const ladder = require('../ladder.cjs');

class Database {
  constructor() {
    this.isReady = true;
    this.readyCallbacks = [];
  }

  whenReady(callback) {
    this.readyCallbacks.push(callback);
    if (this.isReady) for (const each of this.readyCallbacks.splice(0)) each();
  }
}

const database = new Database();
let statements = 0;

function insert(row) {
  database.whenReady(() => row.values.push('inserted'));
}

ladder(() => {
  for (let i = 0; i < 250; i++) insert({ values: [`row ${++statements}`] });
});
