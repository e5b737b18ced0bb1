'use strict';
// Notes in a WeakMap go with their keys, but the keys are kept in a list.
// expect: {}

const ladder = require('../ladder.cjs');

// fault {
class AccessLog {
  constructor() {
    this.notes = new WeakMap();
    this.recent = [];
  }

  note(request, text) {
    this.recent.push(request);
    this.notes.set(request, { text, words: text.split(' ') });
  }
}
// } fault

const log = new AccessLog();
let requests = 0;

ladder(() => {
  for (let i = 0; i < 200; i++) log.note({ url: `/items/${++requests}` }, `seen at ${requests} by us`);
});
