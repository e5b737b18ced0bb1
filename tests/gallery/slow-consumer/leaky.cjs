'use strict';
// Updates are written to a subscriber that does not read them: the stream buffers all.
// expect: {"detector": "stream-backlog"}

const { Writable } = require('node:stream');
const ladder = require('../ladder.cjs');

// fault {
class Feed {
  constructor() {
    this.subscriber = new Writable({ objectMode: true, write: () => {} });
  }

  publish(update) {
    this.subscriber.write(update);
  }
}
// } fault

const feed = new Feed();
let updates = 0;

ladder(() => {
  for (let i = 0; i < 300; i++) feed.publish({ topic: 'weather', text: `update number ${++updates}` });
});
