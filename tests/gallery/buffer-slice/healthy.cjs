'use strict';
// The header is copied, and only the last ones are kept.

const ladder = require('../ladder.cjs');

const MOST_HEADERS = 60;

class PacketIndex {
  constructor() {
    this.headers = [];
  }

  add(packet) {
    this.headers.push(Buffer.from(packet.subarray(0, 16)));
    if (this.headers.length > MOST_HEADERS) this.headers.shift();
  }
}

const index = new PacketIndex();

function receive(sequence) {
  const packet = Buffer.alloc(16 * 1024);
  packet.writeUInt32BE(sequence, 0);
  index.add(packet);
}

let sequence = 0;

ladder(() => {
  for (let i = 0; i < 100; i++) receive(++sequence);
});
