'use strict';
// Callbacks for "ready" are kept after they were called, and those that come later too.
// expect: {"detector": "cache"}

const ladder = require('../ladder.cjs');

// fault {
class Database {
  constructor() {
    this.isReady = true;
    this.readyCallbacks = [];
  }

  whenReady(callback) {
    this.readyCallbacks.push(callback);
    if (this.isReady) callback();
  }
}
// } fault
const database = new Database();
let statements = 0;

function insert(row) {
  database.whenReady(() => row.values.push('inserted'));
}

ladder(() => {
  for (let i = 0; i < 250; i++) insert({ values: [`row ${++statements}`] });
});
