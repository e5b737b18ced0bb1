'use strict';
// The list of keys has a limit, and the notes follow.

const ladder = require('../ladder.cjs');

const MOST_RECENT = 120;

class AccessLog {
  constructor() {
    this.notes = new WeakMap();
    this.recent = [];
  }

  note(request, text) {
    this.recent.push(request);
    if (this.recent.length > MOST_RECENT) this.recent.shift();
    this.notes.set(request, { text, words: text.split(' ') });
  }
}

const log = new AccessLog();
let requests = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) log.note({ url: `/items/${++requests}` }, `seen at ${requests} by us`);
});
