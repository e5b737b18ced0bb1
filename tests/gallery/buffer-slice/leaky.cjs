'use strict';
// Sixteen bytes of each packet are kept, and with them the whole packet.
// expect: {"detector": "buffer-slices"}

const ladder = require('../ladder.cjs');

// fault {
class PacketIndex {
  constructor() {
    this.headers = [];
  }

  add(packet) {
    this.headers.push(packet.subarray(0, 16));
  }
}
// } fault

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
