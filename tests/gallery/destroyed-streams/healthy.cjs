'use strict';
// A closed connection leaves the list.

const { PassThrough } = require('node:stream');
const ladder = require('../ladder.cjs');

class Gateway {
  constructor() {
    this.connections = new Set();
  }

  accept(stream, name) {
    const connection = { name, stream, closed: false };
    this.connections.add(connection);
    stream.on('close', () => {
      this.connections.delete(connection);
    });
    return connection;
  }
}

const gateway = new Gateway();
let clients = 0;

ladder(async () => {
  for (let i = 0; i < 60; i++) {
    const { stream } = gateway.accept(new PassThrough(), `client-${++clients}`);
    if (i % 4) stream.destroy();
  }
  for (const { stream } of [...gateway.connections].slice(0, -20)) stream.destroy();
});
