'use strict';
// Calls whose answer got lost are given up when the connection is renewed.

const ladder = require('../ladder.cjs');

class RpcClient {
  constructor() {
    this.lastId = 0;
    this.waiting = new Map();
  }

  call(method, params) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { method, params, resolve, reject });
    });
  }

  reconnect() {
    const lost = [...this.waiting.values()];
    this.waiting.clear();
    for (const call of lost) call.reject(new Error('connection lost'));
  }
}

const client = new RpcClient();

async function balance(account) {
  try {
    const answer = await client.call('balance', { account: `account ${account}` });
    return answer.amount;
  } catch {
    return 0;
  }
}

ladder(step => {
  client.reconnect();
  for (let i = 0; i < [200, 150, 220, 170][step]; i++) balance(i);
});
