'use strict';
// Updates for a subscriber that does not keep up are dropped.

const { Writable } = require('node:stream');
const ladder = require('../ladder.cjs');

class Feed {
  constructor() {
    this.subscriber = new Writable({ objectMode: true, highWaterMark: 64, write: () => {} });
    this.dropped = 0;
  }

  publish(update) {
    if (this.subscriber.writableNeedDrain) this.dropped++;
    else this.subscriber.write(update);
  }
}

const feed = new Feed();
let updates = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) feed.publish({ topic: 'weather', text: `update number ${++updates}` });
});
