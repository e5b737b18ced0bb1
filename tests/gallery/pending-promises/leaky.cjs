'use strict';
// Calls whose answer got lost wait for ever.
// expect: {"detector": "pending-promises"}

const ladder = require('../ladder.cjs');

// fault {
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

  receive(id, result) {
    const call = this.waiting.get(id);
    this.waiting.delete(id);
    call.resolve(result);
  }
}
// } fault

const client = new RpcClient();

async function balance(account) {
  const answer = await client.call('balance', { account: `account ${account}` });
  return answer.amount;
}

ladder(() => {
  for (let i = 0; i < 200; i++) balance(i);
});
