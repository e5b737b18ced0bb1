'use strict';
// Closed connections stay in the gateway's list.
// expect: {"detector": "terminal-state"}

const { PassThrough } = require('node:stream');
const ladder = require('../ladder.cjs');

// fault {
class Gateway {
  constructor() {
    this.connections = new Set();
  }

  accept(stream, name) {
    const connection = { name, stream, closed: false };
    this.connections.add(connection);
    stream.on('close', () => {
      connection.closed = true;
    });
    return connection;
  }
}
// } fault

const gateway = new Gateway();
let clients = 0;

ladder(() => {
  for (let i = 0; i < 60; i++) {
    const { stream } = gateway.accept(new PassThrough(), `client-${++clients}`);
    stream.destroy();
  }
});
