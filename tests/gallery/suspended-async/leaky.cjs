'use strict';
// A lock that is not released when the work fails: everybody behind waits, with all local variables.
// expect: {"detector": "pending-promises"}

const ladder = require('../ladder.cjs');

// fault {
class Lock {
  constructor() {
    this.held = false;
    this.waiters = [];
  }

  acquire() {
    if (!this.held) {
      this.held = true;
      return Promise.resolve();
    }
    return new Promise(resolve => this.waiters.push(resolve));
  }

  release() {
    const next = this.waiters.shift();
    if (next) next();
    else this.held = false;
  }
}

const lock = new Lock();

async function transfer(from, to) {
  const entry = { from: `account ${from}`, to: `account ${to}`, memo: `transfer of ${from}` };
  await lock.acquire();
  if (from === 1) throw new Error('insufficient funds');
  lock.release();
  return entry.memo;
}
// } fault

let account = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) transfer(++account, account + 1).catch(() => {});
});
