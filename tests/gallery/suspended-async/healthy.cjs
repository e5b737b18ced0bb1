'use strict';
// The lock is released whatever happens.

const ladder = require('../ladder.cjs');

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
  try {
    if (from === 1) throw new Error('insufficient funds');
    return entry.memo;
  } finally {
    lock.release();
  }
}

let account = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) transfer(++account, account + 1).catch(() => {});
});
