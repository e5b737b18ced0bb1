'use strict';
// A closed connection stops its heartbeat.

const ladder = require('../ladder.cjs');

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
    clearInterval(this.heartbeat);
    this.missed = [];
  }
}

const open = [];
let peers = 0;

ladder(step => {
  for (let i = 0; i < 200; i++) {
    open.push(new PeerConnection(`10.0.0.${++peers}`));
    while (open.length > [60, 20, 80, 40][step]) open.shift().close();
  }
});
