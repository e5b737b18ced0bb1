'use strict';
// What a request creates remembers the request's store: pooled connections keep the first request that used them.
// expect: {"detector": "async-local-storage"}

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');
const ladder = require('../ladder.cjs');

const requests = new AsyncLocalStorage();

// fault {
class Connection extends AsyncResource {
  constructor() {
    super('Connection');
    this.busy = true;
  }
}

class ConnectionPool {
  constructor() {
    this.connections = [];
  }

  take() {
    const free = this.connections.find(connection => !connection.busy);
    if (free) return free;
    const connection = new Connection();
    this.connections.push(connection);
    return connection;
  }
}
// } fault

const pool = new ConnectionPool();
let count = 0;

function handle(body) {
  const store = { id: `request ${++count}`, body, tags: [`${body}-a`, `${body}-b`] };
  return requests.run(store, () => pool.take().asyncId());
}

ladder(() => {
  for (let i = 0; i < 200; i++) handle(`body ${i}`);
});
