'use strict';
// Connections go back to the pool, and are made outside of any request.

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');
const ladder = require('../ladder.cjs');

const requests = new AsyncLocalStorage();

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
    let connection = this.connections.find(each => !each.busy);
    if (!connection) {
      connection = requests.exit(() => new Connection());
      this.connections.push(connection);
    }
    connection.busy = true;
    return connection;
  }

  giveBack(connection) {
    connection.busy = false;
  }
}

const pool = new ConnectionPool();
let count = 0;

function handle(body) {
  const store = { id: `request ${++count}`, body, tags: [`${body}-a`, `${body}-b`] };
  return requests.run(store, () => {
    const connection = pool.take();
    pool.giveBack(connection);
    return connection.asyncId();
  });
}

ladder(() => {
  for (let i = 0; i < 200; i++) handle(`body ${i}`);
});
