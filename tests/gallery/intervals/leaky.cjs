'use strict';
// A connection pings its peer for ever, closed or not.
// expect: {"detector": "timers"}

const ladder = require('../ladder.cjs');

// fault {
class PeerConnection {
  constructor(address) {
    this.address = address;
    this.missed = [address];
    this.heartbeat = setInterval(() => this.ping(), 30_000);
  }

  ping() {
    this.missed.push(this.address);
  }

  close() {
    this.missed = [];
  }
}
// } fault

let peers = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) {
    const peer = new PeerConnection(`10.0.0.${++peers}`);
    peer.close();
  }
});
